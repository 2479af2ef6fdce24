"""Flow of patients, slides, cores, tiles and events, counted from the records."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pathosig.core.words import counted
from pathosig.figures.flow import FlowStep, flow_diagram
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pathosig.core.records import Record

REASONS = {
    "tissue": "glass, or less tissue than required",
    "low_tissue": "less tissue than required",
    "edge": "beyond the edge of the slide",
    "pen": "pen",
    "blur": "out of focus",
    "fold": "fold",
    "background": "background",
    "saturation": "blood or necrosis-like colour",
    "unreadable": "pixels could not be read",
    "lost": "pixels could not be read",
}


def reason_text(key: str) -> str:
    """Why a tile was left out, in words."""
    return REASONS[key] if key in REASONS else key.replace("_", " ")


def flow_section(material: Material) -> Section:
    """Patients, slides, cores, tiles and events: what came in and what was left out."""
    steps, arms = flow_steps(material)
    caption = "Flow of patients, slides, tiles and events. Every exclusion carries its reason."
    blocks: list[Block] = [picture("flow", flow_diagram(steps, arms), caption)]
    if material.slides:
        columns = [
            "Cohort",
            "Slides and cores",
            "Failed",
            "Empty",
            "Tiles kept",
            "Left out for quality",
            "Proportion",
        ]
        blocks.append(
            Table(caption="Losses by cohort", columns=columns, rows=loss_rows(material), folded=True)
        )
    reasons = excluded_tiles(material.of("tiles"))
    if reasons:
        rows: list[list[Cell]] = [[reason_text(k), n] for k, n in reasons.most_common()]
        table = Table(
            caption="Tiles left out, by reason", columns=["Reason", "Tiles"], rows=rows, folded=True
        )
        blocks.append(table)
    return Section(id="flow", title="Flow", blocks=blocks)


def excluded_tiles(records: Sequence[Record]) -> Counter[str]:
    """Tiles left out by reason, over all slides."""
    total: Counter[str] = Counter()
    for record in records:
        for key in ("excluded", "lost"):
            counts = record.summary.get(key)
            if isinstance(counts, dict):
                total.update({reason: int(n) for reason, n in counts.items() if isinstance(n, (int, float))})
            elif isinstance(counts, int) and counts:
                total[key] += counts
    return Counter({k: v for k, v in total.items() if v})


def _lost(records: Sequence[Record]) -> int:
    """Tiles on tissue that were left out for their quality; tiles on glass are not counted."""
    return sum(n for reason, n in excluded_tiles(records).items() if reason not in ("tissue", "low_tissue"))


def tile_total(records: Sequence[Record]) -> int:
    """Tiles kept, over all slides."""
    return sum(int(r.summary.get("n_tiles", r.summary.get("tiles", 0)) or 0) for r in records)


def failures(records: Sequence[Record]) -> Counter[str]:
    """Failed units by error code."""
    return Counter((r.error or {}).get("code", "E_UNKNOWN") for r in records if r.status == "failed")


def flow_steps(material: Material) -> tuple[list[FlowStep], list[FlowStep]]:
    """The trunk and the cohorts of the flow diagram."""
    steps = [_given(material)]
    for stage, title in (("tissue", "Tissue found"), ("tiles", "Cut into tiles"), ("embed", "Embedded")):
        records = [r for r in material.of(stage) if not r.unit.startswith("_")]
        if records:
            steps[-1] = _with_losses(steps[-1], records, stage)
            steps.append(_stage_step(stage, title, records))
    if material.profiles.patients is not None:
        steps.append(_profiles(material))
    return steps, _arms(material)


def _given(material: Material) -> FlowStep:
    patients = 0 if material.patients is None else len(material.patients)
    kinds = Counter(s.kind for s in material.slides)
    lines = [counted(patients, "patient")]
    if kinds["wsi"]:
        lines.append(counted(kinds["wsi"], "slide"))
    if kinds["core"]:
        lines.append(counted(kinds["core"], "tissue-microarray core"))
    if not material.slides:
        lines.append("outside feature table, no slides")
    return FlowStep(title="Given", lines=lines)


def _with_losses(step: FlowStep, records: Sequence[Record], stage: str) -> FlowStep:
    lost = [f"{counted(n, 'slide')} failed: {code}" for code, n in sorted(failures(records).items())]
    empty = sum(r.status == "empty" for r in records)
    if empty:
        what = {"tissue": "without tissue", "tiles": "without a usable tile"}.get(stage, "empty")
        lost.append(f"{counted(empty, 'slide')} {what}")
    return FlowStep(title=step.title, lines=step.lines, excluded=[*step.excluded, *lost])


def _stage_step(stage: str, title: str, records: Sequence[Record]) -> FlowStep:
    good = [r for r in records if r.status == "ok"]
    lines = [counted(len(good), "slide")]
    excluded: list[str] = []
    if stage == "tiles":
        lines.append(f"{counted(tile_total(good), 'tile')} kept")
        reasons = excluded_tiles(records)
        excluded = [f"{counted(n, 'tile')}: {reason_text(k)}" for k, n in reasons.most_common()]
    return FlowStep(title=title, lines=lines, excluded=excluded)


def _profiles(material: Material) -> FlowStep:
    table = material.profiles.patients
    n = 0 if table is None else len(table)
    lines = [
        counted(n, "patient"),
        counted(material.profiles.k, "HPC") if material.profiles.k else "features from outside",
    ]
    groups = Counter(r.group for r in material.scores)
    lost = (
        [f"{counted(groups['not assessable'], 'patient')} not assessable"] if groups["not assessable"] else []
    )
    without = 0 if material.patients is None else len(material.patients) - n
    if without > 0:
        lost.insert(0, f"{counted(without, 'patient')} without a profile")
    return FlowStep(title="Profiles", lines=lines, excluded=lost)


def _arms(material: Material) -> list[FlowStep]:
    arms = []
    for cohort in material.cohorts:
        lines = []
        if material.patients is not None:
            lines.append(counted(int((material.patients["cohort"] == cohort).sum()), "patient"))
        for endpoint in material.endpoints:
            n, events = material.events.get((cohort, endpoint), (0, 0))
            lines.append(f"{endpoint.upper()}: {counted(events, 'event')} in {n:,}")
        arms.append(FlowStep(title=cohort_title(cohort), lines=lines))
    return arms


def loss_rows(material: Material) -> list[list[Any]]:
    """Slides and tiles lost per cohort: rows for a table."""
    cohort_of = {s.id: s.cohort or "–" for s in material.slides}
    rows: list[list[Any]] = []
    for cohort in sorted(set(cohort_of.values())):
        ids = {i for i, c in cohort_of.items() if c == cohort}
        by_stage: Mapping[str, list[Record]] = {
            s: [r for r in material.of(s) if r.unit in ids] for s in ("tissue", "tiles", "embed")
        }
        bad = {r.unit for records in by_stage.values() for r in records if r.status == "failed"}
        empty = {r.unit for records in by_stage.values() for r in records if r.status == "empty"} - bad
        kept, lost = tile_total(by_stage["tiles"]), _lost(by_stage["tiles"])
        share = 100 * lost / (kept + lost) if kept + lost else None
        rows.append(
            [
                cohort_title(cohort),
                len(ids),
                len(bad),
                len(empty),
                kept,
                lost,
                "–" if share is None else f"{share:.1f}%",
            ]
        )
    return rows

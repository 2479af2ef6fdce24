"""Sections on what went wrong and where everything comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table


def failures_section(material: Material) -> Section | None:
    """Every failed and empty unit with its reason; None when no record exists."""
    if not any(material.records.values()):
        return None
    blocks: list[Block] = []
    failed = [
        [r.unit, r.stage, (r.error or {}).get("code", ""), (r.error or {}).get("message", "")]
        for records in material.records.values()
        for r in records
        if r.status == "failed"
    ]
    empty = [
        [r.unit, r.stage, "; ".join(r.warnings) or str(r.summary.get("reason", "nothing usable"))]
        for records in material.records.values()
        for r in records
        if r.status == "empty"
    ]
    if failed:
        columns = ["Slide or fit", "Stage", "Code", "What happened, and the way out"]
        blocks.append(Table(caption="Failed", columns=columns, rows=failed))
    if empty:
        blocks.append(Table(caption="Empty", columns=["Slide or fit", "Stage", "Why"], rows=empty))
    if not blocks:
        blocks.append(Note(text="Nothing failed, and no slide was empty.", level="good"))
    return Section(id="failures", title="Failures", blocks=blocks)


def provenance_section(material: Material) -> Section | None:
    """Versions, settings, seeds and fingerprints of every stage; None when no record exists."""
    if not any(material.records.values()):
        return None
    blocks: list[Block] = [Facts(rows=sorted(material.versions.items()))]
    rows: list[list[Cell]] = []
    for stage, records in material.records.items():
        good = [r for r in records if r.status == "ok"]
        if not good:
            continue
        seed = good[0].spec.get("seed")
        digest = good[0].fingerprint[:16] if len(good) == 1 else f"{len(good)} units"
        rows.append([stage, len(records), "–" if seed is None else str(seed), digest])
    columns = ["Stage", "Units", "Seed", "Fingerprint"]
    blocks.append(Table(caption="Stages", columns=columns, rows=rows))
    for stage, records in material.records.items():
        specs = [r.spec for r in records if r.spec]
        if specs:
            pairs = [[k, json.dumps(v, ensure_ascii=False)] for k, v in sorted(specs[0].items())]
            blocks.append(
                Table(caption=f"Settings of {stage}", columns=["Setting", "Value"], rows=pairs, folded=True)
            )
    hashes = [
        [path, digest]
        for stage in ("phenotypes", "signature", "validate")
        for r in material.of(stage, "ok")
        for path, digest in sorted(r.outputs.items())
        if r.unit.startswith("_")
    ]
    if hashes:
        columns = ["File", "SHA-256"]
        blocks.append(Table(caption="Hashes of the frozen files", columns=columns, rows=hashes, folded=True))
    return Section(id="provenance", title="Versions, settings and hashes", blocks=blocks)


def limitations_section(material: Material) -> Section:
    """What these results cannot show, as far as the study itself tells."""
    points = [
        "HPCs are groups of similar-looking tiles found without labels; their biological "
        "meaning needs a pathologist.",
        "The design is retrospective: selection of patients and treatments is not under control.",
    ]
    if len(material.cohorts) < 2:
        points.append("There is no external cohort: all estimates of performance are internal.")
    if material.truth:
        points.append(
            "The data are simulated: the results say how the method recovers a planted truth, nothing more."
        )
    sites = {s.site for s in material.slides if s.site}
    if len(sites) <= 1:
        points.append(
            "One site, or no site declared: effects of scanner and staining cannot be separated from biology."
        )
    missing = [s for s in ("null", "optimism", "site", "depth", "stability") if s not in material.audits]
    if missing:
        points.append(f"Audits that were not run: {', '.join(missing)}.")
    return Section(id="limitations", title="Limitations", blocks=[Note(text=p) for p in points])


def planted_section(material: Material) -> Section | None:
    """What was planted in a simulated study; None for real data."""
    if not material.truth:
        return None
    lead = "This study was simulated. This is what was planted in it; the method never saw these settings."
    rows, tables = _effects_planted(material.truth), []
    for key, value in sorted(material.truth.items()):
        if rows and key in ("effects", "harmful", "protective", "treatment", "scaling"):
            continue
        if isinstance(value, Mapping) and len(value) <= 12 and all(_plain(v) for v in value.values()):
            rows.append(
                (key.replace("_", " "), ", ".join(f"{k} {_short(v)}" for k, v in sorted(value.items())))
            )
        elif isinstance(value, list) and len(value) <= 12 and all(_plain(v) for v in value):
            rows.append((key.replace("_", " "), ", ".join(_short(v) for v in value)))
        elif _plain(value):
            rows.append((key.replace("_", " "), _short(value)))
        elif isinstance(value, list) and 0 < len(value) <= 40 and all(isinstance(v, Mapping) for v in value):
            tables.append(_truth_table(key, value))
    return Section(id="planted", title="What was planted", lead=lead, blocks=[Facts(rows=rows), *tables])


def _effects_planted(truth: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The planted effects in words; empty when truth.json is not as `simulate` writes it."""
    try:
        harm, protect = (math.exp(float(v)) for v in truth["effects"])
        rows = [
            ("Harmful type", f"{truth['harmful']}: HR {harm:.2f} per SD of its share"),
            ("Protective type", f"{truth['protective']}: HR {protect:.2f} per SD of its share"),
        ]
        treatment = truth["treatment"]
        high, low = (math.exp(float(treatment[k])) for k in ("log_hr_high_risk", "log_hr_low_risk"))
        text = f"{treatment['column']}: HR {high:.2f} above the median risk, {low:.2f} below"
    except (KeyError, TypeError, ValueError):
        return []
    return [*rows, ("Treatment", text)]


def _truth_table(key: str, rows: list[Mapping[str, Any]]) -> Table:
    columns = [k for k in rows[0] if _plain(rows[0][k])]
    return Table(
        caption=key.replace("_", " "),
        columns=[c.replace("_", " ") for c in columns],
        rows=[[r.get(c) if _plain(r.get(c)) else "…" for c in columns] for r in rows],
    )


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

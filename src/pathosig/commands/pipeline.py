"""All stages in order, and what is known of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pathosig.core.errors import ConfigError, NotEstimableError, one_line
from pathosig.core.records import remove_stale
from pathosig.core.study import Study
from pathosig.core.units import Execution, StageReport

PIXEL_STAGES = ("tma", "tissue", "tiles", "train", "embed")
STAGES: tuple[tuple[str, str], ...] = (
    ("tma", "pathosig.tma.stage:find_cores"),
    ("tissue", "pathosig.tissue.stage:find_tissue"),
    ("tiles", "pathosig.tiles.stage:cut_tiles"),
    ("train", "pathosig.encoder.training.stage:train_encoder"),
    ("embed", "pathosig.encoder.stage:embed_tiles"),
    ("phenotypes", "pathosig.phenotypes.stage:find_phenotypes"),
    ("profiles", "pathosig.profiles.stage:build_profiles"),
    ("signature", "pathosig.signature.stage:build_signature"),
    ("validate", "pathosig.validation.stage:validate_signature"),
    ("report", "pathosig.report.stage:build_report"),
)
_FITS = ("train", "phenotypes", "profiles", "signature", "validate", "report")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """What became of every stage, in order."""

    stages: tuple[StageReport, ...]
    note: str = ""
    not_estimable: str = ""
    report: str | None = None

    @property
    def exit_code(self) -> int:
        """5 when nothing could be estimated, else 4 when slides failed, else 0."""
        if self.not_estimable:
            return NotEstimableError.exit_code
        return max((s.exit_code for s in self.stages), default=0)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "stages": [s.to_dict() for s in self.stages],
            "note": self.note,
            "not_estimable": self.not_estimable,
            "report": self.report,
            "exit_code": self.exit_code,
        }

    def to_text(self) -> str:
        """A line per stage, then failures, then where the report is."""
        lines = [s.to_text() for s in self.stages]
        errors = [e for s in self.stages for e in s.errors]
        lines += [f"  {e}" for e in errors[:10]]
        lines += [f"  and {len(errors) - 10} more: pathosig status"] if len(errors) > 10 else []
        lines += [text for text in (self.not_estimable, self.note) if text]
        lines += [f"report: {self.report}"] if self.report else []
        return "\n".join(lines)


def stages_of(study: Study) -> list[str]:
    """Names of the stages a study needs, in order; those before its level are left out."""
    names = [name for name, _ in STAGES]
    if study.level == "features":
        names = [n for n in names if n not in (*PIXEL_STAGES, "phenotypes")]
    elif study.level == "embeddings":
        names = [n for n in names if n not in PIXEL_STAGES]
    if not any(s.kind == "tma" for s in study.slides()):
        names = [n for n in names if n != "tma"]
    if study.config.get("encoder", {}).get("method", "frozen") != "dlcc":
        names = [n for n in names if n != "train"]
    return names


def refuse_left_out(study: Study, name: str) -> None:
    """Refuse a stage whose inputs this study does not have, before it records a failure per slide.

    Raises
    ------
    ConfigError
        If study.toml says that the study starts after the stage `name`.
    """
    left_out = (*PIXEL_STAGES, "phenotypes") if study.level == "features" else PIXEL_STAGES
    if study.level != "slides" and name in left_out:
        raise ConfigError(
            f"{name}: this study starts from {study.level} ([study] level in study.toml) and has no such stage. "
            f"Its stages are {', '.join(stages_of(study))}."
        )


def stage_function(name: str) -> Callable[..., Any]:
    """The public function of a stage."""
    module, function = dict(STAGES)[name].split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def run_all(study: Study, *, until: str | None = None, execution: Execution = Execution()) -> RunReport:
    """Run all stages in order; what is fresh is left alone.

    Parameters
    ----------
    until
        The last stage to run.
    execution
        Workers, device, shard, scheduler. With a shard the run stops before the first fit.

    Returns
    -------
    RunReport
        Failed slides are in it; they never stop the others.

    Raises
    ------
    ConfigError
        If `until` names no stage.
    PathosigError
        If a stage cannot run at all.
    """
    names = stages_of(study)
    if until is not None:
        if until not in dict(STAGES):
            raise ConfigError(f"--until {until!r}: expected one of {', '.join(dict(STAGES))}.")
        order = [name for name, _ in STAGES]
        names = [n for n in names if order.index(n) <= order.index(until)]
    remove_stale(study.root)
    reports: list[StageReport] = []
    nothing = ""
    page = study.paths.report
    for name in names:
        before = _written(page)
        if execution.shard is not None and name in _FITS:
            return RunReport(stages=tuple(reports), note=_waiting(study, name))
        try:
            answer = stage_function(name)(study, execution=execution)
        except NotEstimableError as error:
            nothing = nothing or f"{error.code} {error}"
            answer = StageReport(stage=name, empty=("_fit",))
        reports.append(answer if isinstance(answer, StageReport) else _page_report(name, before, page))
    shown = str(page) if "report" in names and page.is_file() else None
    return RunReport(stages=tuple(reports), not_estimable=nothing, report=shown)


def _written(page: Path) -> int:
    return page.stat().st_mtime_ns if page.is_file() else 0


def _page_report(name: str, before: int, page: Path) -> StageReport:
    """The report gives its path, not a StageReport: fresh when the page is the one from before."""
    units = (f"_{name}",)
    same = before == _written(page)
    return StageReport(stage=name, fresh=units) if same else StageReport(stage=name, done=units)


def _waiting(study: Study, stage: str) -> str:
    needed = {s.id for s in study.specimens()}
    finished = {r.unit for r in study.records("embed") if r.status != "failed"}
    left = len(needed - finished)
    text = f"stopped before {stage}: waiting for {left} units of other shards."
    return text if left else f"stopped before {stage}: all units are there; run once without --shard."


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """Per stage how many units are ok (slides of them), empty, failed, missing, stale; with reasons."""

    stages: dict[str, dict[str, int]]
    failed: tuple[dict[str, str], ...]
    empty: tuple[dict[str, str], ...]
    changed_settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "stages": self.stages,
            "failed": list(self.failed),
            "empty": list(self.empty),
            "changed_settings": self.changed_settings,
        }

    def to_text(self) -> str:
        """A table for people, then reasons."""
        lines = ["stage       " + "".join(f"{k:>{w}}" for k, w in _STATUS_COLUMNS)]
        for name, counts in self.stages.items():
            shown = {**counts, "fits": counts["ok"] - counts["slides"]}
            lines.append(
                (f"{name:<12}" + "".join(f"{shown[k] or '':>{w}}" for k, w in _STATUS_COLUMNS)).rstrip()
            )
        for title, items in (("failed", self.failed), ("empty", self.empty)):
            lines += [one_line(f"{title} {i['stage']} {i['unit']}: {i['reason']}") for i in items[:20]]
            lines += [f"  and {len(items) - 20} more {title}"] if len(items) > 20 else []
        for stage, changes in self.changed_settings.items():
            for key, (was, now) in changes.items():
                lines.append(f"setting [{stage}] {key}: results made with {was!r}, study.toml says {now!r}")
        return "\n".join(lines)


_STATUS_COLUMNS = (("slides", 8), ("fits", 6), ("empty", 7), ("failed", 8), ("missing", 9), ("stale", 7))
_PER_SLIDE = ("tissue", "tiles", "embed", "phenotypes")


def status(study: Study) -> StudyStatus:
    """What is done, failed or empty per stage, with reasons; what study.toml changed since.

    Returns
    -------
    StudyStatus
        ``stale`` counts units made from records that are no longer there: something upstream was made anew.
    """
    names = stages_of(study)
    specimens = [s.id for s in study.specimens()]
    table: dict[str, dict[str, int]] = {}
    failed: list[dict[str, str]] = []
    empty: list[dict[str, str]] = []
    current = {r.fingerprint for name in _recorded(study) for r in study.records(name)}
    for name in names:
        records = {r.unit: r for r in study.records(name)}
        counts = {"ok": 0, "slides": 0, "empty": 0, "failed": 0, "missing": 0, "stale": 0}
        for record in records.values():
            nothing = record.status == "ok" and "code" in record.summary  # a fit that found nothing to keep
            counts["empty" if nothing else record.status] += 1
            counts["slides"] += record.status == "ok" and not record.unit.startswith("_")
            counts["stale"] += any(v.split()[-1] not in current for v in record.upstream.values())
            if record.error:
                reason = f"{record.error['code']} {record.error['message']}"
                failed.append({"stage": name, "unit": record.unit, "reason": reason})
            elif nothing:
                reason = f"{record.summary['code']} {record.summary.get('reason', '')}"
                empty.append({"stage": name, "unit": record.unit, "reason": reason})
            elif record.status == "empty":
                reason = "; ".join(record.warnings) or str(record.summary.get("reason", "nothing to do"))
                empty.append({"stage": name, "unit": record.unit, "reason": reason})
        wanted = specimens if name in _PER_SLIDE else []
        counts["missing"] = sum(unit not in records for unit in wanted) or int(not records)
        table[name] = counts
    return StudyStatus(
        stages=table, failed=tuple(failed), empty=tuple(empty), changed_settings=_changed(study, names)
    )


def _recorded(study: Study) -> list[str]:
    """Names of the stages that left records."""
    folder = study.paths.records
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _changed(study: Study, names: list[str]) -> dict[str, dict[str, Any]]:
    """Settings of study.toml that differ from those in the newest records."""
    out: dict[str, dict[str, Any]] = {}
    for name in names:
        records = study.records(name)
        table = study.config.get("encoder" if name == "embed" else name, {})
        if not records or not isinstance(table, dict):
            continue
        made = records[-1].spec
        differs = {k: (made[k], v) for k, v in table.items() if k in made and made[k] != v}
        if differs:
            out[name] = differs
    return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Outputs that are missing or changed."""

    checked: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """3 when anything is missing or changed."""
        return 3 if self.missing or self.changed else 0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"checked": self.checked, "missing": list(self.missing), "changed": list(self.changed)}

    def to_text(self) -> str:
        """A line per finding."""
        lines = [f"{self.checked} outputs checked"]
        lines += [f"missing: {path}" for path in self.missing]
        lines += [f"changed: {path}" for path in self.changed]
        lines += ["run `pathosig run` to make them again"] if self.missing or self.changed else ["all there"]
        return "\n".join(lines)


def verify(study: Study, *, deep: bool = False) -> Verification:
    """Check that all outputs are there and, with `deep`, unchanged.

    Parameters
    ----------
    deep
        Hash every output and compare with its record.
    """
    from pathosig.core.records import sha256_file

    checked = 0
    missing: list[str] = []
    changed: list[str] = []
    for name in _recorded(study):
        for record in study.records(name):
            for relative, expected in record.outputs.items():
                checked += 1
                path = study.root / relative
                if not path.is_file():
                    missing.append(relative)
                elif deep and sha256_file(path) != expected:
                    changed.append(relative)
    return Verification(checked=checked, missing=tuple(missing), changed=tuple(changed))

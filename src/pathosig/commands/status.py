"""The state of a study: units done, failed or empty in each stage, and outputs that are missing or changed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pathosig.commands.changes import SlideChanges, gone_records, slide_changes
from pathosig.core.errors import StorageError, one_line
from pathosig.core.records import Record, sha256_file
from pathosig.core.showing import Shown
from pathosig.core.stages import StageRow, stages_of
from pathosig.core.study import Study

_RECENT_S = 900.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast a stage was in the last quarter of an hour of its work, and how long the rest takes at that pace.

    Attributes
    ----------
    per_hour
        Units finished per hour.
    hours_left
        Hours for the units that are missing; None if none is missing or the stage is not running (it finished no unit in the
        past quarter of an hour).
    peak_mb
        The largest peak of memory of all its units, in MiB.
    """

    per_hour: float
    hours_left: float | None
    peak_mb: float | None

    def to_text(self) -> str:
        """The pace as text."""
        text = f"{self.per_hour:.0f} an hour"
        text += f", at most {self.peak_mb:.0f} MB each" if self.peak_mb is not None else ""
        return text + (f", about {self.hours_left:.1f} h left" if self.hours_left is not None else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus(Shown):
    """The state of every stage of a study.

    Attributes
    ----------
    stages
        Stage -> number of units that are ok, of those the slides, and numbers that are empty, failed, missing and stale.
    failed, empty
        Stage, unit and reason of each unit that failed or gave no result.
    changed_settings
        Stage -> setting -> the value that its results were made with, and the value in study.toml.
    pace
        Stage -> how fast it is.
    changes
        Slides that were added, removed or replaced.
    """

    stages: dict[str, dict[str, int]]
    failed: tuple[dict[str, str], ...]
    empty: tuple[dict[str, str], ...]
    changed_settings: dict[str, dict[str, tuple[object, object]]] = field(default_factory=dict)
    pace: dict[str, Pace] = field(default_factory=dict)
    changes: SlideChanges = field(default_factory=SlideChanges)

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "stages": self.stages,
            "failed": list(self.failed),
            "empty": list(self.empty),
            "changed_settings": self.changed_settings,
            "pace": {stage: asdict(pace) for stage, pace in self.pace.items()},
            "slides": asdict(self.changes),
        }

    def to_text(self) -> str:
        """A table of the stages, then the reasons of failures."""
        lines = ["stage       " + "".join(f"{k:>{w}}" for k, w in _STATUS_COLUMNS)]
        for name, counts in self.stages.items():
            shown = {**counts, "fits": counts["ok"] - counts["slides"]}
            lines.append(
                (f"{name:<12}" + "".join(f"{shown[k] or '':>{w}}" for k, w in _STATUS_COLUMNS)).rstrip()
            )
        lines += [f"{stage}: {pace.to_text()}" for stage, pace in self.pace.items()]
        lines += [one_line(text) for text in self.changes.to_text()]
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
    """Show what is done, failed or empty in each stage, with reasons, and which settings have changed since.

    Returns
    -------
    StudyStatus
        In it, ``stale`` counts the units whose inputs have changed since.
    """
    rows = stages_of(study)
    specimens = [s.id for s in study.specimens()]
    table: dict[str, dict[str, int]] = {}
    paces: dict[str, Pace] = {}
    failed: list[dict[str, str]] = []
    empty: list[dict[str, str]] = []
    recorded = {name: study.records(name) for name in _recorded(study)}  # each record is read once
    current = {r.fingerprint for records in recorded.values() for r in records}
    gone = {(r.stage, r.unit) for r in gone_records(study, recorded)}
    for name in (row.name for row in rows):
        records = {r.unit: r for r in recorded.get(name, ()) if (r.stage, r.unit) not in gone}
        counts = {"ok": 0, "slides": 0, "empty": 0, "failed": 0, "missing": 0, "stale": 0}
        for record in records.values():
            nothing = record.status == "ok" and "code" in record.summary  # a fit that selected nothing
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
        pace = _pace(list(records.values()), counts["missing"]) if wanted else None
        if pace is not None:
            paces[name] = pace
    return StudyStatus(
        stages=table,
        failed=tuple(failed),
        empty=tuple(empty),
        changed_settings=_changed(study, rows, recorded),
        pace=paces,
        changes=slide_changes(study, recorded),
    )


def _pace(records: list[Record], missing: int) -> Pace | None:
    """The pace of a stage over slides; None if fewer than two records state when they were made."""
    ends, peaks = [], []
    for record in records:
        started, seconds = record.run.get("started"), record.seconds
        if record.unit.startswith("_") or not isinstance(started, str) or seconds is None:
            continue
        with contextlib.suppress(ValueError):
            ends.append(datetime.fromisoformat(started).timestamp() + seconds)
        if record.peak_mb is not None:
            peaks.append(record.peak_mb)
    if len(ends) < 2:
        return None
    last = max(ends)
    recent = [end for end in ends if end > last - _RECENT_S]
    span = max(last - min(recent), 1.0)
    per_hour = (len(recent) - 1) / span * 3600
    goes_on = missing and per_hour and time.time() - last < _RECENT_S
    return Pace(
        per_hour=round(per_hour, 1),
        hours_left=round(missing / per_hour, 2) if goes_on else None,
        peak_mb=max(peaks, default=None),
    )


def _recorded(study: Study) -> list[str]:
    """Names of the stages that have records."""
    folder = study.paths.records
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _changed(
    study: Study, rows: list[StageRow], recorded: dict[str, list[Record]]
) -> dict[str, dict[str, tuple[object, object]]]:
    """Settings of study.toml that differ from those in the records."""
    out: dict[str, dict[str, tuple[object, object]]] = {}
    for row in rows:
        records = recorded.get(row.name)
        table = study.config.get(row.table, {})
        if not records or not isinstance(table, dict):
            continue
        used = records[-1].spec
        differs = {k: (used[k], v) for k, v in table.items() if k in used and used[k] != v}
        if differs:
            out[row.name] = differs
    return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Outputs that are missing or changed.

    Attributes
    ----------
    checked
        Number of outputs that were checked.
    missing, changed
        Paths relative to the study; files are compared with their records only in a deep check.
    """

    checked: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """3 if an output is missing or changed, else 0."""
        return 3 if self.missing or self.changed else 0

    def to_text(self) -> str:
        """One line per missing or changed output."""
        lines = [f"{self.checked} outputs checked"]
        lines += [f"missing: {path}" for path in self.missing]
        lines += [f"changed: {path}" for path in self.changed]
        lines += ["run `pathosig run` to write them again"] if self.missing or self.changed else ["all there"]
        return "\n".join(lines)


def _is_same(path: Path, expected: str) -> bool:
    try:
        return sha256_file(path) == expected
    except OSError:
        return False


def _forget_stamps(study: Study, record: Record) -> None:
    """Remove the sizes and times of outputs from a record, so that the next run hashes them and finds the change."""
    run = {key: value for key, value in record.run.items() if key != "outputs"}
    with contextlib.suppress(StorageError):
        replace(record, run=run).write(study.record_path(record.stage, record.unit))


def verify(study: Study, *, deep: bool = False) -> Verification:
    """Check that all outputs exist and, with `deep`, that none has changed.

    Parameters
    ----------
    study
        An open study.
    deep
        Hash every output and compare it with its record.

    Returns
    -------
    Verification
        The outputs that are missing or changed.
    """
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
                elif deep and not _is_same(path, expected):
                    changed.append(relative)
                    _forget_stamps(study, record)
    return Verification(checked=checked, missing=tuple(missing), changed=tuple(changed))

"""What a study has: units done, failed or empty per stage; outputs that are missing or changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pathosig.core.errors import one_line
from pathosig.core.records import Record, sha256_file
from pathosig.core.stages import StageRow, stages_of
from pathosig.core.study import Study


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
    rows = stages_of(study)
    specimens = [s.id for s in study.specimens()]
    table: dict[str, dict[str, int]] = {}
    failed: list[dict[str, str]] = []
    empty: list[dict[str, str]] = []
    recorded = {name: study.records(name) for name in _recorded(study)}  # each record is read once
    current = {r.fingerprint for records in recorded.values() for r in records}
    for name in (row.name for row in rows):
        records = {r.unit: r for r in recorded.get(name, ())}
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
        stages=table,
        failed=tuple(failed),
        empty=tuple(empty),
        changed_settings=_changed(study, rows, recorded),
    )


def _recorded(study: Study) -> list[str]:
    """Names of the stages that left records."""
    folder = study.paths.records
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _changed(
    study: Study, rows: list[StageRow], recorded: dict[str, list[Record]]
) -> dict[str, dict[str, Any]]:
    """Settings of study.toml that differ from those in the records."""
    out: dict[str, dict[str, Any]] = {}
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

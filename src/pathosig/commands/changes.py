"""Slides that were added, removed or replaced since a study was run, and the stages that have to run again for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pathosig.core.records import Record
from pathosig.core.stages import stages_of
from pathosig.core.study import Study

_FITS = ("profiles", "signature", "validate", "report")
"""Stages that run again when any slide changes; a discovery slide changes the phenotypes too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideChanges:
    """Differences between the records of a study and its present slides.csv and slide files.

    Attributes
    ----------
    added
        Slides or cores without results, in a study that has results for others.
    gone
        Slides or cores with results that are no longer in the study; the next run removes their results.
    replaced
        Slides whose file no longer has the size that it had when it was read.
    again
        Stages over the whole study that the next run repeats because of these changes.
    """

    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

    def to_text(self) -> list[str]:
        """One line for each kind of change, as a list."""
        lines = [
            f"{title}: {len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}){then}"
            for title, names, then in (
                ("new slides", self.added, ""),
                ("slides no longer in slides.csv", self.gone, "; the next run removes their results"),
                ("slides whose file was replaced", self.replaced, "; the next run reads them again"),
            )
            if names
        ]
        return lines + ([f"the next run repeats: {', '.join(self.again)}"] if self.again else [])


def units_of(study: Study, stage: str) -> set[str]:
    """Ids of the slides or cores that a stage processes one by one."""
    if stage == "tma":
        return {s.id for s in study.slides() if s.kind == "tma"}
    return {s.id for s in study.specimens()}


def gone_records(study: Study, recorded: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Records of slides or cores that the study no longer has."""
    out: list[Record] = []
    for row in stages_of(study):
        units = units_of(study, row.name) if row.per_specimen or row.name == "phenotypes" else None
        for record in recorded.get(row.name, ()):
            if units is not None and not record.unit.startswith("_") and record.unit not in units:
                out.append(record)
    return out


def remove_gone(study: Study) -> int:
    """Remove results and records of slides that the study no longer has, and return the number of slides or cores."""
    recorded = {row.name: study.records(row.name) for row in stages_of(study)}
    gone = gone_records(study, recorded)
    for record in gone:
        for name in record.outputs:
            (study.root / name).unlink(missing_ok=True)
        # the record goes last: without it, a removal that was interrupted would leave outputs that nothing names
        study.record_path(record.stage, record.unit).unlink(missing_ok=True)
    return len({record.unit for record in gone})


def slide_changes(study: Study, recorded: Mapping[str, Sequence[Record]]) -> SlideChanges:
    """Compare the slides of a study with the records of its stages by id and file size; no slide is read or hashed."""
    rows = stages_of(study)
    by_slide = [
        row.name for row in rows if (row.per_specimen and row.name != "tma") or row.name == "phenotypes"
    ]
    first = next((name for name in by_slide if recorded.get(name)), None)
    gone = sorted({record.unit for record in gone_records(study, recorded)})
    if first is None:
        return SlideChanges(gone=tuple(gone))
    records = {record.unit: record for record in recorded[first]}
    added, replaced, discovery = [], [], False
    for specimen in study.specimens():
        record = records.get(specimen.id)
        changed = False
        if record is None:
            added.append(specimen.id)
            changed = True
        elif record.slide is not None and specimen.path.is_file():
            with suppress(OSError):
                changed = specimen.path.stat().st_size != record.slide.size
            if changed:
                replaced.append(specimen.id)
        discovery |= changed and specimen.is_discovery
    fits = [record for record in recorded.get("phenotypes", ()) if record.unit.startswith("_")]
    was_trained_on = {name.partition(":")[2] for record in fits for name in record.upstream}  # "embed:slide"
    discovery |= bool(set(gone) & was_trained_on)
    wanted = (*(("phenotypes",) if discovery else ()), *_FITS) if added or gone or replaced else ()
    again = tuple(name for name in wanted if recorded.get(name))
    return SlideChanges(added=tuple(added), gone=tuple(gone), replaced=tuple(replaced), again=again)

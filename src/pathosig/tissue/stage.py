"""The tissue stage: one GeoJSON per slide; the user's edit takes precedence."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.execution import run_each
from pathosig.core.fingerprints import identity
from pathosig.core.records import sha256_file
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.tissue.spec import TissueSpec

if TYPE_CHECKING:  # workers do without
    from pathosig.core.study import Specimen, Study

STAGE = Stage(name="tissue", version=6)


def find_tissue(
    study: Study,
    spec: TissueSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Find tissue on every slide and write polygons that QuPath opens.

    A file ``tissue/edited/<slide>.geojson`` is taken instead of the automatic mask.

    Returns
    -------
    StageReport
        Slides without tissue are ``empty``; unreadable ones are ``failed``.

    Raises
    ------
    InputError
        If the study has no slides.
    """
    spec = spec or study.spec(TissueSpec)
    specimens = study.specimens()
    if not specimens:
        raise InputError(
            "slides.csv: no slides. It needs the columns slide_id, patient_id, path; `pathosig init` writes one."
        )
    icc = _icc(study)
    units = [_unit(study, specimen, icc) for specimen in specimens]
    report = run_each(study, STAGE, spec, units, _one, execution=execution)
    _warn_of_glass(study, [specimen.id for specimen in specimens])
    return report


def _warn_of_glass(study: Study, units: Sequence[str]) -> None:
    """Name slides whose bare glass has another tint than that of most: another scanner, stain or colour profile, or wrong colours."""
    colours: dict[str, tuple[int, int, int]] = {}
    profiles: Counter[str] = Counter()
    for unit in units:
        record = study.record(STAGE.name, unit)
        if record is not None and "icc" in record.summary:
            profiles[str(record.summary["icc"] or "none")] += 1
        glass = list(record.summary.get("glass") or ()) if record is not None else []
        if len(glass) == 3:
            colours[unit] = (int(glass[0]), int(glass[1]), int(glass[2]))
    if len(profiles) > 1:
        said = ", ".join(f"{name} ({n})" for name, n in profiles.most_common(5))
        warnings.warn(
            PathosigWarning(
                f'the slides have different ICC profiles: {said}. [tiles] icc = "srgb" turns their colours into those of one.',
                code="W_ICC",
            ),
            stacklevel=3,
        )
    if len(colours) < 2:
        return
    from pathosig.tissue.glass import disagreeing  # with NumPy

    apart = disagreeing(colours)
    if apart:
        shown = ", ".join(f"{unit} {colours[unit]}" for unit in apart[:5])
        warnings.warn(
            PathosigWarning(
                f"the bare glass of {len(apart)} of {len(colours)} slides has another tint (red, green, blue) than that of the rest: "
                f"{shown}. Look at their colours; slides of several scanners or colour profiles may need [tiles] icc or [stain].",
                code="W_BACKGROUND",
            ),
            stacklevel=3,
        )


def _icc(study: Study) -> str:
    """The colours that tiles are read in: tissue is looked for in the same."""
    tiles = study.config.get("tiles")
    return "srgb" if isinstance(tiles, Mapping) and tiles.get("icc") == "srgb" else "off"


def _unit(study: Study, specimen: Specimen, icc: str) -> Unit:
    output = study.paths.tissue(specimen.id)
    edited = study.paths.edited_tissue(specimen.id)
    inputs: dict[str, object] = {}
    if edited.is_file():
        inputs["edited"] = identity(edited)
    if icc != "off":
        inputs["icc"] = icc
    record = study.record("tissue", specimen.id)
    relative = output.relative_to(study.root).as_posix()
    in_place = record is not None and relative in record.damaged_outputs(study.root) and output.is_file()
    if in_place:
        inputs["edited_in_place"] = sha256_file(output)
    payload = {
        "path": str(specimen.path),
        "mpp": specimen.mpp,
        "region": specimen.region,
        "icc": icc,
        "output": relative,
        "edited": edited.relative_to(study.root).as_posix() if edited.is_file() else None,
        "in_place": in_place,
    }
    return Unit(id=specimen.id, inputs=inputs, payload=payload, slide=specimen.as_input())


def _one(job: Job) -> Outcome:
    from pathosig.tissue.of_slide import (
        find_on_slide,  # with NumPy; the process that hands out slides does without
    )

    return find_on_slide(job)

"""The tissue stage: writes a GeoJSON file with the tissue of every slide; edits of the user take precedence."""

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

STAGE = Stage(name="tissue", version=7)


def find_tissue(
    study: Study,
    spec: TissueSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Detect tissue on every slide, and write polygons that QuPath opens.

    If there is a file ``tissue/edited/<slide>.geojson``, its polygons are used instead of automatic ones.

    Parameters
    ----------
    study
        An open study with its slides.csv.
    spec
        Settings of tissue detection; from study.toml by default.
    execution
        Number of workers, and what to do with slides that are already done or that fail.

    Returns
    -------
    StageReport
        Slides without tissue are ``empty``, and slides that cannot be read are ``failed``.

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
    """Warn of slides whose background has another tint than most, and of slides with different ICC profiles."""
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
                f'the slides have different ICC profiles: {said}. [tiles] icc = "srgb" converts all of them to sRGB.',
                code="W_ICC",
            ),
            stacklevel=3,
        )
    if len(colours) < 2:
        return
    from pathosig.tissue.glass import disagreeing  # imports NumPy

    apart = disagreeing(colours)
    if apart:
        shown = ", ".join(f"{unit} {colours[unit]}" for unit in apart[:5])
        warnings.warn(
            PathosigWarning(
                f"the background of {len(apart)} of {len(colours)} slides has another tint (red, green, blue) than that of the "
                f"others: {shown}. Check their colours; slides of several scanners or colour profiles may need [tiles] icc or [stain].",
                code="W_BACKGROUND",
            ),
            stacklevel=3,
        )


def _icc(study: Study) -> str:
    """Colour conversion of tiles, which is used for tissue detection too."""
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
        find_on_slide,  # imports NumPy, which the process that distributes slides does not need
    )

    return find_on_slide(job)

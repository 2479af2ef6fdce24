"""Which slides are to be scored, and whose they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.ids import match_slides
from pathosig.core.remote import url_of
from pathosig.core.tables import read_csv_rows
from pathosig.slides.listing import slide_name

_SHOWN = 3


def slide_paths(slides: Sequence[Path], features: Path | None) -> dict[str, Path]:
    """Name of each slide -> its path.

    Parameters
    ----------
    slides
        Slide files or DICOM folders.
    features
        Folder of tile features; then the slides need not be there, and none given means every file of the folder.

    Raises
    ------
    ConfigError
        If there is none; E_DUP_ID if two have the same name.
    InputError
        E_NOT_FILE if a slide is missing.

    Examples
    --------
    >>> slide_paths([Path("far/S01.h5"), Path("far/S02.h5")], features=Path("far"))["S02"].name
    'S02.h5'
    """
    paths = list(slides)
    if features and not paths:
        paths = sorted(p for s in ("*.h5", "*.hdf5") for p in features.glob(s))
    if not paths:
        raise ConfigError("no slide given.")
    absent = [str(p) for p in paths if not (features or url_of(p) or p.exists())]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(paths)} slides are not there: {', '.join(absent[:5])}.",
            code="E_NOT_FILE",
        )
    names = [p.stem if features else slide_name(p) for p in paths]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ConfigError(f"two slides are called {twice[0]!r}; rename one.", code="E_DUP_ID")
    return dict(zip(names, paths, strict=True))


def owners_of(path: Path | None, slides: Collection[str]) -> dict[str, str]:
    """Slide -> patient_id, for every slide whose patient the table tells.

    Parameters
    ----------
    path
        CSV with the columns slide and patient_id. With patient_id alone a slide belongs to the patient whose id its name
        begins with, as in `init`.
    slides
        Names of the slides.

    Raises
    ------
    InputError
        E_MISSING if there is no such file; E_INPUT if patient_id is missing; E_NO_OVERLAP if it tells the patient of no slide.
    """
    if path is None:
        return {}
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Expected a CSV with columns slide and patient_id, or patient_id alone.",
            code="E_MISSING",
        )
    rows = read_csv_rows(path)
    columns = list(rows[0]) if rows else []
    if "patient_id" not in columns:
        raise InputError(
            f"{path.name}: expected columns slide and patient_id, or patient_id alone; found {columns}."
        )
    if "slide" in columns:
        given = {r["slide"]: r["patient_id"] for r in rows}
        by_file = {slide_name(Path(cell)): patient for cell, patient in given.items()}
        owners = {s: given.get(s) or by_file.get(s) for s in slides}
    else:
        owners = match_slides(slides, [r["patient_id"] for r in rows])
    matched = {slide: patient for slide, patient in owners.items() if patient}
    if not matched:
        raise InputError(
            f"{path.name}: it tells the patient of none of the slides, such as {list(slides)[:_SHOWN]}. Give a row for each, "
            "with the name of the slide file in the column slide.",
            code="E_NO_OVERLAP",
        )
    return matched


def warnings_of(
    slides: Collection[str], owners: Mapping[str, str], *, training_cores: int
) -> tuple[str, ...]:
    """What to mind about slides that are taken as patients of their own.

    Parameters
    ----------
    slides
        Names of the slides.
    owners
        From `owners_of`.
    training_cores
        Cores that the signature was fitted on; 0 where it was fitted on whole slides, or nobody knows.
    """
    alone = [s for s in slides if s not in owners]
    shown = f"{', '.join(alone[:_SHOWN])}{' ...' if len(alone) > _SHOWN else ''}"
    if owners and alone:
        return (
            f"--patients does not name {len(alone)} of {len(slides)} slides: {shown}; each is a patient of its own",
        )
    if training_cores and len(alone) > 1:
        return (
            f"this signature was fitted on cores, several of a patient, and each of the {len(alone)} images here is taken as a "
            f"patient of its own: {shown}. Where several belong to one patient, give --patients TABLE with the columns slide and "
            "patient_id, or patient_id alone where names begin with it",
        )
    return ()

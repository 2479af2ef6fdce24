"""Finds the slides to score, and the patient of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.ids import match_slides
from pathosig.core.names import in_utf8
from pathosig.core.remote import url_of
from pathosig.core.tables import read_csv_rows
from pathosig.core.words import counted
from pathosig.slides.listing import slide_name

_SHOWN = 3


def slide_paths(slides: Sequence[Path], features: Path | None) -> dict[str, Path]:
    """Name of each slide -> its path.

    Parameters
    ----------
    slides
        Slide files or DICOM folders.
    features
        Folder of tile features; the slides then need not exist, and if none is given, every file of the folder counts.

    Raises
    ------
    ConfigError
        If there is no slide or a path is not UTF-8; E_DUP_ID if two slides have the same name.
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
    unnamed = [in_utf8(p) for p in paths if in_utf8(p) != str(p)]
    if unnamed:
        raise ConfigError(f"the path {unnamed[0]} is not UTF-8. Rename it.")
    absent = [str(p) for p in paths if not (features or url_of(p) or p.exists())]
    if absent:
        raise InputError(
            f"{counted(len(absent), 'slide does', 'slides do')} not exist, of {len(paths)}: {', '.join(absent[:5])}.",
            code="E_NOT_FILE",
        )
    names = [p.stem if features else slide_name(p) for p in paths]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ConfigError(f"two slides are called {twice[0]!r}; rename one.", code="E_DUP_ID")
    return dict(zip(names, paths, strict=True))


def owners_of(path: Path | None, slides: Collection[str]) -> dict[str, str]:
    """Slide -> patient_id, for every slide whose patient is in a table; empty without a table.

    Parameters
    ----------
    path
        CSV with the columns slide and patient_id. If it has only patient_id, a slide belongs to the patient whose id its name
        begins with, as in `init`.
    slides
        Names of the slides.

    Raises
    ------
    InputError
        E_MISSING if there is no such file, E_INPUT if it lacks patient_id, E_NO_OVERLAP if no slide has a patient in it.
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
            f"{path.name}: none of the slides has a patient in it (slides: {list(slides)[:_SHOWN]}). Give one row per slide, with "
            "the name of the slide file in the column slide.",
            code="E_NO_OVERLAP",
        )
    return matched


def warnings_of(
    slides: Collection[str], owners: Mapping[str, str], *, training_cores: int
) -> tuple[str, ...]:
    """Warnings about slides that count as patients of their own.

    Parameters
    ----------
    slides
        Names of the slides.
    owners
        Slide -> patient_id, as `owners_of` returns it.
    training_cores
        Number of cores that the signature was fitted on; 0 if it was fitted on whole slides, or if this is unknown.
    """
    alone = [s for s in slides if s not in owners]
    shown = f"{', '.join(alone[:_SHOWN])}{' ...' if len(alone) > _SHOWN else ''}"
    if owners and alone:
        return (
            f"--patients does not name {len(alone)} of {counted(len(slides), 'slide')}: {shown}; each counts as a patient of its own",
        )
    if training_cores and len(alone) > 1:
        return (
            f"this signature was fitted on cores, several per patient, but each of the {len(alone)} images counts as a patient of "
            f"its own: {shown}. If several belong to one patient, give --patients TABLE with the columns slide and patient_id, or "
            "with patient_id alone if names of slides begin with it",
        )
    return ()

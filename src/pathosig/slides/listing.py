"""Which of some files and folders are slides, and what a slide is called."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pathosig.slides.backends.ngff import is_zarr

_STORE_SUFFIXES = (".ome.zarr", ".zarr")


def slides_among(paths: Iterable[Path]) -> list[Path]:
    """The slides among files and folders, as a glob gives them, each once and sorted.

    A folder is a slide if it is a Zarr store or if DICOM files lie in it; what lies inside such a folder
    is part of that slide. Other folders are no slides: those above slides, the data folders of MRXS.
    """
    ordered = sorted(set(paths))
    folders = {path for path in ordered if path.is_dir()}
    slides = {path for path in folders if is_slide_folder(path)}
    slides = {path for path in slides if not slides.intersection(path.parents)}
    data = {path.with_suffix("") for path in ordered if path.suffix.lower() == ".mrxs"}
    return [
        path
        for path in ordered
        if (path in slides or path not in folders)
        and not slides.intersection(path.parents)
        and not data.intersection(path.parents)
    ]


def is_slide_folder(folder: Path) -> bool:
    """Whether a folder as a whole is one slide."""
    if folder.suffix.lower() == ".zarr" or is_zarr(folder):
        return True
    return any(_is_dicom(path) for path in sorted(folder.iterdir()) if path.is_file())


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def slide_name(path: Path) -> str:
    """The name of a slide without its suffix; the whole name of a folder of DICOM files."""
    if not path.is_dir():
        return path.stem
    suffix = next((s for s in _STORE_SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or path.name

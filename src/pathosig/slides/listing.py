"""Finding slides among files and folders, and the names of slides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pathosig.core.errors import SlideError
from pathosig.slides.backends.dicom import is_dicom, read_instance
from pathosig.slides.backends.ngff import is_zarr

SLIDE_SUFFIXES = {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".tiff", ".tif", ".btf"}
"""Suffixes of slides that consist of one main file."""

_OTHER_SUFFIXES = {".dcm", ".kfb", ".isyntax", ".czi"}

_STORE_SUFFIXES = (".ome.zarr", ".zarr")


def slides_among(paths: Iterable[Path]) -> list[Path]:
    """The slides among files and folders, sorted and each listed once.

    A folder is a slide if it is a Zarr store or contains the DICOM files of one slide. Files inside such a folder belong to
    the slide, and several DICOM files of one slide are listed once. Folders that contain slides and data folders of MRXS
    are not slides. A folder with the name of a slide file and without slides in it is kept, so that the user gets an error
    instead of missing the slide.

    Parameters
    ----------
    paths
        Files and folders, such as the result of a glob.

    Returns
    -------
    Paths of slides.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("S02.svs", "S01.mrxs"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> (folder / "S01").mkdir()  # the data folder of S01.mrxs
    >>> [path.name for path in slides_among(folder.iterdir())]
    ['S01.mrxs', 'S02.svs']
    """
    ordered = sorted(set(paths))
    folders = {path for path in ordered if path.is_dir()}
    slides = {path for path in folders if _is_slide_folder(path)}
    slides = {path for path in slides if not slides.intersection(path.parents)}
    above = {parent for path in ordered for parent in path.parents}
    slides |= {path for path in folders - above if path.suffix.lower() in SLIDE_SUFFIXES}
    data = {path.with_suffix("") for path in ordered if path.suffix.lower() == ".mrxs"}
    kept = [
        path
        for path in ordered
        if (path in slides or path not in folders)
        and not slides.intersection(path.parents)
        and not data.intersection(path.parents)
    ]
    return _one_per_series(kept)


def slides_below(folder: Path) -> list[Path]:
    """The slides in a folder and its subfolders, recognised by their suffixes; the folder itself if it is a slide.

    Hidden files and folders are left out, and so are other files, such as tables and thumbnails.

    Parameters
    ----------
    folder
        A folder.

    Returns
    -------
    Paths of slides, sorted.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "batch_1").mkdir()
    >>> for name in ("batch_1/S01.svs", "patients.csv", ".hidden.svs"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [path.name for path in slides_below(folder)]
    ['S01.svs']
    """
    if _is_slide_folder(folder):
        return [folder]
    visible = [
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    known = SLIDE_SUFFIXES | _OTHER_SUFFIXES
    return slides_among(path for path in visible if path.is_dir() or path.suffix.lower() in known)


def _one_per_series(paths: list[Path]) -> list[Path]:
    """Replace several files of a DICOM series by their folder, or by the first of them if the folder has other slides too."""
    series: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        if path.suffix.lower() == ".dcm" and path.is_file() and (uid := _series(path)):
            series.setdefault((path.parent, uid), []).append(path)
    dropped: set[Path] = set()
    added: set[Path] = set()
    for (folder, _), files in series.items():
        if len(files) > 1:
            whole = _is_slide_folder(folder)
            added.add(folder if whole else files[0])
            dropped.update(files if whole else files[1:])
    return sorted((set(paths) - dropped) | added)


def _series(path: Path) -> str:
    try:
        instance = read_instance(path)
    except (SlideError, OSError):
        return ""
    return instance.series if instance is not None else ""


def _is_slide_folder(folder: Path) -> bool:
    """Whether a folder as a whole is one slide."""
    if folder.suffix.lower() == ".zarr" or is_zarr(folder):
        return True
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    if any(path.suffix.lower() in SLIDE_SUFFIXES for path in files):
        return False
    dicom = [path for path in files if path.suffix.lower() == ".dcm" or is_dicom(path)]
    return bool(dicom) and len({uid for path in dicom if (uid := _series(path))}) == 1


def slide_name(path: Path) -> str:
    """Name of a slide: its file name without suffix; for a folder its name, without the suffix of a Zarr store.

    Parameters
    ----------
    path
        Path of the slide.

    Returns
    -------
    The name.

    Examples
    --------
    >>> slide_name(Path("scans/S01.ome.tif")), slide_name(Path("scans/S02.svs"))
    ('S01.ome', 'S02')
    """
    if not path.is_dir():
        return path.stem
    suffix = next((s for s in _STORE_SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or path.name

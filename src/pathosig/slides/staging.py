"""Slides in object storage: they are read in ranges if possible, otherwise copied to a folder of limited size on this machine."""

from __future__ import annotations

import contextlib
import errno
import getpass
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pathosig.core.errors import ConfigError, SlideError, StorageError
from pathosig.core.records import process_lives
from pathosig.core.remote import NoRanges, RemoteState, copy_to, look, url_of
from pathosig.slides.backends.tiff_tags import Page, read_pages
from pathosig.slides.coded import coded

_OTHER_MAKERS = {".ndpi", ".scn", ".bif"}
_DEFAULT_GB = 50.0
_WAIT_S, _POLL_S = 600.0, 2.0
_HELD = "held-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A copy of a slide, which is kept as long as its mark exists."""

    path: Path
    mark: Path

    def release(self) -> None:
        """Allow the removal of the copy."""
        with contextlib.suppress(OSError):
            self.mark.unlink()


def is_read_by_ranges(path: Path) -> bool:
    """Whether a slide is a TIFF that `TiffReader` can read in ranges; OpenSlide and other readers need a local file.

    Parameters
    ----------
    path
        A file, or an address in object storage.

    Returns
    -------
    Whether the slide can be read without a local copy.

    Raises
    ------
    SlideError
        E_NOT_FILE if there is no such file, E_READ if reading fails.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (64, 64)).save(path)
    >>> is_read_by_ranges(path), is_read_by_ranges(Path("S02.ndpi"))
    (True, False)
    """
    if path.suffix.lower() in _OTHER_MAKERS:
        return False
    with coded(path.name, "E_READ"):
        try:
            return _is_taken(read_pages(path)[0])
        except SlideError as error:
            if error.code == "E_READ":
                raise
            return False  # OpenSlide may be able to read it; a damaged file is refused after it was copied
        except (NoRanges, IsADirectoryError):
            return False


def _is_taken(first: Page) -> bool:
    """Whether the first page has none of the marks by which OpenSlide recognises Leica, Trestle and Ventana."""
    text = first.description
    others = "leica-microsystems.com/scn" in text or text.startswith("level=")
    return not others and not first.software.startswith("MedScan")


def staged(path: Path) -> Staged:
    """A copy of a remote slide on this machine.

    Copies are kept in the folder PATHOSIG_STAGE (by default a temporary folder) and have at most PATHOSIG_STAGE_GB gigabytes
    (by default 50) in total. To make room, copies that are not open are removed, beginning with the least recently used.

    Parameters
    ----------
    path
        Address of a slide in object storage.

    Returns
    -------
    Staged
        Must be released when the slide is closed.

    Raises
    ------
    SlideError
        E_NOT_FILE if there is no such slide, E_READ if reading fails.
    StorageError
        If the slide is larger than the limit, or open slides occupy all space for ten minutes.
    """
    root, limit = _root(), _limit()
    with coded(path.name, "E_READ"):
        state = look(path)
    if state.size > limit:
        raise StorageError(
            f"{path.name}: {state.size / 1e9:.1f} GB must be copied to this machine, but PATHOSIG_STAGE_GB allows "
            f"{limit / 1e9:.1f}. Raise it."
        )
    entry = root / _entry_name(path, state)
    deadline = time.monotonic() + _WAIT_S
    while True:
        mark = _hold(entry)
        if mark is not None:
            return Staged(path=entry / path.name, mark=mark)
        if _fetched(path, entry, state.size, root, limit):
            continue
        if time.monotonic() > deadline:
            raise StorageError(
                f"{path.name}: other slides occupy all of the {limit / 1e9:.1f} GB that PATHOSIG_STAGE_GB allows. Raise it, or use "
                "fewer workers."
            )
        time.sleep(_POLL_S)


def _root() -> Path:
    given = os.environ.get("PATHOSIG_STAGE")
    root = Path(given) if given else Path(tempfile.gettempdir()) / f"pathosig-stage-{getpass.getuser()}"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"{root.name}: the folder cannot be created ({error.strerror}). Set PATHOSIG_STAGE to another folder."
        ) from error
    return root


def _limit() -> float:
    text = os.environ.get("PATHOSIG_STAGE_GB", str(_DEFAULT_GB))
    try:
        return float(text) * 1e9
    except ValueError as error:
        raise ConfigError(f"PATHOSIG_STAGE_GB={text}: expected a number of gigabytes.") from error


def _entry_name(path: Path, state: RemoteState) -> str:
    digest = hashlib.sha256(f"{url_of(path)}\0{state.size}\0{state.tag}".encode()).hexdigest()[:24]
    return f"{digest}-{state.size}"


def _hold(entry: Path) -> Path | None:
    """Mark a copy as in use; None if there is no copy."""
    mark = entry / f"{_HELD}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        mark.touch(exist_ok=False)
        os.utime(entry)
    except OSError:
        return None
    return mark if mark.exists() else None  # it was being removed


def _fetched(path: Path, entry: Path, size: int, root: Path, limit: float) -> bool:
    """Copy a slide; False if there is no room at present. The name of the folder contains the size of the slide."""
    coming = root / f".coming-{os.getpid()}-{os.urandom(4).hex()}-{size}"
    coming.mkdir()
    try:
        if not _make_room(root, limit, coming):
            return False
        try:
            with coded(path.name, "E_READ"):
                copy_to(path, coming)
        except SlideError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC:
                raise StorageError(
                    f"{root.name}: the disk is full. Set PATHOSIG_STAGE to another folder."
                ) from error
            raise
        with contextlib.suppress(OSError):  # another process was faster
            coming.rename(entry)
        return True
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def _make_room(root: Path, limit: float, coming: Path) -> bool:
    """Remove copies that are not open until the others fit; returns whether they do."""
    sizes: dict[Path, int] = {}
    for each in root.iterdir():
        owner, number = each.name.removeprefix(".coming-").split("-")[0], each.name.rpartition("-")[2]
        if each.name.startswith(".") and owner.isdigit() and not process_lives(int(owner)):
            shutil.rmtree(each, ignore_errors=True)
        elif number.isdigit():
            sizes[each] = int(number)
    idle = sorted((each for each in sizes if each != coming and not _is_held(each)), key=_used)
    for each in idle:
        if sum(sizes.values()) <= limit:
            break
        going = root / f".coming-{os.getpid()}-{os.urandom(4).hex()}-0"
        with contextlib.suppress(OSError):
            each.rename(going)
            shutil.rmtree(going, ignore_errors=True)
            del sizes[each]
    return sum(sizes.values()) <= limit


def _is_held(entry: Path) -> bool:
    """Whether a running process has the copy open; an unfinished copy always counts as open."""
    if entry.name.startswith("."):
        return True
    owners = [mark.name.split("-")[1] for mark in entry.glob(f"{_HELD}*")]
    return any(owner.isdigit() and process_lives(int(owner)) for owner in owners)


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0

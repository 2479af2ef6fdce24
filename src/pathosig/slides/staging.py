"""Slides that lie in object storage: read there where ranges suffice, else copied to this machine, within a bounded space."""

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
    """A copy that stays as long as its mark does."""

    path: Path
    mark: Path

    def release(self) -> None:
        """Let others remove it."""
        with contextlib.suppress(OSError):
            self.mark.unlink()


def is_read_by_ranges(path: Path) -> bool:
    """Whether a remote slide is a TIFF of a maker whose files `TiffReader` takes; OpenSlide and other readers need a file.

    Parameters
    ----------
    path
        A file, or an address in object storage.

    Raises
    ------
    SlideError
        E_NOT_FILE, E_READ.

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
            return False  # OpenSlide may know it; a damaged file is refused as one of this machine is
        except (NoRanges, IsADirectoryError):
            return False


def _is_taken(first: Page) -> bool:
    """Whether OpenSlide would not know it for Leica's, Trestle's or Ventana's, by the signs that it goes by itself."""
    text = first.description
    others = "leica-microsystems.com/scn" in text or text.startswith("level=")
    return not others and not first.software.startswith("MedScan")


def staged(path: Path) -> Staged:
    """A copy of a remote slide on this machine.

    Copies lie in PATHOSIG_STAGE (default: a folder for temporary files) and together take PATHOSIG_STAGE_GB (default 50) at
    most: those that nobody has open go first, the longest unused before the others.

    Parameters
    ----------
    path
        Address of a slide in object storage.

    Returns
    -------
    `Staged`, to be released when the slide is closed.

    Raises
    ------
    SlideError
        E_NOT_FILE, E_READ.
    StorageError
        If the slide is larger than the space, or others hold all of it for ten minutes.
    """
    root, limit = _root(), _limit()
    with coded(path.name, "E_READ"):
        state = look(path)
    if state.size > limit:
        raise StorageError(
            f"{path.name}: {state.size / 1e9:.1f} GB have to be copied here to be read, and PATHOSIG_STAGE_GB allows "
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
                f"{path.name}: other slides hold all of the {limit / 1e9:.1f} GB that PATHOSIG_STAGE_GB allows. Raise it, or take "
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
            f"{root.name}: cannot be made ({error.strerror}). Choose another PATHOSIG_STAGE."
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
    """Mark a copy as in use; None where there is none."""
    mark = entry / f"{_HELD}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        mark.touch(exist_ok=False)
        os.utime(entry)
    except OSError:
        return None
    return mark if mark.exists() else None  # it was being removed


def _fetched(path: Path, entry: Path, size: int, root: Path, limit: float) -> bool:
    """Copy a slide; False where there is no room now. The name of the folder says how much it will hold."""
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
                    f"{root.name}: the disk is full. Give PATHOSIG_STAGE another folder."
                ) from error
            raise
        with contextlib.suppress(OSError):  # another process was faster
            coming.rename(entry)
        return True
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def _make_room(root: Path, limit: float, coming: Path) -> bool:
    """Remove copies that nobody has open until all fit."""
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
    """Whether a process that lives has it open; a copy that is coming always counts as held."""
    if entry.name.startswith("."):
        return True
    owners = [mark.name.split("-")[1] for mark in entry.glob(f"{_HELD}*")]
    return any(owner.isdigit() and process_lives(int(owner)) for owner in owners)


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0

"""Reading the bytes of a slide file; a read that fails for a moment is tried again."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from pathlib import Path

from pathosig.core.errors import SlideError
from pathosig.core.remote import RemoteFile, look, url_of

logger = logging.getLogger(__name__)

_RETRIES = 2
_WAIT_S = 0.1


class _LocalFile:
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()

    def pread(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, offset)
        with self._lock:  # Windows
            self._file.seek(offset)
            return self._file.read(count)

    def close(self) -> None:
        self._file.close()


class ByteSource:
    """An open file, on this machine or in object storage, that any thread can read at any place.

    A read that fails with an input/output error, as happens with network disks, is tried twice more.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._file = RemoteFile(path) if url_of(path) else _LocalFile(path)

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`; fewer at the end of the file.

        Raises
        ------
        SlideError
            E_READ if reading keeps failing.
        """
        for number in range(_RETRIES):
            try:
                return self._file.pread(offset, count)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise read_error(self._name, error) from error
                logger.warning("%s: reading failed (%s); trying again", self._name, error.strerror)
                time.sleep(_WAIT_S * (number + 1))
        try:
            return self._file.pread(offset, count)
        except OSError as error:
            raise read_error(self._name, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def state_of(path: Path) -> tuple[int, int | str]:
    """Size of a file in bytes, and a mark that changes with the file: its modification time or, in object storage, its tag.

    Parameters
    ----------
    path
        A file, or an address in object storage.

    Returns
    -------
    Size in bytes, and the modification time in nanoseconds or the tag.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "S01.svs"
    >>> _ = path.write_bytes(b"abc")
    >>> size, mark = state_of(path)
    >>> size, state_of(path) == (size, mark)
    (3, True)
    """
    if url_of(path):
        state = look(path)
        return state.size, state.tag
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def read_error(name: str, error: OSError) -> SlideError:
    """The error for a read that fails, as opposed to a damaged file.

    Parameters
    ----------
    name
        Name of the file, for the message.
    error
        The exception of the operating system.

    Returns
    -------
    `SlideError` with code E_READ, to be raised.

    Examples
    --------
    >>> print(read_error("S01.svs", OSError(5, "Input/output error")))
    S01.svs: reading failed (Input/output error). Check the disk or the network it lies on, then run again.
    """
    return SlideError(
        f"{name}: reading failed ({error.strerror or type(error).__name__}). Check the disk or the network it lies on, "
        "then run again.",
        code="E_READ",
    )

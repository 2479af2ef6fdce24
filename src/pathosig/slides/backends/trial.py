"""Tries a file in a separate process before a library that may crash on damaged files opens it in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pathosig.core.errors import SlideError

_LIMIT_S = 60
_passed: set[tuple[str, int, int, str]] = set()


def try_elsewhere(path: Path, program: str, library: str) -> None:
    """Run a program on a file (``sys.argv[1]``) in a separate process, once for each state of the file.

    Parameters
    ----------
    path
        The file.
    program
        Python code that opens the file and reads from it. The file is refused unless the process ends with status 0, so
        the code catches the exceptions that are to be handled here.
    library
        Name of the format for the message.

    Raises
    ------
    SlideError
        E_FORMAT if the process crashes, fails or does not end in time.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "S01.isyntax"
    >>> _ = path.write_bytes(b"damaged")
    >>> try_elsewhere(path, "import os; os.abort()", "iSyntax")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.isyntax: cannot be opened (the library that reads iSyntax ends with ...
    """
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns, library)
    if key in _passed:
        return
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
        ended = "" if done.returncode == 0 else f"ends with {done.returncode}"
    except subprocess.TimeoutExpired:
        ended = f"does not end within {_LIMIT_S} s"
    if ended:
        raise SlideError(
            f"{path.name}: cannot be opened (the library that reads {library} {ended}). It may be damaged or truncated; copy it "
            "again or convert it to a tiled TIFF.",
            code="E_FORMAT",
        )
    _passed.add(key)

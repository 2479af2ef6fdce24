"""Colours on a terminal, and nowhere else."""

from __future__ import annotations

import os
from typing import Literal, TextIO

Meaning = Literal["bad", "careful"]
_CODES: dict[Meaning, str] = {"bad": "1;31", "careful": "1;33"}


def has_colour(stream: TextIO | None) -> bool:
    """Whether to write colours to a stream: to a terminal that is not dumb, unless NO_COLOR or FORCE_COLOR decides.

    References
    ----------
    https://no-color.org, https://force-color.org
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, meaning: Meaning, stream: TextIO | None) -> str:
    """A text in the colour of its meaning, if colours are written to the stream.

    Examples
    --------
    >>> import io
    >>> paint("error E_MPP", "bad", io.StringIO())
    'error E_MPP'
    """
    return f"\033[{_CODES[meaning]}m{text}\033[0m" if has_colour(stream) else text

"""Ctrl-C and SIGTERM: heeded before anything else is imported, and again once there is work to wind down.

Imports take longer than many a command. Without this a Ctrl-C among them would end in a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable
from typing import NoReturn

STOPPED = "\nstopped; run the same command again to resume\n"


def end_at_once() -> None:
    """From now on Ctrl-C ends the program with exit code 130 and SIGTERM with 143, at any moment."""
    _heed(_end_now)


def wind_down_first() -> None:
    """From now on there is work to wind down: the first signal raises, the second one ends the program."""
    _heed(_wind_down)


def _heed(handler: Callable[[int, types.FrameType | None], NoReturn]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if (
            signal.getsignal(number) != signal.SIG_IGN
        ):  # jobs in the background of a script do not see its Ctrl-C
            signal.signal(number, handler)


def _wind_down(number: int, frame: types.FrameType | None) -> NoReturn:
    signal.signal(number, _end_now)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _end_now(number: int, frame: types.FrameType | None) -> NoReturn:
    if number == signal.SIGINT and sys.stderr is not None:
        os.write(sys.stderr.fileno(), STOPPED.encode())
    os._exit(128 + number)

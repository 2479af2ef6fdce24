"""Handlers for Ctrl-C and SIGTERM: one for the time of imports, and one for the time when there is work to wind down.

Imports can take longer than a command itself; without a handler, Ctrl-C during an import would end in a traceback.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import NoReturn

STOPPED = "\nstopped; run the same command again to resume\n"


def end_at_once() -> None:
    """From now on, Ctrl-C ends the program at once with exit code 130, and SIGTERM with 143."""
    _handle_by(_end_now)


def wind_down_first() -> None:
    """From now on, the first signal raises an exception so that work is wound down; a second one ends the program at once."""
    _handle_by(_wind_down)


def _handle_by(handler: Callable[[int, types.FrameType | None], NoReturn]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # background jobs of a script ignore its Ctrl-C, and must keep doing so
        if signal.getsignal(number) != signal.SIG_IGN:
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


def leave(code: int) -> NoReturn:
    """Clean up and end the program with this exit code.

    After an interrupt inside `exec`, which imports call, `sys.exit` of ``python -m`` would end the program by the signal.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)

"""Starts Python interpreters that serve one end of a pipe.

The multiprocessing module of Python starts a further interpreter to clean up semaphores, which are not used here; that costs a
tenth of the time for a slide's tissue and tiles. It is used only on Windows, where it starts none, and for tasks that are
defined in the program's main module.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Protocol

_BOOT = "import sys; sys.path[:] = {path!r}; from {module} import {name} as serve; from {here} import run; run(serve, {fd})"


class Process(Protocol):
    """The interface that a supervisor needs; `multiprocessing.Process` has it."""

    @property
    def pid(self) -> int | None:
        """Process id."""

    @property
    def sentinel(self) -> int:
        """A handle for `multiprocessing.connection.wait` that is ready once the process has ended."""

    @property
    def exitcode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""

    def is_alive(self) -> bool:
        """Whether the process runs."""

    def terminate(self) -> None:
        """Ask the process to end."""

    def kill(self) -> None:
        """Kill the process."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process has ended, but no longer than `timeout` seconds."""


def start(
    serve: Callable[[Connection], None], *, main: bool, environment: Mapping[str, str] | None = None
) -> tuple[Process, Connection]:
    """Start a process that runs `serve` on the other end of the returned pipe.

    Parameters
    ----------
    serve
        A function of a module; it gets the process's end of the pipe.
    main
        Whether the process has to import the program's main module.
    environment
        Environment variables of the process in addition to those of this one.

    Returns
    -------
    tuple[Process, Connection]
        The process, and this end of the pipe.
    """
    here, there = mp.get_context("spawn").Pipe()
    with there:
        if os.name == "posix" and sys.executable and not main:
            return _Started(serve, there, environment or {}), here
        program = sys.modules["__main__"]
        before = dict(os.environ)
        try:
            os.environ.update(environment or {})
            if not main:
                sys.modules["__main__"] = types.ModuleType("__main__")
            process = mp.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
            process.start()
        finally:
            sys.modules["__main__"] = program
            os.environ.clear()
            os.environ.update(before)
        return process, here


def run(serve: Callable[[Connection], None], descriptor: int) -> None:
    """Serve the pipe with the given file descriptor, then exit at once.

    A regular shutdown of NumPy, Arrow and other libraries would cost a fifth of the time for a slide's tissue and tiles.
    """
    serve(Connection(descriptor))
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # None or closed
            stream.flush()
    os._exit(0)


def heed_interrupts() -> None:
    """Unblock Ctrl-C, which was blocked when this process started so that it would not end its imports in a traceback."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class _Started:
    """A process that was started by its command line; `sentinel` becomes readable once it has ended."""

    def __init__(
        self, serve: Callable[[Connection], None], there: Connection, environment: Mapping[str, str]
    ) -> None:
        code = _BOOT.format(
            path=sys.path, module=serve.__module__, name=serve.__qualname__, here=__name__, fd=there.fileno()
        )
        self.sentinel, held = os.pipe()  # the process holds its end for as long as it runs
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # see `heed_interrupts`
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_flags(), "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=(there.fileno(), held),
                env={**os.environ, **environment},
            )
        except BaseException:
            os.close(self.sentinel)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(held)
        self.pid = self._process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self.sentinel)


def _flags() -> list[str]:
    """Flags of this interpreter that a new one needs, too."""
    flags = sys.flags
    set_here = {
        "-I": flags.isolated,
        "-E": flags.ignore_environment,
        "-s": flags.no_user_site,
        "-S": flags.no_site,
        "-B": flags.dont_write_bytecode,
        "-P": flags.safe_path,
    }
    names = [name for name, is_set in set_here.items() if is_set]
    names += ["-O"] * flags.optimize
    names += [f"-W{option}" for option in sys.warnoptions]
    return names + ["-Xutf8"] * (flags.utf8_mode == 1)

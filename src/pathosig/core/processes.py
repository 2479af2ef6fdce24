"""New interpreters that serve one end of a pipe.

Python's own way starts a second interpreter beside the first, to clear up semaphores that are not used here: a tenth
of what a slide's tissue and tiles cost. It is taken on Windows, which starts none, and where tasks lie in the program's
own module.
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
    """What a supervisor needs of a process; `multiprocessing.Process` has it."""

    @property
    def pid(self) -> int | None:
        """Its number."""

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` takes: ready when it has ended."""

    @property
    def exitcode(self) -> int | None:
        """Negative for a signal; None while it runs."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, `timeout` seconds at most."""


def start(
    serve: Callable[[Connection], None], *, main: bool, environment: Mapping[str, str] | None = None
) -> tuple[Process, Connection]:
    """A new process that runs `serve` on the other end of the pipe that is returned.

    Parameters
    ----------
    serve
        A function of a module, taking the process's end of the pipe.
    main
        Whether the process needs the program's own module, which is otherwise not run again.
    environment
        Variables that the process has beside those of this one.
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
    """Serve the pipe that was handed over by its number, then end at once.

    To take NumPy, Arrow and the like down piece by piece costs a fifth of a slide's tissue and tiles.
    """
    serve(Connection(descriptor))
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # None or closed
            stream.flush()
    os._exit(0)


def heed_interrupts() -> None:
    """Let Ctrl-C reach this process, which was started without: it would have died with a traceback while importing."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class _Started:
    """A process started by its command line; `sentinel` can be read when it has ended."""

    def __init__(
        self, serve: Callable[[Connection], None], there: Connection, environment: Mapping[str, str]
    ) -> None:
        code = _BOOT.format(
            path=sys.path, module=serve.__module__, name=serve.__qualname__, here=__name__, fd=there.fileno()
        )
        self.sentinel, held = os.pipe()  # the process holds its end as long as it lives
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
    """Flags that this interpreter was started with and that matter to another one."""
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

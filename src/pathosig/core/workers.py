"""Supervises long-lived worker processes on this machine.

Each worker has a pipe of its own. If a worker is killed, only its call is lost, and that is tried once more in a new process
(docs/adr/0040 explains why no pool of a library is used). Workers are spawned, never forked, and import only what the modules
of their calls import. When a stage is done, its workers stay idle for a while, so that the next stage of the same program can
use them: starting a worker costs more than a slide's tissue and tiles.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from pathosig.core.attempt import do
from pathosig.core.effort import LEAST_MB, machine_mb, resident_mb
from pathosig.core.errors import PathosigError, SlideError
from pathosig.core.processes import Process, heed_interrupts, start
from pathosig.core.units import Answer, Execution, Job, Task

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
_POLL_S = 0.5
_REST_S = 20.0
_WAKE_S = 5.0
_WAKE = "wake"
_START_S = 300.0
"""Seconds after which a worker that has not finished its imports is considered to hang."""

R = TypeVar("R")


@dataclass(frozen=True)
class _Call:
    """A call of a module's function; `name` identifies it when its tries are counted."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class _Begun:
    """The message of a worker that has received its call and imported what it needs; the time limit counts from here."""


@dataclass(frozen=True)
class _Raised:
    error: Exception


@dataclass
class _Worker:
    process: Process
    pipe: Connection
    surroundings: Any
    call: _Call | None = None
    since: float = 0.0
    has_begun: bool = False


_resting: list[_Worker] = []


def run_in_processes(
    task: Task, jobs: Iterable[Job], *, execution: Execution
) -> Generator[Answer, None, None]:
    """Yield the answers to jobs in the order in which they are finished.

    Parameters
    ----------
    task
        A function of a module.
    jobs
        The jobs, taken one by one as workers become free.
    execution
        Number of workers, and the time and memory that a job may take. A job that exceeds a limit fails; a job whose worker
        died is tried once more, and fails if a worker dies again.
    """
    calls = (_Call(job.unit, do, (task, job)) for job in jobs)
    memory_mb = execution.memory_mb or fair_share_mb(execution.workers)
    for call, result in _supervise(
        calls,
        workers=execution.workers,
        timeout_s=execution.timeout_s,
        memory_mb=memory_mb,
        main=task.__module__ == "__main__",
    ):
        if isinstance(result, (_Died, _Raised)):
            text, code = (
                (result.text, result.code) if isinstance(result, _Died) else (f"{result.error}.", "E_BUG")
            )
            error = SlideError(f"slide {call.name}: {text}", code=code)
            yield Answer(unit=call.name, result=error)
        else:
            yield _within_memory(result, memory_mb)


def fair_share_mb(workers: int) -> int:
    """Default memory limit of a worker in MB: 80 % of the machine's memory divided by the workers, but at least 4,000 MB."""
    return max(LEAST_MB, int(0.8 * machine_mb() / workers))


def _within_memory(answer: Answer, memory_mb: int | None) -> Answer:
    """The answer, or a failure if the unit exceeded the memory limit too briefly for the supervisor to notice."""
    peak = answer.effort.peak_mb if answer.effort is not None else None
    if memory_mb is None or peak is None or peak <= memory_mb or isinstance(answer.result, Exception):
        return answer
    error = SlideError(f"slide {answer.unit}: {_too_much(memory_mb)}", code="E_MEMORY")
    return dataclasses.replace(answer, result=error, outputs={})


def map_in_processes(
    function: Callable[..., Sequence[R]],
    arguments: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    main: bool,
    label: str,
    done: Callable[[int], None],
) -> list[Sequence[R]]:
    """``[function(*a) for a in arguments]``, computed by several processes with one thread each.

    Parameters
    ----------
    function
        A function of a module that returns a sequence.
    arguments
        The arguments of each call.
    workers
        Number of processes.
    main
        Whether the arguments need the program's main module.
    label
        What is computed, for messages.
    done
        Called with the length of each sequence as it arrives.

    Raises
    ------
    PathosigError
        E_WORKER if a process died twice on the same arguments; otherwise whatever the function raises.
    """
    results: dict[str, Sequence[R]] = {}
    calls = (_Call(str(number), function, each) for number, each in enumerate(arguments))
    for call, result in _supervise(calls, workers=workers, timeout_s=None, memory_mb=None, main=main):
        if isinstance(result, _Raised):
            raise result.error
        if isinstance(result, _Died):
            raise PathosigError(f"{label}: {result.text}", code=result.code)
        results[call.name] = result
        done(len(result))
    return [results[str(number)] for number in range(len(arguments))]


def _supervise(
    calls: Iterable[_Call], *, workers: int, timeout_s: float | None, memory_mb: int | None, main: bool
) -> Iterator[tuple[_Call, Any]]:
    """Yield calls with their results, a `_Raised` or a `_Died`; `main` tells whether workers need the main module."""
    fresh, again = iter(calls), deque[_Call]()
    tries: dict[str, int] = {}
    crew: list[_Worker] = []
    try:
        while True:
            _hand_out(crew, fresh, again, workers=workers, main=main)
            if not any(worker.call for worker in crew):
                return
            idle = False
            for worker in list(crew):
                result, call = _poll(worker), worker.call
                if call is None:
                    continue
                if result is None:
                    _stop_if_over_limits(worker, timeout_s=timeout_s, memory_mb=memory_mb)
                    continue
                worker.call, idle = None, True
                if isinstance(result, _Died):
                    crew.remove(worker)
                    tries[call.name] = tries.get(call.name, 0) + 1
                    if tries[call.name] < 2 and not result.limit:
                        again.append(call)
                        continue
                yield call, result
            if not idle:
                busy = [w for w in crew if w.call is not None]
                wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=_POLL_S)
    finally:
        for worker in crew:
            if worker.call is not None or not _keep_idle(worker):
                _end(worker)


def _hand_out(
    crew: list[_Worker], fresh: Iterator[_Call], again: deque[_Call], *, workers: int, main: bool
) -> None:
    """Give calls to idle workers as long as there are any of both, and start workers as they are needed."""
    while True:
        idle = next((w for w in crew if w.call is None), None)
        if idle is None and len(crew) >= workers:
            return
        call = again.popleft() if again else next(fresh, None)
        if call is None:
            return
        if idle is None:
            idle = _kept_idle(main) or _start(main)
            crew.append(idle)
        idle.call, idle.since, idle.has_begun = call, time.monotonic(), False
        with contextlib.suppress(OSError):  # polling will notice that this worker is dead
            idle.pipe.send((call.function, call.arguments))


@dataclass
class _Died:
    text: str
    code: str = "E_WORKER"
    limit: bool = False


def _start(main: bool) -> _Worker:
    """Start a worker; `main` tells whether it needs the program's main module."""
    surroundings = _surroundings(main)
    process, pipe = start(_serve, main=main, environment=_ONE_THREAD)
    return _Worker(process=process, pipe=pipe, surroundings=surroundings)


def _surroundings(main: bool) -> Any:
    """Everything that a worker inherits from this process when it is started."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        folder = None
    return main, os.getpid(), folder, tuple(sys.path), dict(os.environ)


def _keep_idle(worker: _Worker) -> bool:
    """Keep an idle worker for the next stage; False if it is gone."""
    try:
        worker.pipe.send(_REST_S)
    except OSError:
        return False
    _resting.append(worker)
    return True


def _kept_idle(main: bool) -> _Worker | None:
    """A worker of an earlier stage that still answers and was started in the same surroundings, or None."""
    wanted = _surroundings(main)
    while True:
        try:
            worker = _resting.pop()
        except IndexError:  # there is none, or another thread was faster
            return None
        if worker.surroundings == wanted:
            with contextlib.suppress(EOFError, OSError):
                worker.pipe.send(_WAKE)
                if worker.pipe.poll(_WAKE_S) and worker.pipe.recv() == _WAKE:
                    return worker
        if worker.surroundings[1] == os.getpid():
            _end(worker)


def end_workers() -> None:
    """End all idle workers at once; otherwise they end after a while, or with this process."""
    while _resting:
        worker = _resting.pop()
        if worker.surroundings[1] == os.getpid():
            _end(worker)


atexit.register(end_workers)


def _serve(pipe: Connection) -> None:
    """The loop of a worker: it receives calls and sends their results until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides
    heed_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our own errors report what it finds
    with contextlib.suppress(EOFError, OSError):
        while (message := pipe.recv()) is not None:
            if isinstance(message, float):  # seconds to stay idle
                if "torch" in sys.modules or not pipe.poll(message):  # too large to keep, or no longer needed
                    return
            elif message == _WAKE:
                pipe.send(_WAKE)
            else:
                function, arguments = message
                pipe.send(_Begun())
                pipe.send(_called(function, arguments))


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return _Raised(error)


_limits: dict[int | None, _Died] = {}


def _poll(worker: _Worker) -> Any:
    """The worker's answer, a `_Died`, or None while it is busy or idle."""
    try:
        if worker.pipe.poll():
            return _received(worker)
    except (EOFError, OSError):
        pass
    else:
        if worker.process.is_alive():
            return None
        with contextlib.suppress(EOFError, OSError):
            while worker.pipe.poll():
                if (answer := _received(worker)) is not None:
                    return answer
    worker.process.join(timeout=5)
    limit = _limits.pop(worker.process.pid, None)
    if limit is not None:
        return limit
    code = worker.process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
    return _Died(
        text=f"its worker {how} twice, so it was given up. Give it more memory, or use fewer workers."
    )


def _received(worker: _Worker) -> Any:
    """The next message if it is an answer; None if it only reports that the call has begun."""
    answer = worker.pipe.recv()
    if not isinstance(answer, _Begun):
        return answer
    worker.since, worker.has_begun = time.monotonic(), True
    return None


def _stop_if_over_limits(worker: _Worker, *, timeout_s: float | None, memory_mb: int | None) -> None:
    if not worker.process.is_alive():
        return
    took = time.monotonic() - worker.since
    if timeout_s is not None and took > (timeout_s if worker.has_begun else max(timeout_s, _START_S)):
        text = f"took longer than {timeout_s:g} s. Raise --timeout-s if the slide is that large."
        _limits[worker.process.pid] = _Died(text=text, code="E_TIMEOUT", limit=True)
        worker.process.kill()
    elif memory_mb is not None and (resident_mb(worker.process.pid) or 0) > memory_mb:
        _limits[worker.process.pid] = _Died(text=_too_much(memory_mb), code="E_MEMORY", limit=True)
        worker.process.kill()


def _too_much(memory_mb: int) -> str:
    return f"needed more than {memory_mb} MB. Raise --memory-mb."


def _end(worker: _Worker) -> None:
    with contextlib.suppress(OSError):
        if worker.call is None:
            worker.pipe.send(None)
    with contextlib.suppress(OSError):
        worker.pipe.close()
    if worker.call is not None:
        worker.process.terminate()
    worker.process.join(timeout=2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join(timeout=2)

"""Long-lived local worker processes under supervision.

Each worker has a pipe of its own, so a worker that is killed takes down nothing but its slide,
which is tried once more in a fresh process. Workers are spawned, never forked, and import only
what their tasks' modules import. When a stage is done its workers rest for a while, and the next
stage of the same program takes them over: starting one costs more than a slide's tissue and tiles.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pathosig.core.attempt import attempt
from pathosig.core.errors import SlideError
from pathosig.core.processes import Process, heed_interrupts, start
from pathosig.core.units import Execution, Job, Outcome, Task

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_POLL_S = 0.5
_REST_S = 20.0
_WAKE_S = 5.0
_WAKE = "wake"


@dataclass
class _Worker:
    process: Process
    pipe: Connection
    surroundings: Any
    job: Job | None = None
    since: float = 0.0


_resting: list[_Worker] = []


def run_in_processes(
    task: Task, jobs: Sequence[Job], *, execution: Execution
) -> Iterator[tuple[str, Outcome | Exception]]:
    """Yield (unit id, Outcome or Exception) as jobs finish, in any order.

    A job whose worker died is tried once more; the second death is its error.
    """
    queue = deque(jobs)
    tries: dict[str, int] = {}
    workers: list[_Worker] = []
    main = "__main__" in (task.__module__, *(type(job.spec).__module__ for job in jobs[:1]))
    try:
        for _ in range(min(execution.workers, len(jobs))):
            workers.append(_rested(main) or _start(main))
        pending = len(jobs)
        while pending:
            for worker in workers:
                if worker.job is None and queue:
                    worker.job, worker.since = queue.popleft(), time.monotonic()
                    with contextlib.suppress(OSError):  # a worker dead already is seen below
                        worker.pipe.send((task, worker.job))
            for position, worker in enumerate(workers):
                _stop_if_over_limits(worker, execution)
                answer, job = _poll(worker), worker.job
                if answer is None:
                    continue
                if isinstance(answer, _Died):
                    workers[position] = _start(main)
                if job is None:
                    continue
                if isinstance(answer, _Died):
                    tries[job.unit] = tries.get(job.unit, 0) + 1
                    if tries[job.unit] < 2 and not answer.limit:
                        queue.append(job)
                        continue
                    answer = SlideError(f"slide {job.unit}: {answer.text}", code=answer.code)
                else:
                    worker.job = None
                pending -= 1
                yield job.unit, answer
            busy = [w for w in workers if w.job is not None]
            if busy:
                wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=_POLL_S)
    finally:
        for worker in workers:
            if worker.job is not None or not _lies_down(worker):
                _end(worker)


@dataclass
class _Died:
    text: str
    code: str = "E_WORKER"
    limit: bool = False


def _start(main: bool) -> _Worker:
    """A new worker; `main` says that it needs the program's own module, which is otherwise not run again."""
    surroundings = _surroundings(main)
    saved = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        process, pipe = start(_serve, main=main)
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return _Worker(process=process, pipe=pipe, surroundings=surroundings)


def _surroundings(main: bool) -> Any:
    """What a worker has taken over from this process when it was started."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        folder = None
    return main, os.getpid(), folder, tuple(sys.path), dict(os.environ)


def _lies_down(worker: _Worker) -> bool:
    """Leave an idle worker for the next stage; False where it is gone."""
    try:
        worker.pipe.send(_REST_S)
    except OSError:
        return False
    _resting.append(worker)
    return True


def _rested(main: bool) -> _Worker | None:
    """A worker of an earlier stage that still answers and was started in the same surroundings."""
    wanted = _surroundings(main)
    while _resting:
        worker = _resting.pop()
        if worker.surroundings == wanted:
            with contextlib.suppress(EOFError, OSError):
                worker.pipe.send(_WAKE)
                if worker.pipe.poll(_WAKE_S) and worker.pipe.recv() == _WAKE:
                    return worker
        if worker.surroundings[1] == os.getpid():
            _end(worker)
    return None


def end_workers() -> None:
    """End the workers that rest; they would by themselves after a while, or with this process."""
    while _resting:
        worker = _resting.pop()
        if worker.surroundings[1] == os.getpid():
            _end(worker)


atexit.register(end_workers)


def _serve(pipe: Connection) -> None:
    """The worker's loop: tasks and jobs in, outcomes out, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides
    heed_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds is said by our own errors
    with contextlib.suppress(EOFError, OSError):
        while (message := pipe.recv()) is not None:
            if isinstance(message, float):  # seconds of rest
                if "torch" in sys.modules or not pipe.poll(message):  # too large to be kept, or forgotten
                    return
            elif message == _WAKE:
                pipe.send(_WAKE)
            else:
                task, job = message
                pipe.send(attempt(task, job))


_limits: dict[int | None, _Died] = {}


def _poll(worker: _Worker) -> Any:
    """The worker's answer, a _Died, or None while it is busy or idle."""
    try:
        if worker.pipe.poll():
            return worker.pipe.recv()
    except (EOFError, OSError):
        pass
    else:
        if worker.process.is_alive():
            return None
        with contextlib.suppress(EOFError, OSError):
            if worker.pipe.poll():
                return worker.pipe.recv()
    worker.process.join(timeout=5)
    limit = _limits.pop(worker.process.pid, None)
    if limit is not None:
        return limit
    code = worker.process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
    return _Died(text=f"its worker {how} twice, so the slide was given up. Try it alone, with more memory.")


def _stop_if_over_limits(worker: _Worker, execution: Execution) -> None:
    if worker.job is None or not worker.process.is_alive():
        return
    if time.monotonic() - worker.since > execution.timeout_s:
        _limits[worker.process.pid] = _Died(
            text=f"took longer than {execution.timeout_s:g} s. Raise --timeout-s if it is that large.",
            code="E_TIMEOUT",
            limit=True,
        )
        worker.process.kill()
    elif execution.memory_mb is not None:
        import psutil

        with contextlib.suppress(psutil.Error):
            used = psutil.Process(worker.process.pid).memory_info().rss / 2**20
            if used > execution.memory_mb:
                _limits[worker.process.pid] = _Died(
                    text=f"needed more than {execution.memory_mb} MB. Raise --memory-mb.",
                    code="E_MEMORY",
                    limit=True,
                )
                worker.process.kill()


def _end(worker: _Worker) -> None:
    with contextlib.suppress(OSError):
        if worker.job is None:
            worker.pipe.send(None)
    with contextlib.suppress(OSError):
        worker.pipe.close()
    if worker.job is not None:
        worker.process.terminate()
    worker.process.join(timeout=2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join(timeout=2)

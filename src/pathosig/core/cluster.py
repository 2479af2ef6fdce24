"""Runs units on a Dask cluster.

A Dask worker does not run a unit itself. It supervises a process that does, with the same limits and the same second try
as on one machine (`workers.run_in_processes`). A unit that hangs or kills its process therefore harms no other unit; the
cluster only carries jobs to the workers and answers back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from pathosig.core.errors import ConfigError, SlideError
from pathosig.core.units import Answer, Execution, Job, Task
from pathosig.core.versions import versions
from pathosig.core.workers import run_in_processes

logger = logging.getLogger(__name__)

_LOSSES = 3
_IN_FLIGHT = 3  # jobs per thread: enough to keep it busy, few enough that two drivers share the work
_PATIENCE_S = 5.0
_REMIND_S = 60.0


def run_on_dask(task: Task, jobs: Iterable[Job], *, execution: Execution) -> Generator[Answer, None, None]:
    """Yield the answers to jobs, in the order in which the cluster finishes them.

    The study folder must be reachable under the same path on every worker. A unit fails only after Dask workers that had it
    have died three times.

    Parameters
    ----------
    task
        A module-level function that takes a job.
    jobs
        The jobs, taken one by one as there is room on the cluster.
    execution
        Address of the scheduler, and the limits of each job.

    Raises
    ------
    ConfigError
        E_CONFIG if the scheduler cannot be reached, E_WORKER_VERSION if no worker has this version of pathosig,
        E_CLUSTER if the scheduler goes away.
    """
    address = str(execution.scheduler)
    with _quiet(), _client(address, execution) as client:
        yield from _Cluster(client, address, task, execution).run(iter(jobs))


class _Cluster:
    """One run on a cluster."""

    def __init__(self, client: Any, address: str, task: Task, execution: Execution) -> None:
        self.client = client
        self.address = address
        self.task = task
        self.execution = dataclasses.replace(execution, scheduler=None, shard=None, workers=1)
        self.usable: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.done = 0

    def run(self, jobs: Iterator[Job]) -> Iterator[Answer]:
        """Keep every thread busy, and submit lost jobs again."""
        from dask.distributed import wait

        flying: dict[Any, Job] = {}
        losses: dict[str, int] = {}
        again: list[Job] = []
        more = True
        while True:
            self.look_at_workers(patient=bool(flying) or not more)
            room = _IN_FLIGHT * max(1, sum(self.usable.values())) - len(flying)
            while more and room > 0:
                job = again.pop() if again else next(jobs, None)
                if job is None:
                    more = False
                    break
                flying[self._submit(job)] = job
                room -= 1
            while again:
                job = again.pop()
                flying[self._submit(job)] = job
            if not flying:
                return
            try:
                ready = wait(list(flying), timeout=_PATIENCE_S, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                self._check_scheduler()
                continue
            except Exception as error:  # cancelled futures, usually because the scheduler is gone
                logger.debug("%s", error)
                self._check_scheduler()
                ready = {future for future in flying if future.status in ("cancelled", "lost", "error")}
            for future in ready:
                job = flying.pop(future)
                answer = self._answer(future, job.unit)
                if answer is not None:
                    self.done += 1
                    yield answer
                    continue
                self._check_scheduler()
                losses[job.unit] = losses.get(job.unit, 0) + 1
                if losses[job.unit] < _LOSSES:
                    again.append(job)
                    continue
                text = (
                    f"slide {job.unit}: its Dask worker was lost {_LOSSES} times, so the slide was given up."
                )
                yield Answer(unit=job.unit, result=SlideError(text, code="E_WORKER"))

    def _submit(self, job: Job) -> Any:
        job = dataclasses.replace(job, execution=self.execution)
        return self.client.submit(do_there, self.task, job, pure=False, workers=list(self.usable) or None)

    def _answer(self, future: Any, unit: str) -> Answer | None:
        """The answer in a future, or None if it was lost; a result whose worker has died since is computed again."""
        from dask.distributed import CancelledError
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker

        try:
            answer: Answer = future.result(timeout=self.execution.timeout_s + _REMIND_S)
        except (KilledWorker, CancelledError, CommClosedError, TimeoutError):
            return None
        except Exception as error:  # an error of Dask or of unpickling, not of the unit
            text = f"slide {unit}: its Dask worker gave no answer: {type(error).__name__}: {error}."
            return Answer(unit=unit, result=SlideError(text, code="E_WORKER"))
        return answer

    def _check_scheduler(self) -> None:
        """Raise if the scheduler no longer answers."""
        try:
            if self.client.status == "running":
                self.client.sync(self.client.scheduler.identity, callback_timeout=_PATIENCE_S)
                return
        except Exception as error:  # Dask reports this in many ways
            logger.debug("%s", error)
        raise ConfigError(
            f"--dask {self.address}: the scheduler went away after {self.done} units of this stage. "
            "Start it again, then run the same command; the run resumes.",
            code="E_CLUSTER",
        )

    def look_at_workers(self, *, patient: bool) -> None:
        """Sort workers that have joined into usable and refused ones, and wait if there are none yet.

        Parameters
        ----------
        patient
            Whether to return without a usable worker, because jobs are on the cluster or none is left.

        Raises
        ------
        ConfigError
            E_WORKER_VERSION, within seconds, if workers have joined but none is usable.
        """
        start = reminded = time.monotonic()
        while True:
            present = self._present()
            self.usable = {a: n for a, n in self.usable.items() if a in present}
            new = [a for a in present if a not in self.usable and a not in self.refused]
            self._examine(new, present)
            if self.usable or (patient and not new):
                return
            if self.refused and set(present) <= set(self.refused):
                raise ConfigError(
                    f"--dask {self.address}: {next(iter(self.refused.values()))} Nothing was done there.",
                    code="E_WORKER_VERSION",
                )
            now = time.monotonic()
            if now - start > _PATIENCE_S and (now - reminded > _REMIND_S or reminded == start):
                reminded = now
                logger.warning(
                    "--dask %s: no worker has joined yet; waiting. Start one with `dask worker %s`, or stop with Ctrl-C.",
                    self.address,
                    self.address,
                )
            time.sleep(0.5)

    def _present(self) -> dict[str, int]:
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
        except Exception:
            self._check_scheduler()
            return {}
        return {address: int(facts.get("nthreads", 1)) for address, facts in workers.items()}

    def _examine(self, addresses: list[str], present: dict[str, int]) -> None:
        """Find out which versions new workers have; a function of the standard library first asks whether they have pathosig."""
        if not addresses:
            return
        specs = self.client.run(importlib.util.find_spec, "pathosig", workers=addresses, on_error="ignore")
        having = [a for a in addresses if specs.get(a) is not None]
        theirs = self.client.run(versions, workers=having, on_error="ignore") if having else {}
        ours = versions()
        for address in addresses:
            there = theirs.get(address)
            if there is None:
                self._refuse(address, "has no pathosig")
            elif there.get("pathosig") != ours.get("pathosig"):
                self._refuse(address, f"has pathosig {there.get('pathosig')}, not {ours.get('pathosig')}")
            else:
                self.usable[address] = present[address]
                differ = sorted(k for k in {*there, *ours} if there.get(k) != ours.get(k))
                if differ:
                    text = ", ".join(
                        f"{k} {there.get(k, 'none')} (here {ours.get(k, 'none')})" for k in differ
                    )
                    logger.warning("warning W_VERSIONS: the worker at %s has %s.", address, text)

    def _refuse(self, address: str, reason: str) -> None:
        self.refused[address] = f"the worker at {address} {reason}. Install the same version there."
        logger.warning("--dask %s: %s It gets no work.", self.address, self.refused[address])


def do_there(task: Task, job: Job) -> Answer:
    """Do a job in a supervised process on the machine that this is called on."""
    (answer,) = run_in_processes(task, [job], execution=job.execution)
    return dataclasses.replace(answer, versions=versions())


@contextlib.contextmanager
def _client(address: str, execution: Execution) -> Iterator[Any]:
    from dask.distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        if address == "local" or address.startswith("local:"):
            count = _count(address) or execution.workers
            # threads suffice, because each supervises a process of its own
            cluster = stack.enter_context(
                LocalCluster(n_workers=1, threads_per_worker=count, processes=False, dashboard_address=":0")
            )
            yield stack.enter_context(Client(cluster))
            return
        try:
            client = stack.enter_context(Client(address, timeout="20s"))
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"--dask {address}: no scheduler answers there ({type(error).__name__}). "
                "Start one with `dask scheduler` and give its tcp:// address, or use local:N."
            ) from error
        yield client


def _count(address: str) -> int:
    text = address.removeprefix("local").removeprefix(":")
    if text and not (text.isdigit() and int(text) > 0):
        raise ConfigError(f"--dask {address!r}: expected local:N such as local:4.")
    return int(text or 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Dask's reports of lost connections, which would bury our own message."""
    import dask.distributed  # noqa: F401  (the import sets the levels of its loggers)

    names = [n for n in logging.root.manager.loggerDict if n.split(".")[0] in ("distributed", "tornado")]
    loggers = [logging.getLogger(name) for name in names]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)

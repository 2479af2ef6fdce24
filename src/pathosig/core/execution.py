"""Runs the units of a stage: skips those that are fresh (up to date), supervises the others, and records all.

`run_each` is the only loop over slides. It decides which units are fresh, hands the others to long-lived workers
(processes on this machine, or a Dask cluster), and writes every record itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pathosig.core.attempt import outputs_of
from pathosig.core.claims import Claims
from pathosig.core.effort import Meter
from pathosig.core.errors import PathosigError, StorageError
from pathosig.core.fingerprints import fingerprint_of, input_key
from pathosig.core.layout import Layout
from pathosig.core.pool import apart
from pathosig.core.progress import Progress, announce
from pathosig.core.records import Record, findings_in, remove_stale
from pathosig.core.spec import Spec
from pathosig.core.stages import refuse_left_out
from pathosig.core.units import (
    Answer,
    Execution,
    Job,
    Outcome,
    OutputFile,
    Stage,
    StageReport,
    Task,
    Ticket,
    Unit,
)
from pathosig.core.versions import versions

if TYPE_CHECKING:
    from pathosig.core.study import Study

logger = logging.getLogger(__name__)
_ASK_AGAIN_S = 1.0
_STATES = ("done", "fresh", "failed", "empty", "waiting")


def run_each(
    study: Study, stage: Stage, spec: Spec, units: Iterable[Unit], task: Task, *, execution: Execution
) -> StageReport:
    """Run a task on every unit that is not fresh; a failure is recorded and does not stop the others.

    Parameters
    ----------
    study
        An open study.
    stage
        The stage that the units belong to.
    spec
        Settings of the stage.
    units
        The units; with a shard, only those of the shard are done.
    task
        A module-level function, which runs in a worker process and may raise PathosigError.
    execution
        Workers, shard, device and limits.

    Returns
    -------
    StageReport
        What became of every unit.

    Raises
    ------
    ConfigError
        If the study starts after this stage.
    StorageError
        If the disk is full or the study folder cannot be written, so that nothing can go on.
    """
    run = _Run(study=study, stage=stage, spec=spec, execution=execution)
    run.begin()
    index, count = execution.shard_of()
    units = [u for i, u in enumerate(sorted(units, key=lambda u: u.id)) if i % count == index]
    waiting = {unit.id: (unit, job) for unit in units if (job := run.sorted_out(unit)) is not None}
    work = sum(unit.work for unit, _ in waiting.values())
    with Progress(stage.name, total=len(waiting), work=work) as bar, Claims(study.root, stage.name) as claims:
        while waiting:
            jobs = _claimed(run, waiting, claims, bar)
            with contextlib.closing(_answers(task, jobs, execution)) as answers:
                for answer in answers:
                    unit, job = waiting.pop(answer.unit)
                    failed = run.record(answer, job)
                    claims.release(answer.unit)
                    bar.advance(failed=failed, work=unit.work)
            if waiting:  # another driver is working on these
                time.sleep(_ASK_AGAIN_S)
    study.identities.save()
    return run.report()


def _claimed(run: _Run, waiting: dict[str, tuple[Unit, Job]], claims: Claims, bar: Progress) -> Iterator[Job]:
    """Yield jobs that no other driver has; units that another driver has finished in the meantime are dropped."""
    for unit, job in list(waiting.values()):
        if not claims.take(unit.id):
            continue
        due = run.sorted_out(unit) if run.was_recorded(unit) else job
        if due is not None:
            yield due
            continue
        del waiting[unit.id]
        claims.release(unit.id)
        bar.advance(work=unit.work)


def run_once(
    study: Study,
    stage: Stage,
    spec: Spec,
    unit: Unit,
    task: Task,
    *,
    execution: Execution | None = None,
    is_apart: bool = False,
) -> StageReport:
    """Run one fit unless it is fresh; its errors are recorded and raised.

    Parameters
    ----------
    study
        An open study.
    stage
        The stage that the fit belongs to.
    spec
        Settings of the stage.
    unit
        The fit.
    task
        A module-level function, which may raise PathosigError.
    execution
        Device, limits and whether to force the fit.
    is_apart
        Whether to run it in another process, for a task that loads libraries too large to stay in this one.

    Returns
    -------
    StageReport
        What became of the fit, and its findings.

    Raises
    ------
    ConfigError
        If the study starts after this stage.
    PathosigError
        Whatever the task raised, after it was recorded.
    """
    run = _Run(study=study, stage=stage, spec=spec, execution=execution or Execution())
    run.begin()
    job = run.sorted_out(unit)
    if job is not None:
        with Claims(study.root, stage.name) as claims:
            if not claims.take(unit.id):
                logger.warning("%s: another run on this study is doing it; waiting for it.", stage.name)
                while not claims.take(unit.id):
                    time.sleep(_ASK_AGAIN_S)
                job = run.sorted_out(unit)
            if job is not None:
                if unit.id.startswith("_"):
                    part = unit.id.strip("_")
                    announce(f"{stage.name}: {'working' if part == stage.name else part}")
                answer = apart(_fit, task, job, label=stage.name) if is_apart else _fit(task, job)
                run.record(answer, job)
                if isinstance(answer.result, PathosigError):
                    raise answer.result
    return dataclasses.replace(run.report(), findings=findings_in(study.record(stage.name, unit.id)))


def _fit(task: Task, job: Job) -> Answer:
    """The answer to a fit; errors that belong in its record are part of the answer, others are raised."""
    meter = Meter()
    outputs: dict[str, OutputFile] = {}
    result: Outcome | PathosigError
    try:
        result = task(job)
        outputs = outputs_of(job, result)
    except StorageError:
        raise
    except PathosigError as error:
        result, outputs = error, {}
    print_ = fingerprint_of(job.ticket, job.spec)
    return Answer(unit=job.unit, result=result, fingerprint=print_, outputs=outputs, effort=meter.read())


def is_due(study: Study, stage: Stage, spec: Spec, unit: Unit, *, execution: Execution) -> bool:
    """Whether `run_once` would run this fit now."""
    return _Run(study=study, stage=stage, spec=spec, execution=execution).sorted_out(unit) is not None


def _answers(task: Task, jobs: Iterator[Job], execution: Execution) -> Generator[Answer, None, None]:
    if execution.scheduler:
        from pathosig.core.cluster import run_on_dask as run  # Dask is an extra
    else:
        from pathosig.core.workers import run_in_processes as run  # not needed in workers
    return run(task, jobs, execution=execution)


@dataclass(kw_only=True)
class _Run:
    """A stage that is being run: the state of its units and their errors."""

    study: Study
    stage: Stage
    spec: Spec
    execution: Execution
    units: dict[str, list[str]] = field(default_factory=lambda: {k: [] for k in _STATES})
    errors: list[str] = field(default_factory=list)
    swept: set[Path] = field(default_factory=set)
    seen: dict[str, int | None] = field(default_factory=dict)

    def begin(self) -> None:
        """Refuse a study that cannot have this stage or cannot be written, before anything is read."""
        if not self.stage.from_elsewhere:
            refuse_left_out(self.study, self.stage.name)
        _ensure_writable(self.study.root)
        self._sweep(self.study.paths.records / self.stage.name)

    def sorted_out(self, unit: Unit) -> Job | None:
        """The job of a unit that has to be done; None for a unit that waits, is fresh or is empty, which is noted."""
        upstream = {k: v for k, v in unit.upstream.items() if v is not None}
        if len(upstream) < len(unit.upstream):
            self.units["waiting"].append(unit.id)
            return None
        ticket = self._ticket(unit, upstream)
        self.seen[unit.id] = self._recorded_at(unit)
        identified = ticket.slide is None or not ticket.slide.decides or ticket.identity is not None
        record = None if self.execution.force else self.study.record(self.stage.name, unit.id)
        if record is not None and record.status != "failed" and self._is_intact(record):
            if not identified:
                ticket = dataclasses.replace(ticket, fresh=record.fingerprint)
            elif record.fingerprint == fingerprint_of(ticket, self.spec, ticket.identity):
                self.units["fresh" if record.status == "ok" else "empty"].append(unit.id)
                return None
        if unit.slide is not None and unit.slide.read_by is not None:
            before = self.study.record(unit.slide.read_by, unit.id)
            ticket = dataclasses.replace(ticket, expected=before.slide if before is not None else None)
        return Job(
            root=self.study.root,
            unit=unit.id,
            spec=self.spec,
            payload=dict(unit.payload),
            execution=self.execution,
            ticket=ticket,
        )

    def was_recorded(self, unit: Unit) -> bool:
        """Whether another driver has written the unit's record since this one looked at it."""
        return self._recorded_at(unit) != self.seen[unit.id]

    def _recorded_at(self, unit: Unit) -> int | None:
        try:
            return self.study.record_path(self.stage.name, unit.id).stat().st_mtime_ns
        except OSError:
            return None

    def _ticket(self, unit: Unit, upstream: dict[str, str]) -> Ticket:
        key = None
        if unit.slide is not None:
            with contextlib.suppress(OSError):  # the worker reports what is wrong with it
                key = input_key(unit.slide.path, is_listed=True)
        return Ticket(
            stage=self.stage,
            inputs=unit.inputs,
            upstream=upstream,
            slide=unit.slide,
            key=key,
            identity=self.study.identities.get(key),
        )

    def _is_intact(self, record: Record) -> bool:
        """Whether all outputs are intact; if they had to be hashed, their times are recorded to save hashing the next time."""
        root = self.study.root
        if record.damaged_outputs(root):
            return False
        with contextlib.suppress(OSError, StorageError):
            stamped = record.with_stamps(root)
            if stamped.run != record.run:
                stamped.write(self.study.record_path(record.stage, record.unit))
        return True

    def record(self, answer: Answer, job: Job) -> bool:
        """Write the record of a unit that was worked on, and return whether the unit failed.

        Raises
        ------
        StorageError
            If the disk is full or cannot be written.
        """
        if isinstance(answer.result, StorageError):
            raise answer.result
        if answer.key is not None and answer.identity is not None:
            self.study.identities.add(answer.key, answer.identity)
        if answer.result is None:
            held = self.study.record(self.stage.name, answer.unit)
            self.units["empty" if held is not None and held.status == "empty" else "fresh"].append(
                answer.unit
            )
            return False
        record = _record_of(answer, job)
        for name in answer.outputs:
            self._sweep((self.study.root / name).parent)
        record.write(self.study.record_path(self.stage.name, answer.unit))
        effort = answer.effort
        self.study.journal.write(
            "unit",
            stage=self.stage.name,
            unit=answer.unit,
            status=record.status,
            seconds=effort.seconds if effort else None,
            peak_mb=effort.peak_mb if effort else None,
            host=effort.host if effort else None,
            error=record.error,
            warnings=record.warnings or None,
        )
        if record.error is not None:
            self.units["failed"].append(answer.unit)
            self.errors.append(f"{record.error['code']} {record.error['message']}")
            logger.warning("%s %s: %s", self.stage.name, record.error["code"], record.error["message"])
            return True
        self.units["empty" if record.status == "empty" else "done"].append(answer.unit)
        return False

    def _sweep(self, folder: Path) -> None:
        """Remove, once, what interrupted runs left in a folder that this stage writes to."""
        if folder not in self.swept:
            self.swept.add(folder)
            remove_stale(folder)

    def report(self) -> StageReport:
        """The report on what became of the units."""
        units = {state: tuple(sorted(set(ids))) for state, ids in self.units.items()}
        if units["done"] or units["failed"] or units["empty"]:
            counts = {state: len(ids) for state, ids in units.items() if ids}
            self.study.journal.write("stage", stage=self.stage.name, **counts)
        return StageReport(stage=self.stage.name, errors=tuple(sorted(self.errors)), **units)


def _record_of(answer: Answer, job: Job) -> Record:
    stage, effort = job.ticket.stage, answer.effort
    run: dict[str, object] = {"versions": dict(answer.versions or versions())}
    if effort is not None:
        run |= dataclasses.asdict(effort)
    if answer.identity is not None:
        run["slide"] = dataclasses.asdict(answer.identity)
    if isinstance(answer.result, Outcome):
        run["outputs"] = {name: [o.size, o.mtime_ns] for name, o in answer.outputs.items()}
        return Record(
            stage=stage.name,
            unit=job.unit,
            status=answer.result.status,
            fingerprint=answer.fingerprint,
            spec=job.spec.to_dict(),
            upstream=dict(job.ticket.upstream),
            outputs={name: o.sha256 for name, o in answer.outputs.items()},
            warnings=list(answer.result.warnings),
            summary=dict(answer.result.summary),
            run=run,
        )
    code = answer.result.code if isinstance(answer.result, PathosigError) else "E_BUG"
    return Record(
        stage=stage.name,
        unit=job.unit,
        status="failed",
        fingerprint=answer.fingerprint,
        spec=job.spec.to_dict(),
        upstream=dict(job.ticket.upstream),
        error={"code": code, "message": str(answer.result)},
        run=run,
    )


def _ensure_writable(root: Path) -> None:
    """Refuse a study folder that cannot be written, before any work is done.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    folder = root / Layout.records
    try:
        folder.mkdir(exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise StorageError(f"study folder: cannot write into it ({error.strerror}).") from error
    if not writable:
        raise StorageError("study folder: cannot write into it. Give write permission, or copy it elsewhere.")

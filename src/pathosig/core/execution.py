"""How units of a stage are run: skipped when fresh, supervised, recorded.

`run_each` is the only loop over slides. It decides which units are fresh, hands the others to
long-lived workers (spawned processes here, or a Dask cluster), and writes every record itself.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pathosig.core.errors import ConfigError, PathosigError, StorageError
from pathosig.core.progress import Progress
from pathosig.core.records import Record, fingerprint, said_in, sha256_file
from pathosig.core.spec import Spec
from pathosig.core.versions import versions as versions

if TYPE_CHECKING:  # workers do without
    from pathosig.core.study import Study

logger = logging.getLogger(__name__)

_READ_RETRIES = 2
_RETRY_WAIT_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """How a stage runs; never changes a byte of what it writes.

    Attributes
    ----------
    workers
        Processes side by side, each with one computing thread.
    shard
        ``I/N``: do the I-th of N parts of the slides (1-based), for Slurm arrays.
    device
        auto | cpu | cuda | cuda:N | mps.
    batch_size
        Tiles sent to the device at once where that does not change results.
    force
        Redo units that are fresh.
    scheduler
        Address of a Dask scheduler, instead of local processes.
    timeout_s
        Seconds one slide may take before its worker is replaced.
    memory_mb
        Resident memory one worker may take before it is replaced.
    """

    workers: int = 1
    shard: str | None = None
    device: str = "auto"
    batch_size: int | None = None
    force: bool = False
    scheduler: str | None = None
    timeout_s: float = 3600.0
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: expected 1 or more.")
        if self.shard is not None:
            self.shard_of()

    def shard_of(self) -> tuple[int, int]:
        """(index from 0, count) of the shard; (0, 1) without one.

        Raises
        ------
        ConfigError
            If the text is not I/N with 1 <= I <= N.
        """
        if self.shard is None:
            return 0, 1
        try:
            index, count = (int(part) for part in self.shard.split("/"))
        except ValueError:
            index, count = 0, 0
        if not 1 <= index <= count:
            raise ConfigError(f"--shard {self.shard!r}: expected I/N such as 3/10, with 1 <= I <= N.")
        return index - 1, count


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stage's name and version; raise the version only when its outputs change."""

    name: str
    version: int


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One thing a stage works on.

    Attributes
    ----------
    id
        The slide_id, verbatim, or a name starting with ``_`` for a fit.
    inputs
        Identities of input files and the table rows that matter; enters the fingerprint.
    upstream
        Fingerprints of the records it is made from; a None marks one that is missing, and the unit waits.
    payload
        JSON-able facts the task needs (paths, mpp, ...); not part of the fingerprint.
    """

    id: str
    inputs: Any = None
    upstream: Mapping[str, str | None] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a task gets: the study folder, the unit, the Spec, its payload and the Execution."""

    root: Path
    unit: str
    spec: Any
    payload: Mapping[str, Any]
    execution: Execution


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a task gives back; outputs are paths relative to the study folder."""

    outputs: tuple[str, ...] = ()
    status: Literal["ok", "empty"] = "ok"
    warnings: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport:
    """What became of a stage's units, by id; `said` are its main results in words."""

    stage: str
    done: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 4 when units failed."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Counts and ids, for ``--json``."""
        keys = ("done", "fresh", "failed", "empty", "waiting", "errors", "said")
        return {"stage": self.stage, **{k: list(getattr(self, k)) for k in keys}}

    def to_text(self) -> str:
        """Counts in one line, and below it what was found."""
        counts = [("done", self.done), ("fresh", self.fresh), ("empty", self.empty)]
        counts += [("failed", self.failed), ("waiting", self.waiting)]
        said = ", ".join(f"{len(v)} {k}" for k, v in counts if v) or "nothing to do"
        return "\n  ".join([f"{self.stage}: {said}", *self.said])


Task = Callable[[Job], Outcome]


def run_each(
    study: Study, stage: Stage, spec: Spec, units: Iterable[Unit], task: Task, *, execution: Execution
) -> StageReport:
    """Run a task on every unit that is not fresh; failures are recorded, the others go on.

    Parameters
    ----------
    task
        A module-level function; it runs in a worker process and may raise PathosigError.

    Returns
    -------
    StageReport

    Raises
    ------
    StorageError
        If the disk is full or the study folder cannot be written: nothing can go on.
    """
    units = list(units)
    study.flush_identities()
    _ensure_writable(study.root)
    index, count = execution.shard_of()
    units = [u for i, u in enumerate(sorted(units, key=lambda u: u.id)) if i % count == index]
    plan = [_planned(study, stage, spec, unit, execution) for unit in units]
    result: dict[str, list[str]] = {k: [] for k in ("done", "fresh", "failed", "empty", "waiting", "errors")}
    todo: list[tuple[Unit, str]] = []
    for unit, print_, state in plan:
        if state == "todo":
            todo.append((unit, print_))
        else:
            result[state].append(unit.id)
    with Progress(stage.name, total=len(todo)) as bar:
        for unit, print_, answer in _answers(study, stage, spec, todo, task, execution):
            record = _record(study, stage, spec, unit, print_, answer)
            record.write(study.record_path(stage.name, unit.id))
            bar.advance(failed=record.status == "failed")
            if record.status == "failed" and record.error:
                result["failed"].append(unit.id)
                result["errors"].append(f"{record.error['code']} {record.error['message']}")
                logger.warning("%s %s: %s", stage.name, record.error["code"], record.error["message"])
            else:
                result["empty" if record.status == "empty" else "done"].append(unit.id)
    return StageReport(stage=stage.name, **{k: tuple(sorted(v)) for k, v in result.items()})


def run_once(
    study: Study, stage: Stage, spec: Spec, unit: Unit, task: Task, *, execution: Execution | None = None
) -> StageReport:
    """Run one fit in this process unless it is fresh; its errors are recorded and raised.

    Raises
    ------
    PathosigError
        Whatever the task raised, after the record says so.
    """
    execution = execution or Execution()
    study.flush_identities()
    _ensure_writable(study.root)
    unit, print_, state = _planned(study, stage, spec, unit, execution)
    if state == "fresh":
        return StageReport(
            stage=stage.name, fresh=(unit.id,), said=said_in(study.record(stage.name, unit.id))
        )
    if state == "empty":
        return StageReport(stage=stage.name, empty=(unit.id,))
    if state == "waiting":
        return StageReport(stage=stage.name, waiting=(unit.id,))
    job = Job(root=study.root, unit=unit.id, spec=spec, payload=dict(unit.payload), execution=execution)
    try:
        answer: Any = task(job)
    except PathosigError as error:
        _record(study, stage, spec, unit, print_, error).write(study.record_path(stage.name, unit.id))
        raise
    record = _record(study, stage, spec, unit, print_, answer)
    record.write(study.record_path(stage.name, unit.id))
    if record.status == "empty":
        return StageReport(stage=stage.name, empty=(unit.id,))
    return StageReport(stage=stage.name, done=(unit.id,), said=said_in(record))


def _planned(
    study: Study, stage: Stage, spec: Spec, unit: Unit, execution: Execution
) -> tuple[Unit, str, str]:
    """The unit, its fingerprint and what to do with it: todo | fresh | empty | waiting."""
    if any(v is None for v in unit.upstream.values()):
        return unit, "", "waiting"
    upstream = {k: v for k, v in unit.upstream.items() if v is not None}
    print_ = fingerprint(
        stage=stage.name, version=stage.version, spec=spec.to_dict(), upstream=upstream, inputs=unit.inputs
    )
    if execution.force:
        return unit, print_, "todo"
    record = study.record(stage.name, unit.id)
    if record is None or record.fingerprint != print_ or record.status == "failed":
        return unit, print_, "todo"
    if record.damaged_outputs(study.root):
        return unit, print_, "todo"
    return unit, print_, "fresh" if record.status == "ok" else "empty"


def _answers(
    study: Study, stage: Stage, spec: Spec, todo: list[tuple[Unit, str]], task: Task, execution: Execution
) -> Iterator[tuple[Unit, str, Any]]:
    if not todo:
        return
    by_id = {unit.id: (unit, print_) for unit, print_ in todo}
    jobs = [
        Job(root=study.root, unit=u.id, spec=spec, payload=dict(u.payload), execution=execution)
        for u, _ in todo
    ]
    if execution.scheduler:
        from pathosig.core.cluster import run_on_dask as run
    else:
        from pathosig.core.workers import run_in_processes as run
    for unit_id, answer in run(task, jobs, execution=execution):
        if isinstance(answer, StorageError):
            raise answer
        yield (*by_id[unit_id], answer)


def _record(
    study: Study, stage: Stage, spec: Spec, unit: Unit, print_: str, answer: Outcome | Exception
) -> Record:
    common: dict[str, Any] = {
        "stage": stage.name,
        "unit": unit.id,
        "fingerprint": print_,
        "spec": spec.to_dict(),
        "upstream": {k: v for k, v in unit.upstream.items() if v is not None},
        "run": {"versions": versions()},
    }
    if isinstance(answer, Exception):
        code = answer.code if isinstance(answer, PathosigError) else "E_BUG"
        return Record(status="failed", error={"code": code, "message": str(answer)}, **common)
    outputs = {relative: sha256_file(study.root / relative) for relative in sorted(answer.outputs)}
    return Record(
        status=answer.status,
        outputs=outputs,
        warnings=list(answer.warnings),
        summary=dict(answer.summary),
        **common,
    )


def attempt(task: Task, job: Job) -> Outcome | Exception:
    """Run a task and give back its outcome or its error; unexpected errors keep their place in the log.

    A failed read (EIO, as network disks have it) is tried twice more.
    """
    for number in range(_READ_RETRIES):
        answer = _attempt_once(task, job)
        if not _is_failed_read(answer):
            return answer
        logger.warning("%s: reading failed (%s); trying again", job.unit, answer)
        time.sleep(_RETRY_WAIT_S * (number + 1))
    return _attempt_once(task, job)


def _is_failed_read(answer: Outcome | Exception) -> bool:
    error: BaseException | None = answer if isinstance(answer, Exception) else None
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EIO:
            return True
        error = error.__cause__
    return False


def _attempt_once(task: Task, job: Job) -> Outcome | Exception:
    try:
        return task(job)
    except PathosigError as error:
        return error
    except MemoryError:
        return PathosigError(
            f"slide {job.unit}: out of memory. Give the job more memory or fewer workers.", code="E_MEMORY"
        )
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return StorageError(
                f"slide {job.unit}: {error.strerror}. Free some space and run again: it resumes."
            )
        failure = PathosigError(f"slide {job.unit}: {error.strerror or error}.", code="E_IO")
        failure.__cause__ = error
        return failure
    except Exception as error:
        logger.exception("unexpected error on %s", job.unit)
        import traceback

        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return PathosigError(
            f"slide {job.unit}: unexpected {type(error).__name__} at {where}: {error}. "
            "This is a bug; please report it with the file's format.",
            code="E_BUG",
        )


def _ensure_writable(root: Path) -> None:
    folder = root / "records"
    try:
        folder.mkdir(exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise StorageError(f"study folder: cannot write into it ({error.strerror}).") from error
    if not writable:
        raise StorageError("study folder: cannot write into it. Give write permission, or copy it elsewhere.")

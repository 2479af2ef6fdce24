"""How units of a stage are run: skipped when fresh, supervised, recorded.

`run_each` is the only loop over slides. It decides which units are fresh, hands the others to
long-lived workers (spawned processes here, or a Dask cluster), and writes every record itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import PathosigError, StorageError
from pathosig.core.layout import Layout
from pathosig.core.progress import Progress
from pathosig.core.records import Record, findings_in, fingerprint, sha256_file
from pathosig.core.spec import Spec
from pathosig.core.stages import refuse_left_out
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Task, Unit
from pathosig.core.versions import versions

if TYPE_CHECKING:
    from pathosig.core.study import Study

logger = logging.getLogger(__name__)


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
    ConfigError
        If the study starts after this stage.
    StorageError
        If the disk is full or the study folder cannot be written: nothing can go on.
    """
    if not stage.from_elsewhere:
        refuse_left_out(study, stage.name)
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
    if not stage.from_elsewhere:
        refuse_left_out(study, stage.name)
    study.flush_identities()
    _ensure_writable(study.root)
    unit, print_, state = _planned(study, stage, spec, unit, execution)
    if state == "fresh":
        return StageReport(
            stage=stage.name, fresh=(unit.id,), findings=findings_in(study.record(stage.name, unit.id))
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
    return StageReport(stage=stage.name, done=(unit.id,), findings=findings_in(record))


def is_due(study: Study, stage: Stage, spec: Spec, unit: Unit, *, execution: Execution) -> bool:
    """Whether `run_once` would run this fit now."""
    return _planned(study, stage, spec, unit, execution)[2] == "todo"


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


def _ensure_writable(root: Path) -> None:
    folder = root / Layout.records
    try:
        folder.mkdir(exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise StorageError(f"study folder: cannot write into it ({error.strerror}).") from error
    if not writable:
        raise StorageError("study folder: cannot write into it. Give write permission, or copy it elsewhere.")

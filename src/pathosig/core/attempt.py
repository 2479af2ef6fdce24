"""Runs one job: identifies its slide, tries its task, hashes its outputs and measures time and memory."""

from __future__ import annotations

import errno
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pathosig.core.effort import Meter
from pathosig.core.errors import PathosigError, SlideError, StorageError
from pathosig.core.extras import missing_extra
from pathosig.core.fingerprints import fingerprint_of, identity, input_key, stamped
from pathosig.core.units import Answer, Job, Outcome, OutputFile, SlideIdentity, Task

R = TypeVar("R")

logger = logging.getLogger(__name__)

_READ_RETRIES = 2
_RETRY_WAIT_S = 0.2


def do(task: Task, job: Job) -> Answer:
    """Do a job and return its answer; errors become part of the answer and are never raised.

    Parameters
    ----------
    task
        A module-level function that takes a job.
    job
        The job.
    """
    meter = Meter()
    ticket, slide_input = job.ticket, job.ticket.slide
    if slide_input is None:
        result, outputs = _worked(task, job)
        print_ = fingerprint_of(ticket, job.spec)
        return Answer(unit=job.unit, result=result, fingerprint=print_, outputs=outputs, effort=meter.read())
    path = slide_input.path
    seen = attempt(_see, job)
    # the task gives the better error, unless it can read what could not be read just now
    if isinstance(seen, Exception):
        result, _ = (seen, {}) if _is_failed_read(seen) else _worked(task, job)
        return Answer(
            unit=job.unit, result=seen if not isinstance(result, Exception) else result, effort=meter.read()
        )
    key, slide = seen
    print_ = fingerprint_of(ticket, job.spec, slide)
    if print_ == ticket.fresh and not job.execution.force:
        return Answer(
            unit=job.unit, result=None, fingerprint=print_, effort=meter.read(), key=key, identity=slide
        )
    if ticket.expected not in (None, slide):
        changed: Exception = SlideError(
            f"slide {job.unit} ({path.name}): the file has changed since {slide_input.read_by} read it. "
            f"Run `pathosig {slide_input.read_by}` again, then this stage.",
            code="E_CHANGED",
        )
        return Answer(
            unit=job.unit, result=changed, fingerprint=print_, effort=meter.read(), key=key, identity=slide
        )
    result, outputs = _worked(task, job)
    if not isinstance(result, Exception) and _key_now(path) != key:
        result, outputs = (
            SlideError(
                f"slide {job.unit} ({path.name}): the file changed while it was read. Run again.",
                code="E_CHANGED",
            ),
            {},
        )
    return Answer(
        unit=job.unit,
        result=result,
        fingerprint=print_,
        outputs=outputs,
        effort=meter.read(),
        key=key,
        identity=slide,
    )


def _see(job: Job) -> tuple[str, SlideIdentity]:
    """The key and identity of the slide as it is now; it is hashed unless the driver knows a file of that size and time."""
    ticket = job.ticket
    path = ticket.slide.path if ticket.slide is not None else job.root
    key = input_key(path)
    if key == ticket.key and ticket.identity is not None:
        return key, ticket.identity
    slide = identity(path)
    if input_key(path) != key:
        raise SlideError(
            f"slide {job.unit} ({path.name}): the file changed while it was read. Run again.",
            code="E_CHANGED",
        )
    return key, SlideIdentity(size=slide["size"], xxh3=slide["xxh3"])


def _key_now(path: Path) -> str | None:
    try:
        return input_key(path)
    except OSError:
        return None


def _worked(task: Task, job: Job) -> tuple[Outcome | Exception, dict[str, OutputFile]]:
    result = attempt(task, job)
    if isinstance(result, Exception):
        return result, {}
    outputs = attempt(lambda job: outputs_of(job, result), job)
    return (outputs, {}) if isinstance(outputs, Exception) else (result, outputs)


def outputs_of(job: Job, outcome: Outcome) -> dict[str, OutputFile]:
    """Name of each file that a task wrote -> its digest, size and time."""
    return {name: stamped(job.root / name) for name in sorted(outcome.outputs)}


def attempt(task: Callable[[Job], R], job: Job) -> R | Exception:
    """Run a task and return its outcome or its error; the traceback of an unexpected error goes to the log.

    A read that fails with EIO, as happens on network disks, is tried twice more.
    """
    for number in range(_READ_RETRIES):
        answer = _attempt_once(task, job)
        if not _is_failed_read(answer):
            return answer
        logger.warning("%s: reading failed (%s); trying again", job.unit, answer)
        time.sleep(_RETRY_WAIT_S * (number + 1))
    return _attempt_once(task, job)


def _is_failed_read(answer: object) -> bool:
    error: BaseException | None = answer if isinstance(answer, Exception) else None
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EIO:
            return True
        error = error.__cause__
    return False


def _attempt_once(task: Callable[[Job], R], job: Job) -> R | Exception:
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
                f"slide {job.unit}: {error.strerror}. Free some space and run again; the run resumes."
            )
        failure = PathosigError(f"slide {job.unit}: {error.strerror or error}.", code="E_IO")
        failure.__cause__ = error
        return failure
    except Exception as error:
        absent = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        if absent is not None:
            return absent
        logger.exception("unexpected error on %s", job.unit)
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return PathosigError(
            f"slide {job.unit}: unexpected {type(error).__name__} at {where}: {error}. "
            "This is a bug; please report it with the file's format.",
            code="E_BUG",
        )

"""One attempt at one job, with retries of failed reads."""

from __future__ import annotations

import errno
import logging
import time
import traceback
from pathlib import Path

from pathosig.core.errors import PathosigError, StorageError
from pathosig.core.extras import missing_extra
from pathosig.core.units import Job, Outcome, Task

logger = logging.getLogger(__name__)

_READ_RETRIES = 2
_RETRY_WAIT_S = 0.2


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

"""The same per-slide units on a Dask cluster, any scheduler address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pathosig.core.attempt import attempt
from pathosig.core.errors import ConfigError, SlideError
from pathosig.core.units import Execution, Job, Outcome, Task


def run_on_dask(
    task: Task, jobs: Sequence[Job], *, execution: Execution
) -> Iterator[tuple[str, Outcome | Exception]]:
    """Yield (unit id, Outcome or Exception) as the cluster finishes jobs.

    The study folder must be reachable under the same path on every worker.

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached.
    """
    from dask.distributed import Client, as_completed

    try:
        client = Client(execution.scheduler, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"--dask {execution.scheduler}: no scheduler answers there ({type(error).__name__}). "
            "Start one with `dask scheduler` and give its tcp:// address."
        ) from error
    with client:
        futures = {client.submit(attempt, task, job, pure=False, retries=1): job.unit for job in jobs}
        for future in as_completed(list(futures)):
            unit = futures[future]
            if future.status == "finished":
                yield unit, future.result()
            else:
                lost = future.exception()
                yield (
                    unit,
                    SlideError(
                        f"slide {unit}: its Dask worker was lost or raised {type(lost).__name__}: {lost}.",
                        code="E_WORKER",
                    ),
                )

"""The same per-slide units on a Dask cluster, any scheduler address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pathosig.core.errors import ConfigError, SlideError


def run_on_dask(
    task: Callable[[Any], Any], jobs: Sequence[Any], *, execution: Any
) -> Iterator[tuple[str, Any]]:
    """Yield (unit id, Outcome or Exception) as the cluster finishes jobs.

    The study folder must be reachable under the same path on every worker.

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached.
    """
    from dask.distributed import Client, as_completed

    from pathosig.core.attempt import attempt

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

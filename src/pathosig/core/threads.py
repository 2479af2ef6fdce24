"""Limits the number of computing threads, and shares work among threads so that no result depends on their number."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_inside: ContextVar[bool] = ContextVar("one_blas_thread", default=False)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context manager and decorator that limits linear algebra to one thread.

    Matrices of a few hundred patients gain nothing from more threads; on a busy machine, threads that wait for each other
    cost many times the work. With one thread, results do not depend on the number of cores.
    """
    if _inside.get():
        yield
        return
    token = _inside.set(True)
    try:
        with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
            yield
    finally:
        _inside.reset(token)


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    """The libraries with threads of their own; the search takes 10 ms and is repeated only after something was imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def computing_threads() -> int:
    """Number of threads that may compute in parallel: OMP_NUM_THREADS if set, else the processors this process may use."""
    with contextlib.suppress(ValueError):
        return max(1, int(os.environ.get("OMP_NUM_THREADS", "")))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_processors() -> int:
    """Number of processors that this process may use, by its affinity mask and the quota of its control group.

    Examples
    --------
    >>> usable_processors() >= 1
    True
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        count = min(count, int(quota) // int(period))
    return max(1, count)


def side_by_side(task: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``[task(item) for item in items]`` on several threads, with linear algebra limited to one thread in each.

    This suits NumPy code, which releases the interpreter lock while it computes. Results do not depend on the number of
    threads.
    """
    count = computing_threads()
    with one_blas_thread():
        if count == 1:
            return [task(item) for item in items]
        with ThreadPoolExecutor(count, thread_name_prefix="compute") as pool:
            return list(pool.map(task, items))

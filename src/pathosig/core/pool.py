"""The same function on many items, over as many processes as allowed; the same results for any number."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from pathosig.core.progress import Progress
from pathosig.core.threads import one_blas_thread

T = TypeVar("T")
R = TypeVar("R")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_FEW = 8
_PARTS_PER_WORKER = 16


@one_blas_thread()
def over_processes(
    function: Callable[[T], R], items: Sequence[T], *, workers: int = 1, label: str, fewest: int = _FEW
) -> list[R]:
    """Results in the order of the items.

    Parameters
    ----------
    function
        Something that another process can be sent: a module's function, a bound method of a value, or a partial of one.
    items
        What it is called with.
    workers
        Processes; 1 stays in this one.
    label
        What the progress bar counts.
    fewest
        With fewer items no process is started: it would take longer than the work.

    Examples
    --------
    >>> over_processes(abs, [-1, 2], label="numbers")
    [1, 2]
    """
    out: list[R] = []
    with Progress(label, total=len(items)) as bar:
        if workers <= 1 or len(items) < fewest:
            for item in items:
                out.append(function(item))
                bar.advance()
            return out
        size = max(1, len(items) // (_PARTS_PER_WORKER * workers))
        parts = [items[i : i + size] for i in range(0, len(items), size)]
        context = multiprocessing.get_context("spawn")
        with _one_thread(), ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
            for future in [pool.submit(_each, function, part) for part in parts]:
                results = future.result()
                out += results
                bar.advance(len(results))
    return out


@one_blas_thread()
def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started inside compute with one thread each: results must not depend on their number."""
    saved = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""How many threads linear algebra may use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_inside: ContextVar[bool] = ContextVar("one_blas_thread", default=False)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra inside runs on one thread; a context and a decorator.

    Matrices of a few hundred patients gain nothing from more: on a busy machine threads that wait for each other
    cost many times the work. And the bits do not depend on the number of cores.
    """
    if _inside.get():
        yield
        return
    from threadpoolctl import threadpool_limits

    token = _inside.set(True)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        _inside.reset(token)

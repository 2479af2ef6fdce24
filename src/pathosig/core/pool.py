"""Runs functions in other processes: one function on many items, with the same results for any number of processes, or one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pathosig.core.progress import Progress
from pathosig.core.threads import one_blas_thread
from pathosig.core.workers import map_in_processes

T = TypeVar("T")
R = TypeVar("R")

_FEW = 8
_PARTS_PER_WORKER = 16


@one_blas_thread()
def over_processes(
    function: Callable[[T], R], items: Sequence[T], *, workers: int = 1, label: str, fewest: int = _FEW
) -> list[R]:
    """``[function(item) for item in items]``, computed by several processes.

    Parameters
    ----------
    function
        A function that can be pickled: a module's function, a bound method of a value, or a partial of one.
    items
        The arguments of the calls.
    workers
        Number of processes; 1 computes in this process.
    label
        What the progress bar counts.
    fewest
        With fewer items than this, no process is started, because that would take longer than the work.

    Returns
    -------
    list
        Results in the order of the items.

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
        main = _home(function) == "__main__"
        arguments = [(function, part) for part in parts]
        for results in map_in_processes(
            _each, arguments, workers=workers, main=main, label=label, done=bar.advance
        ):
            out += results
    return out


def apart(function: Callable[..., R], *arguments: Any, label: str) -> R:
    """``function(*arguments)``, computed by another process, so that the libraries it loads do not stay in this one.

    Parameters
    ----------
    function
        A function of a module.
    *arguments
        Its arguments; they and the result are sent from process to process.
    label
        What is computed, for messages.

    Raises
    ------
    PathosigError
        E_WORKER if the process died twice; otherwise whatever the function raises.

    Examples
    --------
    >>> apart(divmod, 7, 2, label="division")
    (3, 1)
    """
    main = _home(function) == "__main__" or any(_home(value) == "__main__" for value in arguments)
    ((result,),) = map_in_processes(
        _alone, [(function, arguments)], workers=1, main=main, label=label, done=lambda _: None
    )
    return result


def _alone(function: Callable[..., R], arguments: tuple[Any, ...]) -> list[R]:
    return [function(*arguments)]


def _home(function: Any) -> str:
    """The module of a function, of a method's class, or of the function in a partial."""
    return str(getattr(getattr(function, "func", function), "__module__", ""))


@one_blas_thread()
def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]

"""Functions in other processes: one function on many items, with the same results for any number of processes, or one call."""

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
        main = _home(function) == "__main__"
        arguments = [(function, part) for part in parts]
        for results in map_in_processes(
            _each, arguments, workers=workers, main=main, label=label, done=bar.advance
        ):
            out += results
    return out


def apart(function: Callable[..., R], *arguments: Any, label: str) -> R:
    """``function(*arguments)``, computed by another process that ends with it, so that nothing it loads stays here.

    Parameters
    ----------
    function
        A function of a module; arguments and result are sent from process to process.
    label
        What is computed, for messages.

    Raises
    ------
    PathosigError
        E_WORKER if the process died twice; else what the function raises.

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
    """The module of a function, of a method's class, or of what a partial calls."""
    return str(getattr(getattr(function, "func", function), "__module__", ""))


@one_blas_thread()
def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]

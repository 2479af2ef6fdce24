"""Stepwise Cox regression by an information criterion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pathosig.core.errors import ConfigError
from pathosig.survival.cox import cox
from pathosig.survival.coxfit import CoxFit
from pathosig.survival.data import as_columns, outcome


@dataclass(frozen=True, kw_only=True)
class Stepwise:
    """The models that a stepwise search went through, and the last one.

    Attributes
    ----------
    path
        (step, criterion after it), beginning with ("", criterion of the first model); steps are like "+ age" or "- grade".
    names
        Columns of the last model.
    fit
        The last model; None if it has no column.
    criterion
        Criterion of the last model.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3))
    >>> result = stepwise(x, rng.exponential(np.exp(-x[:, 1])), np.ones(60), direction="forward")
    >>> [step for step, _ in result.path], result.fit.n
    (['', '+ x2', '+ x1'], 60)
    """

    path: tuple[tuple[str, float], ...]
    names: tuple[str, ...]
    fit: CoxFit | None
    criterion: float


def stepwise(
    X: Any,
    time: Any,
    event: Any,
    *,
    direction: Literal["forward", "backward", "both"] = "both",
    start: Literal["auto", "null", "full"] = "auto",
    k: float = 2.0,
    ties: str = "efron",
) -> Stepwise:
    """Add and drop columns one at a time as long as -2 log L + k p decreases.

    Parameters
    ----------
    X, time, event, ties
        As in `cox`; rows with a missing value in any column are left out of all models.
    direction
        ``forward`` only adds columns, ``backward`` only drops them, ``both`` does either.
    start
        ``null``, ``full``, or ``auto``, which is null for forward and full otherwise.
    k
        Penalty of each coefficient: 2 for AIC, log(events) for BIC.

    Returns
    -------
    Stepwise

    Raises
    ------
    ConfigError
        On an unknown direction.

    References
    ----------
    R: MASS::stepAIC.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3))
    >>> result = stepwise(x, rng.exponential(np.exp(-x[:, 1])), np.ones(60))
    >>> result.names, [step for step, _ in result.path]
    (('x1', 'x2'), ['', '- x3'])
    """
    if direction not in ("forward", "backward", "both"):
        raise ConfigError(f"stepwise: direction {direction!r}; expected forward, backward or both.")
    x, names = as_columns(X)
    t, d, _ = outcome(time, event, rows=len(x), what="stepwise")
    kept = np.isfinite(x).all(axis=1)
    x, t, d = x[kept], t[kept], d[kept]
    full = start == "full" or (start == "auto" and direction != "forward")
    chosen = list(range(x.shape[1])) if full else []
    cache: dict[tuple[int, ...], float] = {}

    def value(columns: list[int]) -> float:
        key = tuple(sorted(columns))
        if key not in cache:
            fit = cox(x[:, list(key)] if key else x[:, :0], t, d, ties=ties)  # type: ignore[arg-type]
            cache[key] = -2 * fit.loglik + k * int(np.isfinite(fit.coef).sum())
        return cache[key]

    current = value(chosen)
    path = [("", current)]
    while True:
        moves: list[tuple[float, str, list[int]]] = []
        if direction != "forward":
            for j in chosen:
                rest = [c for c in chosen if c != j]
                moves.append((value(rest), f"- {names[j]}", rest))
        if direction != "backward":
            for j in range(x.shape[1]):
                if j not in chosen:
                    moves.append((value([*chosen, j]), f"+ {names[j]}", [*chosen, j]))
        if not moves:
            break
        best = min(moves, key=lambda m: m[0])
        if best[0] >= current - 1e-7:
            break
        current, chosen = best[0], best[2]
        path.append((best[1], current))
    fit = None
    if chosen:
        fit = cox(x[:, chosen], t, d, ties=ties)  # type: ignore[arg-type]
        # without aliased columns, which have no coefficient
        chosen = [c for c, there in zip(chosen, np.isfinite(fit.coef), strict=True) if there]
        fit = cox(pd.DataFrame(x[:, chosen], columns=[names[c] for c in chosen]), t, d, ties=ties)  # type: ignore[arg-type]
    return Stepwise(path=tuple(path), names=tuple(names[c] for c in chosen), fit=fit, criterion=current)

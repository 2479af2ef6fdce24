"""Small plain values that results.json is made of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pathosig.core.errors import PathosigError
from pathosig.survival import cox

Z95 = 1.959963984540054


def finite(value: Any) -> float | None:
    """A float, or None when it is missing or infinite."""
    number = float(value)
    return number if math.isfinite(number) else None


def estimate(value: Any, lower: Any = math.nan, upper: Any = math.nan, **more: Any) -> dict[str, Any]:
    """``{"estimate", "lower", "upper", ...}`` of results.json."""
    return {"estimate": finite(value), "lower": finite(lower), "upper": finite(upper), **more}


def attempt(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What `make` gives, or ``{"not_estimable": reason}``."""
    try:
        return make(*args, **options)
    except PathosigError as error:
        return {"not_estimable": str(error)}


def hazard_ratio(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, *, adjust: np.ndarray | None = None, **options: Any
) -> dict[str, Any]:
    """HR of one column with limits and p; Firth's estimate, said so, where events are separated.

    Parameters
    ----------
    x
        float[n].
    adjust
        float[n, m]: further columns of the model.
    options
        strata, cluster, weights of `cox`.
    """
    columns = x[:, None] if adjust is None else np.column_stack([x, adjust])

    def fit() -> dict[str, Any]:
        if not np.nanstd(x) > 0:
            return {"not_estimable": "the column does not vary"}
        found = cox(columns, time, event, **options)
        out: dict[str, Any] = {
            "hr": finite(found.hr[0]),
            "lower": finite(found.lower[0]),
            "upper": finite(found.upper[0]),
            "p": finite(found.p[0]),
            "coef": finite(found.coef[0]),
            "se": finite(found.se[0]),
            "n": found.n,
            "events": found.n_events,
        }
        if any("separates" in note for note in found.warnings):
            out |= {"upper": None, "remark": "separation"}
            out |= attempt(lambda: firth(columns, time, event))
        return out

    return dict(attempt(fit))


def firth(columns: np.ndarray, time: np.ndarray, event: np.ndarray) -> dict[str, Any]:
    """First column's HR by Firth's penalised likelihood."""
    from pathosig.survival import firth_cox

    found = firth_cox(columns, time, event)
    values: dict[str, Any] = {k: finite(np.asarray(getattr(found, k))[0]) for k in ("lower", "upper", "p")}
    return {**values, "hr": finite(np.exp(found.coef[0])), "remark": "separation; Firth's estimate"}


def quietly(make: Callable[[], Any]) -> Any:
    """Run without NumPy's warnings about empty or degenerate resamples."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return make()

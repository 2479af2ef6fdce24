"""Checks and conversions of survival data, with which every function of this package begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.words import counted


def fix_times(*times: np.ndarray) -> tuple[np.ndarray, ...]:
    """Make times equal that differ only by rounding, as R's ``timefix`` does (survival::aeqSurv).

    Parameters
    ----------
    *times
        float[n] each; they are compared with each other, as are entry and exit times.

    Returns
    -------
    The arrays in the order given.

    References
    ----------
    R: survival::aeqSurv.

    Examples
    --------
    >>> fix_times(np.array([0.3, 0.1 + 0.2, 1.0]))[0].tolist()
    [0.3, 0.3, 1.0]
    """
    values = np.unique(np.concatenate(times))
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return times
    gaps = np.diff(values)
    tolerance = np.sqrt(np.finfo(float).eps)
    scale = np.mean(np.abs(values))
    tied = (gaps <= tolerance) | (gaps / scale <= tolerance if scale > 0 else False)
    if not tied.any():
        return times
    cuts = values[np.concatenate([[True], ~tied])]
    return tuple(cuts[np.searchsorted(cuts, t, side="right") - 1] for t in times)


def as_times(time: Any, *, name: str = "time") -> np.ndarray:
    """Times as float[n], all of them finite and >= 0.

    Parameters
    ----------
    time
        [n] times >= 0 in any unit.
    name
        Name of the times in error messages.

    Returns
    -------
    float[n] in the unit of `time`.

    Raises
    ------
    InputError
        E_TIME if values are missing, negative, infinite or not numbers; the message gives their rows.

    Examples
    --------
    >>> as_times([1, 2.5])
    array([1. , 2.5])
    >>> as_times([1, -2])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.InputError: time: 1 value is missing, negative or infinite, at rows [1]. Leave ...
    """
    out = as_numbers(time, name, "E_TIME", "numbers >= 0")
    bad = np.flatnonzero(~np.isfinite(out) | (out < 0))
    if len(bad):
        raise InputError(
            f"{name}: {counted(len(bad), 'value is', 'values are')} missing, negative or infinite, at rows {bad[:5].tolist()}. "
            "Leave those patients out, or complete their follow-up.",
            code="E_TIME",
        )
    return out


def as_events(event: Any) -> np.ndarray:
    """Events as bool[n], from booleans or 0/1.

    Parameters
    ----------
    event
        [n] booleans, or 0 for censored and 1 for an event.

    Returns
    -------
    bool[n].

    Raises
    ------
    InputError
        E_EVENT if values are missing or anything else, such as text or the coding 1/2.

    Examples
    --------
    >>> as_events([0, 1, 1])
    array([False,  True,  True])
    >>> as_events([1, 2])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.InputError: event: found 2.0 at rows [1]; expected 0/1 or booleans. A patient ...
    """
    raw = np.asarray(event)
    if raw.dtype == bool and raw.ndim == 1:
        return raw
    values = as_numbers(event, "event", "E_EVENT", "0/1 or booleans")
    bad = np.flatnonzero(~np.isin(values, (0.0, 1.0)))
    if len(bad):
        odd = sorted({str(v) for v in values[bad].tolist()})[:5]
        raise InputError(
            f"event: found {', '.join(odd)} at rows {bad[:5].tolist()}; expected 0/1 or booleans. A patient without an outcome is "
            "not a censored patient: leave such patients out.",
            code="E_EVENT",
        )
    return values == 1.0


def as_numbers(values: Any, name: str, code: str, expected: str) -> np.ndarray:
    """Values as float[n]; None and pandas' NA become NaN, and text is refused even if it looks like a number.

    Parameters
    ----------
    values
        [n] numbers.
    name, code
        Name of the values in error messages, and the code of the error.
    expected
        Description of the expected values for error messages.

    Returns
    -------
    float[n]; NaN where a value is missing.

    Raises
    ------
    InputError
        With `code`, if values are text or have more than one dimension.

    Examples
    --------
    >>> as_numbers([1, None, 2.5], "age", "E_VALUE", "numbers")
    array([1. , nan, 2.5])
    """
    raw = np.asarray(values)
    if raw.ndim != 1:
        raise InputError(f"{name}: expected one dimension, found {raw.ndim}.", code=code)
    if raw.dtype.kind == "O":
        raw = np.array(
            [np.nan if v is None or str(v) in ("<NA>", "NaT") else v for v in raw.tolist()], object
        )
        text = [i for i, v in enumerate(raw.tolist()) if isinstance(v, (str, bytes))]
    else:
        text = list(range(len(raw))) if raw.dtype.kind in "USMm" else []
    if text:
        raise InputError(f"{name}: found text at rows {text[:5]}; expected {expected}.", code=code)
    try:
        return raw.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}; expected {expected}.", code=code) from error


def outcome(
    time: Any, event: Any, *, entry: Any = None, rows: int | None = None, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Checked outcomes: times float[n], events bool[n], and times of delayed entry float[n] or None.

    Parameters
    ----------
    time, event, entry
        [n] times >= 0, events as booleans or 0/1, and times of delayed entry >= 0 or None.
    rows
        Number of rows that other data of the calling function have; None if there are no such data.
    what
        Name of the calling function, for error messages.

    Returns
    -------
    float[n], bool[n], and float[n] or None.

    Raises
    ------
    InputError
        E_TIME, E_EVENT, or E_INPUT if lengths differ.

    Examples
    --------
    >>> outcome([5, 2.5], [1, 0], what="example")[1].tolist()
    [True, False]
    """
    t, d = as_times(time), as_events(event)
    start = None if entry is None else as_times(entry, name="entry")
    lengths = {"time": len(t), "event": len(d)}
    if start is not None:
        lengths["entry"] = len(start)
    if rows is not None:
        lengths = {"rows": rows, **lengths}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise InputError(f"{what}: lengths differ ({counts}).")
    return t, d, start


def outcome_table(outcome: pd.DataFrame) -> pd.DataFrame:
    """A table of outcomes with time as float and event as bool.

    Parameters
    ----------
    outcome
        Table with patient_id, time >= 0 and event (0/1 or booleans); columns of Python objects are allowed.

    Returns
    -------
    A copy of the table with checked columns time and event.

    Raises
    ------
    InputError
        E_TIME if a time is missing, negative or infinite; E_EVENT if an event is missing or neither 0/1 nor a boolean.

    Examples
    --------
    >>> table = pd.DataFrame({"patient_id": ["P1", "P2"], "time": [3, 5], "event": [1, 0]})
    >>> outcome_table(table)["event"].tolist()
    [True, False]
    """
    missing = [c for c in ("patient_id", "time", "event") if c not in outcome]
    if missing:
        raise InputError(f"outcome: no column {missing[0]!r}; found {list(outcome.columns)[:8]}.")
    for name, code in (("time", "E_TIME"), ("event", "E_EVENT")):
        column = outcome[name]
        empty = column[column.isna()]
        if len(empty):
            patients = outcome.loc[empty.index, "patient_id"].astype(str).tolist()
            raise InputError(
                f"outcome: {name} is missing in {len(empty)} of {len(outcome)} patients, such as {patients[:3]}. "
                "Leave these patients out.",
                code=code,
            )
        if not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            values = sorted({repr(v) for v in column})[:4]
            try:
                plain = column.map(_plain).to_numpy(float)
            except (TypeError, ValueError):
                wanted = "0/1 or booleans" if name == "event" else "numbers"
                raise InputError(
                    f"outcome: {name} has values {', '.join(values)}; expected {wanted}.", code=code
                ) from None
            outcome = outcome.assign(**{name: plain})
    time, event = as_times(outcome["time"].to_numpy(float)), as_events(outcome["event"].to_numpy())
    return outcome.assign(time=time, event=event)


def _plain(value: object) -> float:
    """A number from a column of Python objects; text is refused even if it looks like a number."""
    if isinstance(value, str):
        raise TypeError(value)
    return float(value)  # type: ignore[arg-type]


def as_weights(weights: Any, n: int) -> np.ndarray:
    """Case weights as float[n], all >= 0; ones for None.

    Parameters
    ----------
    weights
        [n] case weights, or None for equal weights.
    n
        Number of rows.

    Returns
    -------
    float[n].

    Raises
    ------
    InputError
        E_WEIGHT if weights are missing, infinite or negative, or their number is not `n`.

    Examples
    --------
    >>> as_weights(None, 3), as_weights([2, 0.5, 1], 3)
    (array([1., 1., 1.]), array([2. , 0.5, 1. ]))
    """
    if weights is None:
        return np.ones(n)
    out = as_numbers(weights, "weights", "E_WEIGHT", "numbers >= 0")
    bad = np.flatnonzero(~np.isfinite(out) | (out < 0))
    if len(out) != n or len(bad):
        finding = f"{len(out)} weights for {n} rows" if len(out) != n else f"{out[bad[0]]:g} at row {bad[0]}"
        raise InputError(
            f"weights: found {finding}; expected a finite number >= 0 for each row.", code="E_WEIGHT"
        )
    return out


def as_columns(x: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """The columns of a model as float[n, p], and their names.

    Parameters
    ----------
    x
        [n] or [n, p] array, Series or DataFrame; unnamed columns are called x1, x2 ...

    Returns
    -------
    float[n, p], with NaN where a value is missing, and `p` names.

    Examples
    --------
    >>> as_columns([[1, 2], [3, 4]])
    (array([[1., 2.],
           [3., 4.]]), ('x1', 'x2'))
    """
    if hasattr(x, "columns"):
        names = tuple(str(c) for c in x.columns)
        return np.asarray(x, float), names
    array = np.asarray(x, float)
    if array.ndim == 1:
        return array[:, None], (str(getattr(x, "name", None) or "x1"),)
    return array, tuple(f"x{i + 1}" for i in range(array.shape[1]))

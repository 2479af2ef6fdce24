"""Chooses the columns of an outside table that are features; every other column is left out, and warnings say why."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pathosig.core.columns import read_column
from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.numbers import Decimal
from pathosig.core.vocabulary import ENDPOINTS
from pathosig.core.words import fold, senses

_ID_LIKE = re.compile(r"(^|[ _.-])(id|ids|uuid|barcode|index|map|identifier|accession|mrn)$", re.IGNORECASE)
_OUTCOME_LIKE = re.compile(
    r"(^|[ _.-])(os|dfs|pfs|dss|dfi|pfi|rfs|efs|ttp|ttr|mfs|css|event|death|dead|died|vital|status|followup"
    r"|follow[ _.-]up|last[ _.-]contact|survival|recurrence|relapse|progression|new[ _.-]tumor|censor\w*|deceased"
    r"|date|year|dx|birth|diagnosis|days[ _.-]to)([ _.-]|\d|$)",
    re.IGNORECASE,
)
_INDEX_NAMES = re.compile(
    r"|unnamed:? ?\d*(_.*)?|index|level_\d+|x(\.\d+)?|row|rows|rownames?|row[_. -]?(number|id|index|no|nr)|\.{3}\d+|rn|nr|no|sample[_. -]?(no|number|index)",
    re.IGNORECASE,
)
_OURS = re.compile(r"(hpc|node)_\d+")
_PEOPLE = frozenset({"patient", "sample", "slide"})
_FATE = frozenset({"death", "vital", "survival", "censor", "last contact", "cause", "alive"})
_SHOWN = 30
_FEW_TO_COUNT = 10
_LEFT_OUT_CODE = "W_LEFT_OUT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Columns that are features, and columns that are not.

    Attributes
    ----------
    values
        Name of a feature -> float[n], NaN where missing.
    left_out
        Reason -> names of the columns that are left out for it.
    infinite
        Name -> number of infinite values that were set to missing.
    """

    values: Mapping[str, np.ndarray]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    infinite: Mapping[str, int] = field(default_factory=dict)


def choose_features(
    table: pd.DataFrame,
    names: Sequence[str],
    *,
    patterns: Sequence[str] = (),
    source: str,
    missing: frozenset[str] = frozenset(),
    decimal: Decimal | None = None,
) -> Features:
    """The features among the columns `names` of a table.

    Parameters
    ----------
    table
        The table; cells are text or numbers.
    names
        Columns that may be features.
    patterns
        Names or patterns of the features. If given, every column that fits is a feature, and must be numeric.
    source
        Name of the table, for messages.
    missing, decimal
        See `core.columns.read_column`.

    Returns
    -------
    Features

    Raises
    ------
    InputError
        If no column fits the patterns. E_FEATURE if a feature has the name of an HPC or node (``hpc_07``), a column that the
        patterns name is not numeric, or a column of numbers has a word that is not declared as missing or a number that can
        be read in two ways.
    """
    chosen = _fitting(names, patterns, source) if patterns else list(names)
    left_out: dict[str, list[str]] = {}
    values: dict[str, np.ndarray] = {}
    infinite: dict[str, int] = {}
    refused: list[str] = []
    for name in chosen:
        reason = "" if patterns else reason_by_name(name)
        if not reason:
            reason, numbers, lost = _read(table[name], name, missing, decimal, refused)
            if numbers is not None and not patterns:
                reason = reason_by_values(name, numbers)
            if lost:
                infinite[name] = lost
            if numbers is not None and not reason:
                values[name] = numbers
        if reason:
            left_out.setdefault(reason, []).append(name)
    taken = [name for name in values if _OURS.fullmatch(name)]
    if taken:
        raise InputError(
            f"{source}: columns {', '.join(map(repr, taken[:5]))} have the names of this study's own HPCs and nodes. Rename the "
            "features, such as cells_00.",
            code="E_FEATURE",
        )
    if refused:
        raise InputError(f"{source}: {'; '.join(refused[:10])}.", code="E_FEATURE")
    if patterns and left_out:
        shown = "; ".join(f"{', '.join(map(repr, n[:5]))} {r}" for r, n in left_out.items())
        raise InputError(
            f"{source}: columns that were named as features cannot be used: {shown}.", code="E_FEATURE"
        )
    return Features(values=values, left_out={k: tuple(v) for k, v in left_out.items()}, infinite=infinite)


def _fitting(names: Sequence[str], patterns: Sequence[str], source: str) -> list[str]:
    chosen = [n for n in names if any(n == p or fnmatch.fnmatchcase(n, p) for p in patterns)]
    if not chosen:
        message = (
            f"{source}: no column fits {list(patterns)[:5]}; found {list(names)[:10]}. Correct --columns, or "
            "[profiles] columns in study.toml."
        )
        raise InputError(message)
    return chosen


def reason_by_name(name: str) -> str:
    """Why the header of a column shows that it is not a feature; "" if it does not.

    Parameters
    ----------
    name
        The header.

    Returns
    -------
    str
        Completes "columns that ...".

    Examples
    --------
    >>> reason_by_name("Tumor_Sample_Barcode"), reason_by_name("stroma_share")
    ('look like ids', '')
    """
    if _INDEX_NAMES.fullmatch(name.strip()):
        return "look like an index"
    if _OUTCOME_LIKE.search(name):
        return "look like outcomes or dates"
    has = senses(name)
    if has & _FATE or (has & set(ENDPOINTS) and has & {"time", "event", "days", "months", "years"}):
        return "look like outcomes or dates"
    if _ID_LIKE.search(name) or (
        has & _PEOPLE and not has - _PEOPLE - {"case number"} and _is_id_header(name)
    ):
        return "look like ids"
    return ""


def _is_id_header(name: str) -> bool:
    text = fold(name)
    return (
        bool(re.search(r"(^|[ _.-])(id|no|nr|number|code|name|barcode|file|path)$", text))
        or len(text.split()) == 1
    )


def reason_by_values(name: str, values: np.ndarray) -> str:
    """Why the numbers of a column show that it is not a feature: they are row numbers, perhaps shuffled; "" if not.

    Parameters
    ----------
    name
        The header.
    values
        float[n].

    Returns
    -------
    str
        Completes "columns that ...".
    """
    n = len(values)
    if n >= _FEW_TO_COUNT and np.isfinite(values).all():
        ordered = np.sort(values)
        if (np.diff(ordered) == 1).all() and ordered[0] in (0, 1):
            return "number the rows"
    return ""


def _read(
    column: pd.Series, name: str, missing: frozenset[str], decimal: Decimal | None, refused: list[str]
) -> tuple[str, np.ndarray | None, int]:
    """Why one column is not a feature (or ""), its numbers, and how many of them are infinite."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(float, na_value=np.nan)
        lost = int(np.isinf(numbers).sum())
    elif pd.api.types.is_datetime64_any_dtype(column):
        return "hold dates", None, 0
    else:
        cells = ["" if c is None or c is pd.NA or c != c else str(c).strip() for c in column]
        read = read_column(name, cells, missing=missing, decimal=decimal, none_is_missing=True)
        if read.strange:
            shown = ", ".join(map(repr, read.strange[:4]))
            refused.append(
                f"column {name!r} holds numbers and {shown}; correct them, or declare what means missing: missing = "
                f'["{read.strange[0]}"] in [columns] of study.toml'
            )
            return "", None, 0
        if read.kind == "words" and {c.casefold() for c in read.counts} <= {"true", "false"}:
            codes = {c: float(c.casefold() == "true") for c in read.counts}
            return "", np.array([codes.get(read.spellings.get(c, c), np.nan) for c in cells]), 0
        if read.numbers is None:
            reasons = {"empty": "are empty", "dates": "hold dates", "words": "hold words"}
            return reasons.get(read.kind, "hold words"), None, 0
        if read.numbers.ambiguous:
            refused.append(
                f"column {name!r} has values such as {read.numbers.ambiguous!r}, in which the comma or point may separate decimals or "
                'thousands; set decimal = "point" or "comma" in [columns] of study.toml'
            )
            return "", None, 0
        numbers, lost = np.array(read.numbers.values), read.numbers.infinite
    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    if not np.isfinite(finite).any():
        return "are empty", None, lost
    return "", finite, lost


def warn_of_left_out(features: Features, source: str) -> None:
    """Warn of the columns that are left out, by reason and name, and of infinite values.

    Parameters
    ----------
    features
        From `choose_features`.
    source
        Name of the table.
    """
    for reason, names in features.left_out.items():
        shown = f"{list(names[:_SHOWN])}" + (
            f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        )
        text = f"{source}: columns that {reason} are not used as features: {shown}."
        code = "W_OUTCOME_LIKE" if "outcomes" in reason else _LEFT_OUT_CODE
        if code == "W_OUTCOME_LIKE":
            text += " If one is a feature, name the features with --columns."
        warnings.warn(PathosigWarning(text, code=code), stacklevel=3)
    if features.infinite:
        shown = ", ".join(f"{name} ({n})" for name, n in list(features.infinite.items())[:_SHOWN])
        text = f"{source}: infinite values are treated as missing: {shown}."
        warnings.warn(PathosigWarning(text, code="W_INFINITE"), stacklevel=3)

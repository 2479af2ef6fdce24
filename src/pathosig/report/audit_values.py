"""Values out of the JSON of an audit, by the path of their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pathosig.validation.values import Estimate

Audit = Mapping[str, Any]


def value_at(result: Audit, path: str) -> object:
    """The value at ``key.key``; None where a key is missing."""
    value: object = result
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number_at(result: Audit, path: str) -> float | None:
    """A number."""
    value = value_at(result, path)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def count_at(result: Audit, path: str) -> int:
    """A count; 0 where it is missing."""
    return int(number_at(result, path) or 0)


def text_at(result: Audit, path: str) -> str:
    """A text; empty where it is missing."""
    value = value_at(result, path)
    return value if isinstance(value, str) else ""


def rows_at(result: Audit, path: str) -> Sequence[Audit]:
    """A list of mappings; empty where it is missing."""
    value = value_at(result, path)
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def estimate_at(result: Audit, path: str) -> Estimate | float | None:
    """An estimate with its interval, or a plain number."""
    if number_at(result, f"{path}.estimate") is not None:
        value, lower, upper = (number_at(result, f"{path}.{key}") for key in ("estimate", "lower", "upper"))
        return Estimate(estimate=value, lower=lower, upper=upper)
    return number_at(result, path)

"""JSON of strangers: small, shallow, without repeated keys and without infinite numbers."""

from __future__ import annotations

import json
from typing import Any

_DEEPEST = 32


def read_strict(data: bytes) -> dict[str, Any]:
    """An object from JSON text.

    Raises
    ------
    ValueError
        If it is no object, nested more than 32 deep, or has a key twice or a number that is not finite.
    """
    text = data.decode("utf-8")
    _refuse_depth(text)
    value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def _refuse_depth(text: str) -> None:
    """Count brackets outside strings before any recursive reader sees the text."""
    depth, inside, escaped = 0, False, False
    for letter in text:
        if inside:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                inside = False
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"nested more than {_DEEPEST} deep")
        elif letter in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key appears twice")
    return out


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"the number {name} is not finite")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} is not finite")
    return value

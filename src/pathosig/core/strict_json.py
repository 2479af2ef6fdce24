"""Reads JSON from untrusted files: it must be shallow, and have no repeated keys and no infinite numbers."""

from __future__ import annotations

import json
from typing import Any

_DEEPEST = 32


def read_strict(data: bytes) -> dict[str, Any]:
    """The object in a JSON text.

    Raises
    ------
    ValueError
        If it is not an object, is nested more than 32 levels deep, or has a repeated key or a number that is not finite.
    """
    text = data.decode("utf-8")
    _refuse_depth(text)
    value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def _refuse_depth(text: str) -> None:
    """Refuse deep nesting by counting brackets outside strings, before any recursive reader sees the text."""
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

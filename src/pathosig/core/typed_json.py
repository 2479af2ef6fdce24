"""Converts frozen dataclasses to JSON and back, guided by their type hints."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pathosig.core.errors import InputError

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """A dataclass as mappings, lists and scalars for JSON; `from_plain` is the inverse.

    A field that equals its default is left out. ``field(metadata={"key": ...})`` gives a field another name in JSON, and a
    class with methods ``to_json`` and ``from_json`` is converted by these.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Point:
    ...     x: float
    ...     label: str = ""
    >>> to_plain(Point(x=1.5))
    {'x': 1.5}
    >>> from_plain(Point, {"x": 2}, where="point")
    Point(x=2.0, label='')
    """
    if hasattr(value, "to_json"):
        return json.loads(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = ((f, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {_key(f): to_plain(v) for f, v in items if v != _default(f)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    return value


def from_plain(kind: type[T], raw: object, *, where: str, code: str = "E_FORMAT") -> T:
    """The dataclass `kind` from the plain values that `to_plain` returned.

    Parameters
    ----------
    kind
        A dataclass whose fields are scalars, literals, tuples, string-keyed mappings, dataclasses or unions of these.
    raw
        Parsed JSON.
    where
        Name of the file, for messages.
    code
        Code of the error.

    Raises
    ------
    InputError
        If a key is unknown or missing, or a value has another type; the message names its place.
    """
    value: T = _read(kind, raw, where, code)
    return value


def _read(hint: Any, raw: Any, where: str, code: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read(_member(hint, raw), raw, where, code)
    if origin is Literal:
        return (
            raw if raw in get_args(hint) else _refuse(where, raw, " | ".join(map(repr, get_args(hint))), code)
        )
    if origin is tuple:
        if not isinstance(raw, list):
            _refuse(where, raw, "a list", code)
        item = get_args(hint)[0]
        return tuple(_read(item, v, f"{where}[{i}]", code) for i, v in enumerate(raw))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(raw, dict):
            _refuse(where, raw, "a mapping", code)
        return {k: _read(get_args(hint)[1], v, f"{where}.{k}", code) for k, v in raw.items()}
    if hasattr(hint, "from_json"):
        try:
            return hint.from_json(json.dumps(raw))
        except InputError as error:
            raise InputError(f"{where}: {error.message}", code=code) from error
    if dataclasses.is_dataclass(hint):
        return _read_fields(hint, raw, where, code)
    if hint is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return float(raw)
    if hint is type(None) and raw is None:
        return None
    if hint in (str, int, bool, float) and type(raw) is hint:
        return raw
    return _refuse(where, raw, getattr(hint, "__name__", str(hint)), code)


def _read_fields(kind: Any, raw: Any, where: str, code: str) -> Any:
    if not isinstance(raw, dict):
        _refuse(where, raw, f"a mapping ({kind.__name__})", code)
    fields = _fields(kind)
    unknown = sorted(set(raw) - set(fields))
    missing = sorted(k for k, (f, _) in fields.items() if k not in raw and _default(f) is dataclasses.MISSING)
    if unknown or missing:
        raise InputError(
            f"{where}: {kind.__name__} has unknown keys {unknown} and lacks {missing}; expected {', '.join(fields)}.",
            code=code,
        )
    values = {
        f.name: _read(hint, raw[k], f"{where}.{k}", code) for k, (f, hint) in fields.items() if k in raw
    }
    return kind(**values)


def _member(union: Any, raw: Any) -> Any:
    """The member of a union that a value belongs to, by its type or, for dataclasses, by its keys."""
    members = get_args(union)
    if raw is None and type(None) in members:
        return type(None)
    rest = [m for m in members if m is not type(None)]
    if isinstance(raw, dict):
        for member in rest:
            if dataclasses.is_dataclass(member) and not hasattr(member, "from_json"):
                fields = _fields(cast(type, member))
                needed = {k for k, (f, _) in fields.items() if _default(f) is dataclasses.MISSING}
                if needed <= set(raw) <= set(fields):
                    return member
        rest = [m for m in rest if dataclasses.is_dataclass(m) or get_origin(m) is not tuple] or rest
    elif isinstance(raw, list):
        rest = [m for m in rest if get_origin(m) is tuple] or rest
    else:
        rest = [m for m in rest if m is type(raw)] or rest
    return rest[0]


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return {_key(f): (f, hints[f.name]) for f in dataclasses.fields(kind)}


def _key(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))


def _default(field: dataclasses.Field[Any]) -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _refuse(where: str, raw: object, expected: str, code: str) -> Any:
    shown = repr(raw) if not isinstance(raw, (dict, list)) else type(raw).__name__
    raise InputError(f"{where}: found {shown[:60]}; expected {expected}.", code=code)

"""Specs: the settings of a stage, as a frozen value that is read from study.toml or from flags."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pathosig.core.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """Base class of all Specs: a frozen dataclass that names its table in study.toml.

    A Spec states *what* is computed and is part of the fingerprint; `Execution` states *how*.
    """

    section: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, with tuples as lists, for JSON, TOML and fingerprints."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> Self:
        """Build the Spec from a table of study.toml.

        Raises
        ------
        ConfigError
            If a key is unknown or a value has the wrong type.
        """
        hints = typing.get_type_hints(cls)
        keys = {f.name for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            if key not in keys:
                raise ConfigError(_unknown(cls.section, key, keys))
            values[key] = _coerce(value, hints[key], f"[{cls.section}] {key}")
        return cls(**values)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; it is checked like a new Spec."""
        return type(self).from_mapping({**self.to_dict(), **changes})

    def _within(self, name: str, low: float, high: float) -> None:
        """Refuse a field outside a range, with a ConfigError that names both."""
        value = getattr(self, name)
        if not low <= value <= high:
            raise ConfigError(f"[{self.section}] {name}: found {value}; expected {low} to {high}.")


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


def _unknown(section: str, key: str, keys: set[str]) -> str:
    near = difflib.get_close_matches(key, sorted(keys), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" Expected one of {', '.join(sorted(keys))}."
    return f"study.toml: table [{section}] has no key {key!r}.{hint}"


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """`value` as the declared type; otherwise a ConfigError states what was expected."""
    origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
        allowed = ", ".join(repr(a) for a in get_args(hint))
        raise ConfigError(f"{where}: found {value!r}; expected one of {allowed}.")
    if origin in (typing.Union, types.UnionType):
        return _coerce_union(value, get_args(hint), where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: found {value!r}; expected a list.")
        inner = get_args(hint)[0]
        return tuple(_coerce(v, inner, where) for v in value)
    if origin in (dict, Mapping) or hint is dict:
        if isinstance(value, Mapping):
            return dict(value)
        raise ConfigError(f"{where}: found {value!r}; expected a table.")
    return _coerce_scalar(value, hint, where)


def _coerce_union(value: Any, options: tuple[Any, ...], where: str) -> Any:
    if value is None or (value == "none" and type(None) in options):
        if type(None) in options:
            return None
        raise ConfigError(f"{where}: a value is needed.")
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _coerce(value, option, where)
        except ConfigError as error:
            errors.append(str(error))
    raise ConfigError(errors[0])


def _coerce_scalar(value: Any, hint: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, str):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{where}: found {value!r}; expected {name}.")

"""Plug-ins, found by entry points; the built-in readers, encoders and clusterers are registered in the same way.

Groups: ``pathosig.readers``, ``pathosig.encoders``, ``pathosig.clusterers``.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pathosig.core.errors import ConfigError

GROUPS = ("pathosig.readers", "pathosig.encoders", "pathosig.clusterers")


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise ConfigError(f"no plug-in group {group!r}; the groups are {', '.join(GROUPS)}.")
    return {point.name: point for point in entry_points(group=group)}


def available(group: str) -> list[str]:
    """Names registered in a group, sorted.

    Raises
    ------
    ConfigError
        If there is no such group.
    """
    return sorted(_group(group))


def load(group: str, name: str) -> Any:
    """The object registered under `name`.

    Raises
    ------
    ConfigError
        If nothing is registered under that name, or its package cannot be imported.
    """
    points = _group(group)
    if name not in points:
        names = ", ".join(sorted(points)) or "none"
        raise ConfigError(f"{group}: nothing is registered as {name!r}; found {names}.")
    try:
        return points[name].load()
    except ImportError as error:
        raise ConfigError(
            f"{group}: {name!r} is registered but cannot be imported ({error}). Install its package."
        ) from error

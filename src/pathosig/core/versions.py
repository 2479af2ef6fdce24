"""Versions of the libraries that decide numbers."""

from __future__ import annotations

import functools
import os
import sys

_NAMES = ("pathosig", "numpy", "scipy", "scikit-learn", "torch", "timm", "onnxruntime", "openslide-bin")


def versions() -> dict[str, str]:
    """Versions of pathosig, Python and the libraries that decide numbers, of those that are installed."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    listed = _listed()
    for name in _NAMES:
        version = listed.get(name) if "pathosig" in listed else _asked(name)
        if version is not None:
            found[name] = version
    return found


def _listed() -> dict[str, str]:
    """Version by name, from the names of the folders that installers leave: a thirtieth of importlib.metadata's time."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or os.curdir)  # noqa: PTH208  (names are all that is wanted)
        except OSError:
            continue
        for entry in entries:
            if entry.endswith(".dist-info"):
                name, _, version = entry.removesuffix(".dist-info").partition("-")
                found.setdefault(name.replace("_", "-").replace(".", "-").lower(), version)
    return found


def _asked(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None

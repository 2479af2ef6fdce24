"""Versions of the libraries that affect numerical results."""

from __future__ import annotations

import functools
import sys

_NAMES = ("pathosig", "numpy", "scipy", "scikit-learn", "torch", "timm", "onnxruntime", "openslide-bin")


def versions() -> dict[str, str]:
    """Versions of Python, pathosig and the installed libraries that affect numerical results."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    from importlib.metadata import (
        PackageNotFoundError,
        version,
    )  # imported here because it imports `email`, which workers do not need

    out = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _NAMES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out

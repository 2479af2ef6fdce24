"""Versions of the libraries that decide numbers."""

from __future__ import annotations

import functools
import sys

_NAMES = ("pathosig", "numpy", "scipy", "scikit-learn", "torch", "timm", "onnxruntime", "openslide-bin")


def versions() -> dict[str, str]:
    """Versions of pathosig, Python and the libraries that decide numbers, of those that are installed."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # workers do without: it brings in `email`

    out = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _NAMES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out

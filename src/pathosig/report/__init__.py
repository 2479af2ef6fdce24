"""The report: one offline HTML file and its figures."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"ReportSpec": "spec", "build_report": "stage"}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

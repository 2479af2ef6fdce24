"""Local web viewer: slides at full resolution with HPC overlays, on this machine only."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "create_app": "app",
    "serve_viewer": "server",
    "view": "server",
    "start_viewer": "server",
    "RunningViewer": "server",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

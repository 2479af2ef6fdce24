"""Honesty checks of the whole procedure: null, optimism, site, depth, stability."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "AuditSpec": "spec",
    "audit_null": "null", "permuted_order": "null", "audit_optimism": "optimism", "audit_site": "site",
    "audit_depth": "depth", "audit_stability": "stability",
    "audit": "stage",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

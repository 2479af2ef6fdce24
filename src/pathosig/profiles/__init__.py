"""Profiles: each patient's mixture of phenotypes, or any outside feature table. The seam of pathosig."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "closure": "composition", "clr": "composition", "ilr": "composition", "ilr_basis": "composition",
    "multi_replace": "composition", "bayesian_replacement": "composition", "log_ratios": "composition",
    "log_odds": "composition",
    "shares": "tree", "tree_shares": "tree", "tree_nodes": "tree", "hpc_column": "tree", "close_without": "tree",
    "shares_at_level": "tree",
    "pool_patients": "pooling",
    "FeatureRules": "tables", "read_features": "tables",
    "ProfilesSpec": "spec", "build_profiles": "stage", "Profiles": "reading", "read_profiles": "reading",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Simulated cohorts whose truth is known: slides or tile features, patients, outcomes."""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "SimulateReport": "writing",
    "SimulateSpec": "spec",
    "simulate": "writing",
    "Comparison": "truth",
    "compare_truth": "truth",
    "node_types": "truth",
    "oracle": "truth",
    "tile_truth": "truth",
    "true_tile_labels": "truth",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"pathosig.synthetic.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'pathosig.synthetic' has no attribute {name!r}")

"""The signature: selecting, fitting and freezing a survival score of profiles."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Signature": "model",
    "SignatureSpec": "spec",
    "fit_signature": "fit", "SignatureFit": "fit", "fit_details": "fit",
    "TrainingSet": "training", "training_set": "training", "Transform": "transform",
    "Candidates": "features", "candidates": "features",
    "select": "selection", "Selection": "selection",
    "choose_cutoff": "cutoff", "Cutoff": "cutoff",
    "core_agreement": "cores",
    "build_signature": "stage",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

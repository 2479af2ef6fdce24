"""Validation: a frozen signature judged on cohorts it has not seen, or by nested cross-validation."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "ValidateSpec": "spec",
    "validate": "validate", "Validation": "validate",
    "cross_validate": "internal",
    "treatment_benefit": "treatment", "TreatmentBenefit": "treatment",
    "subgroup_effects": "forests",
    "validate_signature": "stage",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

"""The signature: selecting, fitting, freezing, validating and auditing a survival score of profiles."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Signature": "model",
    "SignatureSpec": "spec", "ValidateSpec": "spec", "AuditSpec": "spec",
    "fit_signature": "fit", "SignatureFit": "fit", "fit_details": "fit",
    "Candidates": "features", "candidates": "features",
    "select": "selection", "Selection": "selection", "stability_selection": "stability", "false_selection_bound": "bounds",
    "choose_cutoff": "cutoff", "Cutoff": "cutoff",
    "validate": "validation", "Validation": "validation",
    "cross_validate": "internal",
    "treatment_benefit": "treatment", "TreatmentBenefit": "treatment",
    "core_agreement": "cores", "subgroup_effects": "forests",
    "audit_null": "audits", "audit_optimism": "audits", "audit_site": "audits", "audit_depth": "audits",
    "audit_stability": "audits",
    "build_signature": "stage", "validate_signature": "validate_stage", "audit": "audits.stage",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

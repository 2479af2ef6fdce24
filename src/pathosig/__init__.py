"""pathosig: from H&E slides to phenotypes to a validated, frozen survival signature.

`import pathosig` is light: names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "Study": "pathosig.core.study",
    "Endpoint": "pathosig.core.clinical",
    "Execution": "pathosig.core.execution",
    "open_slide": "pathosig.slides",
    "find_tissue": "pathosig.tissue",
    "cut_tiles": "pathosig.tiles",
    "train_encoder": "pathosig.encoder",
    "embed_tiles": "pathosig.encoder",
    "find_phenotypes": "pathosig.phenotypes",
    "build_profiles": "pathosig.profiles",
    "Signature": "pathosig.signature",
    "fit_signature": "pathosig.signature",
    "validate": "pathosig.validation",
    "treatment_benefit": "pathosig.validation",
    "build_signature": "pathosig.signature",
    "validate_signature": "pathosig.validation",
    "km_plot": "pathosig.figures",
    "build_report": "pathosig.report",
    "serve_viewer": "pathosig.viewer",
    "simulate": "pathosig.synthetic",
    "run_all": "pathosig.commands.pipeline",
    "score_slides": "pathosig.scoring",
}

__all__ = ["__version__", *sorted(_LAZY)]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'pathosig' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

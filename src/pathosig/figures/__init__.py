"""Figures: draw what they are given, never compute. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "hpc_colours": "palette",
    "save_figure": "style", "svg_bytes": "style", "pdf_bytes": "style", "png_bytes": "style",
    "KmCurve": "km", "KmData": "km", "km_figure": "km", "km_grid": "km",
    "km_plot": "results",
    "ForestRow": "forest", "forest_plot": "forest",
    "calibration_plot": "performance", "decision_curve_plot": "performance", "time_auc_plot": "performance",
    "effect_curve_plot": "performance",
    "volcano_plot": "volcano",
    "ClinicalBar": "heatmap", "profile_heatmap": "heatmap",
    "alluvial_plot": "alluvial",
    "StackedBar": "outcomes", "stacked_bars": "outcomes", "cumulative_incidence_plot": "outcomes",
    "BarPanel": "outcomes", "bar_panels": "outcomes",
    "flow_diagram": "flow",
    "HpcExemplars": "slides", "SlideMap": "slides", "atlas_montage": "slides", "slide_map": "slides",
    "contact_sheet": "slides",
    "embedding_map": "embedding",
    "health_figure": "health", "stability_figure": "health",
    "equation_figure": "equation",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Slides: one way to open any of them, one way to read tiles at a physical resolution.

Nothing here imports NumPy until it is used: the process that only hands out slides does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathosig.slides.opening import open_slide
    from pathosig.slides.pyramid import ReadPlan, plan_read
    from pathosig.slides.reader import SlideInfo, SlideReader
    from pathosig.slides.reading import TileBlock, read_all_tiles, read_overview, read_tiles, reading_order

_WHERE = {
    "open_slide": "opening",
    "ReadPlan": "pyramid",
    "plan_read": "pyramid",
    "SlideInfo": "reader",
    "SlideReader": "reader",
    "TileBlock": "reading",
    "read_all_tiles": "reading",
    "read_overview": "reading",
    "read_tiles": "reading",
    "reading_order": "reading",
}

__all__ = [
    "ReadPlan",
    "SlideInfo",
    "SlideReader",
    "TileBlock",
    "open_slide",
    "plan_read",
    "read_all_tiles",
    "read_overview",
    "read_tiles",
    "reading_order",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)

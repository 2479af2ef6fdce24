"""Slides: one way to open any of them, one way to read tiles at a physical resolution."""

from pathosig.slides.opening import open_slide
from pathosig.slides.pyramid import ReadPlan, plan_read
from pathosig.slides.reader import SlideInfo, SlideReader
from pathosig.slides.reading import TileBlock, read_all_tiles, read_overview, read_tiles

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
]

"""Colours: Okabe-Ito for groups, and sixty well-separated colours for HPCs.

The HPC colours were picked greedily, each as far as possible (OKLab distance, the smallest over
normal, protanope and deuteranope vision by Machado et al. 2009) from all before it, from white and
from the grey of artefacts, starting with Okabe and Ito's. Fifty categories cannot all be told apart
by colour alone, so every figure that uses them writes the HPC's number as well.
"""

from __future__ import annotations

from collections.abc import Collection

INK = "#1A1A1A"
MUTED = "#5F6670"
GRID = "#E3E6EA"
PAPER = "#FFFFFF"
ARTEFACT = "#BDBDBD"

LOW = "#0072B2"
HIGH = "#D55E00"
HETEROGENEOUS = "#7F7F7F"
POSITIVE = "#D55E00"
NEGATIVE = "#0072B2"

GROUPS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F6670", "#79183D")
"""Colours of groups without a meaning of their own, in order."""

NAMED_GROUPS = {
    "low": LOW,
    "high": HIGH,
    "intermediate": "#E69F00",
    "heterogeneous": HETEROGENEOUS,
    "not assessable": ARTEFACT,
    "untreated": "#5F6670",
    "treated": "#009E73",
}

HPCS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#79183D", "#3D249E",
    "#8679F3", "#924900", "#AA3179", "#6DFFAA", "#79E7FF", "#61C279", "#55316D", "#9EDB79", "#B64949",
    "#4949C2", "#E75561", "#E7C224", "#6D3100", "#009ECE", "#926D92", "#794955", "#496DDB", "#86E7C2",
    "#AAC2FF", "#0C559E", "#C29EB6", "#DB863D", "#6D9EFF", "#616192", "#923131", "#4986CE", "#FF926D",
    "#793186", "#AACE9E", "#00FFE7", "#319E9E", "#9E7949", "#B65500", "#31616D", "#B6F379", "#00DBDB",
    "#553D55", "#AA49AA", "#611886", "#86AA92", "#926161", "#86C29E", "#FFAADB", "#616D3D", "#C27986",
    "#9255C2", "#8679B6", "#AA86E7", "#79C23D", "#495531", "#CEDB55",
)  # fmt: skip


def hpc_colours(k: int, *, artefacts: Collection[int] = ()) -> list[str]:
    """One hex colour per HPC 0 .. k-1; artefact HPCs are grey. Beyond sixty the colours repeat, darker."""
    out = []
    for i in range(k):
        base = HPCS[i % len(HPCS)]
        out.append(ARTEFACT if i in artefacts else _darker(base, i // len(HPCS)))
    return out


def group_colour(label: str, position: int) -> str:
    """The colour of a group: fixed for risk groups (by the first word that is one), else by position."""
    lowered = label.lower()
    for name, colour in NAMED_GROUPS.items():
        if lowered == name or lowered.startswith((name + " ", name + ",")):
            return colour
    return GROUPS[position % len(GROUPS)]


def is_dark(colour: str) -> bool:
    """Whether white text reads better on this colour than black."""
    red, green, blue = rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green, blue in 0..255 of ``#RRGGBB``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _darker(colour: str, times: int) -> str:
    factor = 0.72**times
    return "#{:02X}{:02X}{:02X}".format(*(round(c * factor) for c in rgb(colour)))

"""Colours: Okabe-Ito for groups, and for HPCs hues that follow their tree.

With a tree, HPCs that look alike have neighbouring hues: the circle of hues is divided along the tree as in Tree
Colors (Tennekes and de Jonge, IEEE TVCG 2014; 20: 2072-2081), and neighbours differ in lightness. Without a tree the
sixty colours of `HPCS` are used, picked greedily, each as far as possible (OKLab distance, the smallest over
normal, protanope and deuteranope vision by Machado et al. 2009) from all before it, from white and
from the grey of artefacts. Fifty categories cannot all be told apart by colour alone, so every figure that uses them
writes the HPC's number as well.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

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
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#F0E442",
    "#79183D",
    "#3D249E",
    "#8679F3",
    "#924900",
    "#AA3179",
    "#6DFFAA",
    "#79E7FF",
    "#61C279",
    "#55316D",
    "#9EDB79",
    "#B64949",
    "#4949C2",
    "#E75561",
    "#E7C224",
    "#6D3100",
    "#009ECE",
    "#926D92",
    "#794955",
    "#496DDB",
    "#86E7C2",
    "#AAC2FF",
    "#0C559E",
    "#C29EB6",
    "#DB863D",
    "#6D9EFF",
    "#616192",
    "#923131",
    "#4986CE",
    "#FF926D",
    "#793186",
    "#AACE9E",
    "#00FFE7",
    "#319E9E",
    "#9E7949",
    "#B65500",
    "#31616D",
    "#B6F379",
    "#00DBDB",
    "#553D55",
    "#AA49AA",
    "#611886",
    "#86AA92",
    "#926161",
    "#86C29E",
    "#FFAADB",
    "#616D3D",
    "#C27986",
    "#9255C2",
    "#8679B6",
    "#AA86E7",
    "#79C23D",
    "#495531",
    "#CEDB55",
)


Linkage = Sequence[Sequence[float]]
"""Rows of a linkage as scipy writes it: the two joined, height, number of leaves."""


def hpc_colours(k: int, *, artefacts: Collection[int] = (), linkage: Linkage = ()) -> list[str]:
    """One hex colour per HPC 0 .. k-1; artefact HPCs are grey.

    Parameters
    ----------
    k
        Number of HPCs.
    artefacts
        HPCs drawn in grey.
    linkage
        The tree over the HPCs (k - 1 rows). Without it the colours are those of `HPCS`; beyond sixty they repeat, darker.

    Examples
    --------
    >>> hpc_colours(3, artefacts={2}, linkage=[[0, 1, 0.1, 2], [2, 3, 0.5, 3]])[2]
    '#BDBDBD'
    """
    if len(linkage) == k - 1 and k > 1:
        colours = _tree_colours(linkage)
    else:
        colours = [_darker(HPCS[i % len(HPCS)], i // len(HPCS)) for i in range(k)]
    return [ARTEFACT if i in artefacts else colour for i, colour in enumerate(colours)]


def coarse_colours(
    groups: Sequence[int], *, artefacts: Collection[int] = (), linkage: Linkage = ()
) -> list[str]:
    """One hex colour per coarse group 0 .. n-1: the middle of the hues of its HPCs, so that a group looks like what is in it.

    Parameters
    ----------
    groups
        Coarse group of every HPC.
    artefacts
        HPCs drawn in grey; a group of nothing else is grey too.
    linkage
        The tree over the HPCs (k - 1 rows). Without it the colours are those of `GROUPS`.

    Examples
    --------
    >>> coarse_colours([0, 0, 1], artefacts={2}, linkage=[[0, 1, 0.1, 2], [2, 3, 0.5, 3]])[1]
    '#BDBDBD'
    """
    members: dict[int, list[int]] = {g: [] for g in range(max(groups, default=-1) + 1)}
    for hpc, group in enumerate(groups):
        members[group].append(hpc)
    if len(linkage) != len(groups) - 1 or len(groups) < 2:
        colours = {g: GROUPS[g % len(GROUPS)] for g in members}
    else:
        hues = _leaf_hues(linkage)
        ends = {g: [end for hpc in hpcs for end in hues[hpc]] for g, hpcs in members.items()}
        middles = {g: (min(v) + max(v)) / 2 for g, v in ends.items() if v}
        by_hue = sorted(middles, key=lambda g: middles[g])
        colours = {
            g: _oklch(_GROUP_LIGHTNESS[i % 2], _GROUP_CHROMA, middles[g]) for i, g in enumerate(by_hue)
        }
    return [
        colours[g] if g in colours and set(hpcs) - set(artefacts) else ARTEFACT for g, hpcs in members.items()
    ]


def leaf_order(linkage: Linkage) -> list[int]:
    """Leaves from left to right as a dendrogram draws them: at each node the branch with the smaller leaf comes first.

    Examples
    --------
    >>> leaf_order([[0, 2, 0.1, 2], [1, 3, 0.5, 3]])
    [0, 2, 1]
    """
    k = len(linkage) + 1
    branches: dict[int, list[int]] = {i: [i] for i in range(k)}
    for step, row in enumerate(linkage):
        sides = sorted((branches.pop(int(row[0])), branches.pop(int(row[1]))), key=min)
        branches[k + step] = sides[0] + sides[1]
    return next(iter(branches.values()))


_KEPT = 0.86
"""Fraction of its interval of hues that a branch keeps; the rest is the gap to its sister."""
_START = 20.0
_LIGHTNESS = (0.62, 0.78, 0.48)
_CHROMA = (0.150, 0.120, 0.130)
_GROUP_LIGHTNESS = (0.66, 0.54)
_GROUP_CHROMA = 0.160


def _tree_colours(linkage: Linkage) -> list[str]:
    hues = _leaf_hues(linkage)
    out = [""] * len(hues)
    for place, leaf in enumerate(leaf_order(linkage)):
        out[leaf] = _oklch(_LIGHTNESS[place % 3], _CHROMA[place % 3], sum(hues[leaf]) / 2)
    return out


def _leaf_hues(linkage: Linkage) -> list[tuple[float, float]]:
    """Interval of hues of every leaf, in degrees: the circle divided along the tree."""
    k = len(linkage) + 1
    hues: dict[int, tuple[float, float]] = {2 * k - 2: (_START, _START + 330.0)}
    members: dict[int, list[int]] = {i: [i] for i in range(k)}
    for step, row in enumerate(linkage):
        members[k + step] = members[int(row[0])] + members[int(row[1])]
    for step in reversed(range(k - 1)):
        first, last = hues[k + step]
        left, right = sorted((int(linkage[step][0]), int(linkage[step][1])), key=lambda n: min(members[n]))
        # The square root gives a small branch a wider interval than its leaves alone would.
        weights = [math.sqrt(len(members[n])) for n in (left, right)]
        middle = first + (last - first) * weights[0] / sum(weights)
        gap = (1 - _KEPT) * (last - first) / 2
        hues[left], hues[right] = (first, middle - gap / 2), (middle + gap / 2, last)
    return [hues[leaf] for leaf in range(k)]


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """OKLCH (Ottosson 2020) as hex; the chroma is reduced until the colour lies in sRGB."""
    while True:
        a, b = (chroma * f(math.radians(hue)) for f in (math.cos, math.sin))
        long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        linear = (
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        )
        if all(-1e-4 <= c <= 1.0001 for c in linear) or chroma < 0.01:
            return "#{:02X}{:02X}{:02X}".format(*(_byte(c) for c in linear))
        chroma *= 0.95


def _byte(linear: float) -> int:
    clipped = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * clipped if clipped <= 0.0031308 else 1.055 * clipped ** (1 / 2.4) - 0.055
    return round(255 * encoded)


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

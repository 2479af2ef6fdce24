"""What raises and what lowers the score, as tissue: how the answer shows a signature of many terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.palette import HIGH, LOW
from pathosig.report.cells import feature_name, feature_title, listed, number_text, palette_of
from pathosig.report.coarse import CoarseGroup, coarse_summary
from pathosig.report.drivers import discovery_values, typical_tiles
from pathosig.report.material import Material, Term
from pathosig.report.page import TissueRow, TissueRows
from pathosig.report.sections.drivers import BAR_UM, tile_images

SMALL = 0.1
"""A group that moves the score by less than this (in SDs of the score) is named, not shown."""

TILES = 4

ALMOST_THE_SAME = 0.95
"""Correlation with the whole score above which its stable features are said to carry it."""


def tissue_rows(material: Material) -> TissueRows | None:
    """At most eight coarse groups with their tiles and what they do to the score; None where the score is no sum of proportions."""
    groups = coarse_summary(material)
    if len(groups) < 2:
        return None
    shown = [g for g in groups if abs(g.effect) >= SMALL] or groups[:2]
    top = max(abs(g.effect) for g in shown)
    rest = [g for g in groups if g not in shown]
    return TissueRows(
        title="What raises and lowers the score",
        lead="The more of the slide is tissue marked ▲ (orange bar), the higher the score and the risk; tissue marked ▼ (blue bar) lowers both.",
        rows=[_row(material, g, top) for g in sorted(shown, key=lambda g: -g.effect)],
        note=" ".join(filter(None, [_rest(rest), _scale(), stable_sentence(material)])),
        bar_text=f"{BAR_UM:.0f} µm",
    )


def _row(material: Material, group: CoarseGroup, top: float) -> TissueRow:
    colours = palette_of(material.phenotypes)
    sign = "+" if group.effect > 0 else ""
    return TissueRow(
        name=feature_title(material, group.feature),
        small=f"{100 * group.proportion:.0f}% of the tissue",
        direction="higher risk" if group.effect > 0 else "lower risk",
        colour=HIGH if group.effect > 0 else LOW,
        effect=f"{sign}{number_text(group.effect)} SD",
        length=100 * group.effect / top,
        swatches=[colours[h] for h in group.leaves],
        tiles=tile_images(typical_tiles(material, group.leaves)[:TILES]),
    )


def _rest(groups: list[CoarseGroup]) -> str:
    if not groups:
        return ""
    share = 100 * sum(g.proportion for g in groups)
    verb = "moves" if len(groups) == 1 else "move"
    return (
        f"The other {counted(len(groups), 'group')} ({share:.0f}% of the tissue) {verb} the score by less than "
        f"{number_text(SMALL, 1)} SD{'' if len(groups) == 1 else ' each'}."
    )


def _scale() -> str:
    return "SD: how much the contribution of the group varies between discovery patients, in standard deviations of the score."


def stable_sentence(material: Material) -> str:
    """How much of the score its stable features make up; empty where there is nothing beside them."""
    frozen = material.signature
    if frozen is None or frozen.stable is None:
        return ""
    stable = [t for t in frozen.terms if t.feature in frozen.stable]
    others = len(frozen.terms) - len(stable)
    if not others:
        return ""
    if not stable:
        return (
            "No single feature is stable over half-samples of the discovery patients: the score adds up "
            f"{counted(others, 'coarse group')} of the tissue."
        )
    lowest = 100 * min(frozen.stable[t.feature] for t in stable)
    names = listed([feature_name(t.feature) for t in stable])
    verb = "return" if len(stable) > 1 else "returns"
    text = (
        f"{counted(len(stable), 'stable feature')} of the signature ({names}; see the chapter on tissue) {verb} in at least "
        f"{lowest:.0f}% of half-samples of the discovery patients"
    )
    r = _correlation(material, stable, frozen.terms)
    shown = "above 0.99" if r > 0.99 else number_text(r)
    if r > ALMOST_THE_SAME:
        without = f"without the other {counted(others, 'term')} the score would be almost the same"
        return f"{text}; {without} (correlation {shown})."
    return f"{text}; {counted(others, 'smaller term')} of coarse groups complete the score (correlation without them {shown})."


def _correlation(material: Material, some: Sequence[Term], terms: Sequence[Term]) -> float:
    """Correlation of a part of the score with the whole over discovery patients; NaN without their profiles."""
    stable, whole = (
        np.sum([t.coef * discovery_values(material, t) for t in chosen], axis=0) for chosen in (some, terms)
    )
    seen = np.isfinite(stable) & np.isfinite(whole)
    return float(np.corrcoef(stable[seen], whole[seen])[0, 1]) if seen.sum() > 2 else math.nan

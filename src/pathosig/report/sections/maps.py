"""Section with slides as maps: their HPCs, and what each tile adds to the score."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.slides import RiskScale, SlideMap, slide_map
from pathosig.figures.style import hpc_name
from pathosig.report.cells import group_palette_of, group_title, number_text, palette_of
from pathosig.report.drivers import weights_of
from pathosig.report.images import picture
from pathosig.report.material import Material, PatientScore, SlidePicture, cohort_title
from pathosig.report.page import Block, Section, folded


def maps_section(material: Material, *, at_most: int) -> Section | None:
    """H&E, HPCs and contributions to the score, for slides spread over the range of scores; None without slides."""
    usable = [p for p in material.pictures if (p.hpc >= 0).any()]
    phenotypes = material.phenotypes
    if not usable or phenotypes is None or at_most == 0:
        return None
    scores = {r.patient: r for r in material.scores if math.isfinite(r.score)}
    usable.sort(
        key=lambda p: (scores[p.patient_id].score if p.patient_id in scores else math.inf, p.slide_id)
    )
    steps = np.unique(np.linspace(0, len(usable) - 1, min(at_most, len(usable))).round().astype(int))
    colours, names = palette_of(phenotypes), {h: f"{hpc_name(h)} {n}" for h, n in phenotypes.names.items()}
    weights = weights_of(material)
    risk = None if weights is None else RiskScale(weights=weights)
    titles = [group_title(g) for g in phenotypes.groups]
    groups = list(zip(titles, group_palette_of(phenotypes), strict=True)) if len(titles) > 1 else []
    drawn: list[Block] = []
    for number, index in enumerate(steps, start=1):
        item = usable[int(index)]
        figure = slide_map([_panel(item, scores)], colours, names=names, groups=groups, risk=risk)
        what = "H&E, its tiles by " + ("coarse group and by HPC" if groups else "HPC")
        what += ", and what each tile adds to the score" if risk is not None else ""
        caption = f"Slide {item.slide_id}: {what}."
        alt = f"Slide {item.slide_id}: {what}"
        drawn.append(replace(picture(f"map_{number:02d}", figure, caption, alt=alt), slide=item.slide_id))
    blocks = drawn[:1] + drawn[1:][-1:]
    between, are_open = (
        ("Slides between them, by score", "; those with the lowest and the highest score are open")
        if scores
        else ("More slides", "")
    )
    blocks += folded(between, drawn[1:-1], small=counted(len(drawn[1:-1]), "slide"))
    lead = (
        f"{len(steps)} of {len(usable)} slides are shown{are_open}. Similar HPCs have similar hues, and a coarse group has the hue of "
        "its HPCs."
    )
    if material.signature is not None and material.signature.scale != "share":
        lead += " The score is not linear in the proportions, so contributions show direction and relative size only."
    return Section(id="maps", title="Maps of slides", blocks=blocks, lead=lead)


def _panel(item: SlidePicture, scores: dict[str, PatientScore]) -> SlideMap:
    title = f"Slide {item.slide_id}, patient {item.patient_id}, {cohort_title(item.cohort)}"
    if item.patient_id in scores:
        row = scores[item.patient_id]
        title += f", score {number_text(row.score)} ({row.group} risk)"
    return SlideMap(
        title=title,
        overview=item.overview,
        x=item.x,
        y=item.y,
        hpc=item.hpc,
        coarse=item.coarse,
        tile_px=item.tile_px,
        downsample=item.downsample,
        mpp=item.mpp,
    )

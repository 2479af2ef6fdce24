"""Section on the health of the codebook: occupancy, dominance and stability of every HPC."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from pathosig.figures.embedding import embedding_map
from pathosig.figures.health import health_figure
from pathosig.figures.style import hpc_name
from pathosig.report.cells import feature_title, group_palette_of, group_title, palette_of
from pathosig.report.images import picture
from pathosig.report.material import Material, Phenotypes
from pathosig.report.page import Block, Facts, Section, Table


def health_section(material: Material) -> Section | None:
    """Occupancy, confidence, dominance and stability of the codebook; None without one."""
    phenotypes = material.phenotypes
    if phenotypes is None or not phenotypes.health:
        return None
    blocks: list[Block] = [Facts(rows=phenotypes.facts)]
    colours = palette_of(phenotypes)
    caption = (
        "Health of every {}. Steadiness is the overlap of what codebooks of disjoint halves of the discovery patients find "
        "(Jaccard index; green: 0.50 or more, red: below 0.30)"
    )
    if phenotypes.groups:
        rows: list[dict[str, float | str | None]] = [
            {"label": group_title(g), "share": g.share, "steadiness": g.steadiness} for g in phenotypes.groups
        ]
        figure = health_figure(rows, group_palette_of(phenotypes))
        blocks.append(picture("health_groups", figure, caption.format("coarse group") + "."))
    if material.tile_map:
        blocks += _tile_maps(material, phenotypes)
    rows = [asdict(r) | {"label": feature_title(material, f"hpc_{r.hpc:02d}")} for r in phenotypes.health]
    caption = caption.format("HPC") + (
        ", stability that of refits on resampled patients (green: 0.75 or more, red: below 0.50); biggest slide, patient "
        "and site: the proportion of an HPC's tiles that comes from there (yellow: more than half)."
    )
    blocks.append(
        picture("health", health_figure(rows, [colours[r.hpc] for r in phenotypes.health]), caption)
    )
    reasons = [
        [feature_title(material, f"hpc_{r.hpc:02d}"), r.verdict, r.reason]
        for r in phenotypes.health
        if r.reason
    ]
    if reasons:
        columns = ["HPC", "Verdict", "Why"]
        blocks.append(Table(caption="Verdicts and their reasons", columns=columns, rows=reasons, folded=True))
    return Section(id="health", title="Health of the codebook", blocks=blocks)


def _tile_maps(material: Material, phenotypes: Phenotypes) -> list[Block]:
    """Training tiles on two principal components, coloured by HPC and, where there are several, by coarse group."""
    places = np.column_stack([material.tile_map["x"], material.tile_map["y"]])
    hpc = material.tile_map["hpc"]
    figure = embedding_map(
        places,
        [hpc_name(int(h)) for h in hpc],
        title="Tiles by HPC",
        colours={hpc_name(h): colour for h, colour in enumerate(palette_of(phenotypes))},
    )
    caption = (
        f"{len(hpc):,} training tiles on the first two principal components of the space in which HPCs are found: two of "
        "many dimensions, so HPCs that overlap here can be far apart. Labels that would cover another are left out."
    )
    maps: list[Block] = [picture("tile_map", figure, caption, wide=False)]
    if len(phenotypes.groups) < 2 or "coarse" not in material.tile_map:
        return maps
    coarse = material.tile_map["coarse"]
    if coarse.min() < 0:
        return maps
    names = [group_title(g) for g in phenotypes.groups]
    figure = embedding_map(
        places,
        [names[c] for c in coarse],
        title="Tiles by coarse group",
        colours=dict(zip(names, group_palette_of(phenotypes), strict=True)),
        label_in_place=False,
    )
    caption = "The same tiles by coarse group. A tile belongs to the group that it is nearest to, whatever the group of its HPC."
    return [picture("tile_map_groups", figure, caption, wide=False), *maps]

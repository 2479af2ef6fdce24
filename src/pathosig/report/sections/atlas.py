"""Section with the most typical tiles of every coarse group and every HPC, those of the signature first."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.core.words import counted
from pathosig.figures.palette import leaf_order
from pathosig.figures.slides import HpcExemplars, atlas_montage
from pathosig.figures.style import coarse_name, hpc_name, p_text, svg_bytes
from pathosig.report.cells import (
    feature_title,
    group_palette_of,
    group_title,
    listed,
    number_text,
    palette_of,
)
from pathosig.report.images import jpeg
from pathosig.report.material import AtlasTile, Candidate, CoarseGroup, Material, Phenotypes
from pathosig.report.page import (
    AtlasEntry,
    AtlasGrid,
    Block,
    Cell,
    Note,
    Picture,
    Section,
    Table,
    TileImage,
    data_uri,
    folded,
)
from pathosig.report.sections.drivers import BAR_UM


def atlas_section(material: Material) -> Section | None:
    """The most typical tiles of every coarse group and HPC; None when there is no codebook."""
    phenotypes = material.phenotypes
    if phenotypes is None:
        return None
    colours = palette_of(phenotypes)
    effects = {c.feature: c for c in material.candidates}
    entries, montage = [], []
    for hpc, colour in enumerate(colours):
        column, health = f"hpc_{hpc:02d}", phenotypes.of(hpc)
        tiles = sorted((t for t in material.atlas if t.hpc == hpc), key=lambda t: t.rank)[:8]
        facts = [] if health.share is None else [f"{100 * health.share:.1f}% of tiles"]
        facts += ["artefact, not in the profiles"] if hpc in phenotypes.artefacts else []
        facts += [health.verdict] if health.verdict and health.verdict != "stable" else []
        facts += _effect(effects[column]) if column in effects else []
        name = phenotypes.names.get(hpc, "")
        entries.append(
            AtlasEntry(
                anchor=f"hpc-{hpc:02d}",
                hpc=feature_title(material, column),
                colour=colour,
                facts=facts,
                tiles=_images(tiles),
            )
        )
        montage.append(_row(hpc_name(hpc), name, colour, facts, tiles))
    if not material.atlas:
        return _without_pixels(material, entries)
    used = set() if material.signature is None else set(material.signature.leaves)
    first = [e for i, e in enumerate(entries) if f"hpc_{i:02d}" in used]
    others = [e for i, e in enumerate(entries) if f"hpc_{i:02d}" not in used]
    blocks = _coarse(material, phenotypes)
    blocks += folded(
        "HPCs of the signature", [AtlasGrid(entries=first)] if first else [], small=counted(len(first), "HPC")
    )
    blocks += folded(
        "Other HPCs" if first else "All HPCs",
        [AtlasGrid(entries=others)] if others else [],
        small=counted(len(others), "HPC"),
    )
    ordered = [montage[hpc] for hpc in leaf_order(phenotypes.linkage)] if len(phenotypes.linkage) else montage
    figure = atlas_montage(ordered, title="Atlas of HPCs")
    blocks.append(
        Picture(name="atlas", data=svg_bytes(figure), caption="", alt="", figure=figure, kind="file")
    )
    lead = (
        f"{counted(len(colours), 'HPC')} (histomorphological phenotype clusters): the tiles nearest to each centre, with a "
        "scale bar of 50 µm. Every HPC has one colour throughout this report, and similar HPCs have similar hues."
    )
    if len(phenotypes.groups) > 1:
        lead += (
            f" They fall into {len(phenotypes.groups)} coarse groups. Steadiness (0 to 1) says how well a group is found "
            "again in other patients."
        )
    return Section(id="atlas", title="Atlas of HPCs", blocks=blocks, lead=lead)


def _coarse(material: Material, phenotypes: Phenotypes) -> list[Block]:
    """Typical tiles of every coarse group; nothing where there is one group only."""
    if len(phenotypes.groups) < 2:
        return []
    entries, montage = [], []
    for group, colour in zip(phenotypes.groups, group_palette_of(phenotypes), strict=True):
        tiles = _tiles_of_group(material, group)
        facts = [] if group.share is None else [f"{100 * group.share:.1f}% of tiles"]
        facts += [] if group.steadiness is None else [f"steadiness {group.steadiness:.2f}"]
        montage.append(_row(coarse_name(group.number), group.name, colour, facts, tiles))
        facts.append(listed([hpc_name(h) for h in group.hpcs], at_most=12))
        entries.append(
            AtlasEntry(
                anchor=f"coarse-{group.number}",
                hpc=group_title(group),
                colour=colour,
                facts=facts,
                tiles=_images(tiles),
            )
        )
    figure = atlas_montage(montage, title="Atlas of coarse groups", columns=1 if len(montage) < 4 else 2)
    picture = Picture(
        name="atlas_groups", data=svg_bytes(figure), caption="", alt="", figure=figure, kind="file"
    )
    return [AtlasGrid(entries=entries), picture]


def _tiles_of_group(material: Material, group: CoarseGroup) -> list[AtlasTile]:
    """Exemplars of its HPCs that are themselves in the group, the largest HPC first, one of each HPC in turn."""
    shares = (
        {} if material.phenotypes is None else {r.hpc: r.share or 0.0 for r in material.phenotypes.health}
    )
    inside = [t for t in material.atlas if t.coarse == group.number and t.hpc in group.hpcs]
    order = {h: i for i, h in enumerate(sorted(group.hpcs, key=lambda h: -shares[h] if h in shares else 0.0))}
    return sorted(inside, key=lambda t: (t.rank, order[t.hpc]))[:8]


def _images(tiles: Sequence[AtlasTile]) -> list[TileImage]:
    return [
        TileImage(
            uri=data_uri(jpeg(t.pixels), "image/jpeg"),
            alt=f"{hpc_name(t.hpc)}, slide {t.slide_id}",
            bar=None if t.width_um is None else 100 * BAR_UM / t.width_um,
            slide=t.slide_id,
            place=t.place,
        )
        for t in tiles
    ]


def _row(
    label: str, name: str, colour: str, facts: Sequence[str], tiles: Sequence[AtlasTile]
) -> HpcExemplars:
    caption = "\n".join(facts[:2])
    return HpcExemplars(
        label=label, name=name, colour=colour, tiles=[t.pixels for t in tiles], caption=caption
    )


def _effect(row: Candidate) -> list[str]:
    if row.hr is None or row.q is None:
        return []
    return [f"HR {number_text(row.hr)} per SD, {p_text(row.q).replace('p', 'q', 1)}"]


def _without_pixels(material: Material, entries: list[AtlasEntry]) -> Section:
    """What is known of each HPC as a table, when there are no slides to show it on."""
    from_features = material.level == "embeddings"
    why = (
        "the study starts from embeddings, there are no slides" if from_features else "no slide could be read"
    )
    note = Note(text=f"No tiles are shown: {why}.", level="info" if from_features else "warning")
    rows: list[list[Cell]] = [[e.hpc, "; ".join(e.facts)] for e in entries]
    table = Table(caption="HPCs", columns=["HPC", "Facts"], rows=rows, folded=True)
    lead = f"{counted(len(entries), 'HPC')} (histomorphological phenotype clusters)."
    return Section(id="atlas", title="Atlas of HPCs", blocks=[note, table], lead=lead)

"""Section with the most typical tiles of every HPC, those of the signature first."""

from __future__ import annotations

from pathosig.figures.slides import HpcExemplars, atlas_montage
from pathosig.figures.style import hpc_name, p_text, svg_bytes
from pathosig.report.cells import feature_title, number_text, palette_of, plural
from pathosig.report.images import jpeg
from pathosig.report.material import Candidate, Material
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
    """The most typical tiles of every HPC; None when there is no codebook."""
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
        images = [
            TileImage(
                uri=data_uri(jpeg(t.pixels), "image/jpeg"),
                alt=f"{hpc_name(hpc)}, slide {t.slide_id}",
                bar=None if t.width_um is None else 100 * BAR_UM / t.width_um,
            )
            for t in tiles
        ]
        entries.append(
            AtlasEntry(hpc=feature_title(material, column), colour=colour, facts=facts, tiles=images)
        )
        montage.append(
            HpcExemplars(
                hpc=hpc,
                colour=colour,
                tiles=[t.pixels for t in tiles],
                name=phenotypes.names.get(hpc, ""),
                caption="\n".join(facts[:2]),
            )
        )
    if not material.atlas:
        return _without_pixels(material, entries)
    used = set() if material.signature is None else set(material.signature.leaves)
    first = [e for i, e in enumerate(entries) if f"hpc_{i:02d}" in used]
    others = [e for i, e in enumerate(entries) if f"hpc_{i:02d}" not in used]
    blocks: list[Block] = []
    blocks += folded(
        "HPCs of the signature", [AtlasGrid(entries=first)] if first else [], small=plural(len(first), "HPC")
    )
    blocks += folded(
        "Other HPCs" if first else "All HPCs",
        [AtlasGrid(entries=others)] if others else [],
        small=plural(len(others), "HPC"),
    )
    figure = atlas_montage(montage, title="Atlas of HPCs")
    blocks.append(
        Picture(name="atlas", data=svg_bytes(figure), caption="", alt="", figure=figure, kind="file")
    )
    lead = (
        f"{plural(len(colours), 'HPC')} (histomorphological phenotype clusters): the tiles nearest to each centre, with a "
        "scale bar of 50 µm. Every HPC has one colour throughout this report, and similar HPCs have similar hues."
    )
    return Section(id="atlas", title="Atlas of HPCs", blocks=blocks, lead=lead)


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
    lead = f"{plural(len(entries), 'HPC')} (histomorphological phenotype clusters)."
    return Section(id="atlas", title="Atlas of HPCs", blocks=[note, table], lead=lead)

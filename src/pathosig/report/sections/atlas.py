"""Section with the most typical tiles of every HPC, those of the signature first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.figures.slides import HpcExemplars, atlas_montage
from pathosig.figures.style import hpc_name, svg_bytes
from pathosig.report.material import Material
from pathosig.report.page import (
    AtlasEntry,
    AtlasGrid,
    Block,
    Cell,
    Note,
    Picture,
    Section,
    Table,
    data_uri,
    folded,
)
from pathosig.report.sections.tissue import health_rows, hpc_names, jpeg, palette_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from matplotlib.figure import Figure


def _atlas_without_pixels(material: Material, entries: list[AtlasEntry]) -> Section:
    """What is known of each HPC as a table, when there are no slides to show it on."""
    from_features = material.config.get("study", {}).get("level") == "embeddings"
    why = (
        "the study starts from embeddings, there are no slides" if from_features else "no slide could be read"
    )
    note = Note(text=f"No tiles are shown: {why}.", level="info" if from_features else "warning")
    rows: list[list[Cell]] = [[e.hpc, e.name or None, "; ".join(e.facts)] for e in entries]
    table = Table(caption="HPCs", columns=["HPC", "Name", "Facts"], rows=rows, folded=True)
    lead = f"{len(entries)} HPCs (histomorphological phenotype clusters)."
    return Section(id="atlas", title="Atlas of HPCs", blocks=[note, table], lead=lead)


def atlas_section(
    material: Material, effects: Mapping[str, str], signature: Collection[str]
) -> Section | None:
    """The most typical tiles of every HPC; None when there is no codebook.

    Parameters
    ----------
    material
        What the study holds.
    effects
        Column of the profiles -> its univariable effect as text.
    signature
        Columns that enter the signature: their tiles stand open, the others' behind a line.
    """
    if not material.tree:
        return None
    colours, names = palette_of(material), hpc_names(material)
    artefacts = {int(h) for h in material.tree.get("artefact_hpcs", [])}
    rows = {int(str(r["hpc"])): r for r in health_rows(material)}
    entries, montage = [], []
    for hpc in range(len(colours)):
        tiles = sorted(
            (t for t in material.atlas if t.hpc == hpc and t.kind != "border"), key=lambda t: t.rank
        )[:8]
        facts = []
        share = rows.get(hpc, {}).get("share")
        if isinstance(share, float):
            facts.append(f"{100 * share:.1f}% of tiles")
        if hpc in artefacts:
            facts.append("artefact, not in the profiles")
        if f"hpc_{hpc:02d}" in effects:
            facts.append(effects[f"hpc_{hpc:02d}"])
        uris = [
            (data_uri(jpeg(t.pixels), "image/jpeg"), f"{hpc_name(hpc)}, slide {t.slide_id}") for t in tiles
        ]
        entries.append(
            AtlasEntry(
                hpc=hpc_name(hpc), colour=colours[hpc], name=names.get(hpc, ""), facts=facts, tiles=uris
            )
        )
        montage.append(
            HpcExemplars(
                hpc=hpc,
                colour=colours[hpc],
                tiles=[t.pixels for t in tiles],
                name=names.get(hpc, ""),
                caption="\n".join(
                    f.replace(", not in the profiles", "").replace(" per SD", "") for f in facts[:2]
                ),
            )
        )
    if not material.atlas:
        return _atlas_without_pixels(material, entries)
    used = [e for i, e in enumerate(entries) if f"hpc_{i:02d}" in signature]
    others = [e for i, e in enumerate(entries) if f"hpc_{i:02d}" not in signature]
    blocks: list[Block] = [AtlasGrid(entries=used)] if used else []
    if used and others:
        blocks += folded(f"The other {len(others)} HPCs", [AtlasGrid(entries=others)])
    elif others:
        blocks.append(AtlasGrid(entries=others))
    lead = (
        f"{len(colours)} HPCs (histomorphological phenotype clusters). Shown are the tiles nearest to each "
        "centre; every HPC has the same colour throughout this report."
    )
    lead += " Those that enter the signature come first." if used and others else ""
    section = Section(id="atlas", title="Atlas of HPCs", blocks=blocks, lead=lead)
    return (
        section
        if not material.atlas
        else _with_file(section, "atlas", atlas_montage(montage, title="Atlas of HPCs"))
    )


def _with_file(section: Section, name: str, figure: Figure) -> Section:
    """The section with one more figure that is written to figures/ but not shown twice in the page."""
    hidden = Picture(
        name=name, data=svg_bytes(figure), caption="", alt="", wide=True, figure=figure, kind="file"
    )
    return Section(id=section.id, title=section.title, lead=section.lead, blocks=[*section.blocks, hidden])

"""Section that shows what drives the score as tissue: tiles of every feature of the signature."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pathosig.core.words import counted
from pathosig.figures.palette import HIGH, LOW, MUTED
from pathosig.report.cells import (
    feature_name,
    feature_title,
    listed,
    number_text,
    palette_of,
    rounded,
)
from pathosig.report.coarse import coarse_summary
from pathosig.report.drivers import Driver, drivers_of
from pathosig.report.images import jpeg
from pathosig.report.material import AtlasTile, Material
from pathosig.report.page import (
    Block,
    Cell,
    DriverCard,
    DriverGrid,
    Note,
    Section,
    Table,
    TileImage,
    data_uri,
)

SHOWN = 12
"""Features shown; a signature of more keeps the rest in the table of its equation."""

IN_SUMMARY = 3
"""Features shown in the answer."""

BAR_UM = 50.0

COLOURS = {"higher risk": HIGH, "lower risk": LOW, "hardly any effect": MUTED}


def driver_grid(material: Material, *, at_most: int = SHOWN, tiles: int = 6) -> DriverGrid | None:
    """Cards of the features that move the score most; None without a signature."""
    drivers = drivers_of(material)
    if not drivers:
        return None
    return DriverGrid(cards=[_card(material, d, tiles) for d in drivers[:at_most]])


def drivers_section(material: Material) -> Section | None:
    """Every feature of the signature as tissue; None without a signature."""
    grid = driver_grid(material)
    if grid is None:
        return None
    few = len(grid.cards) <= IN_SUMMARY  # all of them are already in the chapter Answer
    blocks: list[Block] = [] if few else [grid]
    left = len(material.terms) - len(grid.cards)
    if left > 0:
        blocks.append(
            Note(text=f"{counted(left, 'feature')} with smaller effects are listed with the equation.")
        )
    nested = [d for d in drivers_of(material) if d.inside]
    if nested:
        text = "; ".join(
            f"{feature_name(d.term.feature)} is part of {feature_name(d.inside)}" for d in nested
        )
        blocks.append(
            Note(
                title="Nested features.",
                text=f"{text}. Such tiles count in both terms, and their weights add up.",
            )
        )
    coarse = coarse_table(material) if len(material.terms) > IN_SUMMARY else None
    blocks += [coarse] if coarse is not None else []
    lead = (
        "The effect of a feature is the change of the score, in discovery standard deviations (SD), when the feature rises "
        "by one SD. Proportions are means over discovery patients. Steadiness (0 to 1) says how well codebooks of disjoint halves of the "
        "discovery patients find a feature again. "
    )
    lead += (
        "All features are shown in the chapter Answer."
        if few
        else "Tiles come from different patients where enough patients have them."
    )
    return Section(id="drivers", title="Tissue that drives the score", blocks=blocks, lead=lead)


def coarse_table(material: Material) -> Table | None:
    """The whole score by at most eight coarse groups of the tissue; None if it is not a score of proportions."""
    groups = coarse_summary(material)
    if len(groups) < 2:
        return None
    rows: list[list[Cell]] = [
        [
            feature_title(material, g.feature),
            listed([f"{h:02d}" for h in g.leaves], 12),
            f"{100 * g.proportion:.1f}%",
            rounded(g.weight),
            number_text(g.effect),
            ", ".join(feature_name(f) for f in g.inside) or "–",
        ]
        for g in groups
    ]
    note = (
        "Every tile belongs to one group, and the groups add up to the score. The weight is what a tile of the group adds to the "
        "score, compared with the mean tile of discovery; the effect is the standard deviation (SD) of the group's contribution over discovery "
        "patients, in SDs of the score."
    )
    columns = [
        "Coarse group",
        "HPCs inside",
        "Proportion",
        "Weight",
        "Effect",
        "Terms of the signature inside",
    ]
    return Table(caption="The score by coarse groups", columns=columns, rows=rows, note=note)


def _card(material: Material, driver: Driver, tiles: int) -> DriverCard:
    term = driver.term
    colours = palette_of(material.phenotypes)
    return DriverCard(
        name=feature_title(material, term.feature),
        direction=driver.direction,
        colour=COLOURS[driver.direction],
        swatches=[colours[h] for h in term.leaves],
        facts=_facts(driver),
        caution=_caution(driver),
        tiles=tile_images(driver.tiles[:tiles]),
        bar_text=f"{BAR_UM:.0f} µm",
    )


def tile_images(tiles: Sequence[AtlasTile]) -> list[TileImage]:
    """Tiles of the atlas with their scale bars."""
    return [
        TileImage(
            uri=data_uri(jpeg(t.pixels), "image/jpeg"),
            alt=f"Tile of {feature_name(f'hpc_{t.hpc:02d}')}, patient {t.patient_id}, slide {t.slide_id}",
            bar=None if t.width_um is None else 100 * BAR_UM / t.width_um,
            slide=t.slide_id,
            place=t.place,
        )
        for t in tiles
    ]


def _facts(driver: Driver) -> list[tuple[str, str]]:
    term = driver.term
    facts = []
    if math.isfinite(driver.effect):
        sign = "+" if driver.effect > 0 else ""
        facts.append(("Effect", f"{sign}{number_text(driver.effect)} SD per SD"))
    facts.append(("Weight", rounded(term.coef)))
    if driver.proportion is not None:
        facts.append(("Proportion", f"{100 * driver.proportion:.1f}% of tiles"))
    if driver.without:
        facts.append(("None in", f"{100 * driver.without:.0f}% of patients"))
    if driver.completes:
        facts.append(("Role", "coarse group that completes the score"))
    elif driver.frequency is not None:
        facts.append(("Selected in", f"{100 * driver.frequency:.0f}% of half-samples"))
    if driver.steadiness is not None:
        facts.append(("Steadiness", number_text(driver.steadiness)))
    if len(term.leaves) > 1:
        facts.append(("HPCs inside", listed([f"{h:02d}" for h in term.leaves], 12)))
    if driver.inside:
        facts.append(("Part of", feature_name(driver.inside)))
    return facts


def _caution(driver: Driver) -> str:
    if not driver.unstable:
        return ""
    names = listed([f"HPC {h:02d}" for h in driver.unstable], 4)
    verb = "is" if len(driver.unstable) == 1 else "are"
    return f"{names} {verb} unstable or mostly from one patient."

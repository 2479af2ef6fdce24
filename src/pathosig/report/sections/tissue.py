"""Section with contact sheets of all slides: which tissue was used is seen at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.slides import contact_sheet
from pathosig.report.images import picture
from pathosig.report.material import Material, SlidePicture, cohort_title
from pathosig.report.page import Block, Note, Section, folded
from pathosig.report.sections.flow import REASONS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tissue_section(material: Material) -> Section | None:
    """Contact sheets of all slides with their tissue outlined; None without slides."""
    if not material.slides or (not material.pictures and material.level == "embeddings"):
        return None
    if not material.pictures:
        text = "No overview of a slide could be read, so there is no contact sheet."
        return Section(id="tissue", title="Tissue", blocks=[Note(text=text, level="warning")])
    by_cohort: dict[str, list[SlidePicture]] = {}
    for item in material.pictures:
        by_cohort.setdefault(item.cohort, []).append(item)
    flagged = {r.unit for s in ("tissue", "tiles") for r in material.of(s) if r.status != "ok" or r.warnings}
    blocks: list[Block] = []
    for number, cohort in enumerate(
        sorted(by_cohort, key=lambda c: [*material.cohorts, c].index(c)), start=1
    ):
        items = by_cohort[cohort]
        figure = contact_sheet(
            [_small(i.overview) for i in items],
            [_caption(material, i) for i in items],
            outlines=[[ring / i.downsample * _shrink(i.overview) for ring in i.rings] for i in items],
            flags=[i.slide_id in flagged for i in items],
        )
        total = sum(s.cohort == cohort for s in material.slides)
        caption = (
            f"{cohort_title(cohort)}: {len(items)} of {counted(total, 'slide')}, tissue outlined in green. A red frame "
            "marks slides that are empty, failed or carry a warning."
        )
        sheet = picture(f"tissue_{number}", figure, caption)
        blocks += folded(
            f"{cohort_title(cohort)}: contact sheet", [sheet], small=counted(len(items), "slide")
        )
    return Section(id="tissue", title="Contact sheets", blocks=blocks)


CONTACT_PX = 260


def _shrink(overview: NDArray[np.uint8]) -> float:
    """Pixels of the contact sheet per pixel of the overview."""
    return float(min(1.0, CONTACT_PX / max(overview.shape[:2])))


def _small(overview: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The overview at the size of the contact sheet."""
    from PIL import Image

    scale = _shrink(overview)
    size = (max(1, round(overview.shape[1] * scale)), max(1, round(overview.shape[0] * scale)))
    return np.asarray(Image.fromarray(overview).resize(size, Image.Resampling.BOX))


def _caption(material: Material, item: SlidePicture) -> str:
    text = item.slide_id if len(item.slide_id) <= 24 else item.slide_id[:22] + "…"
    tiles = counted(len(item.x), "tile")
    for record in material.of("tissue"):
        if record.unit == item.slide_id and "area_um2" in record.summary:
            tiles = f"{float(record.summary['area_um2']) / 1e6:.1f} mm², {tiles}"
    return "\n".join([text, tiles, *_reason(material, item.slide_id)])


def _reason(material: Material, slide_id: str) -> list[str]:
    """Why a slide is framed, in a word or two; nothing where all is well."""
    records = [r for stage in ("tissue", "tiles") for r in material.of(stage) if r.unit == slide_id]
    for record in records:
        if record.status == "failed":
            code = record.error["code"] if record.error else ""
            return [f"{record.stage} failed: {code}".rstrip(": ")]
    for record in records:
        if record.status == "empty":
            excluded = record.summary.get("excluded", {})
            counts = {k: v for k, v in excluded.items() if v and k != "tissue"}
            most = max(counts, key=lambda k: counts[k], default="")
            little = "no tissue" if record.stage == "tissue" else "too little tissue"
            return [f"empty: {REASONS.get(most, most or little)}"]
    return ["see its warnings"] if any(r.warnings for r in records) else []

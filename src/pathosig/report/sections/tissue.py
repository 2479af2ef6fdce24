"""Sections on pixels: tissue, atlas, health of the codebook, maps over the slides."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.figures.embedding import embedding_map
from pathosig.figures.flow import flow_diagram
from pathosig.figures.health import COLUMNS, health_figure, stability_figure
from pathosig.figures.palette import hpc_colours
from pathosig.figures.slides import SlideMap, contact_sheet, slide_map
from pathosig.figures.style import hpc_name, svg_bytes
from pathosig.report.material import Material, SlidePicture, cohort_title
from pathosig.report.page import (
    Block,
    Cell,
    Facts,
    Note,
    Picture,
    Section,
    Table,
    folded,
)
from pathosig.report.sections.flow import REASONS, excluded_tiles, flow_steps, loss_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def picture(name: str, figure: Figure, caption: str, *, alt: str = "", wide: bool = True) -> Picture:
    """A figure as a block of the page."""
    return Picture(
        name=name,
        data=svg_bytes(figure),
        caption=caption,
        alt=alt or caption,
        wide=wide,
        figure=figure,
    )


def jpeg(pixels: NDArray[np.uint8], *, quality: int = 78) -> bytes:
    """uint8[h, w, 3] as JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def flow_section(material: Material) -> Section:
    """Patients, slides, cores, tiles and events: what came in and what was left out."""
    steps, arms = flow_steps(material)
    caption = "Flow of patients, slides, tiles and events. Every exclusion carries its reason."
    blocks: list[Block] = [picture("flow", flow_diagram(steps, arms), caption)]
    if material.slides:
        columns = [
            "Cohort",
            "Slides and cores",
            "Failed",
            "Empty",
            "Tiles kept",
            "Left out for quality",
            "Share",
        ]
        blocks.append(Table(caption="Losses by cohort", columns=columns, rows=loss_rows(material)))
    reasons = excluded_tiles(material.records.get("tiles", ()))
    if reasons:
        rows: list[list[Cell]] = [[REASONS.get(k, k.replace("_", " ")), n] for k, n in reasons.most_common()]
        blocks.append(Table(caption="Tiles left out, by reason", columns=["Reason", "Tiles"], rows=rows))
    return Section(id="flow", title="Flow", blocks=blocks)


def tissue_section(material: Material) -> Section | None:
    """Contact sheets of all slides with the tissue that was found; None without slides."""
    if not material.slides:
        return None
    blocks: list[Block] = []
    sheets: list[tuple[str, Block]] = []
    by_cohort: dict[str, list[SlidePicture]] = {}
    for item in material.pictures:
        by_cohort.setdefault(item.cohort, []).append(item)
    flagged = {r.unit for s in ("tissue", "tiles") for r in material.of(s) if r.status != "ok" or r.warnings}
    for cohort in sorted(by_cohort, key=lambda c: [*material.cohorts, c].index(c)):
        items = by_cohort[cohort]
        figure = contact_sheet(
            [_small(i.overview) for i in items],
            [_caption(material, i) for i in items],
            outlines=[[ring / i.downsample * _shrink(i.overview) for ring in i.rings] for i in items],
            flags=[i.slide_id in flagged for i in items],
        )
        caption = (
            f"{cohort_title(cohort)}: {len(items)} of "
            f"{sum(s.get('cohort') == cohort for s in material.slides)} slides, tissue outlined in green. A red frame marks slides "
            "that are empty, failed or carry a warning."
        )
        sheets.append((cohort, picture(f"tissue_{len(sheets) + 1}", figure, caption)))
    for number, (cohort, sheet) in enumerate(sheets):
        blocks += [sheet] if number == 0 else folded(cohort_title(cohort), [sheet], small="contact sheet")
    if not blocks:
        if material.config.get("study", {}).get("level") == "embeddings":
            return None  # there never were slides; the atlas says so
        text = "No overview of a slide could be read, so there is no contact sheet."
        blocks.append(Note(text=text, level="warning"))
    return Section(id="tissue", title="Tissue", blocks=blocks)


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
    tiles = f"{len(item.x):,} tiles"
    for record in material.of("tissue"):
        if record.unit == item.slide_id and isinstance(record.summary.get("area_um2"), (int, float)):
            tiles = f"{record.summary['area_um2'] / 1e6:.1f} mm², {tiles}"
    return "\n".join([text, tiles, *_reason(material, item.slide_id)])


def _reason(material: Material, slide_id: str) -> list[str]:
    """Why a slide is framed, in a word or two; nothing where all is well."""
    records = [r for stage in ("tissue", "tiles") for r in material.of(stage) if r.unit == slide_id]
    for record in records:
        if record.status == "failed":
            return [f"{record.stage} failed: {(record.error or {}).get('code', '')}".rstrip(": ")]
    for record in records:
        if record.status == "empty":
            counts = {
                k: v for k, v in dict(record.summary.get("excluded", {})).items() if v and k != "tissue"
            }
            most = max(counts, key=lambda k: counts[k], default="")
            little = "no tissue" if record.stage == "tissue" else "too little tissue"
            return [f"empty: {REASONS.get(most, most) or little}"]
    return ["see its warnings"] if any(r.warnings for r in records) else []


def palette_of(material: Material) -> list[str]:
    """The colour of every HPC of the study."""
    k = int(material.tree.get("k", 0) or 0)
    return hpc_colours(k, artefacts={int(h) for h in material.tree.get("artefact_hpcs", [])})


def hpc_names(material: Material) -> dict[int, str]:
    """Names given to HPCs, where there are any (see `read_hpc_names`)."""
    return {int(k): str(v) for k, v in (material.tree.get("names") or {}).items()}


def health_rows(material: Material) -> list[dict[str, Any]]:
    """Health of each HPC under the keys of `health_figure`."""
    raw = material.health.get("hpcs") or material.health.get("clusters") or []
    items = raw.values() if isinstance(raw, dict) else raw
    return [dict(_health_row(i, dict(item))) for i, item in enumerate(items)]


def _health_row(position: int, item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    aliases = {
        "share": ("share", "occupancy"),
        "confidence": ("confidence", "mean_confidence"),
        "top_slide": ("top_slide", "slide_share", "largest_slide"),
        "top_patient": ("top_patient", "patient_share", "largest_patient"),
        "top_site": ("top_site", "site_share", "largest_site"),
        "seed_jaccard": ("seed_jaccard", "jaccard_seed", "jaccard_seeds", "stability_seed"),
        "bootstrap_jaccard": ("bootstrap_jaccard", "jaccard_bootstrap", "jaccard_patients", "jaccard"),
    }
    yield "hpc", int(item.get("hpc", position))
    for key, _ in COLUMNS:
        for name in aliases[key]:
            value = item.get(name)
            value = value.get("share") if isinstance(value, dict) else value
            if isinstance(value, (int, float)) and math.isfinite(value):
                yield key, float(value)
                break
    verdict = item.get("verdict") or item.get("flag") or ""
    yield "verdict", str(verdict)
    yield "reason", str(item.get("reason") or "")


def health_section(material: Material) -> Section | None:
    """Occupancy, confidence, dominance and stability of the codebook; None without one."""
    if not material.health:
        return None
    blocks: list[Block] = []
    scalars = dict(_scalars(material.health))
    if scalars:
        blocks.append(Facts(rows=[(k.replace("_", " "), _value(v)) for k, v in scalars.items()]))
    rows = health_rows(material)
    colours = palette_of(material)
    if rows and colours and max(r["hpc"] for r in rows) < len(colours):
        caption = (
            "Health of every HPC. Stability is the Jaccard overlap after matching (green: "
            "0.75 or more, red: below "
            "0.50); biggest slide, patient and site: the share of "
            "an HPC's tiles that comes from there (yellow: more than half)."
        )
        blocks.append(picture("health", health_figure(rows, colours, names=hpc_names(material)), caption))
        names = hpc_names(material)
        reasons = [
            [f"{hpc_name(r['hpc'])} {names.get(r['hpc'], '')}".strip(), r["verdict"], r["reason"]]
            for r in rows
            if r["reason"]
        ]
        if reasons:
            columns = ["HPC", "Verdict", "Why"]
            blocks.append(
                Table(caption="Verdicts and their reasons", columns=columns, rows=reasons, folded=True)
            )
    if material.tile_map and colours:
        blocks.append(_tile_map(material, colours))
    curve = material.health.get("k_curve") or material.health.get("curve") or []
    if isinstance(curve, list) and curve and all(isinstance(r, dict) and "k" in r for r in curve):
        keys = sorted({k for r in curve for k, v in r.items() if k != "k" and isinstance(v, (int, float))})
        series = {k.replace("_", " "): [float(r.get(k, math.nan)) for r in curve] for k in keys[:4]}
        figure = stability_figure(
            [float(r["k"]) for r in curve], series, title="Choice of K", chosen=len(colours)
        )
        blocks.append(
            picture("k_curve", figure, "Agreement over K. K is never chosen by survival.", wide=False)
        )
    warnings = material.health.get("warnings") or []
    blocks += [Note(text=str(w), level="warning") for w in warnings if isinstance(warnings, list)]
    return Section(id="health", title="Health of the codebook", blocks=blocks)


def _tile_map(material: Material, colours: list[str]) -> Picture:
    """Training tiles on two principal components, coloured by HPC."""
    hpc = material.tile_map["hpc"]
    names = [hpc_name(int(h)) for h in hpc]
    figure = embedding_map(
        np.column_stack([material.tile_map["x"], material.tile_map["y"]]),
        names,
        title="Tiles by HPC",
        colours={hpc_name(h): colour for h, colour in enumerate(colours)},
    )
    caption = (
        f"{len(hpc):,} training tiles on the first two principal components of the space HPCs are found in. Two of its "
        "many dimensions: HPCs that overlap here can be far apart. Numbers that would cover another are left out."
    )
    return picture("tile_map", figure, caption, wide=False)


def _scalars(health: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Single numbers of health.json, those of its occupancy and stability included."""
    names = {
        "k": "HPCs",
        "perplexity": "Occupancy perplexity, exp(H)/K",
        "empty": "Empty HPCs",
        "near_empty": "Nearly empty HPCs",
        "seed_ari": "Agreement between seeds (ARI)",
        "bootstrap_ari": "Agreement between patient bootstraps (ARI)",
    }
    for part in (health, health.get("occupancy"), health.get("stability")):
        for key, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, (int, float, str)):
                yield names.get(key, key.replace("_", " ")), value


def _value(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def maps_section(material: Material, *, at_most: int) -> Section | None:
    """HPC maps beside the H&E, for slides spread over the range of scores; None without slides."""
    usable = [p for p in material.pictures if (p.hpc >= 0).any()]
    if not usable or not material.tree:
        return None
    scores = {r["patient_id"]: r for r in material.scores}
    usable.sort(key=lambda p: (_score(scores.get(p.patient_id, {})), p.slide_id))
    steps = np.unique(np.linspace(0, len(usable) - 1, min(at_most, len(usable))).round().astype(int))
    colours, names = palette_of(material), hpc_names(material)
    drawn: list[Block] = []
    for number, index in enumerate(steps, start=1):
        item = usable[int(index)]
        facts = scores.get(item.patient_id, {})
        title = f"Slide {item.slide_id}, patient {item.patient_id}, {cohort_title(item.cohort)}"
        if facts.get("score"):
            title += f", score {_score(facts):.2f} ({facts.get('group', '')})"
        panel = SlideMap(
            title=title,
            overview=item.overview,
            x=item.x,
            y=item.y,
            hpc=item.hpc,
            tile_px=item.tile_px,
            downsample=item.downsample,
            mpp=item.mpp,
        )
        legend = {h: f"{hpc_name(h)} {n}" for h, n in names.items()}
        caption = f"Slide {item.slide_id}: H&E, and the same slide with every tile in the colour of its HPC."
        alt = f"H&E of slide {item.slide_id} beside its tiles coloured by HPC"
        drawn.append(
            picture(f"map_{number:02d}", slide_map([panel], colours, names=legend), caption, alt=alt)
        )
    ends = drawn[:1] + drawn[1:][-1:]
    blocks = ends + folded("Slides between them, by score", drawn[1:-1])
    lead = f"{len(steps)} of {len(usable)} slides; the lowest and the highest score stand open."
    return Section(id="maps", title="HPCs on the slides", blocks=blocks, lead=lead)


def _score(row: Mapping[str, str]) -> float:
    try:
        value = float(row.get("score", "nan"))
    except ValueError:
        return math.inf
    return value if math.isfinite(value) else math.inf

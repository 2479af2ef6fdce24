"""One page per patient: score and risk, what makes it, where it lies on the slide, and what it was made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from pathosig import __version__
from pathosig.core.names import file_stem
from pathosig.core.records import to_json, write_text
from pathosig.core.study import Specimen, Study
from pathosig.core.templates import environment
from pathosig.profiles.reading import read_profiles
from pathosig.scoring.contents import Bundle
from pathosig.scoring.readings import Reading
from pathosig.scoring.slide_pictures import SlidePictures, slide_pictures
from pathosig.signature.contributions import risk_of_tiles
from pathosig.signature.scores import scored_profiles

_DRIVERS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A number with what it is and what to mind about it."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TermRow:
    """A feature's part of the score; `left` and `width` place its bar, in per cent."""

    name: str
    leaves: str
    value: str
    center: str
    part: str
    tone: str
    left: float
    width: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MapBlock:
    """A slide beside its map."""

    title: str
    svg: Markup
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TilesBlock:
    """Tiles of one feature, as data URIs."""

    label: str
    note: str
    tiles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientPage:
    """Everything on a page."""

    title: str
    endpoint: str
    remark: str
    verdict: tuple[Item, ...]
    risks: tuple[Item, ...]
    terms: tuple[TermRow, ...]
    total: str
    maps: tuple[MapBlock, ...]
    drivers: tuple[TilesBlock, ...]
    far: tuple[str, ...]
    far_note: str
    slides: tuple[tuple[str, ...], ...]
    provenance: tuple[tuple[str, str], ...]


def write_pages(study: Study, bundle: Bundle, readings: Sequence[Reading], folder: Path) -> None:
    """Write index.html and, for every patient, a page, its numbers as JSON, and the map of each slide as GeoJSON."""
    folder.mkdir(parents=True, exist_ok=True)
    profiles = read_profiles(study) if study.paths.patient_profiles.is_file() else None
    links = []
    for reading in readings:
        stem = file_stem(reading.patient_id)
        specimens = [s for s in study.specimens() if s.patient_id == reading.patient_id]
        columns = None
        slide_weights: dict[str, np.ndarray] = {}
        if profiles is not None and reading.score is not None:
            rows = profiles.patients[profiles.patients["patient_id"] == reading.patient_id]
            slides = profiles.slides[profiles.slides["patient_id"] == reading.patient_id]
            columns = bundle.signature.columns(scored_profiles(bundle.signature, rows, slides))[0]
            slide_weights = {
                str(s): risk_of_tiles(bundle.signature, slides[slides["slide_id"] == s], profiles.columns)
                for s in slides["slide_id"]
            }
        pictures = [
            p
            for s in specimens
            if (p := slide_pictures(study, bundle, s, slide_weights.get(s.id), _drivers(bundle, reading)))
            is not None
        ]
        page = patient_page(study, bundle, reading, columns, specimens, pictures)
        write_text(folder / f"{stem}.html", _render("patient.html.j2", page=page))
        write_text(folder / f"{stem}.json", to_json(_numbers(bundle, reading)))
        for picture in pictures:
            if picture.geojson:
                write_text(folder / f"{stem}.{file_stem(picture.slide)}.geojson", to_json(picture.geojson))
        links.append((f"{stem}.html", reading))
    write_text(folder / "index.html", _render("index.html.j2", links=links, header=bundle.header()))


def _render(template: str, **values: object) -> str:
    return environment("pathosig.scoring").get_template(template).render(**values) + "\n"


def _numbers(bundle: Bundle, reading: Reading) -> dict[str, Any]:
    return {
        **dataclasses.asdict(reading),
        "endpoint": bundle.signature.endpoint,
        "cutoff": bundle.signature.cutoff,
        "bundle_sha256": bundle.sha256,
        "pathosig": __version__,
        "use": "research only; not a medical device",
    }


def _drivers(bundle: Bundle, reading: Reading) -> dict[str, tuple[int, ...]]:
    """The features that weigh most in this patient, with their phenotypes."""
    order = sorted(reading.contributions, key=lambda name: -abs(reading.contributions[name]))
    leaves = bundle.signature.transform.leaves
    return {name: leaves.get(name, ()) for name in order[:_DRIVERS]}


def patient_page(
    study: Study,
    bundle: Bundle,
    reading: Reading,
    columns: np.ndarray | None,
    specimens: Sequence[Specimen],
    pictures: Sequence[SlidePictures],
) -> PatientPage:
    """The page of one patient; `columns` are the values of the features that were scored."""
    far = tuple(tile for p in pictures for tile in p.far)[:12]
    share = reading.unlike_training
    signer = str(bundle.signer) if bundle.signer else "unsigned"
    provenance = [
        ("bundle", f"{bundle.path.name} ({signer})"),
        ("bundle sha256", bundle.sha256),
        ("encoder", f"{bundle.encoder['name']}, {bundle.encoder['weights_sha256']}"),
        ("made with", f"pathosig {bundle.made_with}; scored with pathosig {__version__}"),
        *((f"slide {s.id}", s.path.name) for s in specimens),
    ]
    return PatientPage(
        title=f"Patient {reading.patient_id}",
        endpoint=bundle.signature.endpoint,
        remark=reading.remark,
        verdict=_verdict(bundle, reading),
        risks=tuple(
            Item(
                label=f"{y} year{'s' if y != '1' else ''}",
                value=f"{1 - s:.0%}",
                note=_interval(hi, lo, percent=True),
            )
            for y, (s, lo, hi) in reading.survival.items()
        ),
        terms=() if columns is None else _terms(bundle, reading, columns),
        total="" if reading.score is None else f"{reading.score:+.4f}",
        maps=tuple(
            MapBlock(title=f"Slide {p.slide}", svg=Markup(p.map_svg), note=p.note)  # noqa: S704 - drawn by this program
            for p in pictures
            if p.map_svg
        ),
        drivers=tuple(
            _driver(bundle, name, leaves, reading, pictures)
            for name, leaves in _drivers(bundle, reading).items()
        ),
        far=far,
        far_note=""
        if share is None
        else f"{share:.1%} of the tiles; about 2 % are expected in slides like those of the training.",
        slides=tuple(_quality(study, s) for s in specimens),
        provenance=tuple(provenance),
    )


def _verdict(bundle: Bundle, reading: Reading) -> tuple[Item, ...]:
    signature = bundle.signature
    alike = "cannot be told" if reading.similarity is None else f"{reading.similarity:.2f}"
    items = [Item(label="similarity to training", value=alike, note="1 alike, 0.5 the limit")]
    if reading.score is None:
        return (Item(label="risk group", value="not assessable", note="no score is given"), *items)
    known = signature.trained_on.percentiles
    return (
        Item(
            label="risk group",
            value=reading.group,
            tone=reading.group.replace(" ", "-"),
            note=f"cut-off {signature.cutoff:.3g} ({signature.cutoff_rule})",
        ),
        Item(label="score", value=f"{reading.score:.3f}", note=_interval(reading.lower, reading.upper)),
        Item(
            label="percentile in discovery",
            value="-" if reading.percentile is None else f"{reading.percentile:.0f}",
            note=f"of {signature.trained_on.n} patients" if known else "",
        ),
        *items,
    )


def _interval(low: float | None, high: float | None, *, percent: bool = False) -> str:
    if low is None or high is None:
        return "interval not estimable: too little tissue"
    if percent:
        return f"{1 - low:.0%} to {1 - high:.0%}"
    return f"95 % interval {low:.3f} to {high:.3f}"


def _terms(bundle: Bundle, reading: Reading, columns: np.ndarray) -> tuple[TermRow, ...]:
    signature = bundle.signature
    top = max((abs(v) for v in reading.contributions.values()), default=1.0) or 1.0
    rows = []
    for name, value, center in zip(signature.hpcs, columns, signature.center, strict=True):
        part = reading.contributions[name]
        width = 50 * abs(part) / top
        leaves = signature.transform.leaves.get(name, ())
        rows.append(
            TermRow(
                name=name,
                leaves=" ".join(f"{hpc:02d}" for hpc in leaves),
                value=f"{value:.4f}",
                center=f"{center:.4f}",
                part=f"{part:+.4f}",
                tone="high" if part > 0 else "low",
                left=round(50 if part > 0 else 50 - width, 2),
                width=round(width, 2),
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.width))


def _driver(
    bundle: Bundle, name: str, leaves: Sequence[int], reading: Reading, pictures: Sequence[SlidePictures]
) -> TilesBlock:
    part = reading.contributions[name]
    tiles = tuple(tile for p in pictures for tile in p.drivers.get(name, ()))[:8]
    coef = dict(zip(bundle.signature.hpcs, bundle.signature.coef, strict=True))[name]
    what = "more of it raises" if coef > 0 else "more of it lowers"
    text = f"{what} the risk; contribution {part:+.3f}" + ("" if tiles else "; no tile of it in this patient")
    return TilesBlock(label=name, note=text, tiles=tiles)


def _quality(study: Study, specimen: Specimen) -> tuple[str, ...]:
    """Slide, tissue, tiles, what was left out, scanner, similarity."""
    summaries: dict[str, Mapping[str, Any]] = {}
    problem = ""
    for stage in ("tissue", "tiles", "phenotypes"):
        record = study.record(stage, specimen.id)
        summaries[stage] = record.summary if record is not None else {}
        problem = problem or (record.error["message"] if record is not None and record.error else "")
    tissue, tiles = summaries["tissue"], summaries["tiles"]
    area = f"{tissue['area_um2'] / 1e6:.2f} mm\u00b2" if "area_um2" in tissue else "-"
    left_out = ", ".join(f"{n} {k}" for k, n in tiles.get("excluded", {}).items() if n) or "-"
    scanner = f"{tissue.get('vendor') or 'unknown'}, {tissue.get('mpp') or '?'} um/px" if tissue else "-"
    alike = (
        "-"
        if "unlike" not in summaries["phenotypes"]
        else "unlike"
        if summaries["phenotypes"]["unlike"]
        else "alike"
    )
    return (
        specimen.id,
        problem or area,
        str(summaries["phenotypes"].get("n_tiles", "-")),
        left_out,
        scanner,
        alike,
    )

"""One page per patient: score and risk, the terms of the score, its map on the slide, and the provenance."""

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
from pathosig.figures.palette import hpc_colours
from pathosig.figures.style import hpc_name
from pathosig.figures.titles import endpoint_title, sentence_case
from pathosig.profiles.reading import read_profiles
from pathosig.scoring.card import phenotype_names, selected_in
from pathosig.scoring.clinical import ClinicalTerm
from pathosig.scoring.contents import Bundle
from pathosig.scoring.drawings import curve_note, place_among_discovery, risk_note, survival_curve
from pathosig.scoring.readings import Reading
from pathosig.scoring.slide_pictures import SlidePictures, slide_pictures
from pathosig.signature.contributions import risk_of_tiles
from pathosig.signature.scores import scored_profiles

_DRIVERS = 3
_LIMIT = 0.5
"""Similarity below which no score is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A number with its label and a note."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskRow:
    """Absolute risk within a number of years; each cell is the value and the interval of one model."""

    label: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """A phenotype and its colour in the map."""

    name: str
    colour: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TermRow:
    """The contribution of one feature to the score; `left` and `width` place its bar, in per cent."""

    name: str
    leaves: tuple[Leaf, ...]
    value: str
    center: str
    part: str
    returns: str
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
    """Everything on the page of a patient."""

    title: str
    endpoint: str
    sentence: str
    remark: str
    verdict: tuple[Item, ...]
    place: Markup
    curve: Markup
    risk_heads: tuple[str, ...]
    risks: tuple[RiskRow, ...]
    curve_note: str
    risk_note: str
    covariates: tuple[ClinicalTerm, ...]
    terms: tuple[TermRow, ...]
    total: str
    maps: tuple[MapBlock, ...]
    drivers: tuple[TilesBlock, ...]
    alike: str
    far: tuple[str, ...]
    far_note: str
    slides: tuple[tuple[str, ...], ...]
    provenance: tuple[tuple[str, str], ...]


def write_pages(study: Study, bundle: Bundle, readings: Sequence[Reading], folder: Path) -> None:
    """Write index.html and, for every patient, a page, its numbers as JSON, and a GeoJSON map of each slide."""
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
    """The features with the largest contributions in this patient, with their phenotypes."""
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
    """The page of one patient; `columns` are the values of the features of its score, or None without a score."""
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
        endpoint=endpoint_title(bundle.signature.endpoint),
        sentence=_sentence(bundle, reading),
        remark=sentence_case(reading.remark),
        verdict=_verdict(bundle, reading),
        place=place_among_discovery(bundle.signature, reading),
        curve=survival_curve(bundle.signature, reading),
        risk_heads=("histology", "clinical + histology") if _both(reading) else ("histology",),
        risks=_risks(reading),
        curve_note=curve_note(bundle.signature),
        risk_note=risk_note(bundle.signature, clinical=_both(reading)),
        covariates=reading.clinical.terms if reading.clinical else (),
        terms=() if columns is None else _terms(bundle, reading, columns),
        total="" if reading.score is None else _signed(reading.score),
        maps=tuple(
            MapBlock(title=f"Slide {p.slide}", svg=Markup(p.map_svg), note=p.note)  # noqa: S704 - drawn by this program
            for p in pictures
        ),
        drivers=tuple(
            _driver(bundle, name, leaves, reading, pictures)
            for name, leaves in _drivers(bundle, reading).items()
        ),
        alike=_alike(bundle, reading),
        far=far,
        far_note=""
        if share is None
        else f"{share:.1%} of the tiles are unlike any tile of the training; about 2% are expected in slides of the same kind. "
        "The most unlike:",
        slides=tuple(_quality(study, s) for s in specimens),
        provenance=tuple(provenance),
    )


def _both(reading: Reading) -> bool:
    return reading.clinical is not None and bool(reading.clinical.survival)


def _risks(reading: Reading) -> tuple[RiskRow, ...]:
    models = [reading.survival, *([reading.clinical.survival] if reading.clinical else [])]
    rows = []
    for years in reading.survival:
        risks = [model[years] for model in models if years in model]
        cells = tuple((f"{1 - s:.0%}", _interval(high, low, percent=True)) for s, low, high in risks)
        rows.append(RiskRow(label=_years(years), cells=cells))
    return tuple(rows)


def _years(number: str) -> str:
    return f"{number} year{'s' if number != '1' else ''}"


def _sentence(bundle: Bundle, reading: Reading) -> str:
    """The score in words; empty if there is none."""
    if reading.score is None:
        return ""
    above = reading.score > bundle.signature.cutoff
    place = (
        ""
        if reading.percentile is None
        else f", higher than {reading.percentile:.0f}% of the {bundle.signature.trained_on.n} discovery patients"
    )
    risk = ""
    if reading.survival:
        years, (survival, _, _) = list(reading.survival.items())[-1]
        risk = f" The predicted absolute risk within {_years(years)} is {1 - survival:.0%}."
    return (
        f"The score is {_signed(reading.score)}{place} and {'above' if above else 'not above'} the cut-off: "
        f"{reading.group} risk.{risk}"
    )


def _signed(value: float, digits: int = 3) -> str:
    """A number with its sign, and a minus sign instead of a hyphen."""
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def _alike(bundle: Bundle, reading: Reading) -> str:
    """The phenotypes of the training that most tiles resemble, in words."""
    if not reading.nearest:
        return "No tile could be compared with the training."
    names = phenotype_names(bundle.card, bundle.tree.k).hpcs
    listed = ", ".join(
        f"{share:.0%} {hpc_name(int(name[4:]))} {names.get(int(name[4:]), '')}".rstrip()
        for name, share in reading.nearest
    )
    near = "The phenotypes of the training that most tiles resemble"
    if reading.score is None and reading.similarity is not None and reading.similarity < _LIMIT:
        near += " (the nearest ones, although these tiles belong to none of them)"
    return f"{near}: {listed}."


def _verdict(bundle: Bundle, reading: Reading) -> tuple[Item, ...]:
    signature = bundle.signature
    alike = "unknown" if reading.similarity is None else f"{reading.similarity:.2f}"
    items = [Item(label="similarity to training", value=alike, note="1 = alike, 0.5 = limit")]
    if reading.score is None:
        return (Item(label="risk group", value="not assessable", note="no score is given"), *items)
    percentiles = signature.trained_on.percentiles
    return (
        Item(
            label="risk group",
            value=reading.group,
            tone=reading.group.replace(" ", "-"),
            note=f"cut-off {_signed(signature.cutoff)} ({signature.cutoff_rule})",
        ),
        Item(label="score", value=_signed(reading.score), note=_interval(reading.lower, reading.upper)),
        Item(
            label="percentile in discovery",
            value="-" if reading.percentile is None else f"{reading.percentile:.0f}",
            note=f"of {signature.trained_on.n} patients" if percentiles else "",
        ),
        *items,
    )


def _interval(low: float | None, high: float | None, *, percent: bool = False) -> str:
    if low is None or high is None:
        return "interval not estimable: too little tissue"
    if percent:
        return f"{1 - low:.0%} to {1 - high:.0%}"
    return f"95% interval {_signed(low, 2)} to {_signed(high, 2)}"


def _terms(bundle: Bundle, reading: Reading, columns: np.ndarray) -> tuple[TermRow, ...]:
    signature = bundle.signature
    colours = hpc_colours(bundle.tree.k, artefacts=bundle.tree.artefacts, linkage=bundle.tree.linkage)
    names, selected = phenotype_names(bundle.card, bundle.tree.k), selected_in(bundle.card)
    top = max((abs(v) for v in reading.contributions.values()), default=1.0) or 1.0
    plain = signature.transform.scale == "share"
    rows = []
    for name, value, center in zip(signature.hpcs, columns, signature.center, strict=True):
        part = reading.contributions[name]
        width = 50 * abs(part) / top
        leaves = signature.transform.leaves.get(name, ())
        rows.append(
            TermRow(
                name=name,
                leaves=tuple(
                    Leaf(
                        name=f"{hpc:02d} {names.of([hpc], bundle.tree.coarse)}".rstrip(), colour=colours[hpc]
                    )
                    for hpc in leaves
                ),
                value=f"{value:.1%}" if plain else _signed(value),
                center=f"{center:.1%}" if plain else _signed(center),
                part=_signed(part),
                returns=f"{selected[name]:.0%}" if name in selected else "",
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
    here = any(p.present.get(name) for p in pictures)
    text = f"{what} the risk; contribution {_signed(part)}"
    if not tiles:
        text += "; its tiles cannot be shown" if here else "; absent in this patient"
    return TilesBlock(label=name, note=text, tiles=tiles)


def _quality(study: Study, specimen: Specimen) -> tuple[str, ...]:
    """Slide, tissue area, number of tiles, tiles left out, scanner, and similarity to the training, as text."""
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

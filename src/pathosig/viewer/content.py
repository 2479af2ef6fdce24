"""What the viewer shows of a study, read once at the start: slides, scores, HPC names, exemplars."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.labels import read_names
from pathosig.core.overlay import read_overlay
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.schema import ASSIGNMENTS, ATLAS, read_table
from pathosig.core.tables import read_csv_rows
from pathosig.figures.palette import coarse_colours, hpc_colours
from pathosig.figures.style import coarse_name, hpc_name

if TYPE_CHECKING:
    from pathosig.core.study import Specimen, Study
    from pathosig.viewer.patient import PatientFacts

Rows = tuple[Mapping[str, object], ...]

QUALITY = ("blur", "pen", "fold", "background", "saturation")
"""Columns of the tile table whose largest value is the quality that the viewer shows."""


@dataclass(frozen=True, kw_only=True)
class Exemplar:
    """One tile of the atlas: its HPC and coarse group (-1 without), and where it lies."""

    hpc: int
    coarse: int
    slide: str
    tile_id: int
    x: int
    y: int
    width: int


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """Everything the page lists.

    Attributes
    ----------
    title
        Name of the study folder.
    specimens
        Opaque id -> specimen.
    rows
        One plain mapping per slide, for the list.
    hpcs
        One plain mapping per HPC: number, label, given name, colour, coarse group, weight in the score.
    groups
        One plain mapping per coarse group: number, label, given name, colour, steadiness.
    exemplars
        Tiles of the atlas.
    """

    title: str
    specimens: dict[str, Specimen]
    rows: tuple[Mapping[str, object], ...]
    hpcs: tuple[Mapping[str, object], ...]
    groups: tuple[Mapping[str, object], ...]
    exemplars: tuple[Exemplar, ...]


def opaque_id(secret: str, specimen_id: str) -> str:
    """An id that does not reveal the slide's name and changes with every start."""
    return hmac.new(secret.encode(), specimen_id.encode(), hashlib.sha256).hexdigest()[:20]


def read_content(study: Study, secret: str, facts: PatientFacts) -> StudyContent:
    """Read the lists of a study; whatever is missing is left empty."""
    specimens = {opaque_id(secret, s.id): s for s in study.specimens()}
    by_name = {s.id: key for key, s in specimens.items()}
    scores = _scores(study)
    rows = []
    for key, specimen in specimens.items():
        record = study.record("tiles", specimen.id)
        score = scores.get(specimen.patient_id, {})
        rows.append(
            {
                "id": key,
                "name": specimen.id,
                "patient": specimen.patient_id,
                "cohort": specimen.cohort or "",
                "score": _number(score.get("score", "")),
                "group": score.get("group", ""),
                "status": record.status if record is not None else "not processed",
                "overlay": study.paths.assignments(specimen.id).is_file(),
            }
        )
    hpcs, groups = _phenotypes(study, facts)
    return StudyContent(
        title=study.root.name,
        specimens=specimens,
        rows=tuple(rows),
        hpcs=hpcs,
        groups=groups,
        exemplars=_exemplars(study, by_name),
    )


def overlay(study: Study, specimen: Specimen) -> bytes:
    """Tiles of a slide as one block of numbers: a million tiles travel in a tenth of a second, as JSON in ten.

    The block is the length of its header (uint32, little endian), the header as JSON padded to a multiple of 8 bytes, and
    one array per column of the header, each padded likewise: ``tile_id``, ``x``, ``y`` (level-0 pixels), ``hpc`` and ``coarse``
    group (-1 without), ``confidence``, ``distance`` to the training tiles (beyond 1 is unlike them) and ``quality`` (the worst
    artefact, 0 to 1). ``has`` says whether there is anything behind the last three.

    Raises
    ------
    InputError
        If a table is damaged.
    """
    tiles = read_overlay(study, specimen)
    n = 0 if tiles is None else len(tiles)
    columns: dict[str, np.ndarray] = {}
    kinds = {"tile_id": "<i4", "x": "<i4", "y": "<i4", "hpc": "<i2", "coarse": "<i2", "confidence": "<f4"}
    for name, kind in kinds.items():
        columns[name] = np.zeros(0, kind) if tiles is None else tiles.columns[name].astype(kind)
    distance = _distances(study, specimen, columns["tile_id"])
    columns["distance"] = np.zeros(n, "<f4") if distance is None else distance
    worst = [] if tiles is None else [tiles.columns[c] for c in QUALITY if c in tiles.columns]
    columns["quality"] = np.max(worst, axis=0).astype("<f4") if worst else np.zeros(n, "<f4")
    header = {
        "n": n,
        "width": 0 if tiles is None else tiles.tile_px,
        "columns": [[name, values.dtype.str[1:]] for name, values in columns.items()],
        "has": {
            "confidence": study.paths.assignments(specimen.id).is_file(),
            "distance": distance is not None,
            "quality": bool(worst),
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 4) % 8)
    blocks = [values.tobytes() for values in columns.values()]
    return struct.pack("<I", len(text)) + text + b"".join(b + b"\0" * (-len(b) % 8) for b in blocks)


def _distances(study: Study, specimen: Specimen, tile_ids: np.ndarray) -> np.ndarray | None:
    """How far every tile lies from the training tiles, the larger of both lengths; None where it was not measured."""
    path = study.paths.assignments(specimen.id)
    table = read_table(path, ASSIGNMENTS) if path.is_file() else None
    if table is None or not {"residual", "mahalanobis"} <= set(table.column_names):
        return None
    out = np.zeros(len(tile_ids), "<f4")
    ids = table["tile_id"].to_numpy()
    there = np.isin(ids, tile_ids)
    lengths = [table[name].to_numpy()[there] for name in ("residual", "mahalanobis")]
    out[np.searchsorted(tile_ids, ids[there])] = np.maximum(*lengths)
    return out


def _scores(study: Study) -> dict[str, dict[str, str]]:
    path = study.paths.scores
    return {r["patient_id"]: r for r in read_csv_rows(path)} if path.is_file() else {}


def _phenotypes(study: Study, facts: PatientFacts) -> tuple[Rows, Rows]:
    """Rows of HPCs, and rows of coarse groups; both empty without a tree."""
    if not study.paths.tree.is_file():
        return (), ()
    tree = PhenotypeTree.read(study.paths.tree)
    names, weights = read_names(study), facts.weights(tree.k)
    fine = hpc_colours(tree.k, artefacts=tree.artefacts, linkage=tree.linkage)
    coarse = coarse_colours(tree.coarse, artefacts=tree.artefacts, linkage=tree.linkage)
    hpcs = tuple(
        {
            "hpc": i,
            "label": hpc_name(i),
            "given": names.hpcs.get(i, ""),
            "colour": colour,
            "artefact": i in tree.artefacts,
            "coarse": tree.coarse[i] if tree.coarse else -1,
            "weight": weights[i] if weights else 0.0,
        }
        for i, colour in enumerate(fine)
    )
    groups = tuple(
        {
            "coarse": i,
            "label": coarse_name(i),
            "given": names.coarse.get(i, ""),
            "colour": colour,
            "steadiness": tree.steadiness.get(f"coarse_{i}"),
        }
        for i, colour in enumerate(coarse)
    )
    return hpcs, groups


def _exemplars(study: Study, by_name: dict[str, str]) -> tuple[Exemplar, ...]:
    path = study.paths.atlas
    if not path.is_file():
        return ()
    widths: dict[str, int] = {}
    specimens = {s.id: s for s in study.specimens()}
    out = []
    for row in read_table(path, ATLAS).to_pylist():
        name = row["slide_id"]
        if name not in by_name or row["kind"] == "border":
            continue
        if name not in widths:
            tiles = read_overlay(study, specimens[name])
            widths[name] = tiles.tile_px if tiles is not None else 0
        if not widths[name]:
            continue
        place = {k: row[k] for k in ("hpc", "tile_id", "x", "y")} | {"coarse": row.get("coarse", -1)}
        out.append(Exemplar(slide=by_name[name], width=widths[name], **place))
    return tuple(out)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None

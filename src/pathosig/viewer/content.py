"""What the viewer shows of a study, read once at the start: slides, scores, HPC names, exemplars."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import InputError
from pathosig.core.labels import read_hpc_names
from pathosig.core.overlay import read_overlay
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.schema import ATLAS, read_table
from pathosig.core.tables import read_csv_rows
from pathosig.figures.palette import hpc_colours
from pathosig.figures.style import hpc_name

if TYPE_CHECKING:
    from pathosig.core.study import Specimen, Study


@dataclass(frozen=True, kw_only=True)
class Exemplar:
    """One tile of the atlas: where it lies."""

    hpc: int
    slide: str
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
        One plain mapping per HPC: number, name, colour, whether it is an artefact.
    exemplars
        Tiles of the atlas.
    """

    title: str
    specimens: dict[str, Specimen]
    rows: tuple[dict[str, Any], ...]
    hpcs: tuple[dict[str, Any], ...]
    exemplars: tuple[Exemplar, ...]


def opaque_id(secret: str, specimen_id: str) -> str:
    """An id that says nothing of the slide's name and changes with every start."""
    return hmac.new(secret.encode(), specimen_id.encode(), hashlib.sha256).hexdigest()[:20]


def read_content(study: Study, secret: str) -> StudyContent:
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
    return StudyContent(
        title=study.root.name,
        specimens=specimens,
        rows=tuple(rows),
        hpcs=_hpcs(study),
        exemplars=_exemplars(study, by_name),
    )


def overlay(study: Study, specimen: Specimen) -> dict[str, Any]:
    """Tiles of a slide with their HPC: level-0 pixels and numbers as lists; empty before phenotypes.

    Raises
    ------
    InputError
        If a table is damaged.
    """
    found = read_overlay(study, specimen)
    if found is None:
        return {"width": 0, "tile_id": [], "x": [], "y": [], "hpc": [], "confidence": []}
    lists = {name: found.columns[name].tolist() for name in ("tile_id", "x", "y", "hpc")}
    return {"width": found.tile_px, **lists, "confidence": found.columns["confidence"].round(3).tolist()}


def _scores(study: Study) -> dict[str, dict[str, str]]:
    path = study.paths.scores
    return {r["patient_id"]: r for r in read_csv_rows(path)} if path.is_file() else {}


def _hpcs(study: Study) -> tuple[dict[str, Any], ...]:
    try:
        tree = PhenotypeTree.read(study.paths.tree)
    except InputError:
        return ()
    names = read_hpc_names(study)
    colours = hpc_colours(tree.k, artefacts=tree.artefacts, linkage=tree.linkage)
    return tuple(
        {
            "hpc": i,
            "name": f"{hpc_name(i)} {names.get(i, '')}".rstrip(),
            "colour": colour,
            "artefact": i in tree.artefacts,
        }
        for i, colour in enumerate(colours)
    )


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
        out.append(Exemplar(hpc=row["hpc"], slide=by_name[name], x=row["x"], y=row["y"], width=widths[name]))
    return tuple(out)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None

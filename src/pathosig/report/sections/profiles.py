"""Section with the profiles of all patients, ordered by risk."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pathosig.core.words import counted
from pathosig.figures.heatmap import ClinicalBar, profile_heatmap
from pathosig.figures.palette import leaf_order
from pathosig.report.cells import MOST_ROWS, feature_name, feature_title, largest_first, palette_of
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Note, Section, folded


def profiles_section(material: Material) -> Section | None:
    """Profiles of all patients ordered by risk, as one heatmap; None without profiles."""
    table = material.profiles.patients
    if table is None:
        return None
    columns = _profile_columns(material)
    outside = material.profiles.kind == "features"
    scores = {r.patient: r.score for r in material.scores if math.isfinite(r.score)}
    cohort_of = {r.patient: r.cohort for r in material.scores}
    blocks: list[Block] = []
    for number, cohort in enumerate(material.cohorts[:4], start=1):
        rows = table[[p in scores and cohort_of[p] == cohort for p in table["patient_id"]]]
        if len(rows) < 3 or not columns:
            continue
        rows = rows.iloc[np.lexsort((rows["patient_id"], [scores[p] for p in rows["patient_id"]]))]
        figure = profile_heatmap(
            _unit(rows[columns].to_numpy(float), outside),
            [feature_title(material, c) for c in columns],
            [scores[p] for p in rows["patient_id"]],
            cutoff=None if material.signature is None else material.signature.cutoff,
            bars=_bars(material, list(rows["patient_id"])),
            marked=[feature_title(material, c) for c in _used(material)],
            percent=not outside,
            colours=_row_colours(material, columns),
            linkage=_row_tree(material, columns),
        )
        what = "features" if outside else "proportions of the HPCs"
        caption = (
            f"{cohort_title(cohort)}: {what} (rows) of every patient (columns), ordered by risk score; the line "
            "separates low from high risk. Those that enter the signature are in bold."
        )
        drawn = picture(f"profiles_{number}", figure, caption)
        blocks += folded(cohort_title(cohort), [drawn], small="profiles by risk") if blocks else [drawn]
    if not blocks:
        blocks.append(Note(text="No patient has a score, so profiles are not ordered by risk."))
    what = "features from an outside table" if outside else "proportions of HPCs that sum to one"
    slides = int(table["n_slides"].sum())
    nouns = ("slide or core", "slides and cores") if material.of("tma") else ("slide", "slides")
    lead = f"{counted(len(table), 'patient')}; profiles are {what}, pooled over {counted(slides, *nouns)}."
    return Section(id="profiles", title="Profiles", blocks=blocks, lead=lead)


def _used(material: Material) -> list[str]:
    return [] if material.signature is None else material.signature.leaves


def _profile_columns(material: Material) -> list[str]:
    """Rows of the heatmap: all HPCs in the order of their tree, or the signature's features."""
    table = material.profiles.patients
    if table is None:
        return []
    numeric = [
        c
        for c in table.columns
        if c not in ("patient_id", "n_slides", "n_tiles") and table[c].dtype.kind in "fi"
    ]
    hpcs = [c for c in numeric if c.startswith("hpc_")]
    if hpcs:
        place = {f"hpc_{h:02d}": i for i, h in enumerate(_tree_leaves(material))}
        return sorted(hpcs, key=lambda c: place[c] if c in place else len(place))[:80]
    wanted = [t.feature for t in largest_first(material.terms) if t.feature in numeric]
    return (wanted or numeric)[:MOST_ROWS]


def _tree_leaves(material: Material) -> list[int]:
    phenotypes = material.phenotypes
    return [] if phenotypes is None or not len(phenotypes.linkage) else leaf_order(phenotypes.linkage)


def _row_colours(material: Material, columns: Sequence[str]) -> list[str]:
    """The colour of every row that is an HPC."""
    palette = palette_of(material.phenotypes)
    tails = [c.removeprefix("hpc_") for c in columns]
    are_leaves = palette and all(t.isdigit() and int(t) < len(palette) for t in tails)
    return [palette[int(t)] for t in tails] if are_leaves else []


def _row_tree(material: Material, columns: Sequence[str]) -> Sequence[Sequence[float]]:
    """The tree beside the rows, when they are all its leaves."""
    phenotypes = material.phenotypes
    return phenotypes.linkage if phenotypes is not None and len(columns) == phenotypes.k else ()


def _unit(values: np.ndarray, outside: bool) -> np.ndarray:
    """Proportions as they are; outside features by their rank among the patients shown, 0 to 1."""
    if not outside:
        return values
    ranks = values.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return np.asarray(ranks / max(len(values) - 1, 1))


def _bars(material: Material, ids: Sequence[str]) -> list[ClinicalBar]:
    table = material.patients
    if table is None:
        return []
    indexed = table.set_index("patient_id")
    names = [*material.columns.covariates, *material.columns.subgroups]
    out = []
    for name in dict.fromkeys(n for n in names if n in indexed.columns):
        values = [None if v != v or v == "" else v for v in indexed.loc[list(ids), name].tolist()]
        distinct = set(indexed[name].dropna().tolist()) - {""}
        if len(distinct) <= 5:
            values = [None if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in values]
        elif any(isinstance(v, str) for v in distinct):
            continue
        out.append(ClinicalBar(name=feature_name(name).replace("_", " "), values=values))
    return out[:8]

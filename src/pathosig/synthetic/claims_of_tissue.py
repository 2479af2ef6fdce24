"""Claims about tissue: what was planted in slides, cores and patients, and what the analysis found there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.planted_claims import Claim, ClaimOutcome
from pathosig.core.schema import ATLAS, read_table
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.survival import wilcoxon
from pathosig.synthetic.patients import HARMFUL, PROTECTIVE
from pathosig.synthetic.truth import Comparison, TileTruth, true_tile_labels


def graded(value: float, *, good: float, fair: float) -> ClaimOutcome:
    """``found`` if the value is at least `good`, ``partly`` if it is at least `fair`, otherwise ``not found``."""
    return "found" if value >= good else "partly" if value >= fair else "not found"


def cores_claim(study: Study, planted: Mapping[str, Mapping[str, object]]) -> Claim:
    """Microarrays: every core is found at its row and column, and missing cores are recognised."""
    rows = {row["slide_id"]: row for row in read_csv_rows(study.paths.cores)}
    right = 0
    for core, wanted in planted.items():
        row = rows.get(core)
        present = row is not None and row["status"] == "ok" and row["patient_id"] == wanted["patient_id"]
        right += present == (wanted["state"] != "missing")
    missing = sum(c["state"] == "missing" for c in planted.values())
    return Claim(
        panel="cores",
        subject="tissue microarrays, cores of each patient",
        planted=f"{len(planted)} places of the map, {missing} of them without tissue",
        found=f"{right} of {len(planted)} places right",
        outcome=graded(right / max(len(planted), 1), good=0.98, fair=0.9),
    )


def phenotypes_claim(general: Comparison) -> Claim:
    """The codebook: its tree, cut into as many groups as there are planted types, agrees with the types."""
    return Claim(
        panel="phenotypes",
        subject="histomorphological phenotype clusters",
        planted=f"{len(general.types)} tissue types",
        found=f"{general.k} HPCs; tree cut to {len(general.types)}: ARI {general.ari_pure:.2f} on pure validation tiles",
        outcome=graded(general.ari_pure, good=0.8, fair=0.5),
    )


def montage_claim(study: Study, types: Mapping[str, str], names: Sequence[str]) -> Claim:
    """Atlas: its tiles show the tissue type that most tiles of their HPC have."""
    specimens = {s.id: s for s in study.specimens()}
    right = total = 0
    rows = [r for r in read_table(study.paths.atlas, ATLAS).to_pylist() if r["kind"] != "border"]
    for slide in sorted({r["slide_id"] for r in rows} & specimens.keys()):
        here = [r for r in rows if r["slide_id"] == slide]
        side = read_slide_tiles(study.paths.tiles(slide)).side
        area = true_tile_labels(study, specimens[slide], np.array([[r["x"], r["y"]] for r in here]), side)
        wanted = [types[f"hpc_{r['hpc']:02d}"] for r in here]
        right += sum(names[int(a.argmax())] == w for a, w in zip(area, wanted, strict=True))
        total += len(here)
    return Claim(
        panel="montage",
        subject="montage of tiles of each HPC",
        planted="the type of every pixel",
        found=f"{right} of {total} tiles of the atlas are of the type that their HPC stands for",
        outcome=graded(right / max(total, 1), good=0.9, fair=0.7),
    )


def maps_claim(tiles: TileTruth, types: Mapping[str, str], names: Sequence[str]) -> Claim:
    """Maps: the HPC of each validation tile stands for the type that covers most of the tile."""
    held = ~tiles.discovery if (~tiles.discovery).any() else tiles.discovery
    standing = np.array([names.index(types[f"hpc_{i:02d}"]) for i in range(int(tiles.hpc.max()) + 1)])
    right = float((standing[tiles.hpc[held]] == tiles.kind[held]).mean())
    return Claim(
        panel="maps",
        subject="map of HPCs on each core",
        planted="the type of every pixel",
        found=f"{right:.0%} of {int(held.sum())} validation tiles, mixed ones included, are in an HPC of their type",
        outcome=graded(right, good=0.8, fair=0.6),
    )


def proportions_claim(profiles: pd.DataFrame, types: Mapping[str, str], truth: Mapping[str, Any]) -> Claim:
    """Proportions of the two prognostic types in each patient: those counted in tiles agree with those painted."""
    agreement = {}
    for number in (HARMFUL, PROTECTIVE):
        kind = truth["types"][number]
        leaves = [c for c in profiles.columns if c.startswith("hpc_") and types.get(c) == kind]
        painted = np.array([truth["patients"][p]["shares"][number] for p in profiles["patient_id"]])
        counted = profiles[leaves].sum(axis=1).to_numpy(float)
        agreement[kind] = float(np.corrcoef(counted, painted)[0, 1]) if np.ptp(counted) > 0 else 0.0
    return Claim(
        panel="proportions",
        subject="proportions of HPCs in each patient",
        planted="proportions of each tissue type in each patient",
        found="; ".join(f"{kind}: correlation {r:.2f}" for kind, r in agreement.items())
        + f" in {len(profiles)} patients",
        outcome=graded(min(agreement.values()), good=0.8, fair=0.6),
    )


def heterogeneity_claim(scores: pd.DataFrame, truth: Mapping[str, Any]) -> Claim:
    """Heterogeneous patients: those whose planted cores lie on both sides of the median risk are recognised.

    A patient whose cores differ but lie on the same side of the cut-off is in the same risk group by each core.
    """
    planted = set(truth["heterogeneous"])
    several = scores[scores["core_agreement"].isin(["agree", "heterogeneous"])]
    called = set(several.loc[several["core_agreement"] == "heterogeneous", "patient_id"])
    here = planted & set(several["patient_id"])
    others = set(several["patient_id"]) - planted
    apart = here & _on_both_sides(truth)
    share = len(called & apart) / max(len(apart), 1)
    false = len(called & others)
    return Claim(
        panel="heterogeneity",
        subject="low, high and heterogeneous patients",
        planted=f"the cores of {len(here)} of {len(several)} patients with several cores differ; those of {len(apart)} lie on "
        "both sides of the median risk",
        found=f"{len(called & apart)} of these {len(apart)} called heterogeneous, {len(called & (here - apart))} of the "
        f"{len(here - apart)} whose cores lie on one side, and {false} of {len(others)} others",
        outcome="not estimable"
        if not apart
        else "found"
        if share >= 0.5 and false <= 0.1 * len(others)
        else "partly"
        if called & apart
        else "not found",
    )


def _on_both_sides(truth: Mapping[str, Any]) -> set[str]:
    """Patients with cores above and below the median true risk of all patients."""
    mean, sd = np.array(truth["scaling"]["mean"]), np.array(truth["scaling"]["sd"])
    effects = np.array(truth["effects"])
    median = float(np.median([p["linear_predictor"] for p in truth["patients"].values()]))
    sides: dict[str, set[bool]] = {}
    for core in truth["cores"].values():
        if core["proportions"]:
            share = np.array(core["proportions"])[[HARMFUL, PROTECTIVE]]
            sides.setdefault(core["patient_id"], set()).add(bool((share - mean) / sd @ effects > median))
    return {patient for patient, side in sides.items() if len(side) == 2}


def subtypes_claim(profiles: pd.DataFrame, types: Mapping[str, str], tied: Mapping[str, str]) -> Claim:
    """Molecular subtypes: patients of a subtype have more of the tissue type that is tied to it than others have."""
    shown, significant = [], []
    for subtype, kind in tied.items():
        leaves = [c for c in profiles.columns if c.startswith("hpc_") and types.get(c) == kind]
        share = profiles[leaves].sum(axis=1).to_numpy(float)
        inside = (profiles["subtype"] == subtype).to_numpy()
        if inside.sum() < 5 or (~inside).sum() < 5:
            continue
        p = wilcoxon(share[inside], share[~inside]).p
        more = float(np.median(share[inside]) - np.median(share[~inside]))
        significant.append(p < 0.05 and more > 0)
        shown.append(f"{subtype} {more:+.2f} of {kind} (p = {p:.2g})")
    return Claim(
        panel="subtypes",
        subject="molecular subtypes and tissue",
        planted=", ".join(f"{subtype} with {kind}" for subtype, kind in tied.items()),
        found="; ".join(shown) or "too few patients of each subtype",
        outcome="not estimable"
        if not significant
        else "found"
        if all(significant)
        else "partly"
        if any(significant)
        else "not found",
    )

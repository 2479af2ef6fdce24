"""The one scorer: from profiles of slides to a score per patient, used by the signature stage, validation and bundles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pathosig.profiles.pooling import NOT_FEATURES, pool_patients
from pathosig.signature.cores import paper_groups, tile_gradient
from pathosig.survival.agreement import SINGLE, block_variance, core_agreement, multinomial_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.signature.model import Signature
    from pathosig.signature.training import TrainingSet

_CORE_TILES = 20
"""Tiles from which a single core or slide is scored."""

_FEWEST_PLACES = 8
_BLOCK_TILES = 4
"""Side of a block of the spatial resampling, in tiles."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TilePlaces:
    """Tiles of a slide: HPC int[n], x and y float[n] in level-0 pixels."""

    hpc: NDArray[np.int_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def patient_scores(
    signature: Signature, patients: pd.DataFrame, slides: pd.DataFrame | None = None
) -> NDArray[np.float64]:
    """Score of every patient by the signature's own policy: float[n], NaN where not assessable.

    ``pooled`` and ``per_core`` score all tiles of a patient together, ``mean`` the mean profile of the slides, ``worst`` takes
    the highest score of a slide. A patient with fewer than ``min_tiles`` tiles in all is not assessable under any policy.

    Parameters
    ----------
    signature
        Frozen.
    patients
        Profiles of all tiles of each patient, one row a patient.
    slides
        Profiles of slides or cores; without them every patient is one slide.
    """
    pooled = signature.score(patients)
    if slides is None or signature.transform.policy in ("pooled", "per_core"):
        return pooled
    if signature.transform.policy == "mean":
        columns = [c for c in slides.columns if c in patients and c not in NOT_FEATURES]
        by_patient = pool_patients(slides, policy="mean", columns=columns)
        values = pd.Series(signature.score(by_patient), index=by_patient["patient_id"].to_numpy())
    else:
        values = pd.Series(lenient(signature).score(slides)).groupby(slides["patient_id"].to_numpy()).max()
    chosen = values.reindex(patients["patient_id"].astype(str)).to_numpy(float)
    return np.asarray(np.where(np.isfinite(pooled), chosen, np.nan))


def scored_profiles(signature: Signature, patients: pd.DataFrame, slides: pd.DataFrame) -> pd.DataFrame:
    """The profile behind the score of each patient: all tiles, the mean of the slides, or the worst slide."""
    if signature.transform.policy in ("pooled", "per_core"):
        return patients
    columns = [c for c in slides.columns if c in patients and c not in NOT_FEATURES]
    if signature.transform.policy == "mean":
        chosen = pool_patients(slides, policy="mean", columns=columns)
    else:
        order = slides.assign(score=lenient(signature).score(slides)).sort_values("score", kind="stable")
        chosen = order.dropna(subset="score").drop_duplicates("patient_id", keep="last")
    rows = chosen.set_index("patient_id")[columns].reindex(patients["patient_id"])
    return rows.assign(n_tiles=patients["n_tiles"].to_numpy()).reset_index()


def training_scores(signature: Signature, training: TrainingSet) -> NDArray[np.float64]:
    """`patient_scores` of the patients of a training set: float[n]."""
    return patient_scores(signature, training.profiles, training.slides)


def lenient(signature: Signature) -> Signature:
    """The signature with the lower minimum of tiles that a single core or slide needs."""
    few = dataclasses.replace(signature.transform, min_tiles=min(_CORE_TILES, signature.transform.min_tiles))
    return dataclasses.replace(signature, transform=few)


def score_table(
    signature: Signature,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    cores: pd.DataFrame,
    *,
    cohorts: Mapping[str, str],
    benchmark: Signature | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per patient with score, group and core agreement; and agreement rates per cohort.

    Parameters
    ----------
    signature
        Frozen.
    patients, slides
        Profiles; see `patient_scores`.
    cores
        See `core_table`.
    cohorts
        patient_id -> cohort.
    benchmark
        Full-information score, if there is one.
    """
    table = patients[["patient_id", "n_slides", "n_tiles"]].copy()
    table["cohort"] = table["patient_id"].map(cohorts).fillna("")
    table["score"] = patient_scores(signature, patients, slides)
    table["group"] = signature.group(table["score"].to_numpy(float))
    table["ridge_score"] = patient_scores(benchmark, patients, slides) if benchmark is not None else np.nan
    agreement = core_agreement(cores, cutoff=signature.cutoff).table
    labels = dict(zip(agreement["patient_id"], agreement["agreement"], strict=True))
    table["core_agreement"] = table["patient_id"].map(labels).fillna(SINGLE)
    table["paper_group"] = ""
    if signature.transform.policy == "per_core":
        table["paper_group"] = table["patient_id"].map(paper_groups(cores, signature.cutoff))
    rates: dict[str, Any] = {}
    for name in sorted(set(table["cohort"])):
        inside = cores[cores["patient_id"].map(cohorts) == name]
        if len(inside):
            rates[name] = core_agreement(inside, cutoff=signature.cutoff).to_dict()
    return table.sort_values("patient_id").reset_index(drop=True), rates


def core_table(
    signature: Signature,
    slides: pd.DataFrame,
    columns: Sequence[str],
    places: Callable[[str], TilePlaces | None],
) -> pd.DataFrame:
    """Score and its sampling variance for every slide or core: patient_id, slide_id, n_tiles, score, variance, group.

    Parameters
    ----------
    signature
        Frozen.
    slides
        Profiles of slides.
    columns
        Leaf shares, in order.
    places
        Tiles of a slide by its id; None where they are unknown.
    """
    out = slides[["patient_id", "slide_id", "n_tiles"]].reset_index(drop=True)
    single = lenient(signature)
    out["score"] = single.score(slides)
    out["variance"], out["group"] = np.nan, signature.group(out["score"])
    if signature.transform.scale == "feature":
        return out
    several = slides["patient_id"].duplicated(keep=False).to_numpy()
    values = np.full(len(slides), np.nan)
    for i in np.flatnonzero(several):
        row = slides.iloc[[i]]
        slope = tile_gradient(single, row, columns)
        values[i] = multinomial_variance(
            slope, row[list(columns)].to_numpy(float)[0], float(row["n_tiles"].iloc[0])
        )
        tiles = places(str(row["slide_id"].iloc[0]))
        measured = (
            np.nan if tiles is None else _spatial_variance(slope, tiles, signature.transform.artefact_hpcs)
        )
        if np.isfinite(measured):
            values[i] = max(values[i], measured)
    out["variance"] = values
    return out


def _spatial_variance(slope: NDArray[np.float64], tiles: TilePlaces, artefacts: Sequence[int]) -> float:
    """Variance of a slide's score over spatial blocks of its tiles; NaN with fewer than eight of them."""
    used = ~np.isin(tiles.hpc, list(artefacts))
    x, y, hpc = tiles.x[used], tiles.y[used], tiles.hpc[used]
    if len(hpc) < _FEWEST_PLACES:
        return float("nan")
    steps = np.diff(np.unique(x))
    side = _BLOCK_TILES * float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    return block_variance(np.asarray(slope)[hpc], x, y, block=side)

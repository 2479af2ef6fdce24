"""The one scorer: from profiles of slides to a score per patient, used by the signature stage, validation and bundles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pathosig.profiles.pooling import NOT_FEATURES, pool_patients
from pathosig.signature.cores import paper_groups, tile_gradient
from pathosig.survival.agreement import SINGLE, core_agreement, multinomial_variance, spatial_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.signature.model import Signature
    from pathosig.signature.training import TrainingSet


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TilePlaces:
    """Tiles of a slide: HPC int[n], x and y float[n] in level-0 pixels."""

    hpc: NDArray[np.int_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def patient_scores(
    signature: Signature, patients: pd.DataFrame, slides: pd.DataFrame | None = None
) -> NDArray[np.float64]:
    """Score of every patient by the policy of the signature.

    ``pooled`` and ``per_core`` score all tiles of a patient together, ``mean`` scores the mean profile of the slides, and ``worst``
    takes the highest score of a slide. A patient with fewer than ``min_tiles`` tiles in all is not assessable under any policy.

    Parameters
    ----------
    signature
        A frozen signature.
    patients
        Profiles of all tiles of each patient, one row per patient.
    slides
        Profiles of slides or cores; if they are not given, every patient counts as one slide.

    Returns
    -------
    float[n]; NaN if a patient is not assessable.

    Examples
    --------
    >>> from pathosig.signature import Signature, Transform
    >>> signature = Signature(endpoint="os", hpcs=("grade",), coef=(1.0,), center=(2.0,), cutoff=0.0, transform=Transform(scale="feature", policy="worst"))
    >>> slides = pd.DataFrame({"patient_id": ["P1", "P1", "P2"], "grade": [1.0, 4.0, 3.0], "n_tiles": 100})
    >>> patients = pd.DataFrame({"patient_id": ["P1", "P2"], "grade": [2.5, 3.0], "n_tiles": [200, 100]})
    >>> patient_scores(signature, patients, slides).tolist()
    [2.0, 1.0]
    """
    pooled = signature.score(patients)
    if slides is None or signature.transform.policy in ("pooled", "per_core"):
        return pooled
    if signature.transform.policy == "mean":
        columns = [c for c in slides.columns if c in patients and c not in NOT_FEATURES]
        by_patient = pool_patients(slides, policy="mean", columns=columns)
        values = pd.Series(signature.score(by_patient), index=by_patient["patient_id"].to_numpy())
    else:
        values = pd.Series(signature.lenient.score(slides)).groupby(slides["patient_id"].to_numpy()).max()
    chosen = values.reindex(patients["patient_id"].astype(str)).to_numpy(float)
    return np.asarray(np.where(np.isfinite(pooled), chosen, np.nan))


def scored_profiles(signature: Signature, patients: pd.DataFrame, slides: pd.DataFrame) -> pd.DataFrame:
    """The profile behind the score of each patient: of all tiles, of the mean of the slides, or of the slide with the highest score.

    Parameters
    ----------
    signature, patients, slides
        As for `patient_scores`.

    Returns
    -------
    One row per patient, in the order of `patients`.

    Examples
    --------
    >>> from pathosig.signature import Signature, Transform
    >>> signature = Signature(endpoint="os", hpcs=("grade",), coef=(1.0,), center=(2.0,), cutoff=0.0, transform=Transform(scale="feature", policy="worst"))
    >>> slides = pd.DataFrame({"patient_id": ["P1", "P1"], "grade": [1.0, 4.0], "n_tiles": 100})
    >>> patients = pd.DataFrame({"patient_id": ["P1"], "grade": [2.5], "n_tiles": [200]})
    >>> scored_profiles(signature, patients, slides)["grade"].tolist()
    [4.0]
    """
    if signature.transform.policy in ("pooled", "per_core"):
        return patients
    columns = [c for c in slides.columns if c in patients and c not in NOT_FEATURES]
    if signature.transform.policy == "mean":
        chosen = pool_patients(slides, policy="mean", columns=columns)
    else:
        order = slides.assign(score=signature.lenient.score(slides)).sort_values("score", kind="stable")
        chosen = order.dropna(subset="score").drop_duplicates("patient_id", keep="last")
    rows = chosen.set_index("patient_id")[columns].reindex(patients["patient_id"])
    return rows.assign(n_tiles=patients["n_tiles"].to_numpy()).reset_index()


def training_scores(signature: Signature, training: TrainingSet) -> NDArray[np.float64]:
    """`patient_scores` of the patients of a training set.

    Parameters
    ----------
    signature, training
        A frozen signature, and the patients.

    Returns
    -------
    float[n]; NaN if a patient is not assessable.

    Examples
    --------
    >>> from pathosig.signature import SignatureSpec, fit_signature, training_set
    >>> table = pd.DataFrame({"grade": [1.0, 2.0, 3.0, 4.0]})
    >>> training = training_set(table, pd.DataFrame({"time": [9.0, 4.0, 5.0, 2.0], "event": True}))
    >>> signature = fit_signature(training, spec=SignatureSpec(selection="ridge", bootstraps=0))
    >>> (np.diff(training_scores(signature, training)) > 0).tolist()
    [True, True, True]
    """
    return patient_scores(signature, training.profiles, training.slides)


def score_table(
    signature: Signature,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    cores: pd.DataFrame,
    *,
    cohorts: Mapping[str, str],
    benchmark: Signature | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score, group and core agreement of every patient, and rates of agreement per cohort.

    Parameters
    ----------
    signature
        A frozen signature.
    patients, slides
        Profiles; see `patient_scores`.
    cores
        See `core_table`.
    cohorts
        patient_id -> cohort.
    benchmark
        The ridge signature on all leaves, if there is one.

    Returns
    -------
    A table with one row per patient, sorted by patient, and the rates of `CoreAgreement.to_dict` by cohort.

    Examples
    --------
    >>> from pathosig.signature import Signature, Transform
    >>> signature = Signature(endpoint="os", hpcs=("grade",), coef=(1.0,), center=(2.0,), cutoff=0.0, transform=Transform(scale="feature"))
    >>> slides = pd.DataFrame({"patient_id": ["P1", "P2"], "slide_id": ["S1", "S2"], "grade": [1.0, 4.0], "n_tiles": 100})
    >>> cores = core_table(signature, slides, ["grade"], lambda slide: None)
    >>> patients = slides.assign(n_slides=1)
    >>> table, _ = score_table(signature, patients, slides, cores, cohorts={"P1": "discovery", "P2": "validation"})
    >>> table[["cohort", "score", "group", "core_agreement"]].to_dict("records")[1]
    {'cohort': 'validation', 'score': 2.0, 'group': 'high', 'core_agreement': 'single'}
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
    """Score of every slide or core, and the variance of the score that results from sampling its tiles.

    Parameters
    ----------
    signature
        A frozen signature.
    slides, columns
        Profiles of slides or cores, and their columns with the proportions of the HPCs, in order.
    places
        Tiles of a slide by its id; None if they are unknown.

    Returns
    -------
    patient_id, slide_id, n_tiles, score, variance and group; the variance is NaN for a patient's only slide.

    Examples
    --------
    >>> from pathosig.signature import Signature, Transform
    >>> signature = Signature(endpoint="os", hpcs=("hpc_01",), coef=(2.0,), center=(0.25,), cutoff=0.0, transform=Transform(leaves={"hpc_01": (1,)}))
    >>> slides = pd.DataFrame({"patient_id": ["P1", "P1"], "slide_id": ["S1", "S2"], "hpc_00": [1.0, 0.5], "n_tiles": 100})
    >>> cores = core_table(signature, slides.assign(hpc_01=1 - slides["hpc_00"]), ["hpc_00", "hpc_01"], lambda slide: None)
    >>> cores["group"].tolist(), cores["variance"].round(4).tolist()  # 2 ** 2 x .5 x .5 / 100 tiles
    (['low', 'high'], [0.0, 0.01])
    """
    out = slides[["patient_id", "slide_id", "n_tiles"]].reset_index(drop=True)
    single = signature.lenient
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
        if tiles is not None:
            used = ~np.isin(tiles.hpc, list(signature.transform.artefact_hpcs))
            measured = spatial_variance(slope[tiles.hpc[used]], tiles.x[used], tiles.y[used])
            values[i] = np.fmax(values[i], measured)
    out["variance"] = values
    return out

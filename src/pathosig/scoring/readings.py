"""Reads scores from the profiles of new patients: for each the score and its interval, or the reason why it is withheld."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig.core.words import counted
from pathosig.phenotypes.distance import Distance, Shift
from pathosig.profiles.tissue_sampling import MeanVariance, variance_of_mean
from pathosig.profiles.tree import hpc_column
from pathosig.scoring.clinical import ClinicalReading
from pathosig.signature.cores import tile_gradient
from pathosig.signature.model import NOT_ASSESSABLE, Signature
from pathosig.signature.scores import (
    TilePlaces,
    core_table,
    score_table,
    scored_profiles,
)
from pathosig.survival.agreement import HETEROGENEOUS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.profiles.reading import Profiles

_FEWEST_PIECES = 3
"""Number of cores or slides from which the differences between them show how much tissue varies."""


Places = Callable[[str], TilePlaces | None]
"""Id of a slide -> places of its tiles; None if they are unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The result for one patient.

    Attributes
    ----------
    patient_id, n_slides, n_tiles
        The patient, and how much tissue was scored.
    score
        The score; None if it is withheld.
    lower, upper
        95 % interval of the score from the sampling of tissue alone; see `score_interval`.
    group
        Risk group: low, high or not assessable.
    percentile
        Percentage of discovery patients below the score, 0 to 100.
    survival
        Years -> (estimate, lower, upper) from the frozen baseline; the interval is that of the score.
    similarity
        1 for slides like the middle of the training slides, 0.5 at the limit beyond which no score is given, 0 at twice the
        limit; None if the codebook cannot tell.
    unlike_training
        Proportion of tiles that are unlike any tile of the training.
    nearest
        Phenotypes of the training that most tiles resemble, with their proportions.
    core_agreement
        agree, heterogeneous or single.
    remark
        Why there is no score, or what to bear in mind about it.
    contributions
        Feature -> its contribution; together they add up to the score.
    clinical
        What covariates and score predict together; None if it was not asked for.
    """

    patient_id: str
    n_slides: int
    n_tiles: int
    score: float | None
    lower: float | None
    upper: float | None
    group: str
    percentile: float | None
    survival: Mapping[str, tuple[float, float | None, float | None]]
    similarity: float | None
    unlike_training: float | None
    nearest: tuple[tuple[str, float], ...]
    core_agreement: str
    remark: str
    contributions: Mapping[str, float]
    clinical: ClinicalReading | None = None


def unscored(patient: str, reason: str) -> Reading:
    """The result for a patient without any measured tissue, with the reason as its remark."""
    return Reading(
        patient_id=patient,
        n_slides=0,
        n_tiles=0,
        score=None,
        lower=None,
        upper=None,
        group=NOT_ASSESSABLE,
        percentile=None,
        survival={},
        similarity=None,
        unlike_training=None,
        nearest=(),
        core_agreement="",
        remark=reason,
        contributions={},
    )


def read_patients(
    signature: Signature,
    profiles: Profiles,
    *,
    shifts: Mapping[str, Shift],
    distance: Distance,
    places: Places,
    notes: Mapping[str, str] | None = None,
) -> list[Reading]:
    """One reading per patient with a profile.

    Parameters
    ----------
    signature
        The frozen signature.
    profiles
        Profiles of the new slides and patients.
    shifts
        patient_id -> how far the tiles lie from those of the training.
    distance
        The codebook's rule for which shift is too far.
    places
        Id of a slide -> places of its tiles.
    notes
        patient_id -> a further remark on the slides.
    """
    cores = core_table(signature, profiles.slides, profiles.columns, places)
    cohorts = dict.fromkeys(profiles.patients["patient_id"], "new")
    table, _ = score_table(signature, profiles.patients, profiles.slides, cores, cohorts=cohorts)
    rows = (
        profiles.patients.set_index("patient_id", drop=False).loc[table["patient_id"]].reset_index(drop=True)
    )
    slides_of = profiles.slides[profiles.slides["patient_id"].isin(set(table["patient_id"]))]
    scored = scored_profiles(signature, rows, slides_of)
    parts = signature.contributions(scored)
    present = _present(signature, rows)
    out = []
    for i, row in enumerate(table.itertuples(index=False)):
        patient, score = str(row.patient_id), float(row.score)
        shift = shifts.get(patient, Shift.pooled([]))
        withheld = _withheld(signature, row.n_tiles, score, shift, distance, present=bool(present[i]))
        slides = profiles.slides[profiles.slides["patient_id"] == patient]
        behind = _slides_behind(signature, slides)
        bounds = None if withheld else score_interval(signature, profiles, scored.iloc[[i]], behind, places)
        flags = [] if withheld else _flags(signature, score, str(row.core_agreement))
        flags += [notes[patient]] if notes and patient in notes else []
        kept = None if withheld else score
        out.append(
            Reading(
                patient_id=patient,
                n_slides=int(row.n_slides),
                n_tiles=int(row.n_tiles),
                score=kept,
                lower=bounds[0] if bounds else None,
                upper=bounds[1] if bounds else None,
                group=NOT_ASSESSABLE if withheld else str(row.group),
                percentile=None if kept is None else percentile(signature, kept),
                survival={} if kept is None else survival(signature, kept, bounds),
                similarity=similarity(distance, shift),
                unlike_training=round(shift.far, 4),
                nearest=_nearest(rows.iloc[i], profiles.columns),
                core_agreement=str(row.core_agreement),
                remark="; ".join([withheld, *flags] if withheld else flags),
                contributions={} if kept is None else dict(zip(signature.hpcs, parts[i], strict=True)),
            )
        )
    return out


def _withheld(
    signature: Signature, n_tiles: int, score: float, shift: Shift, distance: Distance, *, present: bool
) -> str:
    """Why no score is given; "" if one is given."""
    if n_tiles < signature.transform.min_tiles or not np.isfinite(score):
        return f"only {counted(int(n_tiles), 'tile')}; {signature.transform.min_tiles} are needed"
    if distance.unlike(shift):
        return (
            f"unlike the slides of the training ({shift.far:.0%} of the tiles are far): another organ, stain, preparation or "
            "scanner"
        )
    if not present:
        return "none of the phenotypes of the signature is present, so the score would only reflect their absence"
    return ""


def _flags(signature: Signature, score: float, agreement: str) -> list[str]:
    """Remarks on a score that is given."""
    flags = []
    if agreement == HETEROGENEOUS:
        flags.append("its slides or cores disagree on the risk group")
    percentiles = signature.trained_on.percentiles
    if percentiles and not percentiles[0] <= score <= percentiles[-1]:
        flags.append(
            f"outside the range of the discovery patients ({percentiles[0]:.3g} to {percentiles[-1]:.3g})"
        )
    return flags


def _present(signature: Signature, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether any phenotype of the signature has a tile, as bool [n_patients]."""
    leaves = {hpc for hpcs in signature.transform.leaves.values() for hpc in hpcs}
    names = [hpc_column(hpc) for hpc in sorted(leaves - set(signature.transform.artefact_hpcs))]
    return np.asarray((rows[names].to_numpy(float) > 0).any(axis=1)) if names else np.ones(len(rows), bool)


def _nearest(row: pd.Series, columns: Sequence[str]) -> tuple[tuple[str, float], ...]:
    shares = row[list(columns)].astype(float).sort_values(ascending=False, kind="stable")[:3]
    return tuple((str(name), round(float(share), 4)) for name, share in shares.items() if share > 0)


def similarity(distance: Distance, shift: Shift) -> float | None:
    """1 at the middle of the training slides, 0.5 at the limit, 0 at twice the limit; None if the codebook cannot tell."""
    if not distance.calibrated or not shift.n_tiles:
        return None
    return round(float(np.clip(1 - max(distance.excess(shift)) / 2, 0, 1)), 4)


def percentile(signature: Signature, score: float) -> float | None:
    """Percentage of discovery patients below a score, 0 to 100; None if their scores are not in the signature."""
    percentiles = signature.trained_on.percentiles
    if not percentiles:
        return None
    return round(
        float(np.interp(score, percentiles, np.arange(len(percentiles)) * 100 / (len(percentiles) - 1))), 1
    )


def survival(
    signature: Signature, score: float, bounds: tuple[float, float] | None
) -> dict[str, tuple[float, float | None, float | None]]:
    """Years -> (survival, lower, upper); the ends change places, because a higher score means lower survival."""
    times = [at.time for at in signature.baseline.at]
    scores = [score] if bounds is None else [score, bounds[1], bounds[0]]
    values = signature.survival_at(np.array(scores), times)
    out: dict[str, tuple[float, float | None, float | None]] = {}
    for j, at in enumerate(signature.baseline.at):
        low, high = (None, None) if bounds is None else (float(values[1, j]), float(values[2, j]))
        out[f"{at.years:g}"] = (float(values[0, j]), low, high)
    return out


def score_interval(
    signature: Signature, profiles: Profiles, row: pd.DataFrame, slides: pd.DataFrame, places: Places
) -> tuple[float, float] | None:
    """95 % interval of a patient's score from the sampling of tissue; None if there is too little tissue to estimate it.

    The score is linearised in the tiles at the patient's profile; on the scale of proportions it is linear. Every slide is a
    sample of its own tissue (see `variance_of_mean`). If slides or cores are too small for that but there are three or more,
    each of them counts as one piece of tissue.

    Parameters
    ----------
    signature
        The frozen signature.
    profiles
        Profiles of the new slides and patients.
    row
        The profile that was scored, one row.
    slides
        Profiles of the slides behind it.
    places
        Id of a slide -> places of its tiles.

    Returns
    -------
    tuple[float, float] or None
        Lower and upper end.
    """
    weights = tile_gradient(signature, row, profiles.columns)
    parts, means = [], []
    for slide in slides["slide_id"]:
        tiles = places(str(slide))
        if tiles is None:
            return None
        used = ~np.isin(tiles.hpc, profiles.artefacts)
        values = weights[tiles.hpc[used]]
        parts.append(variance_of_mean(values, tiles.x[used], tiles.y[used]))
        means.append(float(values.mean()))
    n = slides["n_tiles"].to_numpy(float)
    shares = np.full(len(n), 1 / len(n)) if signature.transform.policy == "mean" else n / n.sum()
    estimated = [part for part in parts if part is not None]
    if len(estimated) == len(parts):
        variance = MeanVariance.of_weighted_sum(estimated, shares.tolist())
    elif len(parts) >= _FEWEST_PIECES:
        variance = MeanVariance.between(means, shares.tolist())
    else:
        return None
    least = max(float(row["n_tiles"].iloc[0]), signature.transform.min_tiles)
    score, width = float(signature.score(row.assign(n_tiles=least))[0]), variance.half_width()
    low, high = score - width, score + width
    if signature.transform.scale == "share":
        # No tissue scores lower than tissue of the phenotype with the lowest weight only, or higher than of the highest.
        alone = score + np.delete(weights, list(profiles.artefacts))
        low, high = min(score, max(low, float(alone.min()))), max(score, min(high, float(alone.max())))
    return low, high


def _slides_behind(signature: Signature, slides: pd.DataFrame) -> pd.DataFrame:
    """The slides of a patient that the policy scores."""
    if signature.transform.policy != "worst":
        return slides
    score = pd.Series(signature.lenient.score(slides), index=slides.index)
    return slides.loc[[score.idxmax()]] if score.notna().any() else slides

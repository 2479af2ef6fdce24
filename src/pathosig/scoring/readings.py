"""From profiles of new patients to what is said of each: score, interval, and the reasons for which none is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig.phenotypes.distance import Distance, Shift
from pathosig.profiles.tissue_sampling import MeanVariance, variance_of_mean
from pathosig.profiles.tree import hpc_column
from pathosig.scoring.clinical import ClinicalReading
from pathosig.signature.cores import tile_gradient
from pathosig.signature.model import NOT_ASSESSABLE, Signature
from pathosig.signature.scores import (
    TilePlaces,
    core_table,
    lenient,
    score_table,
    scored_profiles,
)
from pathosig.survival.agreement import HETEROGENEOUS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.profiles.reading import Profiles

_FEWEST_PIECES = 3
"""Cores or slides from which their own differences tell how much tissue varies."""


Places = Callable[[str], TilePlaces | None]
"""Tiles of a slide by its id; None where they are unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What is said of one patient.

    Attributes
    ----------
    score
        None where it is withheld.
    lower, upper
        95 % interval of the score from the sampling of tissue alone; see `score_interval`.
    percentile
        Proportion of discovery patients below the score, 0 to 100.
    survival
        Years -> (estimate, lower, upper) from the frozen baseline; the interval is that of the score.
    similarity
        1 like the middle of the training slides, 0.5 at the limit beyond which no score is given, 0 at twice of it.
    unlike_training
        Proportion of tiles unlike any of the training.
    nearest
        Phenotypes of the training that most tiles look like, with their proportions.
    core_agreement
        agree, heterogeneous or single.
    remark
        Why there is no score, or what to mind about it.
    contributions
        Feature -> its part of the score; they add up to it.
    clinical
        What covariates and score predict together; None where nobody asked.
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
    """A patient of whom nothing could be measured."""
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
        Frozen.
    profiles
        Of the new slides and patients.
    shifts
        patient_id -> how far the tiles lie from those of the training.
    distance
        The codebook's: which shift is too far.
    places
        Tiles of a slide by its id.
    notes
        patient_id -> what else to mind about the slides.
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
    """Why no score is given; empty when one is."""
    if n_tiles < signature.transform.min_tiles or not np.isfinite(score):
        return f"only {int(n_tiles)} tiles; {signature.transform.min_tiles} are needed"
    if distance.unlike(shift):
        return (
            f"unlike the slides of the training ({shift.far:.0%} of the tiles far): another organ, stain, preparation or "
            "scanner"
        )
    if not present:
        return (
            "none of the phenotypes of the signature is present, so the score would be that of their absence"
        )
    return ""


def _flags(signature: Signature, score: float, agreement: str) -> list[str]:
    """What to mind about a score that is given."""
    flags = []
    if agreement == HETEROGENEOUS:
        flags.append("its slides or cores disagree on the risk group")
    known = signature.trained_on.percentiles
    if known and not known[0] <= score <= known[-1]:
        flags.append(f"outside the range of the discovery patients ({known[0]:.3g} to {known[-1]:.3g})")
    return flags


def _present(signature: Signature, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether any phenotype of the signature has a tile: bool[n]."""
    leaves = {hpc for hpcs in signature.transform.leaves.values() for hpc in hpcs}
    names = [hpc_column(hpc) for hpc in sorted(leaves - set(signature.transform.artefact_hpcs))]
    return np.asarray((rows[names].to_numpy(float) > 0).any(axis=1)) if names else np.ones(len(rows), bool)


def _nearest(row: pd.Series, columns: Sequence[str]) -> tuple[tuple[str, float], ...]:
    shares = row[list(columns)].astype(float).sort_values(ascending=False, kind="stable")[:3]
    return tuple((str(name), round(float(share), 4)) for name, share in shares.items() if share > 0)


def similarity(distance: Distance, shift: Shift) -> float | None:
    """1 at the middle of the training slides, 0.5 at the limit, 0 at twice of it; None where the codebook cannot tell."""
    if not distance.calibrated or not shift.n_tiles:
        return None
    return round(float(np.clip(1 - max(distance.excess(shift)) / 2, 0, 1)), 4)


def percentile(signature: Signature, score: float) -> float | None:
    """Proportion of discovery patients below a score, 0 to 100."""
    known = signature.trained_on.percentiles
    if not known:
        return None
    return round(float(np.interp(score, known, np.arange(len(known)) * 100 / (len(known) - 1))), 1)


def survival(
    signature: Signature, score: float, bounds: tuple[float, float] | None
) -> dict[str, tuple[float, float | None, float | None]]:
    """Years -> survival with its interval: a higher score is a lower survival, so the ends change places."""
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
    """95 % interval of a patient's score from the sampling of tissue; None where it cannot be told.

    The score is taken as linear in the tiles at the patient's profile, as it is on the scale of proportions. Every slide is a
    sample of its own tissue (see `variance_of_mean`); where slides or cores are too small for that and three or more, each is
    one piece of tissue.

    Parameters
    ----------
    row
        The profile that was scored, one row.
    slides
        Profiles of the slides behind it.
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
    told = [part for part in parts if part is not None]
    if len(told) == len(parts):
        variance = MeanVariance.of_weighted_sum(told, shares.tolist())
    elif len(parts) >= _FEWEST_PIECES:
        variance = MeanVariance.between(means, shares.tolist())
    else:
        return None
    least = max(float(row["n_tiles"].iloc[0]), signature.transform.min_tiles)
    score, width = float(signature.score(row.assign(n_tiles=least))[0]), variance.half_width()
    low, high = score - width, score + width
    if signature.transform.scale == "share":
        # No tissue scores lower than the phenotype of the least weight alone, or higher than that of the greatest.
        alone = score + np.delete(weights, list(profiles.artefacts))
        low, high = min(score, max(low, float(alone.min()))), max(score, min(high, float(alone.max())))
    return low, high


def _slides_behind(signature: Signature, slides: pd.DataFrame) -> pd.DataFrame:
    """Those slides of a patient that the policy scores."""
    if signature.transform.policy != "worst":
        return slides
    score = pd.Series(lenient(signature).score(slides), index=slides.index)
    return slides.loc[[score.idxmax()]] if score.notna().any() else slides

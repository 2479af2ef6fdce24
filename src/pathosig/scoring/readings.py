"""From profiles of new patients to what is said of each: score, interval, and the reasons for which none is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig.phenotypes.distance import Distance, Shift
from pathosig.profiles.pooling import pool_patients, slide_profiles
from pathosig.profiles.tree import hpc_column
from pathosig.signature.cores import HETEROGENEOUS
from pathosig.signature.model import NOT_ASSESSABLE, Signature
from pathosig.signature.scores import (
    TilePlaces,
    block_of_tiles,
    core_table,
    patient_scores,
    score_table,
    scored_profiles,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pathosig.profiles.reading import Profiles

DRAWS = 400
"""Resamples of the interval."""

_INTERVAL = (2.5, 97.5)
_FEWEST_BLOCKS = 8
_BLOCK_WIDTHS = (4, 2, 1)
"""Sides of a block in tiles, for whole slides and for ever smaller pieces of tissue."""

_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What is said of one patient.

    Attributes
    ----------
    score
        None where it is withheld.
    lower, upper
        95 % interval of the score from the sampling of tissue alone: spatial blocks of tiles drawn again.
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
    places: Callable[[str], TilePlaces | None],
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
    parts = signature.contributions(scored_profiles(signature, rows, slides_of))
    present = _present(signature, rows)
    out = []
    for i, row in enumerate(table.itertuples(index=False)):
        patient, score = str(row.patient_id), float(row.score)
        shift = shifts.get(patient, Shift.pooled([]))
        withheld = _withheld(signature, row.n_tiles, score, shift, distance, present=bool(present[i]))
        slides = profiles.slides[profiles.slides["patient_id"] == patient]
        bounds = None if withheld else score_interval(signature, profiles, slides, places)
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
    signature: Signature, profiles: Profiles, slides: pd.DataFrame, places: Callable[[str], TilePlaces | None]
) -> tuple[float, float] | None:
    """95 % interval of a patient's score by a bootstrap of spatial blocks of tiles within every slide; None without places.

    References
    ----------
    Lahiri SN. Resampling methods for dependent data. Springer 2003.
    """
    rng = np.random.default_rng(_SEED)
    k = len(profiles.columns)
    tables = []
    for slide in slides["slide_id"]:
        tiles = places(str(slide))
        if tiles is None or not len(tiles.hpc):
            return None
        for width in _BLOCK_WIDTHS:
            block = block_of_tiles(tiles.x, tiles.y, tiles=width)
            blocks = int(block.max()) + 1
            if blocks >= _FEWEST_BLOCKS:
                break
        else:
            return None
        counts = np.zeros((blocks, k))
        np.add.at(counts, (block, tiles.hpc), 1.0)
        drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS) @ counts
        ids = pd.DataFrame({"slide_id": str(slide), "patient_id": [f"{i:04d}" for i in range(DRAWS)]})
        tables.append(slide_profiles(ids, drawn, profiles.artefacts))
    again = pd.concat(tables, ignore_index=True)
    again["n_tiles"] = np.maximum(again["n_tiles"], signature.transform.min_tiles)
    patients = pool_patients(again, columns=list(profiles.columns))
    scores = patient_scores(signature, patients, again)
    scores = scores[np.isfinite(scores)]
    if len(scores) < DRAWS // 2:
        return None
    low, high = np.percentile(scores, _INTERVAL)
    return float(low), float(high)

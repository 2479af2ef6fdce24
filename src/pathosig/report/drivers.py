"""What drives the score: every feature of the signature with its weight, direction, proportion, stability and tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.profiles.tree import tile_weights
from pathosig.report.material import AtlasTile, Material, Term

NO_EFFECT = 0.005
"""Change of the score, in SDs per SD, below which a feature neither raises nor lowers it."""

TILES = 6
"""Tiles shown per feature, from different patients where there are so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """One feature of the signature.

    Attributes
    ----------
    term
        Its term of the score.
    effect
        Change of the score, in discovery SDs, when the feature rises by one discovery SD; NaN without profiles.
    proportion, without
        Mean proportion of the feature in discovery, and proportion of patients who have none of it; None for outside features.
    frequency, steadiness
        How often half-samples select it or, where it is stable, a feature that hardly differs from it; and how well codebooks of disjoint halves of the patients find it again
        (0 to 1); None where it was not measured.
    unstable
        HPCs inside that the codebook's health calls unstable or dominated by one patient.
    inside
        Another feature of the signature that contains this one; empty without.
    tiles
        Its tiles, from different patients as far as possible.
    completes
        Whether it is not stable by itself, but one of the coarse groups that complete stable features.
    """

    term: Term
    effect: float
    proportion: float | None
    without: float | None
    frequency: float | None
    steadiness: float | None
    unstable: tuple[int, ...]
    inside: str
    tiles: tuple[AtlasTile, ...]
    completes: bool = False

    @property
    def direction(self) -> str:
        """What more of it means; an effect that is printed as 0.00 means neither."""
        if abs(self.effect) < NO_EFFECT:
            return "hardly any effect"
        return "higher risk" if self.term.coef > 0 else "lower risk"


def drivers_of(material: Material) -> list[Driver]:
    """The features of the signature, the one that moves the score most first."""
    if material.signature is None:
        return []
    screened = {c.feature: c for c in material.candidates}
    stable = material.signature.stable
    out = []
    for term in material.terms:
        values = discovery_values(material, term)
        spread = float(np.nanstd(values, ddof=1)) if len(values) > 1 else math.nan
        shares = values if term.leaves else np.array([])
        candidate = screened.get(term.feature)
        out.append(
            Driver(
                term=term,
                effect=term.coef * spread / material.signature.sd,
                proportion=float(np.nanmean(shares)) if len(shares) else None,
                without=float(np.mean(shares == 0)) if len(shares) else None,
                frequency=frequency_of(material, term.feature),
                steadiness=None if candidate is None else candidate.steadiness,
                unstable=_unstable(material, term),
                inside=_parent(material.terms, term),
                tiles=typical_tiles(material, term.leaves),
                completes=bool(stable) and term.feature not in (stable or {}),
            )
        )
    return sorted(out, key=lambda d: -abs(d.effect) if math.isfinite(d.effect) else -abs(d.term.coef))


def feature_values(material: Material, term: Term) -> np.ndarray:
    """The feature in every patient of the profiles, float[n]: a column, or the sum of its leaves; empty without."""
    table = material.profiles.patients
    columns = [f"hpc_{h:02d}" for h in term.leaves] or [term.feature]
    if table is None or not set(columns) <= set(table.columns):
        return np.array([])
    return np.asarray(table[columns].sum(axis=1, min_count=1), float)


def discovery_values(material: Material, term: Term) -> np.ndarray:
    """`feature_values` of discovery patients alone."""
    values, table = feature_values(material, term), material.profiles.patients
    if table is None or not len(values):
        return np.array([])
    discovery = "" if material.primary is None else material.primary.discovery
    wanted = {r.patient for r in material.scores if r.cohort == discovery}
    chosen = table["patient_id"].isin(wanted).to_numpy()
    return values[chosen] if chosen.any() else values


def _unstable(material: Material, term: Term) -> tuple[int, ...]:
    if material.phenotypes is None:
        return ()
    bad = ("unstable", "dominated", "drop")
    return tuple(h for h in term.leaves if material.phenotypes.of(h).verdict in bad)


def _parent(terms: Sequence[Term], term: Term) -> str:
    larger = [t for t in terms if t is not term and term.leaves and set(term.leaves) < set(t.leaves)]
    return min(larger, key=lambda t: len(t.leaves)).feature if larger else ""


def frequency_of(material: Material, feature: str) -> float | None:
    """How often half-samples select a feature, or a feature that hardly differs from it where it is one of the stable ones."""
    stable = None if material.signature is None else material.signature.stable
    if stable is not None and feature in stable:
        return stable[feature]
    return next((c.frequency for c in material.candidates if c.feature == feature), None)


def typical_tiles(material: Material, leaves: Sequence[int]) -> tuple[AtlasTile, ...]:
    """Exemplars of some HPCs, the most typical first, one per patient until there are no others."""
    shares = (
        {} if material.phenotypes is None else {r.hpc: r.share or 0.0 for r in material.phenotypes.health}
    )
    usual = sorted(leaves, key=lambda h: -shares[h] if h in shares else 0.0)
    place = {h: i for i, h in enumerate(usual)}
    ranked = sorted((t for t in material.atlas if t.hpc in place), key=lambda t: (t.rank, place[t.hpc]))
    chosen: list[AtlasTile] = []
    again: list[AtlasTile] = []
    for tile in ranked:
        (again if tile.patient_id in {t.patient_id for t in chosen} else chosen).append(tile)
    return tuple([*chosen, *again][:TILES])


def weights_of(material: Material) -> np.ndarray | None:
    """What a tile of each HPC adds to the score, float[k]; None without HPCs in the signature."""
    if material.phenotypes is None or not any(t.leaves for t in material.terms):
        return None
    return tile_weights([(t.leaves, t.coef) for t in material.terms], material.phenotypes.k)

"""A signature of many terms, shown by the few coarse groups of the tissue that they add up to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.profiles.tree import coarse_groups
from pathosig.report.drivers import discovery_values, weights_of
from pathosig.report.material import Material, Term

GROUPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseGroup:
    """A cluster of the tree, as the whole signature weighs it.

    Attributes
    ----------
    feature, leaves
        Its name among the candidates, and the HPCs inside.
    proportion
        Mean proportion in discovery.
    weight
        What a tile of it adds to the score, less what the mean tile of discovery adds.
    effect
        Standard deviation of its contribution over discovery patients, in SDs of the score, with the sign of the weight.
    inside
        Terms of the signature that lie in it.
    """

    feature: str
    leaves: tuple[int, ...]
    proportion: float
    weight: float
    effect: float
    inside: tuple[str, ...]


def coarse_summary(material: Material, k: int = GROUPS) -> list[CoarseGroup]:
    """The clusters of the tree cut at `k`, the one that moves the score most first.

    With p_h the proportion of HPC h, w_h what a tile of it adds, and m = sum_h mean(p_h) w_h,
    score - mean(score) = sum_h p_h (w_h - m), so the groups' contributions add up to the score.

    Empty without profiles, for scores on other scales, and where the groups do not cover the signature.
    """
    frozen, weights = material.signature, weights_of(material)
    if frozen is None or frozen.scale != "share" or weights is None:
        return []
    leaves = {c.feature: c.leaves for c in material.candidates if c.leaves}
    groups = {name: leaves[name] for name in coarse_groups(leaves, k)}
    covered = sorted(h for hpcs in groups.values() for h in hpcs)
    shares = {h: _proportions(material, h) for h in covered}
    if not groups or not all(len(s) for s in shares.values()):
        return []
    if not {h for t in frozen.terms for h in t.leaves} <= set(covered):
        return []
    total = np.sum(
        list(shares.values()), axis=0
    )  # below 1 where artefacts are left out: shares are closed again
    shares = {h: s / np.where(total > 0, total, 1.0) for h, s in shares.items()}
    mean_tile = sum(float(shares[h].mean()) * weights[h] for h in covered)
    out = []
    for name, hpcs in groups.items():
        proportion = sum(float(shares[h].mean()) for h in hpcs)
        contribution = np.sum([shares[h] * (weights[h] - mean_tile) for h in hpcs], axis=0)
        weight = float(contribution.mean()) / proportion if proportion > 0 else 0.0
        out.append(
            CoarseGroup(
                feature=name,
                leaves=hpcs,
                proportion=proportion,
                weight=weight,
                effect=float(np.copysign(contribution.std(ddof=1) / frozen.sd, weight)),
                inside=tuple(t.feature for t in frozen.terms if set(t.leaves) <= set(hpcs)),
            )
        )
    return sorted(out, key=lambda g: -abs(g.effect))


def _proportions(material: Material, hpc: int) -> np.ndarray:
    values = discovery_values(material, Term(feature="", coef=0.0, center=0.0, leaves=(hpc,)))
    return values[np.isfinite(values)]

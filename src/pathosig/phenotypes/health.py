"""How far a codebook can be trusted: occupancy, stability, dominance and artefacts, without looking at outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from pathosig.core.threads import one_blas_thread
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.fit import TrainingTiles, adapted_k
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.phenotypes.steadiness import Halves, Stability, disjoint_halves, stability
from pathosig.phenotypes.tree import cut_tree

_STABLE, _UNSTABLE = 0.75, 0.5
_NEAR_EMPTY = 0.002
_PERMUTATIONS = 200
_STABILITY_ROWS = 4000
_OTHERWISE = ("dlcc", "leiden")
"""Methods that do not start from a number of clusters."""

ARTEFACT_COLUMNS = {"pen": 0.05, "fold": 0.3, "background": 0.6, "blur": 0.8}
"""Quality columns, and the median above which an HPC counts as an artefact."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """How evenly HPCs are used.

    Attributes
    ----------
    perplexity
        exp(entropy) / K: 1 if all HPCs are equally frequent.
    empty, near_empty
        Number of HPCs without tiles, and with less than 0.2 % of the tiles.
    share
        Proportion of the tiles in each HPC.
    """

    perplexity: float
    empty: int
    near_empty: int
    share: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dominance:
    """For each HPC, the proportion of its tiles from one slide (patient, site), and the 95th percentile by chance.

    The slide is the one with the most tiles of that HPC.
    """

    largest: tuple[float, ...]
    null_95: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HpcHealth:
    """One HPC: its proportion of the tiles, its stability, a flag and its reason, and how much comes from one source.

    `jaccard` is the stability over refits, `halves` that across disjoint halves of the patients; `largest` has the
    largest proportions of its tiles from one slide, patient and site, and the 95th percentiles by chance.
    """

    hpc: int
    share: float
    jaccard: float | None
    halves: float | None
    flag: str
    reason: str
    largest: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupHealth:
    """One coarse group: the HPCs below it, its proportion of tiles, and its steadiness across halves of the patients."""

    coarse: int
    hpcs: tuple[int, ...]
    share: float
    halves: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The content of health.json about a codebook."""

    k: int
    occupancy: Occupancy
    stability: Stability | None
    halves: Halves | None
    hpcs: tuple[HpcHealth, ...]
    groups: tuple[GroupHealth, ...]
    artefacts: tuple[int, ...]

    @property
    def steadiness(self) -> dict[str, float]:
        """Stability of HPCs, inner nodes and coarse groups across disjoint halves of the patients.

        Empty if there are too few patients.
        """
        if self.halves is None:
            return {}
        return {name: round(value, 4) for name, value in self.halves.steadiness.items()}

    def numbers(self) -> dict[str, float]:
        """Overall numbers on occupancy and stability, by name."""
        fill = self.occupancy
        out = {"perplexity": fill.perplexity, "empty": fill.empty, "near_empty": fill.near_empty}
        if self.stability is not None:
            out |= {"seed_ari": self.stability.seed_ari, "bootstrap_ari": self.stability.bootstrap_ari}
        if self.halves is not None:
            out |= {"halves_ari": self.halves.ari, "coarse_halves_ari": self.halves.coarse_ari}
        return out

    def to_dict(self) -> dict[str, object]:
        """For health.json."""
        numbers = self.numbers()
        rows = [
            {k: v for k, v in asdict(row).items() if k != "largest"} | dict(row.largest) for row in self.hpcs
        ]
        return {
            "k": self.k,
            "occupancy": {key: numbers.pop(key) for key in ("perplexity", "empty", "near_empty")},
            "stability": numbers,
            "steadiness": self.steadiness,
            "hpcs": rows,
            "coarse": [asdict(group) for group in self.groups],
            "artefact_hpcs": list(self.artefacts),
        }


def _occupancy(labels: np.ndarray, k: int) -> Occupancy:
    """How evenly int[n] labels below k are spread."""
    share = np.bincount(labels, minlength=k) / max(len(labels), 1)
    some = share[share > 0]
    entropy = float(-(some * np.log(some)).sum())
    return Occupancy(
        perplexity=float(np.exp(entropy) / k),
        empty=int((share == 0).sum()),
        near_empty=int(((share > 0) & (share < _NEAR_EMPTY)).sum()),
        share=tuple(share.tolist()),
    )


def _dominance(labels: np.ndarray, group: np.ndarray, k: int, rng: np.random.Generator) -> Dominance:
    """For each HPC, the proportion of its tiles from its largest group, and the 95th percentile under permutation.

    The permutation shuffles labels over single tiles, so that patchy patterns exceed it without being artefacts.
    """
    n_groups = int(group.max()) + 1 if len(group) else 1
    observed = _largest(labels, group, k, n_groups)
    sizes = np.bincount(labels, minlength=k)
    totals = np.bincount(group, minlength=n_groups)
    draws = np.zeros((_PERMUTATIONS, k))
    for row in range(_PERMUTATIONS):
        for hpc in np.flatnonzero(sizes):
            draws[row, hpc] = rng.multivariate_hypergeometric(totals, sizes[hpc]).max() / sizes[hpc]
    return Dominance(
        largest=tuple(observed.tolist()), null_95=tuple(np.percentile(draws, 95, axis=0).tolist())
    )


def _largest(labels: np.ndarray, group: np.ndarray, k: int, n_groups: int) -> np.ndarray:
    table = np.bincount(labels * n_groups + group, minlength=k * n_groups).reshape(k, n_groups)
    return np.asarray(table.max(axis=1) / np.maximum(table.sum(axis=1), 1))


def artefact_hpcs(labels: np.ndarray, quality: dict[str, np.ndarray], k: int) -> dict[int, str]:
    """HPCs that consist mostly of artefacts by the quality of their tiles, with the reason; outcomes are not used.

    Parameters
    ----------
    labels
        int[n]: HPC of each tile.
    quality
        float[n] for each quality column, 0 to 1.
    k
        Number of HPCs.

    Returns
    -------
    dict
        HPC -> reason.

    Examples
    --------
    >>> artefact_hpcs(np.array([0, 0, 1, 1]), {"pen": np.array([0.0, 0.1, 0.6, 0.4])}, 2)
    {1: 'median pen 0.50 above 0.05'}
    """
    out: dict[int, str] = {}
    for hpc in range(k):
        rows = labels == hpc
        if not rows.any():
            continue
        for column, limit in ARTEFACT_COLUMNS.items():
            values = quality.get(column)
            if values is not None and (median := float(np.median(values[rows]))) > limit:
                out[hpc] = f"median {column} {median:.2f} above {limit}"
                break
    return out


@one_blas_thread()
def assess(
    codebook: Codebook,
    tiles: TrainingTiles,
    quality: dict[str, np.ndarray],
    spec: PhenotypeSpec,
    *,
    refits: bool = True,
) -> Health:
    """Assess a codebook: overall numbers, and a flag with its reason for each HPC.

    Parameters
    ----------
    codebook, tiles, quality
        The codebook; training tiles and their quality columns, float[n] each.
    spec
        How the codebook was fitted.
    refits
        False skips the refits, and with them the stability, for a codebook from another study.

    Returns
    -------
    Health
    """
    rng = np.random.default_rng([spec.seed, 5])
    x = codebook.project(tiles.embeddings)
    labels = (x @ codebook.centroids.T).argmax(axis=1)
    k = codebook.k
    fill = _occupancy(labels, k)
    stable, halves = None, None
    if refits:
        subset = np.sort(rng.choice(len(x), size=min(len(x), _STABILITY_ROWS), replace=False))
        asked = k if spec.method in _OTHERWISE else max(k, adapted_k(spec, len(subset)))
        some, patient = x[subset], tiles.patient[subset]
        stable = stability(some, patient, spec, labels[subset], asked=asked)
        coarse = assign(some, codebook.coarse) if len(codebook.coarse) else None
        halves = disjoint_halves(
            some, patient, spec, labels[subset], linkage=codebook.linkage, coarse=coarse, asked=asked
        )
    owners = {
        name: _dominance(labels, getattr(tiles, name), k, rng)
        for name in ("slide", "patient", "site")
        if len(np.unique(getattr(tiles, name))) > 1
    }
    artefacts = artefact_hpcs(labels, quality, k)
    rows = []
    for hpc in range(k):
        jaccard = None if stable is None else float(stable.jaccard[hpc]) if hpc < len(stable.jaccard) else 0.0
        flag, reason = _flag(hpc, fill.share[hpc], jaccard, owners, artefacts)
        largest = {f"largest_{name}": values.largest[hpc] for name, values in owners.items()}
        null = {f"largest_{name}_null": values.null_95[hpc] for name, values in owners.items()}
        rows.append(
            HpcHealth(
                hpc=hpc,
                share=fill.share[hpc],
                jaccard=jaccard,
                halves=None if halves is None else halves.steadiness.get(f"hpc_{hpc:02d}"),
                flag=flag,
                reason=reason,
                largest=largest | null,
            )
        )
    return Health(
        k=k,
        occupancy=fill,
        stability=stable,
        halves=halves,
        hpcs=tuple(rows),
        groups=_groups(codebook, x, halves),
        artefacts=tuple(sorted(artefacts)),
    )


def _groups(codebook: Codebook, x: np.ndarray, halves: Halves | None) -> tuple[GroupHealth, ...]:
    count = len(codebook.coarse)
    if not count:
        return ()
    below = cut_tree(codebook.linkage, count)
    share = np.bincount(assign(x, codebook.coarse), minlength=count) / max(len(x), 1)
    return tuple(
        GroupHealth(
            coarse=group,
            hpcs=tuple(np.flatnonzero(below == group).tolist()),
            share=float(share[group]),
            halves=None if halves is None else halves.steadiness.get(f"coarse_{group}"),
        )
        for group in range(count)
    )


def _flag(
    hpc: int, share: float, jaccard: float | None, owners: dict[str, Dominance], artefacts: dict[int, str]
) -> tuple[str, str]:
    if hpc in artefacts:
        return "artefact", artefacts[hpc]
    if share < _NEAR_EMPTY:
        return "near empty", f"{share:.2%} of training tiles"
    for name in ("patient", "slide"):
        values = owners.get(name)
        if values and values.largest[hpc] > max(0.5, values.null_95[hpc]):
            return "dominated", f"{values.largest[hpc]:.0%} of its tiles are from one {name}"
    if jaccard is None:
        return "taken over", "from another study; not fitted here"
    if jaccard < _UNSTABLE:
        return "unstable", f"Jaccard {jaccard:.2f} over refits, below {_UNSTABLE}"
    if jaccard < _STABLE:
        return "fair", f"Jaccard {jaccard:.2f} over refits"
    return "stable", f"Jaccard {jaccard:.2f} over refits"

"""Settings of the signature stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class SignatureSpec(Spec):
    """How a signature is selected and fitted, and how its cut-off is chosen.

    Attributes
    ----------
    endpoint
        Endpoint to fit on; the primary one by default.
    selection
        auto (completed for HPCs; for outside features tree or ridge, by cross-validated partial likelihood), completed (weighted
        sum of two models: of nodes that 90 % of the half-samples select, and of ridge on the tree's coarse groups), tree (stability
        selection of clusters of tree nodes, usually two or three), ridge, paper, lasso, stepwise or logcontrast.
    scale
        share, logodds or logratio; features of an outside table are used as they are.
    cutoff
        median of discovery, maximal (maximally selected, with corrected p), quantile or given.
    cutoff_value
        The cut-off itself for `given`; the quantile (0 to 1) for `quantile`.
    policy
        How several slides of a patient become one score: pooled, mean, worst or per_core.
    min_tiles
        Patients with fewer tiles are not assessable.
    min_prevalence
        HPCs that occur in a smaller proportion of discovery patients are not candidates.
    min_steadiness
        HPCs and nodes with a lower steadiness are not candidates: how well codebooks of disjoint halves of the discovery patients
        agree on them (0 to 1).
    n_subsamples
        Half-samples of the stability selection, in complementary pairs.
    q
        Clusters of nodes taken from each half-sample: the first that enter the lasso path.
    expected_false
        Upper bound on the expected number of falsely selected clusters.
    min_threshold
        Lowest proportion of half-samples in which a selected cluster must appear.
    cluster_correlation
        Candidates with a higher absolute correlation form one cluster.
    screen
        Candidates kept in each half-sample by their univariate test before the lasso.
    p_value
        Level of both steps of `paper`.
    folds
        Folds of the cross-validation that sets penalties.
    bootstraps
        Resamples for the distribution of the cut-off.
    permutations
        Permutations for the p-value of a maximally selected cut-off.
    horizons
        Years at which survival is frozen with the signature, as far as follow-up goes.
    seed
        Seed of half-samples, folds and resamples.

    Examples
    --------
    >>> SignatureSpec().replace(selection="ridge", min_tiles=100).selection
    'ridge'
    """

    section: ClassVar[str] = "signature"
    endpoint: str | None = None
    selection: Literal["auto", "tree", "completed", "ridge", "paper", "lasso", "stepwise", "logcontrast"] = (
        "auto"
    )
    scale: Literal["share", "logodds", "logratio"] = "share"
    cutoff: Literal["median", "maximal", "quantile", "given"] = "median"
    cutoff_value: float | None = None
    policy: Literal["pooled", "mean", "worst", "per_core"] = "pooled"
    min_tiles: int = 50
    min_prevalence: float = 0.05
    min_steadiness: float = 0.0
    n_subsamples: int = 100
    q: int = 7
    expected_false: float = 1.0
    min_threshold: float = 0.55
    cluster_correlation: float = 0.5
    screen: int = 40
    p_value: float = 0.05
    folds: int = 5
    bootstraps: int = 200
    permutations: int = 9999
    horizons: tuple[float, ...] = (1.0, 3.0, 5.0)
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = (
            ("min_tiles", 0, 1e9),
            ("min_prevalence", 0, 1),
            ("min_steadiness", 0, 1),
            ("n_subsamples", 10, 10_000),
            ("q", 1, 200),
            ("expected_false", 1e-3, 100),
            ("min_threshold", 0.5, 1),
            ("cluster_correlation", 0.05, 1),
            ("screen", 5, 100_000),
            ("p_value", 1e-9, 1),
            ("folds", 2, 50),
            ("bootstraps", 0, 100_000),
            ("permutations", 99, 1_000_000),
        )
        for name, low, high in ranges:
            self._within(name, low, high)
        if not self.horizons or any(not 0 < h < 200 for h in self.horizons):
            raise ConfigError(f"[signature] horizons: found {list(self.horizons)}; expected years above 0.")
        if self.cutoff in ("quantile", "given") and self.cutoff_value is None:
            message = f"[signature] cutoff {self.cutoff!r} needs cutoff_value."
            raise ConfigError(message)
        if self.cutoff == "quantile":
            self._within("cutoff_value", 0.01, 0.99)

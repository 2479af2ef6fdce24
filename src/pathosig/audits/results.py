"""The results of audits: the content of validation/audits/NAME.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pathosig.core.typed_json import to_plain
from pathosig.validation.significance import Rate
from pathosig.validation.values import Estimate


@dataclass(frozen=True, kw_only=True)
class NullAudit:
    """Size of the reported tests if there is no effect.

    Attributes
    ----------
    permutations, reference
        Number of permuted data sets that were reported, and number of permutations with which discovery was compared.
    any_signature
        Proportion of permuted data sets with a signature.
    naive_rejection
        Proportion in which the risk groups differed at p < .05 in the same patients in which the signature was selected.
    sizes
        How often each test would be reported as p < .05: ``printed`` (of the score in validation patients, or of whatever the
        audited procedure prints) and ``discovery`` (adjusted for selection).
    reported_rejection
        The largest of `sizes`, on which the verdict is based.
    observed_c, null_c, p
        Apparent C with the observed and with permuted outcomes, and the permutation p-value.
    bar, verdict
        Largest acceptable upper end of the interval of a size, and the verdict: pass, fail or preview.
    """

    name: ClassVar[str] = "null"
    permutations: int
    reference: int
    any_signature: Rate | None
    naive_rejection: Rate | None
    sizes: Mapping[str, Rate]
    reported_rejection: Rate | None
    observed_c: float | None
    null_c: Estimate | None
    p: float | None
    bar: float
    verdict: Literal["pass", "fail", "preview"]


@dataclass(frozen=True, kw_only=True)
class MonteCarlo:
    """Monte Carlo standard errors over repeats, by which results with another seed would differ."""

    out_of_bag_c: float | None
    optimism: float | None
    cross_validated_c: float | None


@dataclass(frozen=True, kw_only=True)
class CodebookRefit:
    """Out-of-bag C with a codebook that is refitted in each resample, and with the fixed codebook in the same resamples.

    Attributes
    ----------
    out_of_bag_c, fixed_c
        With the refitted and with the fixed codebook; the interval holds the central 95 % of resamples.
    difference
        Refitted minus fixed, with the confidence interval of the mean.
    agreement
        Mean adjusted Rand index of the tiles with the HPCs of the study.
    hpcs
        Number of HPCs of the refitted codebooks: mean, smallest and largest.
    share_empty
        Proportion of resamples without a signature.
    """

    resamples: int
    out_of_bag_c: Estimate
    fixed_c: Estimate
    difference: Estimate
    monte_carlo_se: float | None
    agreement: float | None
    hpcs: Estimate
    share_empty: float


@dataclass(frozen=True, kw_only=True)
class OptimismAudit:
    """Apparent C, and C in patients who were not used for the fit, with Monte Carlo errors in `monte_carlo`."""

    name: ClassVar[str] = "optimism"
    what: str
    apparent_c: float
    cross_validated_c: Estimate
    out_of_bag_c: Estimate
    c_632_plus: float
    harrell_corrected_c: float
    optimism: Estimate
    share_empty: float
    resamples: int
    monte_carlo: MonteCarlo
    codebook_refit: CodebookRefit | str = "not done: see `codebook_resamples`"


@dataclass(frozen=True, kw_only=True)
class SiteAccuracy:
    """How often the patient with the most similar profile is from the same site, compared with permuted labels."""

    accuracy: float
    chance: float
    p: float


@dataclass(frozen=True, kw_only=True)
class SiteAudit:
    """Influence of the site from which patients come.

    Attributes
    ----------
    preserved_site_c
        Cross-validated C with all patients of a site in one fold.
    within_site_c
        C within sites, averaged with the numbers of comparable pairs as weights; None if no site has five events.
    site_only_c
        C of the event rates of sites, estimated in other patients; .5 without an effect of the site.
    site_predictability
        How well profiles predict the site.
    """

    name: ClassVar[str] = "site"
    sites: int
    preserved_site_c: Estimate
    within_site_c: float | None
    site_only_c: float
    site_predictability: SiteAccuracy


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Comparison of the score from a number of tiles per patient with the score from all tiles."""

    tiles: int
    patients: int
    bias: float
    icc: float | None
    group_flips: float
    monte_carlo_se: float | None


@dataclass(frozen=True, kw_only=True)
class TilesCorrelation:
    """Correlation of the score with log(tiles) in a cohort."""

    cohort: str
    patients: int
    correlation: Estimate
    p: float


@dataclass(frozen=True, kw_only=True)
class DepthAudit:
    """Influence of the number of tiles on the score."""

    name: ClassVar[str] = "depth"
    depths: tuple[Depth, ...]
    draws: int
    tiles: tuple[TilesCorrelation, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Comparison of repeated fits with the signature: correlation of scores, and proportion of fits that select each feature."""

    n: int
    share_empty: float
    correlation: Estimate
    selected: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The procedure with the k clusters of the tree at one level as its only candidates."""

    k: int
    features: int
    correlation: float | None
    apparent_c: float


@dataclass(frozen=True, kw_only=True)
class StabilityAudit:
    """Scores and selections with other seeds, other patients and other levels of the tree.

    `phenotypes` is the stability of the HPCs as a function of their number K.
    """

    name: ClassVar[str] = "stability"
    seeds: Agreement
    bootstrap: Agreement
    levels: tuple[Level, ...]
    selected: tuple[str, ...]
    phenotypes: Mapping[str, Any] | None = None


Audit = NullAudit | OptimismAudit | SiteAudit | DepthAudit | StabilityAudit


def audit_json(result: Audit) -> dict[str, Any]:
    """Content of validation/audits/NAME.json."""
    return {"audit": result.name, **to_plain(result)}

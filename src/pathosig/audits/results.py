"""What audits give, as values: the content of validation/audits/NAME.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pathosig.core.typed_json import to_plain
from pathosig.validation.significance import Rate
from pathosig.validation.values import Estimate


@dataclass(frozen=True, kw_only=True)
class NullAudit:
    """Size of the reported tests on outcomes that mean nothing.

    Attributes
    ----------
    permutations, reference
        Null data sets judged, and permutations that the discovery claim was judged against.
    any_signature
        Proportion of null data sets from which a signature arose.
    naive_rejection
        Proportion in which the signature's risk groups differed at p < .05 in the very patients it was selected on.
    sizes
        Test -> how often it would be reported as p < .05: ``printed`` (of the score in validation patients, or whatever the
        audited reporter prints) and ``discovery`` (adjusted for selection).
    reported_rejection
        The worst of `sizes`, which the verdict is about.
    observed_c, null_c, p
        Apparent C of the real outcomes, of permuted ones, and the rank of the former among the latter.
    bar, verdict
        Highest allowed upper limit of a size; pass, fail or preview.
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
    """Standard errors over repeats: how far another seed would be."""

    out_of_bag_c: float | None
    optimism: float | None
    cross_validated_c: float | None


@dataclass(frozen=True, kw_only=True)
class CodebookRefit:
    """Out-of-bag C with the codebook refitted in each resample, beside the fixed codebook's on the same resamples.

    Attributes
    ----------
    out_of_bag_c, fixed_c
        With the refitted and with the fixed codebook; central 95 % of resamples.
    difference
        Refitted minus fixed, with the interval of its mean.
    agreement
        Mean adjusted Rand index of tiles with the study's own HPCs.
    hpcs
        HPCs of the refitted codebooks: mean, fewest, most.
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
    """How much better the apparent C is than that in patients the fit has not seen; intervals as in `MonteCarlo`'s names."""

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
    """How often the nearest other patient is of the same site, against permuted labels."""

    accuracy: float
    chance: float
    p: float


@dataclass(frozen=True, kw_only=True)
class SiteAudit:
    """What the place of origin explains.

    Attributes
    ----------
    preserved_site_c
        C with no site in both parts of a fold.
    within_site_c
        C within sites, averaged by comparable pairs; None when no site has five events.
    site_only_c
        C of event rates of sites, estimated in other patients: .5 without a site effect.
    """

    name: ClassVar[str] = "site"
    sites: int
    preserved_site_c: Estimate
    within_site_c: float | None
    site_only_c: float
    site_predictability: SiteAccuracy


@dataclass(frozen=True, kw_only=True)
class Depth:
    """The score from so many tiles a patient, against that from all."""

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
    """What the number of tiles does to the score."""

    name: ClassVar[str] = "depth"
    depths: tuple[Depth, ...]
    draws: int
    tiles: tuple[TilesCorrelation, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Repeated fits against the signature: correlation of scores, and how often each feature came back."""

    n: int
    share_empty: float
    correlation: Estimate
    selected: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The procedure with the tree cut at k clusters as its only candidates."""

    k: int
    features: int
    correlation: float | None
    apparent_c: float


@dataclass(frozen=True, kw_only=True)
class StabilityAudit:
    """Scores and selections by other seeds, other patients, other levels of the tree; `phenotypes` is the curve over K."""

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

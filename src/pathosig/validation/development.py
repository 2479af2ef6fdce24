"""Values about how the signature was made: candidates, selection, cut-off, sample size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Univariable:
    """One candidate alone, in discovery; the hazard ratio is per SD.

    `frequency` is the proportion of half-samples of the patients in which the selection returns to it, `steadiness` how well
    codebooks of disjoint halves of the patients find it again; None where unknown.
    """

    feature: str
    kind: Literal["leaf", "node", "feature"]
    leaves: tuple[int, ...]
    hr: float | None
    lower: float | None
    upper: float | None
    coef: float | None
    p: float | None
    q: float | None
    selected: bool
    frequency: float | None
    steadiness: float | None
    prevalence: float | None
    mean: float | None
    sd: float | None
    n: int
    events: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureCluster:
    """Features that stability selection treats as one, and the one that stands for them."""

    features: tuple[str, ...]
    frequency: float
    representative: str
    selected: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionSummary:
    """How the features were selected; `settings` holds what belongs to one method only."""

    method: str
    selected: tuple[str, ...] = ()
    reason: str = ""
    q: float | None = None
    threshold: float | None = None
    expected_false: float | None = None
    bound: str = ""
    n_subsamples: int | None = None
    n_clusters: int | None = None
    penalty: float | None = None
    clusters: tuple[FeatureCluster, ...] = ()
    auto: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, float | int | str | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoffInterval:
    """Bootstrap interval of the cut-off."""

    lower: float
    upper: float
    resamples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoffSheet:
    """The locked cut-off, how it was found, and the p of its search where one was made."""

    rule: str
    value: float
    p_corrected: float | None = None
    p_naive: float | None = None
    permutations: int | None = None
    bootstrap: CutoffInterval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RequiredSize:
    """Riley's requirement for one number of parameters, and the shrinkage expected with the patients there are."""

    parameters: int
    required_n: int
    required_events: float
    events_per_parameter: float
    expected_shrinkage: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSize:
    """Patients that Riley's criteria ask for, with all candidates and with the selected coefficients alone."""

    n: int
    events: int
    timepoint: float
    anticipated_r2: str
    candidates: RequiredSize | None = None
    selected: RequiredSize | None = None

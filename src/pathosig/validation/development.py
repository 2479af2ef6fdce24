"""Values about the development of the signature: candidates, selection, cut-off and sample size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Univariable:
    """Univariable result of one candidate in discovery; the hazard ratio is per standard deviation.

    `frequency` is the proportion of half-samples of the patients in which the candidate is selected. `steadiness` measures how
    well it is reproduced by codebooks of disjoint halves of the patients. Both are None if unknown.
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
    """Features that stability selection treats as one, and the feature that represents them."""

    features: tuple[str, ...]
    frequency: float
    representative: str
    selected: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionSummary:
    """How the features were selected; `settings` has the settings that belong to one method only."""

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
    """The frozen cut-off and the rule by which it was chosen, with p-values if it was the result of a search."""

    rule: str
    value: float
    p_corrected: float | None = None
    p_naive: float | None = None
    permutations: int | None = None
    bootstrap: CutoffInterval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RequiredSize:
    """Riley's required sample size for a number of parameters, and the expected shrinkage with the actual sample size."""

    parameters: int
    required_n: int
    required_events: float
    events_per_parameter: float
    expected_shrinkage: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSize:
    """Sample size required by Riley's criteria, for all candidates and for the selected coefficients alone."""

    n: int
    events: int
    timepoint: float
    anticipated_r2: str
    candidates: RequiredSize | None = None
    selected: RequiredSize | None = None

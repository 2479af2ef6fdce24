"""The results of a validation: the content of validation/results.json. See docs/reference/results-json.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.records import read_json, write_json
from pathosig.core.showing import table_html
from pathosig.core.typed_json import from_plain, to_plain
from pathosig.signature.model import Signature
from pathosig.validation.analysis import Analysis
from pathosig.validation.arms import Treatment
from pathosig.validation.clinical_values import ClinicalHistology
from pathosig.validation.comparators import Comparison
from pathosig.validation.development import CutoffSheet, SampleSize, SelectionSummary, Univariable
from pathosig.validation.performance_table import performance_rows
from pathosig.validation.significance import CandidatesTest, SelectionTest
from pathosig.validation.small import SmallStudy
from pathosig.validation.sparse import SparseAlternative
from pathosig.validation.table1_values import MissingValues, Table1
from pathosig.validation.values import (
    NOT_COMPUTED,
    ChiSquare,
    Concordance,
    Counts,
    Estimate,
    Finding,
    HazardRatio,
    KaplanMeier,
    NotEstimable,
)
from pathosig.validation.verdict import Headline, Verdict

SCHEMA = 2
"""Version of results.json, which is raised when its layout changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimaryAnalysis:
    """The declared primary analysis and the hash of its declaration."""

    endpoint: str
    discovery: str
    covariates: tuple[str, ...]
    treatment: str | None
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """Columns of patients.csv with sex, age and site; None if there is no such column."""

    sex: str | None = None
    age: str | None = None
    site: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TileCounts:
    """Number of tiles per patient."""

    median: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSummary:
    """Distribution of the score, with the quantiles p05, p25, p50, p75 and p95."""

    mean: float | None
    sd: float | None
    quantiles: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortResult:
    """Patients of one cohort and their scores; `share_high` is the proportion above the cut-off."""

    name: str
    role: Literal["discovery", "validation"]
    n_patients: int
    n_assessable: int
    n_not_assessable: int
    share_high: Estimate
    tiles: TileCounts
    score: ScoreSummary
    depth_correlation: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PooledCohort(Estimate):
    """A cohort in a random-effects meta-analysis: its hazard ratio, and its weight in per cent."""

    cohort: str
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PooledEffect(Estimate):
    """A pooled hazard ratio with heterogeneity and prediction interval."""

    cohorts: tuple[PooledCohort, ...]
    tau2: float | None
    i2: float | None
    prediction: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooled:
    """Random-effects meta-analysis of a hazard ratio over three or more validation cohorts."""

    endpoint: str
    effect: Literal["hr_sd", "hr_group"]
    result: PooledEffect | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class Association:
    """Association of the risk group with a declared variable in one cohort."""

    cohort: str
    variable: str
    counts: Counts | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeComparison:
    """C of ridge regression on all leaves; `difference` is the C of the signature minus that of ridge."""

    harrell_c: Estimate
    difference: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgainstRidge:
    """Out-of-fold C of the signature and of ridge regression on all leaves, in discovery patients."""

    harrell_c: Estimate
    ridge_c: Estimate
    difference: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ByCores:
    """Proportion of heterogeneous patients among patients with a given number of cores."""

    cores: int
    n: int
    heterogeneous: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreRates:
    """Agreement between the cores or slides of patients in one cohort: counts, rates, and rates expected by chance."""

    n: int
    agree: int
    heterogeneous: int
    single: int
    observed_rate: float | None
    expected_rate: float | None
    naive_rate: float | None
    naive_expected_rate: float | None
    by_cores: tuple[ByCores, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfFold:
    """Score of a patient by models that were fitted without this patient."""

    patient_id: str
    score: float | None
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectedShare:
    """A feature and the proportion of fits that selected it."""

    feature: str
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Internal:
    """Results of repeated nested cross-validation, grouped by patient."""

    repeats: int
    folds: int
    endpoint: str
    harrell_c: Estimate
    per_repeat: tuple[float, ...]
    share_empty: float
    ridge_c: Estimate
    selected: tuple[SelectedShare, ...]
    scores: tuple[OutOfFold, ...]
    note: str
    apparent_c: Concordance | NotEstimable = NOT_COMPUTED
    uno_c: Concordance | NotEstimable = NOT_COMPUTED
    hr_sd: HazardRatio | NotEstimable = NOT_COMPUTED
    km: KaplanMeier | NotEstimable = NOT_COMPUTED
    logrank: ChiSquare | NotEstimable = NOT_COMPUTED


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """All results of a validation, from which report, figures, bundle and tables take their numbers.

    Attributes
    ----------
    kind
        ``external`` with validation cohorts, ``internal`` with cross-validation, ``none`` without a signature.
    signature
        As in signature/signature.json.
    verdicts
        One verdict for each endpoint, beginning with the primary endpoint.
    headline
        Discrimination and effect for the endpoint of the signature in patients to whom it was not fitted.
    roles
        Columns of sex, age and site.
    univariate
        Univariable results of all candidates.
    dropped
        Features that were not used as candidates, with the reason.
    analyses
        One analysis for each cohort and endpoint.
    benchmark
        For each cohort and endpoint, the comparison with ridge regression on all leaves.
    candidates_test
        Test of whether any candidate is associated with survival in discovery, adjusted for the number of candidates.
    selection_test
        Test of the apparent performance in discovery by permuted outcomes, adjusted for the selection.
    clinical_histology
        The model of covariates and score, frozen in discovery, with its nomogram and its validation.
    small_study
        Detectable effects, achieved and required precision, and stability of individual predictions.
    comparisons
        Comparisons with the models that `pathosig compare` fitted.
    sparse_alternative
        A few nodes in place of a completed signature, and the concordance that is lost.

    Examples
    --------
    >>> primary = PrimaryAnalysis(endpoint="os", discovery="d", covariates=(), treatment=None, sha256="")
    >>> Results(kind="none", primary=primary, signature=NotEstimable(reason="no candidate varies"))
    Results(none validation, 0 analyses: no verdict)
    """

    kind: Literal["external", "internal", "none"]
    primary: PrimaryAnalysis
    signature: Signature | NotEstimable
    verdicts: tuple[Verdict, ...] = ()
    headline: tuple[Headline, ...] = ()
    roles: Roles = Roles()
    univariate: tuple[Univariable, ...] = ()
    selection: SelectionSummary | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    cutoff: CutoffSheet | None = None
    table1: Table1 = field(default_factory=lambda: Table1(columns=(), rows=()))
    table1_groups: Mapping[str, Table1] = field(default_factory=dict)
    missing: tuple[MissingValues, ...] = ()
    cohorts: tuple[CohortResult, ...] = ()
    analyses: tuple[Analysis, ...] = ()
    pooled: tuple[Pooled, ...] = ()
    associations: tuple[Association, ...] = ()
    benchmark: Mapping[str, Mapping[str, RidgeComparison | NotEstimable]] = field(default_factory=dict)
    treatment: tuple[Treatment, ...] = ()
    warnings: tuple[Finding, ...] = ()
    sample_size: SampleSize | NotEstimable = NOT_COMPUTED
    core_agreement: Mapping[str, CoreRates] = field(default_factory=dict)
    against_ridge: AgainstRidge | NotEstimable = NOT_COMPUTED
    internal: Internal | NotEstimable = NOT_COMPUTED
    candidates_test: CandidatesTest | NotEstimable = NOT_COMPUTED
    selection_test: SelectionTest | NotEstimable = NOT_COMPUTED
    clinical_histology: ClinicalHistology | NotEstimable = NOT_COMPUTED
    small_study: SmallStudy | NotEstimable = NOT_COMPUTED
    comparisons: tuple[Comparison, ...] = ()
    sparse_alternative: SparseAlternative | NotEstimable = NOT_COMPUTED

    def claim_of_discovery(self) -> str:
        """A sentence on the evidence in discovery, adjusted for the selection; empty if no test was computed."""
        for test in (self.selection_test, self.candidates_test):
            if not isinstance(test, NotEstimable):
                return test.sentence()
        return ""

    def to_frame(self) -> pd.DataFrame:
        """The table of performance: one row per cohort, endpoint and measure, with its confidence interval."""
        return pd.DataFrame(performance_rows(self.analyses))

    def __repr__(self) -> str:
        """Kind of validation, number of analyses, and the verdicts."""
        verdicts = "; ".join(v.sentence for v in self.verdicts) or "no verdict"
        return f"Results({self.kind} validation, {len(self.analyses)} analyses: {verdicts})"

    def _repr_html_(self) -> str:
        rows = performance_rows(self.analyses)
        names = list(rows[0]) if rows else []
        return table_html(repr(self), names, [list(row.values()) for row in rows])

    def analysis(self, cohort: str, endpoint: str) -> Analysis:
        """The analysis of a cohort and endpoint; for discovery the cross-validated one, if there is one.

        Raises
        ------
        KeyError
            If there is no such analysis.
        """
        chosen = [a for a in self.analyses if (a.cohort, a.endpoint) == (cohort, endpoint)]
        if not chosen:
            raise KeyError((cohort, endpoint))
        return chosen[-1]


def write_results(path: Path, results: Results) -> None:
    """Write results.json atomically.

    Parameters
    ----------
    path, results
        Path of the file, and its content.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "results.json"
    >>> primary = PrimaryAnalysis(endpoint="os", discovery="d", covariates=(), treatment=None, sha256="")
    >>> write_results(path, Results(kind="none", primary=primary, signature=NotEstimable(reason="nothing varies")))
    >>> read_results(path).signature
    NotEstimable(reason='nothing varies')
    """
    write_json(path, {"schema": SCHEMA, **to_plain(results)})


def read_results(path: Path) -> Results:
    """Read results.json.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    Results

    Raises
    ------
    InputError
        E_RESULTS if the file has another schema, an unknown key or an invalid value; E_MISSING if there is no file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "results.json"
    >>> _ = path.write_text('{"schema": 0}')
    >>> read_results(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.InputError: results.json: schema 0; this pathosig reads schema 2. Run `pathosig ...
    """
    raw = read_json(path)
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path.name}: schema {schema!r}; this pathosig reads schema {SCHEMA}. Run `pathosig validate` again.",
            code="E_RESULTS",
        )
    rest = {k: v for k, v in raw.items() if k != "schema"}
    try:
        return from_plain(Results, rest, where=path.name)
    except InputError as error:
        raise InputError(f"{error.message} Run `pathosig validate` again.", code="E_RESULTS") from error

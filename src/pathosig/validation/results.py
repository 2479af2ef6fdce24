"""What a validation says, as values: the content of validation/results.json. See docs/reference/results-json.md."""

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
"""Version of results.json; raised when its layout changes."""


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
    """Columns of patients.csv that hold sex, age and site; None where no column does."""

    sex: str | None = None
    age: str | None = None
    site: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TileCounts:
    """Tiles per patient."""

    median: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSummary:
    """Distribution of the score; quantiles p05, p25, p50, p75, p95."""

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
    """A cohort in a random-effects pool: hazard ratio, and weight in per cent."""

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
    """Random-effects pool over validation cohorts, from three on."""

    endpoint: str
    effect: Literal["hr_sd", "hr_group"]
    result: PooledEffect | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class Association:
    """Risk group against a declared variable in one cohort."""

    cohort: str
    variable: str
    counts: Counts | NotEstimable


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeComparison:
    """Concordance of ridge on all leaves; `difference` is the signature's minus ridge's."""

    harrell_c: Estimate
    difference: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgainstRidge:
    """Out-of-fold concordance of the selection and of ridge on all leaves, in discovery patients."""

    harrell_c: Estimate
    ridge_c: Estimate
    difference: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ByCores:
    """Proportion of heterogeneous patients among those with so many cores."""

    cores: int
    n: int
    heterogeneous: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreRates:
    """Agreement of the cores or slides of patients of one cohort: counts, rates, and rates expected by chance."""

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
    """Score of a patient by models that never saw the patient."""

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
    """Repeated, patient-grouped, nested cross-validation."""

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
    """Everything `validate` writes; the only source of the numbers in report, figures, bundle and tables.

    Attributes
    ----------
    kind
        ``external`` with validation cohorts, ``internal`` with cross-validation, ``none`` without a signature.
    signature
        As in signature/signature.json.
    verdicts
        One for each endpoint, the primary one first.
    headline
        Discrimination and effect on the signature's endpoint in patients it was not fitted on.
    roles
        Declared columns of sex, age and site.
    univariate
        All candidates.
    dropped
        Candidate -> why it was none.
    analyses
        One per cohort and endpoint.
    benchmark
        Cohort -> endpoint -> full-information ridge.
    candidates_test
        Whether any candidate is associated with survival in discovery, adjusted for looking at all of them.
    selection_test
        The whole procedure against permuted outcomes: the p of what was found in discovery, adjusted for the selection.
    clinical_histology
        The model of covariates and score, frozen in discovery, with its nomogram and its validation.
    small_study
        Detectable effects, precision reached and needed, and how stable individual predictions are.
    comparisons
        Against the models that `pathosig compare` fitted.
    sparse_alternative
        Two or three nodes in place of a completed signature, and what they cost in concordance.
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
        """What discovery alone can claim, adjusted for the selection, as a sentence; empty where nothing was computed."""
        for test in (self.selection_test, self.candidates_test):
            if not isinstance(test, NotEstimable):
                return test.sentence()
        return ""

    def to_frame(self) -> pd.DataFrame:
        """The table of performance: one row per cohort, endpoint and measure, with its confidence interval."""
        return pd.DataFrame(performance_rows(self.analyses))

    def __repr__(self) -> str:
        """The verdicts, not thousands of numbers."""
        verdicts = "; ".join(v.sentence for v in self.verdicts) or "no verdict"
        return f"Results({self.kind} validation, {len(self.analyses)} analyses: {verdicts})"

    def _repr_html_(self) -> str:
        rows = performance_rows(self.analyses)
        names = list(rows[0]) if rows else []
        return table_html(repr(self), names, [list(row.values()) for row in rows])

    def analysis(self, cohort: str, endpoint: str) -> Analysis:
        """The analysis of a cohort and endpoint; the cross-validated one where discovery has it too.

        Raises
        ------
        KeyError
            If there is none.
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
        The file, and its content.

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
        The file.

    Returns
    -------
    The values that `write_results` wrote.

    Raises
    ------
    InputError
        E_RESULTS if it has another schema, an unknown key or a value that does not belong there; E_MISSING without the file.

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

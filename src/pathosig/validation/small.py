"""What a study of this size can show: detectable effects, precision reached and needed, and how stable predictions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.core.pool import over_processes
from pathosig.signature.model import Signature
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import kaplan_meier
from pathosig.survival.precision import (
    C_WIDTH,
    RATIO_WIDTH,
    SLOPE_WIDTH,
    ValidationSize,
    detectable_hr,
    validation_size,
)
from pathosig.validation.analysis import Analysis, Calibration
from pathosig.validation.repeats import quiet_fit
from pathosig.validation.values import NOT_COMPUTED, Concordance, Estimate, Finding, NotEstimable, finite

FEW_EVENTS = 100
"""Events below which the page says what cannot be claimed (Vergouwe 2005, Collins 2016)."""

_PLANNED_C = 0.65
_UNSTABLE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Detectable:
    """Hazard ratios that a cohort's events show with 80 % power at two-sided .05.

    Attributes
    ----------
    hr_sd, hr_group
        Per SD of one score, and of two groups of equal size.
    hr_candidate
        Per SD of one among all candidates (Bonferroni); None in cohorts where nothing is searched.
    """

    cohort: str
    n: int
    events: int
    hr_sd: float
    hr_group: float
    hr_candidate: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Widths of the 95 % intervals of a validation cohort, and the patients that the aims would take.

    Standard errors fall with the square root of n: needed = n x (width / aim)^2.

    Attributes
    ----------
    c_width, slope_width, ratio_width
        Widths for Harrell's C (aim .1), the calibration slope (.4), and O/E at the last horizon (.4); None where not estimable.
    needed
        Patients for all three aims.
    """

    cohort: str
    n: int
    c_width: float | None
    slope_width: float | None
    ratio_width: float | None
    needed: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientRisk:
    """Risk of a discovery patient by the shipped signature, and among signatures of bootstrap samples.

    `lower` and `upper` are 2.5 and 97.5 % of the latter, `error` their mean absolute distance from `risk`, `flips` the
    proportion of them whose group is another.
    """

    risk: float
    lower: float
    upper: float
    error: float
    flips: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Instability:
    """Individual predictions of the whole procedure, repeated on bootstrap samples of patients.

    Attributes
    ----------
    years
        Horizon of the risks.
    bootstraps, share_empty
        Resamples, and the proportion that found no signature (their patients get the Kaplan-Meier risk).
    error
        Mean over patients of the mean absolute prediction error (Riley and Collins' average MAPE).
    flips
        Mean proportion of resamples in which a patient's risk group is another.
    patients
        By rising risk.
    """

    years: float
    bootstraps: int
    share_empty: float
    error: float
    flips: float | None
    patients: tuple[PatientRisk, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallStudy:
    """What can be claimed with this many patients.

    Attributes
    ----------
    detectable, precision
        One for each cohort; one for each validation cohort.
    planned
        Patients of a validation cohort of the discovery's kind for C +- .05, slope +- .2 and O/E about .8 to 1.2.
    instability
        Individual predictions over bootstrap samples.
    """

    detectable: tuple[Detectable, ...]
    precision: tuple[Precision, ...]
    planned: ValidationSize | NotEstimable = NOT_COMPUTED
    instability: Instability | NotEstimable = NOT_COMPUTED

    def sentence(self) -> str:
        """What discovery of this size can and cannot show."""
        first = self.detectable[0]
        text = (
            f"{first.n} patients with {first.events} events are enough to detect a hazard ratio per SD of "
            f"{first.hr_sd:.2f} or more with 80 % power"
        )
        if first.hr_candidate is not None:
            text += f" ({first.hr_candidate:.2f} where it is sought among all candidates); smaller effects are missed or exaggerated"
        parts = [text]
        if isinstance(self.planned, ValidationSize):
            parts.append(
                f"A cohort that estimates C to within .05, and slope and O/E to within .2, needs {self.planned.n} "
                f"patients ({self.planned.events:.0f} events)"
            )
        if isinstance(self.instability, Instability):
            parts.append(
                f"Between bootstrap samples, the {self.instability.years:g}-year risk of a patient moves by "
                f"{self.instability.error:.0%} on average"
            )
        return ". ".join(parts) + "."


def instability(
    training: TrainingSet,
    signature: Signature,
    spec: SignatureSpec,
    *,
    bootstraps: int = 50,
    seed: int = 0,
    workers: int = 1,
) -> Instability:
    """Predictions of discovery patients by signatures of bootstrap samples, whole procedure inside.

    Parameters
    ----------
    training, signature, spec
        Discovery patients, the signature fitted on them, and its settings.
    bootstraps, seed
        Number of resamples of patients (Riley and Collins advise 200), and their seed.
    workers
        Processes; the result does not depend on it.

    Returns
    -------
    `Instability`.

    Raises
    ------
    NotEstimableError
        If follow-up reaches no horizon.

    References
    ----------
    Riley RD, Collins GS. Stability of clinical prediction models developed using statistical or machine learning methods.
    Biom J 2023; 65: 2200302.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.signature.fit import fit_signature
    >>> from pathosig.signature.spec import SignatureSpec
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60)})
    >>> time = rng.exponential(30 * np.exp(-table["grade"]))
    >>> training = training_set(table, pd.DataFrame({"time": time, "event": True}))
    >>> spec = SignatureSpec(selection="stepwise", bootstraps=0)
    >>> result = instability(training, fit_signature(training, spec=spec), spec, bootstraps=3)
    >>> result.years, round(result.error, 3), round(result.flips, 2)
    (3.0, 0.06, 0.03)
    """
    reached = [at for at in signature.baseline.at if at.time < signature.baseline.until]
    if not reached or bootstraps < 2:
        raise NotEstimableError("instability: follow-up reaches no horizon, or fewer than two resamples.")
    at = reached[len(reached) // 2]
    score = training_scores(signature, training)
    usable = np.isfinite(score)
    risk = 1 - signature.survival_at(score[usable], [at.time])[:, 0]
    high = score[usable] > signature.cutoff
    rng = np.random.default_rng([seed, 31])
    draws = [rng.integers(0, len(training), len(training)) for _ in range(bootstraps)]
    again = _Again(training=training, spec=spec.replace(bootstraps=0), time=at.time)
    rows = over_processes(again.risks, draws, workers=workers, label="bootstrapped signatures")
    risks = np.array([r for r, _ in rows])[:, usable]
    groups = np.array([g for _, g in rows])[:, usable]
    error = np.abs(risks - risk).mean(axis=0)
    named = np.isfinite(groups[:, 0])
    flips = (groups[named] != high).mean(axis=0) if named.any() else np.full(len(risk), np.nan)
    low, upper = np.quantile(risks, [0.025, 0.975], axis=0)
    patients = tuple(
        PatientRisk(
            risk=float(risk[i]),
            lower=float(low[i]),
            upper=float(upper[i]),
            error=float(error[i]),
            flips=finite(flips[i]),
        )
        for i in np.argsort(risk, kind="stable")
    )
    return Instability(
        years=at.years,
        bootstraps=bootstraps,
        share_empty=float(1 - named.mean()),
        error=float(error.mean()),
        flips=finite(flips.mean()),
        patients=patients,
    )


@dataclass(frozen=True, kw_only=True)
class _Again:
    """The whole procedure on a resample, and its risks for everybody by a time."""

    training: TrainingSet
    spec: SignatureSpec
    time: float

    def risks(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Risk and whether it is above the cut-off (NaN without a signature): float[n] each."""
        sample = self.training.resampled(drawn)
        fit = quiet_fit(sample, self.spec)
        n = len(self.training)
        if fit is None or fit.signature is None:
            alive = float(kaplan_meier(sample.time, sample.event).survival_at(self.time)[0])
            return np.full(n, 1 - alive), np.full(n, np.nan)
        score = training_scores(fit.signature, self.training)
        last = min(self.time, fit.signature.baseline.until)  # a resample may lack the longest follow-up
        return 1 - fit.signature.survival_at(score, [last])[:, 0], (score > fit.signature.cutoff).astype(
            float
        )


def small_study(
    analyses: Sequence[Analysis], signature: Signature, *, candidates: int, discovery: str
) -> SmallStudy:
    """Detectable effects and precision of every cohort, for the signature's endpoint.

    Parameters
    ----------
    analyses
        All analyses of a validation.
    signature
        The frozen signature.
    candidates
        Number of candidates it was selected from.
    discovery
        Name of the discovery cohort.

    Returns
    -------
    `SmallStudy`.

    Raises
    ------
    NotEstimableError
        If discovery has no event.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from pathosig.validation.analysis import Analysis
    >>> row = Analysis(cohort="d", endpoint="os", unit="months", role="discovery", primary=True, n=90, events=40)
    >>> signature = SimpleNamespace(endpoint="os", baseline=SimpleNamespace(at=()))
    >>> study = small_study([row], signature, candidates=30, discovery="d")
    >>> [(d.cohort, round(d.hr_sd, 2), round(d.hr_candidate, 2)) for d in study.detectable]
    [('d', 1.56, 1.88)]
    """
    rows = [
        a for a in analyses if a.endpoint == signature.endpoint and a.role != "cross-validated" and a.events
    ]
    first = next((a for a in rows if a.cohort == discovery), None)
    if first is None:
        raise NotEstimableError("detectable effects: discovery has no event.")
    ordered = [first, *(a for a in rows if a is not first)]
    return SmallStudy(
        detectable=tuple(_detectable(a, candidates if a is first else None) for a in ordered),
        precision=tuple(_precision(a) for a in ordered[1:]),
        planned=_planned(first, analyses, signature),
    )


def _detectable(a: Analysis, candidates: int | None) -> Detectable:
    return Detectable(
        cohort=a.cohort,
        n=a.n,
        events=a.events,
        hr_sd=detectable_hr(a.events),
        hr_group=detectable_hr(a.events, share=0.5),
        hr_candidate=detectable_hr(a.events, tests=candidates) if candidates else None,
    )


def _precision(a: Analysis) -> Precision:
    c = _width(a.harrell_c) if isinstance(a.harrell_c, Concordance) else None
    slope = ratio = None
    if isinstance(a.calibration, Calibration):
        slope = _width(a.calibration.slope)
        for at in a.calibration.horizons:
            ratio = at.upper - at.lower if at.upper is not None and at.lower is not None else ratio
    aims = [(c, C_WIDTH), (slope, SLOPE_WIDTH), (ratio, RATIO_WIDTH)]
    needed = [a.n * (width / aim) ** 2 for width, aim in aims if width is not None]
    return Precision(
        cohort=a.cohort,
        n=a.n,
        c_width=c,
        slope_width=slope,
        ratio_width=ratio,
        needed=int(np.ceil(max(needed))) if needed else None,
    )


def _width(value: Estimate) -> float | None:
    return None if value.lower is None or value.upper is None else value.upper - value.lower


def _planned(
    first: Analysis, analyses: Sequence[Analysis], signature: Signature
) -> ValidationSize | NotEstimable:
    """For a cohort with discovery's follow-up; C and spread of the score as other patients showed them, at least .65."""
    others = [
        a.harrell_c.estimate
        for a in analyses
        if a.endpoint == signature.endpoint and not a.apparent and isinstance(a.harrell_c, Concordance)
    ]
    values = [c for c in others if c is not None]
    c = float(np.clip(np.mean(values) if values else _PLANNED_C, 0.55, 0.9))
    at = next((row for row in signature.baseline.at if row.years == 3.0), None)
    at = at or (signature.baseline.at[-1] if signature.baseline.at else None)
    fraction = first.events / first.n
    if at is None or not 0 < at.survival < 1 or not 0 < fraction < 1 or not signature.sd > 0:
        return NotEstimable(reason="validation size: no horizon with events, or everybody had one.")
    return validation_size(c=c, lp_sd=signature.sd, event_fraction=fraction, risk=1 - at.survival)


def small_findings(study: SmallStudy | NotEstimable) -> list[Finding]:
    """Warnings about what few events or unstable predictions mean for claims.

    Parameters
    ----------
    study
        From `small_study`, or why there is none.

    Examples
    --------
    >>> from pathosig.validation.values import NotEstimable
    >>> small_findings(NotEstimable(reason="discovery has no event"))
    []
    """
    if isinstance(study, NotEstimable):
        return []
    out = []
    if study.detectable[0].events < FEW_EVENTS:
        out.append(Finding(code="W_SMALL_STUDY", message=study.sentence(), where="signature"))
    shaky = study.instability
    if isinstance(shaky, Instability) and shaky.error > _UNSTABLE:
        text = (
            f"over {shaky.bootstraps} bootstrap samples the {shaky.years:g}-year risk of a patient differs by {shaky.error:.0%} "
            "on average from the printed one: ranks may hold, individual risks do not."
        )
        out.append(Finding(code="W_UNSTABLE_RISK", message=text, where="signature"))
    return out

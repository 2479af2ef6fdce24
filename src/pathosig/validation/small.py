"""Detectable effects, and achieved and required precision, at the size of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import Signature
from pathosig.survival.precision import (
    C_WIDTH,
    RATIO_WIDTH,
    SLOPE_WIDTH,
    ValidationSize,
    detectable_hr,
    validation_size,
)
from pathosig.validation.analysis import Analysis, Calibration
from pathosig.validation.instability import Instability
from pathosig.validation.values import NOT_COMPUTED, Concordance, Estimate, Finding, NotEstimable

FEW_EVENTS = 100
"""With fewer events the report states what cannot be concluded (Vergouwe 2005, Collins 2016)."""

_PLANNED_C = 0.65
_UNSTABLE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Detectable:
    """Hazard ratios that are detectable with the events of a cohort, with 80 % power at a two-sided level of .05.

    Attributes
    ----------
    hr_sd, hr_group
        Per standard deviation of one score, and between two groups of equal size.
    hr_candidate
        Per standard deviation of one of all candidates (Bonferroni); None for validation cohorts.
    """

    cohort: str
    n: int
    events: int
    hr_sd: float
    hr_group: float
    hr_candidate: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Widths of the 95 % confidence intervals of a validation cohort, and the patients needed for the target widths.

    Standard errors decrease with the square root of n, so that needed = n x (width / target)^2.

    Attributes
    ----------
    c_width, slope_width, ratio_width
        Widths for Harrell's C (target .1), the calibration slope (.4), and O/E at the last horizon (.4); None if not estimable.
    needed
        Number of patients for all three targets.
    """

    cohort: str
    n: int
    c_width: float | None
    slope_width: float | None
    ratio_width: float | None
    needed: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallStudy:
    """Results that depend on the size of a study.

    Attributes
    ----------
    detectable, precision
        Detectable effects of each cohort, beginning with discovery, and precision of each validation cohort.
    planned
        Patients needed in a validation cohort like discovery for C +- .05, slope +- .2 and O/E from about .8 to 1.2.
    instability
        Variation of individual predictions over bootstrap samples.
    """

    detectable: tuple[Detectable, ...]
    precision: tuple[Precision, ...]
    planned: ValidationSize | NotEstimable = NOT_COMPUTED
    instability: Instability | NotEstimable = NOT_COMPUTED

    def sentence(self) -> str:
        """Sentences on what discovery of this size can and cannot show."""
        first = self.detectable[0]
        text = (
            f"{first.n} patients with {first.events} events are enough to detect a hazard ratio per SD of "
            f"{first.hr_sd:.2f} or more with 80 % power"
        )
        if first.hr_candidate is not None:
            text += f" ({first.hr_candidate:.2f} in a search among all candidates); smaller effects are missed or exaggerated"
        parts = [text]
        if isinstance(self.planned, ValidationSize):
            parts.append(
                f"To estimate C to within .05, and slope and O/E to within .2, a validation cohort needs {self.planned.n} "
                f"patients ({self.planned.events:.0f} events)"
            )
        if isinstance(self.instability, Instability):
            parts.append(
                f"Between bootstrap samples, the {self.instability.years:g}-year risk of a patient varies by "
                f"{self.instability.error:.0%} on average"
            )
        return ". ".join(parts) + "."


def small_study(
    analyses: Sequence[Analysis], signature: Signature, *, candidates: int, discovery: str
) -> SmallStudy:
    """Detectable effects and precision of every cohort, for the endpoint of the signature.

    Parameters
    ----------
    analyses
        All analyses of a validation.
    signature
        The frozen signature.
    candidates
        Number of candidates from which it was selected.
    discovery
        Name of the discovery cohort.

    Returns
    -------
    SmallStudy

    Raises
    ------
    NotEstimableError
        If discovery has no event.

    References
    ----------
    Schoenfeld (1983), Biometrics 39, for detectable effects. See `survival.validation_size` for precision.

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
    """Size of a validation cohort with the follow-up of discovery and the mean C of other patients (.65 if there are none)."""
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
    free = float("nan") if at is None else float(signature.baseline.free_at([0.0], [at.time])[0, 0])
    if not 0 < free < 1 or not 0 < fraction < 1 or not signature.sd > 0:
        return NotEstimable(reason="validation size: no horizon with events, or all patients had an event.")
    return validation_size(c=c, lp_sd=signature.sd, event_fraction=fraction, risk=1 - free)


def small_findings(study: SmallStudy | NotEstimable) -> list[Finding]:
    """Warnings about conclusions from few events or with unstable predictions.

    Parameters
    ----------
    study
        From `small_study`, or the reason why there is none.

    Returns
    -------
    list of Finding
        Empty if there is nothing to warn about.

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
            f"over {shaky.bootstraps} bootstrap samples the {shaky.years:g}-year risk of a patient differs from the printed risk by "
            f"{shaky.error:.0%} on average: the ranking of patients may be reliable, but individual risks are not."
        )
        out.append(Finding(code="W_UNSTABLE_RISK", message=text, where="signature"))
    return out

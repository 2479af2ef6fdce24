"""Warnings about results that a reader should interpret with caution, each with the number that triggered it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.core.words import counted
from pathosig.validation.analysis import Analysis, ProportionalHazards
from pathosig.validation.development import Univariable
from pathosig.validation.results import AgainstRidge
from pathosig.validation.values import ChiSquare, Finding, HazardRatio, NotEstimable

LOSS_TO_RIDGE = 0.03
"""Smallest loss of C against ridge regression on all leaves that gives a warning."""
_LEAK_HR = 8.0
_DEPTH_CORRELATION = 0.3
_TIED = 0.3


def spread_findings(comparison: AgainstRidge | NotEstimable) -> list[Finding]:
    """A warning if ridge regression on all leaves is better than the selection: prognosis may depend on many HPCs.

    Parameters
    ----------
    comparison
        Out-of-fold C of both.

    Returns
    -------
    One finding, or none.

    Examples
    --------
    >>> from pathosig.validation.results import AgainstRidge
    >>> from pathosig.validation.values import Estimate
    >>> loses = AgainstRidge(harrell_c=Estimate.of(0.60), ridge_c=Estimate.of(0.70), difference=-0.10)
    >>> [finding.code for finding in spread_findings(loses)]
    ['W_SPREAD']
    """
    if isinstance(comparison, NotEstimable) or comparison.difference is None:
        return []
    if comparison.difference >= -LOSS_TO_RIDGE:
        return []
    text = (
        f"Cross-validated on discovery patients, the selected HPCs have C {comparison.harrell_c.estimate:.3f} and ridge "
        f"on all leaves {comparison.ridge_c.estimate:.3f}: prognosis seems to depend on many HPCs. selection = "
        '"ridge" suits that; validate a changed choice in patients not used here.'
    )
    return [Finding(code="W_SPREAD", message=text, where="signature")]


def events_findings(*, events: int, candidates: int, parameters: int) -> list[Finding]:
    """Warnings if there are few events per candidate or per coefficient; they never stop a fit.

    Parameters
    ----------
    events
        Events in discovery.
    candidates, parameters
        Number of candidates, and of coefficients that were kept.

    Returns
    -------
    list of Finding
        Empty if there are enough events.

    Examples
    --------
    >>> for finding in events_findings(events=24, candidates=40, parameters=4):
    ...     print(finding.message)
    24 events for 4 coefficients (6.0 each; 10 are usual).
    24 events for 40 candidates (0.60 each): expect shrinkage.
    """
    out = []
    if events < 10 * max(parameters, 1):
        text = f"{events} events for {parameters} coefficients ({events / max(parameters, 1):.1f} each; 10 are usual)."
        out.append(Finding(code="W_EVENTS", message=text, where="signature"))
    if events < candidates:
        text = f"{events} events for {candidates} candidates ({events / max(candidates, 1):.2f} each): expect shrinkage."
        out.append(Finding(code="W_EVENTS_PER_CANDIDATE", message=text, where="signature"))
    return out


def cohort_findings(
    cohort: str, scores: np.ndarray, groups: np.ndarray, n_tiles: np.ndarray
) -> list[Finding]:
    """Warnings about the scores of a cohort.

    They are given if less than 30 % or more than 70 % of patients are above the cut-off, patients are not assessable, many
    scores are equal, or the score is correlated with the amount of tissue.

    Parameters
    ----------
    cohort
        Name of the cohort.
    scores, groups, n_tiles
        [n]: score (NaN if not assessable), risk group and number of tiles of each patient.

    Returns
    -------
    list of Finding
        Empty if nothing is conspicuous.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 20)
    >>> groups = np.where(scores > 0.9, "high", "low")
    >>> [finding.code for finding in cohort_findings("v1", scores, groups, 100 + 2000 * scores)]
    ['W_SHARE_HIGH', 'W_DEPTH']
    """
    out = []
    assessable = np.isfinite(scores)
    if assessable.any():
        share = float((groups[assessable] == "high").mean())
        tied = _most_frequent(scores[assessable])
        if tied > _TIED:
            text = f"cohort {cohort}: {tied:.0%} of patients have the same score, so that their groups and ranks mean little."
            out.append(Finding(code="W_TIED", message=text, where=cohort))
        if share in (0.0, 1.0):
            side = "above" if share else "below"
            text = (
                f"cohort {cohort}: all patients are {side} the cut-off; there are no risk groups to compare."
            )
            out.append(Finding(code="W_ONE_GROUP", message=text, where=cohort))
        elif not 0.3 <= share <= 0.7:
            text = f"cohort {cohort}: {share:.0%} of patients are above the cut-off; the groups are uneven."
            out.append(Finding(code="W_SHARE_HIGH", message=text, where=cohort))
    if not assessable.all():
        text = f"cohort {cohort}: {counted(int((~assessable).sum()), 'patient is', 'patients are')} not assessable, of {len(assessable)}."
        out.append(Finding(code="W_NOT_ASSESSABLE", message=text, where=cohort))
    depth = depth_correlation(scores, n_tiles)
    if depth is not None and abs(depth) > _DEPTH_CORRELATION:
        text = f"cohort {cohort}: the score correlates with log(tiles), r = {depth:.2f}; see `pathosig audit DIR depth`."
        out.append(Finding(code="W_DEPTH", message=text, where=cohort))
    return out


def _first(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _most_frequent(values: np.ndarray) -> float:
    """Proportion of the most frequent value."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def rare_findings(univariable: Sequence[Univariable]) -> list[Finding]:
    """A warning about selected features that most patients do not have.

    Parameters
    ----------
    univariable
        Univariable results of all candidates.

    Returns
    -------
    One finding, or none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> print(rare_findings([SimpleNamespace(feature="hpc_07", selected=True, prevalence=0.2)])[0].message)
    most patients do not have hpc_07 (present in 20%): they all have the same score, which a median cut-off cannot divide.
    """
    selected = [u for u in univariable if u.selected and u.prevalence is not None]
    rare = [f"{u.feature} (present in {u.prevalence:.0%})" for u in selected if (u.prevalence or 0) < 0.5]
    if not rare:
        return []
    names = _first(rare)
    text = f"most patients do not have {names}: "
    if len(rare) == len(selected):
        text += "they all have the same score, which a median cut-off cannot divide."
    else:
        text += "their score depends on the other features."
    return [Finding(code="W_RARE", message=text, where="signature")]


def fold_findings(share_empty: float, endpoint: str) -> list[Finding]:
    """A warning if folds of the cross-validation selected nothing.

    Parameters
    ----------
    share_empty
        Proportion of the folds that selected nothing, 0 to 1.
    endpoint
        Name of the endpoint.

    Returns
    -------
    One finding, or none.

    Examples
    --------
    >>> fold_findings(0.0, "os"), [finding.code for finding in fold_findings(0.2, "os")]
    ([], ['W_EMPTY_FOLDS'])
    """
    if share_empty >= 1:
        text = f"cross-validation of {endpoint}: nothing was selected in any fold, so that there is nothing to evaluate."
        return [Finding(code="W_ALL_FOLDS_EMPTY", message=text, where="internal")]
    if share_empty > 0:
        text = (
            f"cross-validation of {endpoint}: {share_empty:.0%} of the folds selected nothing; their patients have the score 0 "
            "in C and, if no repeat has a score for them, no group."
        )
        return [Finding(code="W_EMPTY_FOLDS", message=text, where="internal")]
    return []


def depth_correlation(scores: np.ndarray, n_tiles: np.ndarray) -> float | None:
    """Correlation of the score with the logarithm of the number of tiles.

    It is None for fewer than ten patients with tiles, or if scores or numbers of tiles do not vary.

    Parameters
    ----------
    scores
        float[n]; NaN if not assessable.
    n_tiles
        float[n]; 0 if unknown.

    Returns
    -------
    Pearson's correlation, -1 to 1, or None.

    Examples
    --------
    >>> scores = np.arange(12.0)
    >>> round(depth_correlation(scores, np.exp(scores)), 2), depth_correlation(scores, np.zeros(12))
    (1.0, None)
    """
    usable = np.isfinite(scores) & (n_tiles > 0)
    if usable.sum() < 10 or np.std(np.log(n_tiles[usable])) == 0 or np.std(scores[usable]) == 0:
        return None
    return float(np.corrcoef(scores[usable], np.log(n_tiles[usable]))[0, 1])


def survival_findings(frame: pd.DataFrame, analysis: Analysis) -> list[Finding]:
    """Warnings about one analysis: times of 0, delayed entry, few events, hazards that are not proportional, separation.

    Parameters
    ----------
    frame
        patient_id and time of its patients and, with delayed entry, entry.
    analysis
        The analysis.

    Returns
    -------
    list of Finding
        Empty if nothing is conspicuous.

    Examples
    --------
    >>> from pathosig.validation.analysis import Analysis
    >>> row = Analysis(cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=3, events=2)
    >>> frame = pd.DataFrame({"patient_id": ["P1", "P2", "P3"], "time": [0.0, 5.0, 9.0]})
    >>> [finding.code for finding in survival_findings(frame, row)]
    ['W_TIME_ZERO', 'W_FEW_EVENTS']
    """
    where = f"{analysis.cohort} / {analysis.endpoint}"
    out = []
    zero = frame.loc[frame["time"] == 0, "patient_id"].tolist()
    if zero:
        text = f"{where}: time 0 in {counted(len(zero), 'patient')}: {_first(zero)}."
        out.append(Finding(code="W_TIME_ZERO", message=text, where=where))
    if "entry" in frame and analysis.role == "discovery":
        text = (
            f"{where}: {(frame['entry'] > 0).sum()} of {len(frame)} patients come under observation after time zero. The validation "
            "counts them as at risk from then on, but selection, coefficients, cross-validation and predicted survival of the "
            "signature treat them as at risk from time zero, so that predicted survival is too high."
        )
        out.append(Finding(code="W_ENTRY", message=text, where=where))
    if analysis.events < 10:
        text = f"{where}: {counted(analysis.events, 'event')}; estimates are unstable."
        out.append(Finding(code="W_FEW_EVENTS", message=text, where=where))
    ph = analysis.ph
    if (
        isinstance(ph, ProportionalHazards)
        and ph.violated
        and isinstance(ph.score, ChiSquare)
        and ph.p_adjusted is not None
    ):
        text = (
            f"{where}: hazards are not proportional (p = {ph.score.p:.2g}, adjusted {ph.p_adjusted:.2g}); see the hazard ratios "
            "by period and the RMST difference."
        )
        out.append(Finding(code="W_PH", message=text, where=where))
    for name, effect in (("hr_sd", analysis.hr_sd), ("hr_group", analysis.hr_group)):
        if isinstance(effect, HazardRatio) and effect.separated:
            text = f"{where}: {name} is infinite by maximum likelihood."
            out.append(Finding(code="W_SEPARATION", message=text, where=where))
    return out


def leak_findings(univariable: Sequence[Univariable]) -> list[Finding]:
    """A warning about features with an implausibly large hazard ratio.

    Parameters
    ----------
    univariable
        Univariable results of all candidates.

    Returns
    -------
    One finding, or none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> print(leak_findings([SimpleNamespace(feature="follow_up", coef=3.0)])[0].message)
    hazard ratio above 8 per SD: follow_up. Does it contain the outcome?
    """
    strong = [u.feature for u in univariable if u.coef is not None and abs(u.coef) > np.log(_LEAK_HR)]
    if not strong:
        return []
    one = "it" if len(strong) == 1 else "one of them"
    text = f"hazard ratio above 8 per SD: {_first(strong)}. Does {one} contain the outcome?"
    return [Finding(code="W_LEAK", message=text, where="univariate")]

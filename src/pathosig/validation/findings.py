"""Warnings: what should make a reader careful, each with the number that triggered it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.survival import sample_size
from pathosig.validation.analysis import Analysis, ProportionalHazards
from pathosig.validation.development import RequiredSize, SampleSize, Univariable
from pathosig.validation.results import AgainstRidge
from pathosig.validation.values import ChiSquare, Finding, HazardRatio, NotEstimable

LOSS_TO_RIDGE = 0.03
"""Loss of C against ridge on all leaves from which the reader is warned."""
_LEAK_HR = 8.0
_DEPTH_CORRELATION = 0.3
_TIED = 0.3


def spread_findings(comparison: AgainstRidge | NotEstimable) -> list[Finding]:
    """A selection that loses to ridge on all leaves in cross-validation: the truth may be spread over many HPCs."""
    if isinstance(comparison, NotEstimable) or comparison.difference is None:
        return []
    if comparison.difference >= -LOSS_TO_RIDGE:
        return []
    text = (
        f"Cross-validated on discovery patients, the selected HPCs have C {comparison.harrell_c.estimate:.3f} and ridge "
        f"on all leaves {comparison.ridge_c.estimate:.3f}: prognosis seems spread over many HPCs. selection = "
        '"ridge" suits that; validate a changed choice on patients not used here.'
    )
    return [Finding(code="W_SPREAD", message=text, where="signature")]


def events_findings(*, events: int, candidates: int, parameters: int) -> list[Finding]:
    """Events per candidate and per coefficient; printed, never a refusal."""
    out = []
    if events < 10 * max(parameters, 1):
        text = f"{events} events for {parameters} coefficients ({events / max(parameters, 1):.1f} each; 10 are usual)."
        out.append(Finding(code="W_EVENTS", message=text, where="signature"))
    if events < candidates:
        text = f"{events} events for {candidates} candidates ({events / max(candidates, 1):.2f} each): expect shrinkage."
        out.append(Finding(code="W_EVENTS_PER_CANDIDATE", message=text, where="signature"))
    return out


def riley(outcome: pd.DataFrame, *, candidates: int, selected: int, per_year: float) -> SampleSize:
    """Patients Riley's criteria ask for, and the shrinkage expected with those there are.

    Anticipated Cox-Snell R2 is 15 % of its maximum, Riley's advice where nothing is known. Nested tree nodes all
    count as candidates, so the requirement is an upper bound; the number for the selected coefficients alone is a
    lower one.

    Parameters
    ----------
    outcome
        time, event of the discovery patients.
    candidates, selected
        Candidates looked at; coefficients kept.
    per_year
        Units of time in a year.

    References
    ----------
    Riley RD et al. Stat Med 2019; 38: 1276.
    """
    time, event = outcome["time"].to_numpy(float), outcome["event"].to_numpy(bool)
    rate, follow_up, n = event.sum() / time.sum(), float(time.mean()), len(time)
    when = min(3 * per_year, float(time.max()))

    def required(parameters: int) -> RequiredSize | None:
        if parameters < 1:
            return None
        need = sample_size(parameters, rate, when, follow_up, nagelkerke_r2=0.15)
        return RequiredSize(
            parameters=parameters,
            required_n=need.n,
            required_events=need.events,
            events_per_parameter=float(event.sum() / parameters),
            expected_shrinkage=_shrinkage(n, parameters, 0.15 * need.max_r2),
        )

    return SampleSize(
        n=n,
        events=int(event.sum()),
        timepoint=when,
        anticipated_r2="15 % of its maximum",
        candidates=required(candidates),
        selected=required(selected),
    )


def _shrinkage(n: int, parameters: int, r2: float) -> float:
    """Expected uniform shrinkage with n patients: Riley's first criterion solved for S (0 where it has no solution)."""
    grid = np.linspace(r2 + 1e-6, 1 - 1e-6, 20_000)
    needed = parameters / ((grid - 1) * np.log(1 - r2 / grid))
    reached = grid[needed <= n]
    return float(reached.max()) if len(reached) else 0.0


def sample_size_findings(size: SampleSize | NotEstimable) -> list[Finding]:
    """A warning when there are fewer discovery patients than Riley's criteria ask for; never a refusal."""
    if isinstance(size, NotEstimable) or size.candidates is None or size.n >= size.candidates.required_n:
        return []
    many, few = size.candidates, size.selected or size.candidates
    text = (
        f"{size.n} patients, {size.events} events; Riley's criteria ask for {many.required_n} patients for "
        f"{many.parameters} candidates (expected shrinkage {many.expected_shrinkage:.2f} without penalty) and "
        f"{few.required_n} for the {few.parameters} coefficients alone ({few.expected_shrinkage:.2f})."
    )
    return [Finding(code="W_SAMPLE_SIZE", message=text, where="signature")]


def cohort_findings(
    cohort: str, scores: np.ndarray, groups: np.ndarray, n_tiles: np.ndarray
) -> list[Finding]:
    """Proportion above the cut-off outside 30-70 %, patients not assessable, a score that follows tissue amount."""
    out = []
    assessable = np.isfinite(scores)
    if assessable.any():
        share = float((groups[assessable] == "high").mean())
        tied = _most_frequent(scores[assessable])
        if tied > _TIED:
            text = f"cohort {cohort}: {tied:.0%} of patients have the same score; groups and ranks say little about them."
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
        text = (
            f"cohort {cohort}: {int((~assessable).sum())} of {len(assessable)} patients are not assessable."
        )
        out.append(Finding(code="W_NOT_ASSESSABLE", message=text, where=cohort))
    depth = depth_correlation(scores, n_tiles)
    if depth is not None and abs(depth) > _DEPTH_CORRELATION:
        text = f"cohort {cohort}: the score correlates with log(tiles), r = {depth:.2f}; see `pathosig audit DIR depth`."
        out.append(Finding(code="W_DEPTH", message=text, where=cohort))
    return out


def _most_frequent(values: np.ndarray) -> float:
    """Proportion of the most frequent value."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def rare_findings(univariable: Sequence[Univariable]) -> list[Finding]:
    """Selected features that most patients have none of."""
    selected = [u for u in univariable if u.selected and u.prevalence is not None]
    rare = [u for u in selected if u.prevalence is not None and u.prevalence < 0.5]
    if not rare:
        return []
    names = ", ".join(f"{u.feature} ({u.prevalence:.0%})" for u in rare[:5])
    text = f"most patients have none of {names}: "
    if len(rare) == len(selected):
        text += "they share a score, and a median cut-off hardly divides them."
    else:
        text += "their score rests on the other features."
    return [Finding(code="W_RARE", message=text, where="signature")]


def fold_findings(share_empty: float, endpoint: str) -> list[Finding]:
    """Folds of the cross-validation that selected nothing."""
    if share_empty >= 1:
        text = f"cross-validation of {endpoint}: nothing was selected in any fold; there is nothing to judge."
        return [Finding(code="W_ALL_FOLDS_EMPTY", message=text, where="internal")]
    if share_empty > 0:
        text = (
            f"cross-validation of {endpoint}: {share_empty:.0%} of the folds selected nothing; their patients count as "
            "chance in C and, where no repeat has a score for them, have no group."
        )
        return [Finding(code="W_EMPTY_FOLDS", message=text, where="internal")]
    return []


def depth_correlation(scores: np.ndarray, n_tiles: np.ndarray) -> float | None:
    """Correlation of the score with log tiles; None when tiles are unknown or equal."""
    usable = np.isfinite(scores) & (n_tiles > 0)
    if usable.sum() < 10 or np.std(np.log(n_tiles[usable])) == 0 or np.std(scores[usable]) == 0:
        return None
    return float(np.corrcoef(scores[usable], np.log(n_tiles[usable]))[0, 1])


def survival_findings(frame: pd.DataFrame, analysis: Analysis) -> list[Finding]:
    """Few events, times of 0, violated proportional hazards, separation."""
    where = f"{analysis.cohort} / {analysis.endpoint}"
    out = []
    zero = frame.loc[frame["time"] == 0, "patient_id"].tolist()
    if zero:
        text = f"{where}: time 0 in {len(zero)} patients: {zero[:5]}."
        out.append(Finding(code="W_TIME_ZERO", message=text, where=where))
    if analysis.events < 10:
        text = f"{where}: {analysis.events} events; estimates are unstable."
        out.append(Finding(code="W_FEW_EVENTS", message=text, where=where))
    ph = analysis.ph
    if (
        isinstance(ph, ProportionalHazards)
        and ph.violated
        and isinstance(ph.score, ChiSquare)
        and ph.p_adjusted is not None
    ):
        text = f"{where}: hazards are not proportional (p = {ph.score.p:.2g}, adjusted {ph.p_adjusted:.2g}); see piecewise HR and RMST difference."
        out.append(Finding(code="W_PH", message=text, where=where))
    for name, effect in (("hr_sd", analysis.hr_sd), ("hr_group", analysis.hr_group)):
        if isinstance(effect, HazardRatio) and effect.separated:
            text = f"{where}: {name} is infinite by maximum likelihood."
            out.append(Finding(code="W_SEPARATION", message=text, where=where))
    return out


def leak_findings(univariable: Sequence[Univariable]) -> list[Finding]:
    """Features too good to be true."""
    strong = [u.feature for u in univariable if u.coef is not None and abs(u.coef) > np.log(_LEAK_HR)]
    if not strong:
        return []
    text = f"features {strong[:5]} have a hazard ratio above 8 per SD; does one of them contain the outcome?"
    return [Finding(code="W_LEAK", message=text, where="univariate")]

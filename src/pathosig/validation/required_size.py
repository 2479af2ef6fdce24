"""The number of patients that Riley's criteria require for a signature, and a warning if there are fewer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pathosig.survival import sample_size
from pathosig.validation.development import RequiredSize, SampleSize
from pathosig.validation.values import Finding, NotEstimable


def riley(outcome: pd.DataFrame, *, candidates: int, selected: int, per_year: float) -> SampleSize:
    """Sample size required by Riley's criteria, and the expected shrinkage with the actual sample size.

    The anticipated Cox-Snell R2 is 15 % of its maximum, as Riley recommends without prior information. All nested nodes of the
    tree count as candidates, so that their requirement is an upper bound; that of the selected coefficients is a lower bound.

    Parameters
    ----------
    outcome
        time and event of the discovery patients.
    candidates, selected
        Number of candidates, and number of selected coefficients.
    per_year
        Units of time in a year.

    Returns
    -------
    SampleSize

    References
    ----------
    Riley RD et al. Stat Med 2019; 38: 1276.

    Examples
    --------
    >>> outcome = pd.DataFrame({"time": np.linspace(1, 60, 120), "event": np.arange(120) % 2 == 0})
    >>> size = riley(outcome, candidates=20, selected=4, per_year=12.0)
    >>> size.candidates.required_n, size.selected.required_n
    (1361, 273)
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
    """Expected shrinkage factor S with n patients: Riley's first criterion solved for S; 0 if there is no solution."""
    grid = np.linspace(r2 + 1e-6, 1 - 1e-6, 20_000)
    needed = parameters / ((grid - 1) * np.log(1 - r2 / grid))
    reached = grid[needed <= n]
    return float(reached.max()) if len(reached) else 0.0


def sample_size_findings(size: SampleSize | NotEstimable) -> list[Finding]:
    """A warning if there are fewer discovery patients than Riley's criteria require; it never stops a fit.

    Parameters
    ----------
    size
        From `riley`.

    Returns
    -------
    One finding, or none.

    References
    ----------
    Riley et al. (2019), Stat. Med. 38.

    Examples
    --------
    >>> outcome = pd.DataFrame({"time": np.linspace(1, 60, 120), "event": np.arange(120) % 2 == 0})
    >>> [finding.code for finding in sample_size_findings(riley(outcome, candidates=20, selected=4, per_year=12.0))]
    ['W_SAMPLE_SIZE']
    """
    if isinstance(size, NotEstimable) or size.candidates is None or size.n >= size.candidates.required_n:
        return []
    many, few = size.candidates, size.selected or size.candidates
    text = (
        f"{size.n} patients, {size.events} events; Riley's criteria require {many.required_n} patients for "
        f"{many.parameters} candidates (expected shrinkage {many.expected_shrinkage:.2f} without penalty) and "
        f"{few.required_n} for the {few.parameters} coefficients alone ({few.expected_shrinkage:.2f})."
    )
    return [Finding(code="W_SAMPLE_SIZE", message=text, where="signature")]

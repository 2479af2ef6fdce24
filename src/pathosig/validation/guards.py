"""Guards: what should make a reader careful, each with the number that triggered it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import PathosigWarning
from pathosig.survival import sample_size

Guard = dict[str, str]


def guard(code: str, message: str, *, where: str = "", severity: str = "warning") -> Guard:
    """One entry of ``guards`` in results.json."""
    return {"code": code, "message": message, "severity": severity, "where": where}


def warn_all(guards: Sequence[Guard]) -> None:
    """Each as a typed warning, once."""
    for item in guards:
        warnings.warn(PathosigWarning(item["message"], code=item["code"]), stacklevel=3)


def spread_guard(found: Mapping[str, Any], *, limit: float = 0.03) -> list[Guard]:
    """A selection that loses to ridge on all leaves in cross-validation: the truth may be spread over many HPCs.

    Parameters
    ----------
    found
        ``against_ridge`` of results.json: out-of-fold C of both on discovery patients, and their difference.
    limit
        Loss of C from which it is said.
    """
    if found["difference"] is None or found["difference"] >= -limit:
        return []
    text = (
        f"Cross-validated on discovery patients, the selected HPCs have C {found['harrell_c']['estimate']:.3f} and ridge "
        f"on all leaves {found['ridge_c']['estimate']:.3f}: prognosis seems spread over many HPCs. selection = "
        '"ridge" suits that; validate a changed choice on patients not used here.'
    )
    return [guard("W_SPREAD", text, where="signature")]


def events_guard(*, events: int, candidates: int, parameters: int) -> list[Guard]:
    """Events per candidate and per coefficient; printed, never a refusal."""
    out = []
    if events < 10 * max(parameters, 1):
        text = f"{events} events for {parameters} coefficients ({events / max(parameters, 1):.1f} each; 10 are usual)."
        out.append(guard("W_EVENTS", text, where="signature"))
    if events < candidates:
        text = f"{events} events for {candidates} candidates ({events / max(candidates, 1):.2f} each): expect shrinkage."
        out.append(guard("W_EVENTS_PER_CANDIDATE", text, where="signature"))
    return out


def riley(outcome: pd.DataFrame, *, candidates: int, selected: int, per_year: float) -> dict[str, Any]:
    """``sample_size`` of results.json: patients Riley's criteria ask for, and the shrinkage expected with those there are.

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
    out: dict[str, Any] = {
        "n": n,
        "events": int(event.sum()),
        "timepoint": when,
        "anticipated_r2": "15 % of its maximum",
    }
    for name, parameters in (("candidates", candidates), ("selected", selected)):
        if parameters < 1:
            continue
        need = sample_size(parameters, rate, when, follow_up, nagelkerke_r2=0.15)
        out[name] = {
            "parameters": parameters,
            "required_n": need.n,
            "required_events": need.events,
            "events_per_parameter": float(event.sum() / parameters),
            "expected_shrinkage": _shrinkage(n, parameters, 0.15 * need.max_r2),
        }
    return out


def _shrinkage(n: int, parameters: int, r2: float) -> float:
    """Expected uniform shrinkage with n patients: Riley's first criterion solved for S (0 where it has no solution)."""
    grid = np.linspace(r2 + 1e-6, 1 - 1e-6, 20_000)
    needed = parameters / ((grid - 1) * np.log(1 - r2 / grid))
    reached = grid[needed <= n]
    return float(reached.max()) if len(reached) else 0.0


def sample_size_guard(found: Mapping[str, Any]) -> list[Guard]:
    """A warning when there are fewer discovery patients than Riley's criteria ask for; never a refusal."""
    row = found.get("candidates") or {}
    if not row or found["n"] >= row["required_n"]:
        return []
    few = found.get("selected") or row
    text = (
        f"{found['n']} patients, {found['events']} events; Riley's criteria ask for {row['required_n']} patients for "
        f"{row['parameters']} candidates (expected shrinkage {row['expected_shrinkage']:.2f} without penalty) and "
        f"{few['required_n']} for the {few['parameters']} coefficients alone ({few['expected_shrinkage']:.2f})."
    )
    return [guard("W_SAMPLE_SIZE", text, where="signature")]


def cohort_guards(cohort: str, scores: np.ndarray, groups: np.ndarray, n_tiles: np.ndarray) -> list[Guard]:
    """Share above the cut-off outside 30-70 %, not assessable patients, score that follows tissue amount."""
    out = []
    known = np.isfinite(scores)
    if known.any():
        share = float((groups[known] == "high").mean())
        if not 0.3 <= share <= 0.7:
            text = f"cohort {cohort}: {share:.0%} of patients are above the cut-off; the groups are uneven."
            out.append(guard("W_SHARE_HIGH", text, where=cohort))
    if not known.all():
        text = f"cohort {cohort}: {int((~known).sum())} of {len(known)} patients are not assessable."
        out.append(guard("W_NOT_ASSESSABLE", text, where=cohort))
    depth = depth_correlation(scores, n_tiles)
    if depth is not None and abs(depth) > 0.3:
        text = f"cohort {cohort}: the score correlates with log(tiles), r = {depth:.2f}; see `pathosig audit DIR depth`."
        out.append(guard("W_DEPTH", text, where=cohort))
    return out


def depth_correlation(scores: np.ndarray, n_tiles: np.ndarray) -> float | None:
    """Correlation of the score with log tiles; None when tiles are unknown or equal."""
    known = np.isfinite(scores) & (n_tiles > 0)
    if known.sum() < 10 or np.std(np.log(n_tiles[known])) == 0 or np.std(scores[known]) == 0:
        return None
    return float(np.corrcoef(scores[known], np.log(n_tiles[known]))[0, 1])


def survival_guards(
    cohort: str, endpoint: str, frame: pd.DataFrame, analysis: Mapping[str, Any]
) -> list[Guard]:
    """Few events, times of 0, violated proportional hazards, separation."""
    where = f"{cohort} / {endpoint}"
    out = []
    zero = frame.loc[frame["time"] == 0, "patient_id"].tolist()
    if zero:
        out.append(guard("W_TIME_ZERO", f"{where}: time 0 in {len(zero)} patients: {zero[:5]}.", where=where))
    if analysis["events"] < 10:
        out.append(
            guard(
                "W_FEW_EVENTS", f"{where}: {analysis['events']} events; estimates are unstable.", where=where
            )
        )
    if analysis.get("ph", {}).get("violated"):
        p = analysis["ph"]["score"]["p"]
        text = f"{where}: hazards are not proportional (p = {p:.2g}); piecewise HR and RMST difference are given."
        out.append(guard("W_PH", text, where=where))
    for name in ("hr_sd", "hr_group"):
        if "separation" in str(analysis.get(name, {}).get("remark", "")):
            out.append(
                guard("W_SEPARATION", f"{where}: {name} is infinite by maximum likelihood.", where=where)
            )
    return out


def leak_guards(univariate: pd.DataFrame) -> list[Guard]:
    """Features too good to be true."""
    if "coef" not in univariate:
        return []
    strong = univariate[np.abs(univariate["coef"]) > np.log(8)]["feature"].tolist()
    if not strong:
        return []
    text = f"features {strong[:5]} have a hazard ratio above 8 per SD; does one of them contain the outcome?"
    return [guard("W_LEAK", text, where="univariate")]

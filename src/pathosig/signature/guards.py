"""Guards: what should make a reader careful, each with the number that triggered it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import PathosigWarning

Guard = dict[str, str]


def guard(code: str, message: str, *, where: str = "", severity: str = "warning") -> Guard:
    """One entry of ``guards`` in results.json."""
    return {"code": code, "message": message, "severity": severity, "where": where}


def warn_all(guards: Sequence[Guard]) -> None:
    """Each as a typed warning, once."""
    for item in guards:
        warnings.warn(PathosigWarning(item["message"], code=item["code"]), stacklevel=3)


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

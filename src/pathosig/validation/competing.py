"""Recurrence when death without it competes: cumulative incidence, Gray's test, cause-specific and Fine-Gray models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.model import HIGH
from pathosig.survival import cause_specific, cumulative_incidence, fine_gray
from pathosig.validation.associations import GROUPS
from pathosig.validation.estimates import attempt, finite

CAUSES = {0: "no event", 1: "event", 2: "competing event"}


def causes_of(frame: pd.DataFrame, competing: pd.DataFrame) -> pd.DataFrame:
    """Adds ``cause``: 1 the event, 2 the competing event first, 0 neither; `time` becomes the earlier of the two.

    Parameters
    ----------
    frame
        patient_id, time, event.
    competing
        patient_id, time, event of the competing endpoint; patients without it count as free of it.
    """
    other = competing.set_index("patient_id").reindex(frame["patient_id"])
    happened = other["event"].eq(other=True).to_numpy(bool)
    when = other["time"].to_numpy(float)
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    first = happened & ~event & np.isfinite(when)
    late = first & (when < time)
    return frame.assign(time=np.where(late, when, time), cause=np.where(event, 1, np.where(first, 2, 0)))


def competing_risks(frame: pd.DataFrame, *, sd: float) -> dict[str, Any]:
    """``competing`` of an analysis.

    Parameters
    ----------
    frame
        score, group, time, cause.
    sd
        SD of the score in discovery.

    Raises
    ------
    NotEstimableError
        Without an event or without a competing one.
    """
    causes = frame["cause"].to_numpy(int)
    if not (causes == 1).any() or not (causes == 2).any():
        message = (
            f"competing risks: {int((causes == 1).sum())} events, {int((causes == 2).sum())} competing ones."
        )
        raise NotEstimableError(message)
    time, group = frame["time"].to_numpy(float), frame["group"].to_numpy(object)
    found = cumulative_incidence(time, causes, groups=group.astype(str))
    curves = [
        {
            "group": c.group, "cause": c.cause, "n": c.n, "events": c.n_events, "time": c.time.tolist(),
            "estimate": c.estimate.tolist(), "lower": c.lower.tolist(), "upper": c.upper.tolist(),
        }
        for c in found.curves
    ]  # fmt: skip
    tests = [
        {"cause": t.cause, "statistic": finite(t.statistic), "df": t.df, "p": finite(t.p)}
        for t in found.tests
    ]
    effects = {
        "hr_sd": frame["score"].to_numpy(float) / (sd or 1.0),
        "hr_group": (group == HIGH).astype(float),
    }
    rows = []
    for model, make in (("cause-specific", cause_specific), ("Fine-Gray", fine_gray)):
        for effect, x in effects.items():
            for cause in (1, 2):
                row = {"model": model, "effect": effect, "cause": cause}
                rows.append({**row, **attempt(_hr, make, x, time, causes, cause)})
    return {
        "n": len(frame),
        "events": int((causes == 1).sum()),
        "competing_events": int((causes == 2).sum()),
        "groups": [g for g in GROUPS if (group == g).any()],
        "curves": curves,
        "gray": tests,
        "models": rows,
    }


def _hr(
    make: Callable[..., Any], x: np.ndarray, time: np.ndarray, causes: np.ndarray, cause: int
) -> dict[str, Any]:
    fit = make(x[:, None], time, causes, cause=cause)
    values = {k: finite(getattr(fit, k)[0]) for k in ("hr", "lower", "upper", "p")}
    return {**values, "n": fit.n, "events": fit.n_events}

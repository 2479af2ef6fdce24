"""Competing risks: cumulative incidence, Gray's test, cause-specific and Fine-Gray models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.signature.model import HIGH
from pathosig.survival import (
    CumulativeIncidence,
    cause_specific,
    cumulative_incidence,
    fine_gray,
    kaplan_meier,
)
from pathosig.validation.associations import GROUPS
from pathosig.validation.competing_values import (
    CompetingModel,
    CompetingRisks,
    GrayTest,
    IncidenceAt,
    IncidenceCurve,
)
from pathosig.validation.estimates import refuse_delayed
from pathosig.validation.values import Estimate, HazardRatio, attempt, finite, numbers

CAUSES = {0: "no event", 1: "event", 2: "competing event"}


def competing_risks(
    frame: pd.DataFrame, *, sd: float, per_year: float = 12.0, horizons: Sequence[float] = (1.0, 3.0, 5.0)
) -> CompetingRisks:
    """Cumulative incidence of the event and of the competing event by risk group, and the effects of the score on both.

    Parameters
    ----------
    frame
        score, group, time and cause, as `causes_of` gives it.
    sd
        Standard deviation of the score in discovery.
    per_year
        Units of time in a year.
    horizons
        Years at which absolute risks are given, if follow-up of the group reaches them.

    Returns
    -------
    CompetingRisks

    Raises
    ------
    NotEstimableError
        If there is no event, no competing event, or delayed entry.

    References
    ----------
    See `survival.cumulative_incidence`, `survival.cause_specific` and `survival.fine_gray`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=80), "cause": rng.integers(0, 3, 80)})
    >>> frame = frame.assign(group=np.where(frame["score"] > 0, "high", "low"), time=rng.exponential(10, 80))
    >>> result = competing_risks(frame, sd=1.0)
    >>> result.events, result.competing_events, [round(test.p, 2) for test in result.gray]
    (20, 33, [0.22, 0.08])
    """
    refuse_delayed(frame, "competing risks")
    causes = frame["cause"].to_numpy(int)
    if not (causes == 1).any() or not (causes == 2).any():
        message = (
            f"competing risks: {counted(int((causes == 1).sum()), 'event')} and {counted(int((causes == 2).sum()), 'competing event')}; at least one "
            "of each is needed."
        )
        raise NotEstimableError(message)
    time, group = frame["time"].to_numpy(float), frame["group"].to_numpy(object)
    incidence = cumulative_incidence(time, causes, groups=group.astype(str))
    curves = tuple(
        IncidenceCurve(
            group=str(c.group),
            cause=c.cause,
            n=c.n,
            events=c.n_events,
            time=tuple(c.time.tolist()),
            estimate=numbers(c.estimate),
            lower=numbers(c.lower),
            upper=numbers(c.upper),
        )
        for c in incidence.curves
    )
    tests = tuple(
        GrayTest(cause=t.cause, statistic=finite(t.statistic), df=t.df, p=finite(t.p))
        for t in incidence.tests
    )
    return CompetingRisks(
        n=len(frame),
        events=int((causes == 1).sum()),
        competing_events=int((causes == 2).sum()),
        groups=tuple(g for g in GROUPS if (group == g).any()),
        curves=curves,
        gray=tests,
        at=_at_horizons(time, causes, group, incidence, [(y, y * per_year) for y in horizons]),
        models=_models(
            frame["score"].to_numpy(float) / (sd or 1.0), (group == HIGH).astype(float), time, causes
        ),
    )


def _at_horizons(
    time: np.ndarray,
    causes: np.ndarray,
    group: np.ndarray,
    incidence: CumulativeIncidence,
    horizons: Sequence[tuple[float, float]],
) -> tuple[IncidenceAt, ...]:
    rows = []
    for name in (g for g in GROUPS if (group == g).any()):
        inside = group == name
        net = kaplan_meier(time[inside], causes[inside] == 1)
        for years, when in horizons:
            if time[inside].max() < when:
                continue
            event, other = (
                Estimate.of(*(float(v) for v in incidence.curve(cause, name).incidence_at(when)))
                for cause in (1, 2)
            )
            rows.append(
                IncidenceAt(
                    group=str(name),
                    years=years,
                    time=when,
                    event=event,
                    competing=other,
                    net=finite(1 - float(net.survival_at(when)[0])),
                )
            )
    return tuple(rows)


def _models(
    scaled: np.ndarray, high: np.ndarray, time: np.ndarray, causes: np.ndarray
) -> tuple[CompetingModel, ...]:
    models: tuple[tuple[Literal["cause-specific", "Fine-Gray"], Callable[..., Any]], ...] = (
        ("cause-specific", cause_specific),
        ("Fine-Gray", fine_gray),
    )
    effects: tuple[tuple[Literal["hr_sd", "hr_group"], np.ndarray], ...] = (
        ("hr_sd", scaled),
        ("hr_group", high),
    )
    return tuple(
        CompetingModel(
            model=model,
            effect=effect,
            cause=cause,
            result=attempt(_hazard_ratio, fit, x, time, causes, cause),
        )
        for model, fit in models
        for effect, x in effects
        for cause in (1, 2)
    )


def _hazard_ratio(
    fit: Callable[..., Any], x: np.ndarray, time: np.ndarray, causes: np.ndarray, cause: int
) -> HazardRatio:
    model = fit(x[:, None], time, causes, cause=cause)
    return HazardRatio(
        hr=finite(model.hr[0]),
        lower=finite(model.lower[0]),
        upper=finite(model.upper[0]),
        p=finite(model.p[0]),
        n=model.n,
        events=model.n_events,
    )

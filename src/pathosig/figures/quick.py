"""Survival curves in one line, from results or from plain arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.figures.km import KmCurve, KmData, km_figure
from pathosig.figures.results import km_of_results
from pathosig.survival import cox, kaplan_meier, logrank
from pathosig.validation.analysis import Analysis
from pathosig.validation.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from pathosig.survival import KaplanMeier


def km_plot(
    what: Results | Analysis | ArrayLike,
    event: ArrayLike | None = None,
    group: ArrayLike | None = None,
    *,
    cohort: str | None = None,
    endpoint: str | None = None,
    unit: str = "months",
    title: str = "",
) -> Figure:
    """Kaplan-Meier curves with risk tables, medians, the log-rank test and, for two groups, the hazard ratio.

    Parameters
    ----------
    what
        The results of a validation, one of its analyses, or times of follow-up: float[n].
    event
        With times: 1 where the event happened, 0 where the patient was censored, [n].
    group
        With times: labels, [n]; one curve each, in the order of a pandas Categorical, else sorted. Rows with a missing label
        are left out. Without it all patients are one curve.
    cohort, endpoint
        With results: only the panels of this cohort or endpoint. With times, `endpoint` names the vertical axis.
    unit
        Unit of the times.
    title
        Heading of the panel.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If results come with events, or times without.
    ValueError
        If there is no such panel.
    InputError
        If times or events are impossible (E_TIME, E_EVENT).

    References
    ----------
    R: survival::survfit, survival::survdiff, survminer::ggsurvplot.

    Examples
    --------
    >>> figure = km_plot([5, 8, 12, 20, 22, 30], [1, 1, 0, 1, 0, 0], list("aaabbb"))
    >>> type(figure).__name__
    'Figure'
    """
    if isinstance(what, (Results, Analysis)):
        if event is not None or group is not None:
            message = "km_plot: results need no events and no groups."
            raise TypeError(message)
        return km_of_results(what, cohort=cohort, endpoint=endpoint)
    if event is None or np.ndim(what) != 1:
        message = f"km_plot: found {type(what).__name__}; expected the Results of a validation, one Analysis, or times and events."
        raise TypeError(message)
    return km_figure(_data(what, event, group, unit=unit, title=title, endpoint=endpoint or "Survival"))


def _data(
    time: ArrayLike, event: ArrayLike, group: ArrayLike | None, *, unit: str, title: str, endpoint: str
) -> KmData:
    times, events = np.asarray(time, float), np.asarray(event, float)
    labels: Any = np.zeros(len(times), int) if group is None else np.asarray(group, object)
    kept = np.array([label is not None and label == label for label in labels])  # NaN differs from itself
    times, events, labels = times[kept], events[kept], labels[kept]
    curves = kaplan_meier(times, events, groups=labels)
    levels = getattr(getattr(group, "dtype", None), "categories", None)
    order = list(curves) if levels is None else [level for level in levels if level in curves]
    names = [str(label) for label in order]
    shown = [
        _curve("All" if group is None else name, c)
        for name, c in zip(names, (curves[label] for label in order), strict=True)
    ]
    p: float | None = None
    hr: tuple[float, float, float] | None = None
    if len(names) > 1:
        try:
            p = logrank(times, events, labels).p
        except NotEstimableError:
            p = None
    if len(names) == 2:
        second = order[1]
        fit = cox((labels == second).astype(float)[:, None], times, events)
        if fit.converged and not fit.separated[0]:
            hr = (float(fit.hr[0]), float(fit.lower[0]), float(fit.upper[0]))
    return KmData(
        title=title,
        unit=unit,
        curves=shown,
        endpoint=endpoint,
        logrank_p=p,
        hr=hr,
        hr_label=f"{names[1]} vs {names[0]}" if hr is not None else "",
    )


def _curve(label: str, curve: KaplanMeier) -> KmCurve:
    middle, low, high = (v if math.isfinite(v) else None for v in curve.median)
    return KmCurve(
        label=label,
        time=curve.time.tolist(),
        estimate=curve.survival.tolist(),
        lower=curve.lower.tolist(),
        upper=curve.upper.tolist(),
        n_risk=curve.n_risk.tolist(),
        n_event=curve.n_event.tolist(),
        n_censor=curve.n_censor.tolist(),
        n=curve.n,
        events=int(curve.n_event.sum()),
        median=(middle, low, high),
    )

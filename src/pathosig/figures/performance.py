"""How good a model is: calibration, net benefit, AUC over time, and effects along the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import NullFormatter

from pathosig.core.words import counted
from pathosig.figures.palette import GROUPS, INK, MUTED
from pathosig.figures.style import COLUMN, axes_at, new_figure, note, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationPoint:
    """Patients of similar predicted risk: mean prediction and observed risk with its interval, in 0..1."""

    predicted: float
    observed: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeAuc:
    """AUC at one time; `auc` is None where it was not estimable. `n_risk` and `events` stand under the axis."""

    time: float
    auc: float | None
    lower: float | None = None
    upper: float | None = None
    n_risk: int | None = None
    events: int | None = None


def calibration_plot(
    groups: Sequence[CalibrationPoint],
    *,
    title: str,
    time_label: str,
    facts: Sequence[str] = (),
    uncertain: Sequence[str] = (),
) -> Figure:
    """Observed against predicted risk on the full square from 0 to 1, so that cohorts can be compared.

    Parameters
    ----------
    groups
        Groups of patients.
    title, time_label
        Panel title and, for example, ``36 months``.
    facts
        Lines printed inside, such as ``O/E 1.04 (0.88-1.22)``.
    uncertain
        Lines below them in small grey letters: estimates whose interval says nothing, and why.
    """
    with style():
        figure = new_figure(COLUMN, 3.40)
        axes = axes_at(figure, (0.55, 0.45, 2.75, 2.65))
        axes.set_title(shortened(title))
        if not groups:
            note(axes, "Calibration is not available.")
            return figure
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)), label="ideal")
        for row in groups:
            if row.lower is not None and row.upper is not None:
                axes.plot([row.predicted] * 2, [row.lower, row.upper], color=INK, linewidth=0.8)
        axes.plot(
            [g.predicted for g in groups],
            [g.observed for g in groups],
            "o",
            color=GROUPS[1],
            markersize=4,
            label="groups (95% CI)",
            zorder=4,
            clip_on=False,
        )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        ticks = [0, 0.25, 0.5, 0.75, 1]
        axes.set_xticks(ticks, [f"{100 * v:g}" for v in ticks])
        axes.set_yticks(ticks, [f"{100 * v:g}" for v in ticks])
        axes.set_xlabel(f"Predicted risk at {time_label} (%)")
        axes.set_ylabel(f"Observed risk at {time_label} (%)")
        # Legend and numbers lie in corners that points near the diagonal leave free.
        axes.legend(loc="lower right", borderaxespad=0.2)
        axes.text(0.03, 0.97, "\n".join(facts), transform=axes.transAxes, va="top", linespacing=1.4)
        below = 0.965 - 0.052 * len(facts)
        grey = axes.text(0.03, below, "\n".join(uncertain), transform=axes.transAxes, va="top", color=MUTED)
        grey.set(fontsize=5.6, linespacing=1.3)
    return figure


def decision_curve_plot(
    threshold: Sequence[float],
    net_benefit: Mapping[str, Sequence[float]],
    *,
    title: str,
    time_label: str,
    top: float | None = None,
) -> Figure:
    """Net benefit of each strategy over the threshold risk.

    Parameters
    ----------
    threshold
        Threshold risks in 0..1: float[n].
    net_benefit
        Strategy -> float[n]; ``treat all`` and ``treat none`` are drawn in grey and black.
    title, time_label
        Panel title; horizon of the risk.
    top
        Highest net benefit on the axis, the same for panels that are compared; the highest drawn by default.
    """
    with style():
        figure = new_figure(COLUMN, 2.7)
        axes = axes_at(figure, (0.55, 0.45, 2.75, 1.95))
        axes.set_title(shortened(title))
        if not net_benefit:
            note(axes, "Net benefit is not available.")
            return figure
        fixed = {"treat all": MUTED, "treat none": INK}
        free = iter(GROUPS)
        best = 0.02
        for name, values in net_benefit.items():
            colour = fixed.get(name) or next(free)
            axes.plot(threshold, values, color=colour, linewidth=0.9 if name in fixed else 1.3, label=name)
            best = max(best, float(np.nanmax(values)))
            _mark_end(axes, threshold, values, colour)
        best = best if top is None else max(best, top)
        axes.set_ylim(-0.25 * best, 1.12 * best)
        axes.set_xlim(min(threshold), max(threshold))
        ticks = [t for t in axes.get_xticks() if min(threshold) <= t <= max(threshold)]
        axes.set_xticks(ticks, [f"{100 * t:.0f}" for t in ticks])
        axes.set_xlabel(f"Threshold risk at {time_label} (%)")
        axes.set_ylabel("Net benefit")
        axes.legend(loc="upper right")
    return figure


def _mark_end(axes: Axes, threshold: Sequence[float], values: Sequence[float], colour: str) -> None:
    """A dot where a curve ends before the axis does."""
    last = max((i for i, v in enumerate(values) if math.isfinite(v)), default=-1)
    if 0 <= last < len(values) - 1:
        axes.plot([threshold[last]], [values[last]], "o", color=colour, markersize=3.2)


def time_auc_plot(series: Mapping[str, Sequence[TimeAuc]], *, title: str, unit: str) -> Figure:
    """AUC(t) of one or more models with 95% confidence intervals.

    Parameters
    ----------
    series
        Name -> AUC at each time; times at which it was not estimable keep their place on the axis with the words ``not estimated``.
    title, unit
        Panel title; unit of time.
    """
    with style():
        figure = new_figure(COLUMN, 2.86)
        axes = axes_at(figure, (0.5, 0.71, 2.85, 1.85))
        axes.set_title(shortened(title))
        if not any(r.auc is not None for rows in series.values() for r in rows):
            note(axes, "AUC over time is not available.")
            return figure
        span = max(r.time for rows in series.values() for r in rows)
        for i, (name, rows) in enumerate(series.items()):
            shift = (i - (len(series) - 1) / 2) * 0.02 * span
            drawn = [(r.time + shift, r.auc, r) for r in rows if r.auc is not None]
            for t, _, row in drawn:
                if row.lower is not None and row.upper is not None:
                    axes.plot([t, t], [row.lower, row.upper], color=GROUPS[i], linewidth=0.9)
            axes.plot(
                [t for t, _, _ in drawn],
                [auc for _, auc, _ in drawn],
                "-o",
                color=GROUPS[i],
                markersize=3.4,
                linewidth=0.9,
                label=name,
                clip_on=False,
            )
        axes.axhline(0.5, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)))
        first = next(iter(series.values()))
        for row in first:
            if row.auc is None:
                axes.text(
                    row.time, 0.52, "not\nestimated", ha="center", va="bottom", fontsize=5.6, color=MUTED
                )
        axes.set_xticks([r.time for r in first], [_tick(r) for r in first], fontsize=6)
        axes.set_xlim(0, span * 1.14)
        lows = [r.lower for rows in series.values() for r in rows if r.lower is not None]
        axes.set_ylim(min([0.4, *lows]), 1.0)
        axes.set_xlabel(f"Time ({unit})")
        axes.set_ylabel("AUC(t)")
        if len(series) > 1:
            axes.legend(loc="upper right")
    return figure


def _tick(row: TimeAuc) -> str:
    """A time with the patients at risk and the events until then."""
    text = f"{row.time:.0f}" if row.time >= 100 else f"{row.time:g}"
    text += "" if row.n_risk is None else f"\n{row.n_risk} at risk"
    return text + ("" if row.events is None else f"\n{counted(row.events, 'event')}")


def effect_curve_plot(
    x: Sequence[float],
    hr: Sequence[float],
    limits: tuple[Sequence[float], Sequence[float]],
    *,
    title: str,
    x_label: str,
    y_label: str = "Hazard ratio",
    cutoff: float | None = None,
    rug: Sequence[float] = (),
) -> Figure:
    """A hazard ratio along a continuous variable, with its band: spline checks, treatment along the score."""
    with style():
        figure = new_figure(COLUMN, 2.6)
        axes = axes_at(figure, (0.55, 0.45, 2.8, 1.85))
        axes.set_title(shortened(title))
        axes.fill_between(x, *limits, color=GROUPS[0], alpha=0.18, linewidth=0)
        axes.plot(x, hr, color=GROUPS[0])
        axes.set_yscale("log")
        finite = [v for v in [*hr, *limits[0], *limits[1]] if math.isfinite(v) and v > 0]
        axes.set_ylim(max(min([*finite, 0.5]) / 1.15, 0.02), min(max([*finite, 2.0]) * 1.15, 50))
        _plain_log_ticks(axes)
        axes.axhline(1, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)))
        if cutoff is not None:
            axes.axvline(cutoff, color=GROUPS[1], linewidth=0.8)
            axes.annotate(
                "cut-off",
                (cutoff, 0.98),
                xytext=(3, 0),
                textcoords="offset points",
                color=GROUPS[1],
                va="top",
                xycoords=axes.get_xaxis_transform(),
                fontsize=6.5,
            )
        if len(rug):
            axes.plot(
                rug,
                np.full(len(rug), 0.015),
                "|",
                color=MUTED,
                markersize=4,
                markeredgewidth=0.35,
                transform=axes.get_xaxis_transform(),
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
    return figure


def _plain_log_ticks(axes: Axes) -> None:

    low, high = axes.get_ylim()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.yaxis.set_minor_formatter(NullFormatter())

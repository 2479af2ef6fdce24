"""How good a model is: calibration, net benefit, AUC over time, and effects along the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import GROUPS, INK, MUTED
from pathosig.figures.style import COLUMN, axes_at, new_figure, note, shortened, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Interval = tuple[float, float, float]
"""Estimate, lower and upper limit."""


def calibration_plot(
    groups: Sequence[Mapping[str, float]],
    *,
    title: str,
    time_label: str,
    curve: tuple[Sequence[float], Sequence[float]] | None = None,
    facts: Sequence[str] = (),
    predicted: Sequence[float] = (),
) -> Figure:
    """Observed against predicted risk, with a smooth curve and the spread of predictions below.

    Parameters
    ----------
    groups
        Rows with ``predicted``, ``observed`` and optionally ``lower``, ``upper`` (risks in 0..1).
    title, time_label
        Panel title and, for example, ``36 months``.
    curve
        Smooth calibration curve: predicted, observed.
    facts
        Lines printed inside, such as ``O/E 1.04 (0.88-1.22)``.
    predicted
        Single predictions, drawn as a rug.
    """
    with style():
        figure = new_figure(COLUMN, 3.35)
        axes = axes_at(figure, (0.55, 0.45, 2.75, 2.55))
        axes.set_title(shortened(title))
        everything = [
            v for g in groups for v in (g["predicted"], g["observed"], g.get("upper", 0.0)) if v == v
        ]
        everything += [v for side in (curve or ()) for v in side if math.isfinite(v)]
        top = min(1.0, 1.12 * max(everything, default=1.0))
        if not groups and curve is None:
            note(axes, "Calibration is not available.")
            return figure
        axes.plot([0, top], [0, top], color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)), label="ideal")
        if curve is not None:
            axes.plot(*curve, color=GROUPS[0], label="smooth")
        for row in groups:
            lower, upper = row.get("lower", math.nan), row.get("upper", math.nan)
            if math.isfinite(lower) and math.isfinite(upper):
                axes.plot([row["predicted"]] * 2, [lower, upper], color=INK, linewidth=0.8)
        axes.plot(
            [g["predicted"] for g in groups],
            [g["observed"] for g in groups],
            "o",
            color=GROUPS[1],
            markersize=4,
            label="groups (95% CI)",
            zorder=4,
        )
        if len(predicted):
            axes.plot(
                predicted,
                np.full(len(predicted), -0.025 * top),
                "|",
                color=MUTED,
                markersize=4,
                markeredgewidth=0.35,
                clip_on=False,
            )
        axes.set_xlim(0, top)
        axes.set_ylim(-0.05 * top, top)
        axes.set_xlabel(f"Predicted risk at {time_label}")
        axes.set_ylabel(f"Observed risk at {time_label}")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.05))
        axes.text(0.03, 0.97, "\n".join(facts), transform=axes.transAxes, va="top", linespacing=1.4)
    return figure


def decision_curve_plot(
    threshold: Sequence[float],
    net_benefit: Mapping[str, Sequence[float]],
    *,
    title: str,
    time_label: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
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
    bands
        Strategy -> lower and upper limits.
    """
    with style():
        figure = new_figure(COLUMN, 2.7)
        axes = axes_at(figure, (0.55, 0.45, 2.75, 1.95))
        axes.set_title(shortened(title))
        if not net_benefit:
            note(axes, "Net benefit is not available.")
            return figure
        fixed = {"treat all": (MUTED, "-"), "treat none": (INK, "-")}
        free = iter(GROUPS)
        best = 0.02
        for name, values in net_benefit.items():
            colour, dashes = fixed.get(name) or (next(free), "-")
            axes.plot(
                threshold, values, dashes, color=colour, linewidth=0.9 if name in fixed else 1.3, label=name
            )
            if bands and name in bands:
                axes.fill_between(threshold, *bands[name], color=colour, alpha=0.15, linewidth=0)
            best = max(best, float(np.nanmax(values)))
        axes.set_ylim(-0.25 * best, 1.12 * best)
        axes.set_xlim(min(threshold), max(threshold))
        axes.set_xlabel(f"Threshold risk at {time_label}")
        axes.set_ylabel("Net benefit")
        axes.legend(loc="upper right")
    return figure


def time_auc_plot(
    series: Mapping[str, Sequence[Mapping[str, float]]], *, title: str, unit: str, at_risk: Sequence[int] = ()
) -> Figure:
    """AUC(t) of one or more models with 95% limits.

    Parameters
    ----------
    series
        Name -> rows with ``time``, ``auc`` and optionally ``lower``, ``upper``.
    title, unit
        Panel title; unit of time.
    at_risk
        Patients at risk at the times of the first series, printed above the axis.
    """
    with style():
        figure = new_figure(COLUMN, 2.72)
        axes = axes_at(figure, (0.5, 0.57, 2.85, 1.85))
        axes.set_title(shortened(title))
        if not any(len(rows) for rows in series.values()):
            note(axes, "AUC over time is not available.")
            return figure
        span = max(r["time"] for rows in series.values() for r in rows)
        for i, (name, rows) in enumerate(series.items()):
            shift = (i - (len(series) - 1) / 2) * 0.02 * span
            time = np.array([r["time"] for r in rows]) + shift
            for t, row in zip(time, rows, strict=True):
                axes.plot(
                    [t, t],
                    [row.get("lower", math.nan), row.get("upper", math.nan)],
                    color=GROUPS[i],
                    linewidth=0.9,
                )
            axes.plot(
                time,
                [r["auc"] for r in rows],
                "-o",
                color=GROUPS[i],
                markersize=3.4,
                linewidth=0.9,
                label=name,
            )
        axes.axhline(0.5, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)))
        times = [r["time"] for r in next(iter(series.values()))]
        labels = [f"{t:.0f}" if t >= 100 else f"{t:g}" for t in times]
        if len(at_risk) == len(times):
            labels = [f"{t}\n({n} at risk)" for t, n in zip(labels, at_risk, strict=True)]
        axes.set_xticks(times, labels)
        axes.set_xlim(0, span * 1.12)
        lows = [r.get("lower", r["auc"]) for rows in series.values() for r in rows]
        axes.set_ylim(min(0.4, *(v for v in [*lows, 0.4] if v == v)), 1.0)
        axes.set_xlabel(f"Time ({unit})")
        axes.set_ylabel("AUC(t)")
        if len(series) > 1:
            axes.legend(loc="upper right")
    return figure


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
        known = [v for v in [*hr, *limits[0], *limits[1]] if math.isfinite(v) and v > 0]
        axes.set_ylim(max(min([*known, 0.5]) / 1.15, 0.02), min(max([*known, 2.0]) * 1.15, 50))
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
    from matplotlib.ticker import NullFormatter

    low, high = axes.get_ylim()
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.yaxis.set_minor_formatter(NullFormatter())

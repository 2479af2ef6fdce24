"""Scores of the cores of each patient: who is low or high by all of them, and whose cores disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import GRID, INK, MUTED, NEGATIVE, POSITIVE
from pathosig.figures.style import PAGE, axes_at, new_figure, note, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientCores:
    """Scores of one patient's cores; `score` is the patient's own."""

    score: float
    cores: tuple[float, ...]
    heterogeneous: bool


def cores_plot(cohorts: Sequence[tuple[str, Sequence[PatientCores]]], *, cutoff: float) -> Figure:
    """A panel per cohort: patients with several scored cores in the order of their score, a dot per core.

    Parameters
    ----------
    cohorts
        Title and patients of each cohort.
    cutoff
        The signature's cut-off, drawn as a line.
    """
    with style():
        panels = len(cohorts) or 1
        figure = new_figure(PAGE, 0.35 + 1.75 * panels)
        everything = [v for _, patients in cohorts for p in patients for v in (*p.cores, cutoff)]
        low, high = (min(everything), max(everything)) if everything else (0.0, 1.0)
        room = 0.06 * max(high - low, 1e-9)
        for number, (title, patients) in enumerate(cohorts):
            bottom = 0.35 + 1.75 * (panels - 1 - number)
            axes = axes_at(figure, (0.55, bottom + 0.1, PAGE - 0.7, 1.3))
            shown = sorted(
                (p for p in patients if len(p.cores) > 1 and math.isfinite(p.score)), key=lambda p: p.score
            )
            split = sum(p.heterogeneous for p in shown)
            axes.set_title(f"{title}: {len(shown)} patients with several cores, {split} heterogeneous")
            if not shown:
                note(axes, "No patient has several scored cores.")
                continue
            for x, patient in enumerate(shown):
                colour = INK if patient.heterogeneous else GRID
                axes.plot(
                    [x, x],
                    [min(patient.cores), max(patient.cores)],
                    color=colour,
                    lw=1.1 if patient.heterogeneous else 0.8,
                    zorder=1,
                )
            xs = np.concatenate([np.full(len(p.cores), i) for i, p in enumerate(shown)])
            ys = np.concatenate([p.cores for p in shown])
            colours = np.where(ys > cutoff, POSITIVE, NEGATIVE)
            axes.scatter(xs, ys, s=9, c=colours, linewidths=0, zorder=2)
            axes.axhline(cutoff, color=MUTED, lw=0.7, ls=(0, (4, 3)), zorder=0)
            axes.set_xlim(-1, len(shown))
            axes.set_ylim(low - room, high + room)
            axes.set_xticks([])
            axes.set_ylabel("score of a core")
        bottom = 0.12 / (0.35 + 1.75 * panels)
        figure.text(0.5, bottom, "patients, by score", ha="center", color=INK, fontsize=7)
        return figure

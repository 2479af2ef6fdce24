"""Scores of the cores of each patient: who is low or high by all of them, and whose cores disagree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pathosig.figures.palette import INK, MUTED, NEGATIVE, POSITIVE
from pathosig.figures.style import COLUMN, axes_at, new_figure, note, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientCores:
    """Scores of one patient's cores; `score` is the patient's own."""

    score: float
    cores: tuple[float, ...]
    heterogeneous: bool


def cores_plot(
    title: str, patients: Sequence[PatientCores], *, cutoff: float, limits: tuple[float, float]
) -> Figure:
    """Patients with several scored cores in the order of their score, a dot per core; one journal column wide.

    Parameters
    ----------
    title
        Of the cohort.
    patients
        Its patients; those with fewer than two scored cores are left out.
    cutoff
        The signature's cut-off, drawn as a line.
    limits
        Lowest and highest score of the axis, from `score_limits`, so that cohorts can be compared.
    """
    with style():
        figure = new_figure(COLUMN, 1.9)
        axes = axes_at(figure, (0.45, 0.22, COLUMN - 0.5, 1.42))
        shown = sorted(
            (p for p in patients if len(p.cores) > 1 and math.isfinite(p.score)), key=lambda p: p.score
        )
        split = sum(p.heterogeneous for p in shown)
        if not shown:
            axes.set_title(title)
            note(axes, "No patient has several scored cores.")
            return figure
        axes.set_title(f"{title}: {split} of {len(shown)} heterogeneous")
        for x, patient in enumerate(shown):
            heavy = patient.heterogeneous
            ends = [min(patient.cores), max(patient.cores)]
            axes.plot([x, x], ends, color=INK if heavy else MUTED, lw=1.1 if heavy else 0.4, zorder=1)
        xs = np.concatenate([np.full(len(p.cores), i) for i, p in enumerate(shown)])
        ys = np.concatenate([p.cores for p in shown])
        colours = np.where(ys > cutoff, POSITIVE, NEGATIVE)
        axes.scatter(xs, ys, s=_dot_area(len(shown)), c=colours, linewidths=0, zorder=2)
        axes.axhline(cutoff, color=MUTED, lw=0.7, ls=(0, (4, 3)), zorder=0)
        axes.set_xlim(-1, len(shown))
        axes.set_ylim(*limits)
        axes.set_xticks([])
        axes.set_xlabel("patients, by score")
        axes.set_ylabel("score of a core")
        return figure


def score_limits(cohorts: Iterable[Sequence[PatientCores]], cutoff: float) -> tuple[float, float]:
    """Ends of an axis that holds every core of all cohorts and the cut-off, with a little room.

    Examples
    --------
    >>> score_limits([[PatientCores(score=0.5, cores=(0.0, 1.0), heterogeneous=False)]], 0.5)
    (-0.06, 1.06)
    """
    scores = [v for patients in cohorts for p in patients for v in p.cores] + [cutoff]
    low, high = min(scores), max(scores)
    room = 0.06 * max(high - low, 1e-9)
    return low - room, high + room


def _dot_area(patients: int) -> float:
    """Area of a dot in square points: as wide as a patient's column, within what the eye can see and take for a dot."""
    across = (COLUMN - 0.5) * 72 / (patients + 1)
    return min(max(across, 1.8), 3.2) ** 2

"""How far each patient's predicted risk moves when the whole procedure is repeated on other samples of patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.figures.palette import GRID, MUTED
from pathosig.figures.style import COLUMN, axes_at, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pathosig.validation.instability import Instability


def instability_plot(moves: Instability) -> Figure:
    """A line per patient: the risk that the signature predicts, across, and that of the bootstrap samples, upwards.

    References
    ----------
    Riley RD, Collins GS. Stability of clinical prediction models developed using statistical or machine learning methods.
    Biom J 2023;65:2200302.
    """
    with style():
        figure = new_figure(COLUMN, 2.6)
        axes = axes_at(figure, (0.55, 0.45, COLUMN - 0.75, 1.85))
        risk = [100 * p.risk for p in moves.patients]
        axes.axline((0, 0), slope=1, color=GRID, lw=0.8, zorder=0)
        axes.vlines(
            risk,
            [100 * p.lower for p in moves.patients],
            [100 * p.upper for p in moves.patients],
            color="#0B4F8A",
            lw=0.7,
            alpha=0.55,
        )
        axes.scatter(risk, risk, s=5, color=MUTED, linewidths=0, zorder=3)
        axes.set_title(f"Risk within {moves.years:g} years")
        axes.set_xlabel("predicted by the signature, %")
        axes.set_ylabel("in bootstrap samples, %")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        return figure

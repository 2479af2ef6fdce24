"""Flow diagram: what came in, what was left out and why, what was analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.patches import FancyBboxPatch

from pathosig.figures.palette import MUTED
from pathosig.figures.style import axes_at, bare, new_figure, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """One box of the trunk.

    Attributes
    ----------
    title
        Heading of the box.
    lines
        Counts under it.
    excluded
        Reasons and counts, in the box at the right between this step and the next.
    """

    title: str
    lines: Sequence[str] = ()
    excluded: Sequence[str] = ()


def flow_diagram(steps: Sequence[FlowStep], arms: Sequence[FlowStep] = (), *, title: str = "") -> Figure:
    """Boxes from top to bottom with exclusions at the right; `arms` (the cohorts) side by side below.

    Examples
    --------
    >>> steps = [FlowStep(title="Patients", lines=("200",), excluded=("12 without a slide",))]
    >>> figure = flow_diagram(steps, [FlowStep(title="Discovery", lines=("120",)), FlowStep(title="Validation", lines=("68",))])
    >>> "12 without a slide" in " ".join(text.get_text() for text in figure.axes[0].texts)
    True
    """
    with style():
        box_heights = [_height(s) for s in steps]
        gaps = [
            max(0.22, _height(FlowStep(title="Left out", lines=s.excluded)) + 0.14) if s.excluded else 0.22
            for s in steps
        ]
        if len(arms) > 1 and steps and steps[-1].excluded:
            gaps[-1] += 0.30
        arm_height = max((_height(a) for a in arms), default=0.0)
        wide = max(6.2, 1.75 * len(arms) + 0.2)
        total = sum(box_heights) + sum(gaps) + arm_height + (0.3 if title else 0.0) + 0.2
        figure = new_figure(wide, total)
        axes = bare(axes_at(figure, (0, 0, wide, total)))
        axes.set_xlim(0, wide)
        axes.set_ylim(0, total)
        axes.patch.set_visible(False)
        if not steps:
            note(axes, "Nothing to count.")
            return figure
        y = total - 0.08
        if title:
            axes.text(0.1, y - 0.1, title, weight="bold", fontsize=8, va="center")
            y -= 0.3
        trunk = wide / 2 if not any(s.excluded for s in steps) else wide * 0.36
        for i, (step, height, gap) in enumerate(zip(steps, box_heights, gaps, strict=True)):
            _box(axes, step, (trunk, y - height, 2.7), height)
            last = i == len(steps) - 1
            if not last or arms:
                end = y - height - gap + (0.12 if last and len(arms) > 1 else 0.0)
                _arrow(axes, (trunk, y - height), (trunk, end), head=not last or len(arms) == 1)
            if step.excluded:
                side = FlowStep(title="Left out", lines=step.excluded)
                tall = _height(side)
                middle = y - height - (gap - (0.30 if last and len(arms) > 1 else 0.0)) / 2
                _arrow(axes, (trunk, middle), (trunk + 1.55, middle))
                _box(axes, side, (trunk + 1.55 + 1.15, middle - tall / 2, 2.3), tall, muted=True)
            y -= height + gap
        _arms(axes, arms, (wide, y, trunk), arm_height)
    return figure


def _arms(axes: Axes, arms: Sequence[FlowStep], place: tuple[float, float, float], height: float) -> None:
    wide, y, trunk = place
    each = (wide - 0.2) / max(len(arms), 1)
    centres = [0.1 + each * (i + 0.5) for i in range(len(arms))]
    if len(arms) > 1:
        axes.plot(
            [min(centres[0], trunk), max(centres[-1], trunk)], [y + 0.12] * 2, color=MUTED, linewidth=0.8
        )
    for arm, x in zip(arms, centres, strict=True):
        if len(arms) > 1:
            _arrow(axes, (x, y + 0.12), (x, y))
        _box(axes, arm, (x, y - height, min(each - 0.12, 2.7)), height)


def _height(step: FlowStep) -> float:
    return 0.22 + 0.125 * len(step.lines)


def _box(
    axes: Axes, step: FlowStep, place: tuple[float, float, float], height: float, *, muted: bool = False
) -> None:

    x, y, width = place
    face, edge = ("#F7F7F8", "#C5CAD1") if muted else ("#EEF4FA", "#4C7FAE")
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.04",
            facecolor=face,
            edgecolor=edge,
            linewidth=0.7,
            zorder=2,
        )
    )
    top = y + height - 0.11
    axes.text(x - width / 2 + 0.08, top, step.title, weight="bold", va="center", fontsize=7, zorder=3)
    for i, line in enumerate(step.lines):
        axes.text(x - width / 2 + 0.08, top - 0.135 - 0.125 * i, line, va="center", fontsize=6.3, zorder=3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, head: bool = True) -> None:
    axes.annotate(
        "",
        end,
        start,
        zorder=1,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.15,head_length=0.3" if head else "-",
            "color": MUTED,
            "linewidth": 0.8,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )

"""Measures where a run spends its time: `pathosig run --profile`."""

from __future__ import annotations

import cProfile
import io
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from pathosig.core.records import write_text
from pathosig.core.study import Study
from pathosig.core.units import StageReport

_FUNCTIONS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class StageCost:
    """Time and memory that one stage took in this run.

    Attributes
    ----------
    stage
        Its name.
    wall_s, cpu_s
        Wall time, and CPU time of this process, which starts the workers and does the fits.
    units
        Number of units that were processed.
    median_s, slowest_s, slowest
        Median seconds per unit, seconds of the slowest unit, and its id; None without units.
    peak_mb
        Largest resident memory of a unit, in MiB.
    """

    stage: str
    wall_s: float
    cpu_s: float
    units: int
    median_s: float | None = None
    slowest_s: float | None = None
    slowest: str | None = None
    peak_mb: float | None = None


def profiled(study: Study, name: str, run: Callable[[], StageReport]) -> tuple[StageReport, StageCost]:
    """Run a stage and measure it; list the functions of this process that took longest in logs/profile/NAME.txt."""
    profile = cProfile.Profile()
    wall, cpu = time.perf_counter(), time.process_time()
    profile.enable()
    try:
        report = run()
    finally:
        profile.disable()
        took = time.perf_counter() - wall, time.process_time() - cpu
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("cumulative").print_stats(_FUNCTIONS)
        write_text(study.root / "logs" / "profile" / f"{name}.txt", text.getvalue())
    done = {*report.done, *report.failed, *report.empty}
    records = [r for r in study.records(name) if r.unit in done and r.seconds is not None]
    seconds = {r.unit: r.seconds for r in records if r.seconds is not None}
    slowest = max(seconds, key=lambda unit: seconds[unit], default=None)
    return report, StageCost(
        stage=name,
        wall_s=round(took[0], 2),
        cpu_s=round(took[1], 2),
        units=len(seconds),
        median_s=round(statistics.median(seconds.values()), 3) if seconds else None,
        slowest_s=seconds[slowest] if slowest is not None else None,
        slowest=slowest,
        peak_mb=max((r.peak_mb for r in records if r.peak_mb is not None), default=None),
    )


def to_text(costs: tuple[StageCost, ...]) -> str:
    """A table of the stages."""
    lines = [f"{'stage':<12}{'wall s':>9}{'cpu s':>9}{'units':>8}{'median s':>10}{'peak MB':>9}  slowest"]
    for cost in costs:
        median = "" if cost.median_s is None else f"{cost.median_s:.2f}"
        peak = "" if cost.peak_mb is None else f"{cost.peak_mb:.0f}"
        slowest = "" if cost.slowest is None else f"  {cost.slowest} ({cost.slowest_s:.2f} s)"
        line = f"{cost.stage:<12}{cost.wall_s:>9.2f}{cost.cpu_s:>9.2f}{cost.units:>8}{median:>10}{peak:>9}{slowest}"
        lines.append(line.rstrip())
    return "\n".join([*lines, "functions of this process: logs/profile/"])

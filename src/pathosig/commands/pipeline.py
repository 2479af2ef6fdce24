"""Runs all stages in order: `pathosig run`."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

from pathosig.commands import profiling
from pathosig.commands.changes import remove_gone
from pathosig.commands.plan import RunPlan, plan_of
from pathosig.commands.profiling import StageCost
from pathosig.core.errors import ConfigError, InputError, NotEstimableError, one_line
from pathosig.core.progress import announce, clock
from pathosig.core.records import remove_stale
from pathosig.core.showing import Shown
from pathosig.core.stages import STAGE_NAMES, stages_of
from pathosig.core.study import Study
from pathosig.core.units import Execution, StageReport
from pathosig.core.words import counted
from pathosig.intake.checking import check


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport(Shown):
    """The outcome of every stage, in order.

    Attributes
    ----------
    stages
        One report per stage that ran.
    note
        Why the run stopped before the last stage, or "".
    not_estimable
        Code and message of the first stage that had too little data, or "".
    report
        Path of the report, if the run reached it.
    plan
        What would be done, in a dry run.
    costs
        Time of each stage, if it was asked for.
    """

    stages: tuple[StageReport, ...]
    note: str = ""
    not_estimable: str = ""
    report: str | None = None
    plan: RunPlan | None = None
    costs: tuple[StageCost, ...] = ()

    @property
    def exit_code(self) -> int:
        """5 when nothing could be estimated, else 4 when slides failed, else 0."""
        if self.not_estimable:
            return NotEstimableError.exit_code
        return max((s.exit_code for s in self.stages), default=0)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "stages": [s.to_dict() for s in self.stages],
            "note": self.note,
            "not_estimable": self.not_estimable,
            "report": self.report,
            "plan": self.plan,
            "costs": self.costs,
            "exit_code": self.exit_code,
        }

    def to_text(self) -> str:
        """One line per stage, the failures, and the path of the report; in a dry run, the plan."""
        if self.plan is not None:
            return self.plan.to_text()
        return "\n".join([*(s.to_text() for s in self.stages), *self._remarks()])

    def ending(self) -> str:
        """Findings, failures and the path of the report, for a reader who saw the line of each stage as it ended."""
        return "\n".join(
            [
                *(f"{s.stage}: {f}" for s in self.stages for f in s.findings if f != self.report),
                *self._remarks(),
            ]
        )

    def _remarks(self) -> list[str]:
        lines: list[str] = []
        errors = [e for s in self.stages for e in s.errors]
        lines += [f"  {e}" for e in errors[:10]]
        lines += [f"  and {len(errors) - 10} more: pathosig status"] if len(errors) > 10 else []
        lines += [text for text in (self.not_estimable, self.note) if text]
        lines += [f"report: {self.report}"] if self.report else []
        return lines + ([profiling.to_text(self.costs)] if self.costs else [])


def run_all(
    study: Study,
    *,
    until: str | None = None,
    dry_run: bool = False,
    profile: bool = False,
    execution: Execution = Execution(),
) -> RunReport:
    """Run all stages in order, skipping everything that is up to date.

    Parameters
    ----------
    study
        An open study.
    until
        The last stage to run.
    dry_run
        Only show what would be done: slides, tiles, hours, disk space, limits and events.
    profile
        Also show how long each stage took, and list the functions that took longest in logs/profile/.
    execution
        Workers, device, shard, scheduler. With a shard the run stops before the first stage over the whole study.

    Returns
    -------
    RunReport
        The outcome of every stage. Slides that failed are listed in it; they never stop the others.

    Raises
    ------
    ConfigError
        If `until` names no stage.
    InputError
        If `check` finds the study unusable.
    PathosigError
        If a stage cannot run at all.
    """
    rows = stages_of(study)
    if until is not None:
        if until not in STAGE_NAMES:
            raise ConfigError(f"--until {until!r}: expected one of {', '.join(STAGE_NAMES)}.")
        last = STAGE_NAMES.index(until)
        rows = [row for row in rows if STAGE_NAMES.index(row.name) <= last]
    announce("checking the study")
    _refuse_unusable(study)
    if dry_run:
        return RunReport(stages=(), plan=plan_of(study, rows, execution=execution))
    remove_stale(study.root, deep=True)
    remove_gone(study)
    reports: list[StageReport] = []
    costs: list[StageCost] = []
    nothing = ""
    for row in rows:
        if execution.shard is not None and not row.per_specimen:
            return RunReport(stages=tuple(reports), note=_waiting(study, row.name), costs=tuple(costs))
        run = functools.partial(row.function(), study, execution=execution)
        begun = time.monotonic()
        try:
            if profile:
                report, cost = profiling.profiled(study, row.name, run)
                costs.append(cost)
            else:
                report = run()
            reports.append(report)
        except NotEstimableError as error:
            nothing = nothing or f"{error.code} {error}"
            reports.append(StageReport(stage=row.name, empty=("_fit",)))
        announce(f"{reports[-1].to_line()}, {clock(time.monotonic() - begun)}")
    page = study.paths.report
    shown = str(page) if rows and rows[-1].name == "report" and page.is_file() else None
    return RunReport(stages=tuple(reports), not_estimable=nothing, report=shown, costs=tuple(costs))


def _refuse_unusable(study: Study) -> None:
    """Refuse a study that `check` finds unusable. Slides are not opened: one that cannot be read fails later on its own."""
    report = check(study, open_slides=False)
    if not report.usable:
        shown = "\n".join(f"  {one_line(problem)}" for problem in report.problems[:5])
        raise InputError(f"the study cannot be run as it is:\n{shown}\n`pathosig check` shows more.")


def _waiting(study: Study, stage: str) -> str:
    needed = {s.id for s in study.specimens()}
    finished = {r.unit for r in study.records("embed") if r.status != "failed"}
    left = len(needed - finished)
    text = f"stopped before {stage}: waiting for {counted(left, 'slide or core', 'slides or cores')} of other shards."
    return text if left else f"stopped before {stage}: all slides are done; run once without --shard."

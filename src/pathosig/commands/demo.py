"""`pathosig demo`: the whole pipeline on a cohort with planted truth."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pathosig.commands.browser import open_in_browser
from pathosig.commands.pipeline import run_all
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.report.stage import build_report
from pathosig.synthetic.spec import SimulateSpec

if TYPE_CHECKING:
    from pathosig.synthetic.claims import PaperComparison
    from pathosig.synthetic.truth import Comparison

DEMO = SimulateSpec(
    n_discovery=70,
    n_validation=50,
    types=5,
    tiles_per_patient=50,
    tile_px=112,
    harm=0.85,
    protect=-0.85,
    second_slide=0.05,
)
"""Small enough for a few minutes on two cores: small tiles, so that there can be enough patients for intervals that mean something."""

PAPER = SimulateSpec(
    kind="mixed",
    array="6x10",
    n_discovery=90,
    n_validation=80,
    types=6,
    tiles_per_patient=36,
    harm=1.0,
    protect=-1.0,
    treatment_benefit=-2.2,
    median_survival=28.0,
    follow_up=140.0,
)
"""The published microarray study in miniature: two cohorts on microarrays, one on whole slides.

Eighty patients a cohort show an interaction of treatment and score only where it is very large. Even with the benefit and the
follow-up planted here some seeds miss it, the default seed among them.
"""


def demo(
    directory: Path | None = None,
    *,
    edition: Literal["small", "paper"] = "small",
    seed: int = 0,
    browse: bool = True,
    execution: Execution = Execution(workers=2),
) -> Comparison | PaperComparison:
    """Whole pipeline on a generated cohort with planted truth, offline, a few minutes on 2 cores.

    Parameters
    ----------
    directory
        Where the study is made; a temporary folder without it. A demo that was stopped resumes.
    edition
        small (whole slides, two planted tissue types) | paper (the published microarray study in miniature, with truth
        planted behind each of its claims).
    seed
        Seed of the simulated cohort.
    browse
        Open the report in the browser at the end; only where a person looks on: on a terminal, with a browser, not in CI.

    Returns
    -------
    Comparison or PaperComparison
        What was planted, what was found, the report's verdict, and where the report is.
    """
    from pathosig.synthetic import compare_claims, compare_truth, simulate

    folder = directory or Path(tempfile.mkdtemp(prefix="pathosig-demo-"))
    if not (folder / "truth.json").is_file():
        _remove_unfinished(folder)
        sys.stderr.write(f"painting slides into {folder}\n")
        simulate(folder, (PAPER if edition == "paper" else DEMO).replace(seed=seed), execution=execution)
    opened = Study.open(folder)
    sys.stderr.write("running all stages\n")
    comparison: Comparison | PaperComparison
    if edition == "small":
        run_all(opened, execution=execution)
        comparison = compare_truth(opened)
    else:
        run_all(opened, until="validate", execution=execution)
        claims = compare_claims(opened)  # the report shows what was found of what was planted
        build_report(opened, execution=execution)
        comparison = replace(claims, report=str(opened.paths.report))
    if browse and opened.paths.report.is_file():
        open_in_browser(opened.paths.report)
    return comparison


def _remove_unfinished(folder: Path) -> None:
    """A stopped `simulate` left a study.toml but no truth.json: begin anew (slides are painted over)."""
    config = folder / "study.toml"
    if config.is_file() and not (folder / "patients.csv").is_file() and not (folder / "records").is_dir():
        config.unlink()

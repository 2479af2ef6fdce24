"""The table of commands; each command calls the public function that its row names."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from pathosig.core.stages import STAGES


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One row of the table.

    Attributes
    ----------
    name
        The command.
    target
        ``module:function`` that it calls.
    help
        One line of help.
    group
        Its heading in `pathosig --help`.
    """

    name: str
    target: str
    help: str
    group: str


_START, _STAGES, _WATCH = "Start here", "Stages in order; `run` does them all", "Progress and clusters"
_PROVE, _LOOK, _TOOLS = "Check, freeze and score", "View and export", "Tools"

COMMANDS = (
    Command(
        "demo",
        "pathosig.commands.demo:demo",
        "Run the whole pipeline on a simulated cohort with planted truth.",
        _START,
    ),
    Command("init", "pathosig.intake:init", "Make a study folder from slides and a clinical table.", _START),
    Command("check", "pathosig.intake:check", "Find problems in a study before anything runs.", _START),
    Command("run", "pathosig.commands.pipeline:run_all", "Run all stages in order, or resume them.", _START),
    *(Command(row.name, row.target, row.help, _STAGES) for row in STAGES),
    Command(
        "status", "pathosig.commands.status:status", "Show what is done, failed or empty, and why.", _WATCH
    ),
    Command(
        "verify", "pathosig.commands.status:verify", "Check that all outputs exist and are unchanged.", _WATCH
    ),
    Command("clean", "pathosig.commands.clean:clean", "Remove what interrupted runs left behind.", _WATCH),
    Command(
        "slurm",
        "pathosig.commands.slurm:write_slurm",
        "Write job arrays with dependencies for Slurm.",
        _WATCH,
    ),
    Command(
        "audit",
        "pathosig.audits.stage:audit",
        "Probe the result: null, optimism, site, depth, stability.",
        _PROVE,
    ),
    Command(
        "compare",
        "pathosig.comparators.stage:compare",
        "Compare with other models on the same patients.",
        _PROVE,
    ),
    Command(
        "bundle",
        "pathosig.scoring:write_bundle",
        "Freeze encoder, codebook and signature in one file.",
        _PROVE,
    ),
    Command("score", "pathosig.scoring:score_slides", "Score new slides with a frozen bundle.", _PROVE),
    Command(
        "assign",
        "pathosig.scoring:assign_phenotypes",
        "Assign a bundle's frozen phenotypes to new slides.",
        _PROVE,
    ),
    Command("view", "pathosig.viewer:view", "Look at slides and phenotypes in the browser.", _LOOK),
    Command(
        "annotate",
        "pathosig.annotation:annotate",
        "Make blinded forms for pathologists; read their names for HPCs.",
        _LOOK,
    ),
    Command(
        "export",
        "pathosig.commands.export:export",
        "Write AnnData, SpatialData, GeoJSON, HDF5, CSV or TissUUmaps.",
        _LOOK,
    ),
    Command("simulate", "pathosig.synthetic:simulate", "Simulate a cohort with planted truth.", _TOOLS),
    Command(
        "weights",
        "pathosig.encoder.weights_command:weights",
        "List encoders and where to get their weights; check a file.",
        _TOOLS,
    ),
    Command(
        "doctor",
        "pathosig.commands.doctor:doctor",
        "Show versions, devices and readers, and what is missing.",
        _TOOLS,
    ),
    Command(
        "completion",
        "pathosig.commands.cli:completion",
        "Print a completion script for bash, zsh or fish.",
        _TOOLS,
    ),
)


def load_target(target: str) -> Callable[..., Any]:
    """Import and return the function that ``module:name`` names."""
    module, name = target.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function

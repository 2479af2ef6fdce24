"""The table of commands: each is the public function it names."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from pathosig.core.stages import STAGES


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: the command, the function it is, one line of help, its heading in `pathosig --help`."""

    name: str
    target: str
    help: str
    group: str


_START, _STAGES, _WATCH = "Start here", "Stages, in their order; `run` does them all", "A run"
_PROVE, _LOOK, _TOOLS = "Check, freeze and score", "Look at it", "Tools"

COMMANDS = (
    Command(
        "demo",
        "pathosig.commands.demo:demo",
        "Whole pipeline on a generated cohort with planted truth, offline.",
        _START,
    ),
    Command("init", "pathosig.intake:init", "Make a study folder from slides and a clinical table.", _START),
    Command("check", "pathosig.intake:check", "Say what is wrong with a study before anything runs.", _START),
    Command(
        "run", "pathosig.commands.pipeline:run_all", "All stages in order; resumes where it stopped.", _START
    ),
    *(Command(row.name, row.target, row.help, _STAGES) for row in STAGES),
    Command(
        "status", "pathosig.commands.status:status", "What is done, fresh, failed or empty, and why.", _WATCH
    ),
    Command("verify", "pathosig.commands.status:verify", "Are all outputs there and unchanged?", _WATCH),
    Command("clean", "pathosig.commands.clean:clean", "Remove what dead runs left behind.", _WATCH),
    Command(
        "slurm",
        "pathosig.commands.slurm:write_slurm",
        "Write job arrays with dependencies for Slurm.",
        _WATCH,
    ),
    Command(
        "audit",
        "pathosig.audits.stage:audit",
        "Honesty checks: null, optimism, site, depth, stability.",
        _PROVE,
    ),
    Command(
        "compare",
        "pathosig.comparators.stage:compare",
        "Other models on the same patients: is anything lost by phenotypes?",
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
        "Blinded forms for pathologists; their agreement and names.",
        _LOOK,
    ),
    Command(
        "export",
        "pathosig.commands.export:export",
        "Write results as anndata, spatialdata, geojson, h5, csv or tissuumaps.",
        _LOOK,
    ),
    Command("simulate", "pathosig.synthetic:simulate", "Write a cohort with planted truth.", _TOOLS),
    Command(
        "weights",
        "pathosig.encoder.weights_command:weights",
        "Encoders: what to fetch, where it goes, whether a file fits.",
        _TOOLS,
    ),
    Command(
        "doctor", "pathosig.commands.doctor:doctor", "Versions, devices, readers; what is missing.", _TOOLS
    ),
    Command(
        "completion",
        "pathosig.commands.cli:completion",
        "Completion of commands and flags for bash, zsh or fish.",
        _TOOLS,
    ),
)


def load_target(target: str) -> Callable[..., Any]:
    """The function that ``module:name`` says."""
    module, name = target.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function

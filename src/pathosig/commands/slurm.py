"""Writes Slurm job arrays for a study, as scripts that you can read before you submit them."""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass

from pathosig.core.errors import ConfigError
from pathosig.core.records import write_text
from pathosig.core.showing import Shown
from pathosig.core.stages import stages_of
from pathosig.core.study import Study


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmReport(Shown):
    """The scripts that were written.

    Attributes
    ----------
    scripts
        Their paths, relative to the study.
    shards
        Number of shards that the slides are split into.
    submit
        The command that submits them all.
    """

    scripts: tuple[str, ...]
    shards: int
    submit: str

    def to_text(self) -> str:
        """The scripts and the command that submits them."""
        return "\n".join([*self.scripts, f"{self.shards} shards; submit with: {self.submit}"])


def write_slurm(
    study: Study,
    *,
    slides_per_task: int = 20,
    cpus: int = 4,
    memory_gb: int = 16,
    hours: int = 24,
    partition: str | None = None,
    max_array: int = 1000,
    setup: str = "",
) -> SlurmReport:
    """Write job arrays with dependencies to slurm/, and slurm/submit.sh that submits them in order.

    Slides are split into shards, one per task of an array. A task that was killed or requeued resumes: it does only what is
    left. Stages over the whole study run once, after all shards of the stages before them.

    Parameters
    ----------
    study
        An open study that starts from slides.
    slides_per_task
        Slides in one shard.
    cpus
        Processors of a task, which runs as many workers.
    memory_gb
        Memory of a task in GB.
    hours
        Time limit of a task in hours.
    partition
        Partition to submit to.
    max_array
        Largest number of tasks in one array: one less than ``scontrol show config | grep MaxArraySize`` prints. Shards beyond
        it go into further arrays.
    setup
        Shell command that each job runs first, such as ``module load python``.

    Returns
    -------
    SlurmReport
        The scripts, and the command that submits them.

    Raises
    ------
    ConfigError
        If the study does not start from slides, or a number is below 1.
    """
    numbers = {
        "slides-per-task": slides_per_task,
        "cpus": cpus,
        "memory-gb": memory_gb,
        "hours": hours,
        "max-array": max_array,
    }
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"--{name} {value}: expected 1 or more.")
    if study.level != "slides":
        raise ConfigError(
            f"slurm: this study starts from {study.level}, so it has no stages to split. Submit `pathosig run` as one job."
        )
    shards = max(1, math.ceil(len(study.specimens()) / slides_per_task))
    head = [
        "#!/bin/bash",
        f"#SBATCH --cpus-per-task={cpus}",
        f"#SBATCH --mem={memory_gb}G",
        f"#SBATCH --time={hours}:00:00",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        *([f"#SBATCH --partition={shlex.quote(partition)}"] if partition else []),
    ]
    command = f"{shlex.quote(sys.executable)} -m pathosig run {shlex.quote(str(study.root))}"
    steps = _steps(study)
    scripts: dict[str, str] = {}
    submit = [
        "#!/bin/bash",
        "# Submits all jobs in order and prints the number of the last one.",
        "set -euo pipefail",
    ]
    submit += ['cd "$(dirname "$0")"', 'after=""']
    for number, (name, until, is_sharded) in enumerate(steps, start=1):
        script = f"{number}_{name}.sbatch"
        flags = f"--until {until} --workers $SLURM_CPUS_PER_TASK"
        if is_sharded:
            flags += f' --shard "$((SLURM_ARRAY_TASK_ID + OFFSET))/{shards}"'
        lines = [*head, f"#SBATCH --job-name=pathosig-{name}", "set -u", setup, f"exec {command} {flags}"]
        scripts[script] = "\n".join(line for line in lines if line) + "\n"
        submit += _submission(script, shards if is_sharded else 0, max_array)
    scripts["submit.sh"] = "\n".join([*submit, 'echo "${after#--dependency=afterany:}"']) + "\n"
    for name, text in scripts.items():
        write_text(study.root / "slurm" / name, text)
    names = tuple(f"slurm/{name}" for name in scripts)
    return SlurmReport(
        scripts=names, shards=shards, submit=f"bash {shlex.quote(str(study.root / 'slurm' / 'submit.sh'))}"
    )


def _steps(study: Study) -> list[tuple[str, str, bool]]:
    """(name, last stage, whether it is split into shards) of each step; a step joins consecutive stages of one kind."""
    steps: list[tuple[str, str, bool]] = []
    for row in stages_of(study):
        if steps and steps[-1][2] == row.per_specimen:
            steps[-1] = (steps[-1][0], row.name, row.per_specimen)
        else:
            steps.append((row.name, row.name, row.per_specimen))
    return steps


def _submission(script: str, shards: int, max_array: int) -> list[str]:
    """Shell lines that submit a script to run after the one before it: as one job, or as the arrays that its shards need."""
    if not shards:
        return [f'after="--dependency=afterany:$(sbatch --parsable $after {script})"']
    lines = ['ids=""']
    for offset in range(0, shards, max_array):
        count = min(max_array, shards - offset)
        lines.append(
            f'ids="$ids:$(sbatch --parsable $after --array=1-{count} --export=ALL,OFFSET={offset} {script})"'
        )
    return [*lines, 'after="--dependency=afterany$ids"']

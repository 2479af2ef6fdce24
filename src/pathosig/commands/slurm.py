"""Slurm job arrays for a study: scripts with their dependencies, to be read and submitted."""

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
    """Scripts that were written (relative to the study), shards, and the command that submits them."""

    scripts: tuple[str, ...]
    shards: int
    submit: str

    def to_text(self) -> str:
        """The scripts and what to do with them."""
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

    Slides are split into shards, one per task of an array. A task that is requeued, or killed, does only what is left when
    it runs again. Fits run once, after all shards before them.

    Parameters
    ----------
    slides_per_task
        Slides of one shard.
    cpus
        Processors of a task, which runs as many workers.
    memory_gb
        Memory of a task in GB.
    hours
        Time limit of a task.
    partition
        Partition to submit to.
    max_array
        Tasks of one array at most (``scontrol show config | grep MaxArraySize``, less one); more shards make more arrays.
    setup
        Shell line that a job runs first, such as ``module load python``.

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
            f"slurm: this study starts from {study.level}; its stages are fits. Submit `pathosig run` as one job."
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
        "# Submits all jobs in their order; prints the number of the last.",
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
    """(name, last stage, whether shards do it): runs of stages of one kind are one step."""
    steps: list[tuple[str, str, bool]] = []
    for row in stages_of(study):
        if steps and steps[-1][2] == row.per_specimen:
            steps[-1] = (steps[-1][0], row.name, row.per_specimen)
        else:
            steps.append((row.name, row.name, row.per_specimen))
    return steps


def _submission(script: str, shards: int, max_array: int) -> list[str]:
    """Lines that submit a script after what came before it: one job, or as many arrays as the shards need."""
    if not shards:
        return [f'after="--dependency=afterany:$(sbatch --parsable $after {script})"']
    lines = ['ids=""']
    for offset in range(0, shards, max_array):
        count = min(max_array, shards - offset)
        lines.append(
            f'ids="$ids:$(sbatch --parsable $after --array=1-{count} --export=ALL,OFFSET={offset} {script})"'
        )
    return [*lines, 'after="--dependency=afterany$ids"']

"""Files for workflow engines and containers call commands that exist and copy files that exist."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from pathosig.core.stages import STAGE_NAMES
from pathosig.core.units import Execution

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
RUN_FLAGS = {"until", "dry-run", "dask", "profile", *Execution.__dataclass_fields__}


def runs(name):
    """The words after `run` of every call in a file."""
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    calls = re.findall(r"(?:PROGRAM|program|pathosig)\}? run (.*?) \|\| test", text)
    return [call.split() for call in calls]


@pytest.mark.parametrize(("name", "calls"), [("Snakefile", 4), ("main.nf", 4)])
def test_engines_call_stages_and_flags_that_exist(name, calls):
    assert len(runs(name)) == calls
    for words in runs(name):
        flags = {word.removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}
        assert flags <= {flag.replace("-", "_") for flag in RUN_FLAGS}
        assert "workers" in flags
        for flag, value in itertools.pairwise(words):
            assert flag != "--until" or value in STAGE_NAMES


def test_the_fits_come_after_every_shard_and_without_one():
    for name in ("Snakefile", "main.nf"):
        last = runs(name)[-1]
        assert "--shard" not in last and "--until" not in last


def test_images_copy_what_is_there_and_install_extras_that_exist():
    copied = []
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        if line.startswith("COPY"):
            copied += shlex.split(line)[1:-1]
    section = re.search(r"%files\n(.*?)\n\n", (DEPLOY / "pathosig.def").read_text(), flags=re.S)[1]
    listed = [line.split()[0] for line in section.splitlines()]
    assert sorted(copied) == sorted(listed)
    assert len(copied) == 6
    assert all((ROOT / name).exists() for name in copied)
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), flags=re.M))
    for name in ("Containerfile", "pathosig.def"):
        (wanted,) = re.findall(r'"\.\[(.*?)\]"', (DEPLOY / name).read_text())
        assert set(wanted.split(",")) <= extras

"""A library that is not installed is one sentence with the command that installs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pathosig.commands.table import COMMANDS
from pathosig.core.attempt import attempt
from pathosig.core.extras import _EXTRAS, missing_extra
from pathosig.core.units import Execution, Job
from pathosig.tiles.spec import TileSpec

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
BASE = {
    "init", "check", "run", "profiles", "signature", "validate", "report", "status", "verify", "clean", "audit", "compare",
    "export", "doctor", "completion",
}  # fmt: skip


@pytest.mark.parametrize("extra", sorted(_EXTRAS))
def test_every_extra_that_is_named_can_be_installed(extra):
    assert extra in PROJECT["optional-dependencies"]


def test_a_submodule_counts_as_its_library():
    error = missing_extra(ModuleNotFoundError(name="torch.nn.functional"))
    assert error.exit_code == 2
    assert 'pip install "pathosig[embed]"' in str(error)


def test_a_library_of_no_extra_is_not_explained_away():
    assert missing_extra(ModuleNotFoundError(name="pandas")) is None
    assert missing_extra(ModuleNotFoundError()) is None


def test_a_unit_that_lacks_a_library_says_which_extra_brings_it(tmp_path):
    def needs_slides(job):
        raise ModuleNotFoundError("No module named 'tifffile'", name="tifffile")

    job = Job(root=tmp_path, unit="S1", spec=TileSpec(), payload={}, execution=Execution())
    answer = attempt(needs_slides, job)
    assert answer.code == "E_EXTRA"
    assert "pathosig[slides]" in str(answer)


def test_commands_of_tables_load_without_any_extra():
    """Each of these starts in an environment that has the base package alone."""
    libraries = sorted({name for names in _EXTRAS.values() for name in names})
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {libraries!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from pathosig.commands.table import COMMANDS, load_target
for row in COMMANDS:
    if row.name in {BASE!r}:
        load_target(row.target)
        print(row.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [row.name for row in COMMANDS if row.name in BASE], done.stderr

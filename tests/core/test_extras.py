"""A library that is not installed is one sentence with the command that installs it."""

import tomllib
from pathlib import Path

import pytest

from pathosig.core.attempt import attempt
from pathosig.core.extras import _EXTRAS, missing_extra
from pathosig.core.units import Execution, Job
from pathosig.tiles.spec import TileSpec

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


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

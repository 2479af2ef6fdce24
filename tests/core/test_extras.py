"""A library that is not installed is one sentence with the command that installs it."""

import tomllib
from pathlib import Path

import pytest

from pathosig.core.extras import _EXTRAS, missing_extra

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

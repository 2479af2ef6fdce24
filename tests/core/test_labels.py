"""Names of HPCs from study.toml and hpc_names.csv."""

import pytest

from pathosig.core.errors import InputError
from pathosig.core.labels import read_hpc_names
from pathosig.core.study import Study


@pytest.fixture
def root(tmp_path):
    Study.create(tmp_path / "s")
    return tmp_path / "s"


def test_the_file_wins_over_study_toml_and_empty_names_are_none(root):
    toml = root / "study.toml"
    toml.write_text(toml.read_text() + '\n[hpc_names]\n7 = "stroma"\n8 = "lymphocytes"\n')
    (root / "hpc_names.csv").write_text("hpc,name\nhpc_07,Necrosis <b>\n9,\n012,mucin\n")
    assert read_hpc_names(Study.open(root)) == {7: "Necrosis <b>", 8: "lymphocytes", 12: "mucin"}


def test_without_names_there_are_none(root):
    assert read_hpc_names(Study.open(root)) == {}


@pytest.mark.parametrize(
    ("text", "match"), [("cluster,name\n1,a\n", "column hpc"), ("hpc,name\nfirst,a\n", "expected a number")]
)
def test_a_bad_file_is_named(root, text, match):
    (root / "hpc_names.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        read_hpc_names(Study.open(root))

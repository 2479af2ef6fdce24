"""Names of HPCs and coarse groups from study.toml and hpc_names.csv."""

import pytest

from pathosig.core.errors import InputError
from pathosig.core.labels import PhenotypeNames, read_names, write_names
from pathosig.core.study import Study


@pytest.fixture
def root(tmp_path):
    Study.create(tmp_path / "s")
    return tmp_path / "s"


def test_the_file_wins_over_study_toml_and_empty_names_are_none(root):
    toml = root / "study.toml"
    toml.write_text(
        toml.read_text() + '\n[hpc_names]\n7 = "stroma"\n8 = "lymphocytes"\n10 = "fat"\ncoarse_1 = "x"\n'
    )
    (root / "hpc_names.csv").write_text(
        "hpc,name\nhpc_07,Necrosis <b>\n9,\n012,mucin\nhpc_10,\nCoarse 1,tumour\n"
    )
    names = read_names(Study.open(root))
    assert names.hpcs == {7: "Necrosis <b>", 8: "lymphocytes", 12: "mucin"}
    assert names.coarse == {1: "tumour"}


def test_without_names_there_are_none(root):
    assert read_names(Study.open(root)) == PhenotypeNames()


def test_what_is_written_is_read_again(root):
    names = PhenotypeNames(hpcs={3: "=cmd()", 11: "a, b"}, coarse={0: "tumour"})
    write_names(Study.open(root), names)
    assert read_names(Study.open(root)) == names
    assert (root / "hpc_names.csv").read_text().splitlines()[:2] == ["hpc,name", "coarse_0,tumour"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("cluster,name\n1,a\n", "column hpc"),
        ("hpc,name\nfirst,a\n", "expected a number"),
        ("hpc,name\ncoarse,a\n", "coarse_0"),
        ("hpc,name\nnode_03,a\n", "expected a number"),
    ],
)
def test_a_bad_file_is_named(root, text, match):
    (root / "hpc_names.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        read_names(Study.open(root))

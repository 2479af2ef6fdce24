from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from pathosig.core.config import to_toml
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.tables import quote_formula, read_csv_rows, unquote_formula, write_csv_rows


@dataclass(frozen=True, kw_only=True)
class ToySpec(Spec):
    section: ClassVar[str] = "toy"
    size: int = 3
    share: float = 0.5
    mode: Literal["a", "b"] = "a"
    limit: float | None = None
    names: tuple[str, ...] = ()


def study_of(tmp_path, slides="", patients="patient_id,cohort\nP1,discovery\n", config=None):
    study = Study.create(tmp_path / "s", config)
    (study.root / "patients.csv").write_text(patients)
    if slides:
        (study.root / "slides.csv").write_text(slides)
    return study


def test_a_spec_refuses_unknown_keys_and_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'share'"):
        ToySpec.from_mapping({"shares": 1.0})


@pytest.mark.parametrize(
    "bad", [{"size": "3"}, {"size": True}, {"mode": "c"}, {"share": "x"}, {"names": "a"}, {"limit": []}]
)
def test_a_spec_refuses_wrong_types(bad):
    with pytest.raises(ConfigError):
        ToySpec.from_mapping(bad)


def test_a_spec_round_trips_through_toml(tmp_path):
    study = study_of(tmp_path)
    spec = ToySpec(size=7, limit=0.25, names=("x", 'y"z'))
    study.save_spec(spec)
    assert Study.open(study.root).spec(ToySpec) == spec


def test_comments_and_order_of_study_toml_survive_a_saved_spec(tmp_path):
    study = study_of(tmp_path)
    text = '# protocol v3\n[toy]  # settings\nsize = 9 # agreed on 3 May\nmode = "a"\n\n[columns]\n# none yet\ncovariates = []\n'
    study.paths.config.write_text(text)
    study = Study.open(study.root)
    study.save_spec(ToySpec(size=9, limit=0.25, mode="a"))
    assert study.paths.config.read_text() == text.replace('mode = "a"\n', 'mode = "a"\nlimit = 0.25\n')
    assert study.spec(ToySpec) == ToySpec(size=9, limit=0.25, mode="a")
    study.save_spec(ToySpec())
    assert "size" not in study.paths.config.read_text()
    assert "# protocol v3" in study.paths.config.read_text()


def test_an_update_that_changes_nothing_leaves_study_toml_alone(tmp_path):
    study = study_of(tmp_path)
    before = study.paths.config.stat().st_mtime_ns
    study.update("study", level=None)
    assert study.paths.config.stat().st_mtime_ns == before
    study.update("study", level="embeddings")
    assert study.level == "embeddings"
    assert "os_time" in study.paths.config.read_text()


def test_toml_keeps_every_kind_of_value():
    import tomllib

    config = {"a": {"x": 1, "y": 1.5, "z": True, "t": 'q"\\', "l": ["ü", "b"], "i": {"k v": 2}}}
    assert tomllib.loads(to_toml(config)) == config


def test_ids_stay_text(tmp_path):
    study = study_of(
        tmp_path,
        "slide_id,patient_id,path\n001,NA,a.svs\n1E5,007,b.svs\n",
        "patient_id,cohort\nNA,discovery\n007,v\n",
    )
    assert [s.id for s in study.slides()] == ["001", "1E5"]
    assert list(study.patients()["patient_id"]) == ["007", "NA"]
    assert [s.is_discovery for s in study.slides()] == [True, False]


def test_duplicate_slide_ids_are_refused(tmp_path):
    study = study_of(tmp_path, "slide_id,patient_id,path\nA,P1,a\nA,P1,b\n")
    with pytest.raises(InputError) as caught:
        study.slides()
    assert caught.value.code == "E_DUP_ID"


def test_contradicting_rows_of_a_patient_are_refused(tmp_path):
    study = study_of(tmp_path, patients="patient_id,cohort\nP1,discovery\nP1,validation\n")
    with pytest.raises(InputError) as caught:
        study.patients()
    assert caught.value.code == "E_CONFLICT"


@pytest.mark.parametrize(("text", "value"), [("0,5", 0.5), ("0.25", 0.25), ("", None)])
def test_mpp_takes_a_decimal_comma_and_may_be_empty(tmp_path, text, value):
    study = study_of(tmp_path, f'slide_id,patient_id,path,mpp\nA,P1,a,"{text}"\n')
    assert study.slides()[0].mpp == value


def survival(tmp_path, rows, unit="months", values=None):
    endpoint = {"time": "t", "event": "e", "unit": unit} | ({"event_values": values} if values else {})
    study = study_of(
        tmp_path, patients="patient_id,cohort,t,e\n" + rows, config={"endpoints": {"os": endpoint}}
    )
    return study.survival("os")


def test_survival_reads_zero_one_and_leaves_missing_out(tmp_path):
    frame = survival(tmp_path, "A,d,5,1\nB,d,,0\nC,d,0,0\n")
    assert frame.to_dict("list") == {"patient_id": ["A", "C"], "time": [5.0, 0.0], "event": [True, False]}


@pytest.mark.parametrize("time", ["-1", "inf", "2020-01-05", "abc"])
def test_bad_times_are_named(tmp_path, time):
    with pytest.raises(InputError, match="A: ") as caught:
        survival(tmp_path, f"A,d,{time},1\n")
    assert caught.value.code == "E_TIME"


def test_events_of_one_and_two_need_a_mapping(tmp_path):
    with pytest.raises(InputError) as caught:
        survival(tmp_path, "A,d,5,1\nB,d,5,2\n")
    assert caught.value.code == "E_EVENT"
    frame = survival(tmp_path / "m", "A,d,5,1\nB,d,5,2\n", values={"1": 0, "2": 1})
    assert frame["event"].tolist() == [False, True]


def test_the_unit_is_mandatory(tmp_path):
    study = study_of(tmp_path, config={"endpoints": {"os": {"time": "t", "event": "e"}}})
    with pytest.raises(ConfigError, match="unit"):
        study.endpoints()


def test_discovery_comes_first_among_cohorts(tmp_path):
    study = study_of(tmp_path, patients="patient_id,cohort\nA,a\nB,discovery\nC,b\n")
    assert study.cohorts() == ["discovery", "a", "b"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_are_read_whatever_the_encoding_and_separator(tmp_path, encoding, separator):
    text = separator.join(["id", "name"]) + "\n" + separator.join(["1", "Müller"]) + "\n"
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert read_csv_rows(tmp_path / "t.csv") == [{"id": "1", "name": "Müller"}]


@pytest.mark.parametrize("text", ["", "a,a\n1,2\n", "a,b\n1,2,3\n"])
def test_broken_tables_are_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError):
        read_csv_rows(tmp_path / "t.csv")


@pytest.mark.parametrize("cell", ["=1+1", "+x", "-cmd", "@a", "-1.5", "plain"])
def test_formulas_are_quoted_and_come_back(tmp_path, cell):
    assert unquote_formula(quote_formula(cell)) == cell
    write_csv_rows(tmp_path / "t.csv", [{"a": cell}], ("a",))
    assert read_csv_rows(tmp_path / "t.csv") == [{"a": cell}]
    first = (tmp_path / "t.csv").read_text().splitlines()[1][0]
    assert first not in "=+@" and (first != "-" or cell == "-1.5")


def test_a_folder_without_a_study_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="pathosig init"):
        Study.open(tmp_path)


def test_none_among_words_is_a_level_and_among_numbers_is_missing(tmp_path):
    study = Study.create(tmp_path)
    rows = ["P1,discovery,none,3", "P2,discovery,distant,none", "P3,discovery,NA,1.5", "P4,discovery,,."]
    (tmp_path / "patients.csv").write_text("\n".join(["patient_id,cohort,recurrence,size", *rows]) + "\n")
    found = study.patients()
    assert list(found["recurrence"]) == ["none", "distant", None, None]
    assert found["size"].isna().tolist() == [False, True, False, True]

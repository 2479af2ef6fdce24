"""`init --pseudonymize`: nothing in the study says who a patient is."""

import pytest

from pathosig.core.errors import ConfigError
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.intake import init
from tests.intake.made import DAYS, DEAD, IDS, write

NAMES = [f"Mueller{k}" for k in range(len(IDS))]


def hidden(folder, key):
    (folder / "scans").mkdir(parents=True)
    for name in NAMES:
        (folder / "scans" / f"{name}_HE.svs").write_bytes(b"II*\0 no slide")
    table = {
        "patient_id": NAMES,
        "born in": [f"Town{k}" for k in range(len(IDS))],
        "os_days": [str(d) for d in DAYS],
        "os_event": ["1" if d else "0" for d in DEAD],
    }
    init(
        folder / "study",
        clinical=write(folder, table),
        slides=str(folder / "scans" / "*.svs"),
        pseudonymize=key,
    )
    return Study.open(folder / "study")


def test_ids_names_and_unused_columns_are_gone_and_slides_still_belong_to_their_patients(tmp_path):
    study = hidden(tmp_path / "a", tmp_path / "key")
    text = "".join(
        path.read_text()
        for path in study.root.rglob("*")
        if path.is_file() and path.suffix in (".csv", ".toml")
    )
    assert len(study.slides()) == len(NAMES)
    assert "Mueller" not in text
    assert "Town" not in text
    assert not any("Mueller" in path.name for path in study.root.rglob("*"))
    who = {(r["kind"], r["id"]): r["pseudonym"] for r in read_csv_rows(tmp_path / "key.ids.csv")}
    for slide in study.slides():
        name = slide.path.resolve().stem.removesuffix("_HE")
        assert slide.path.name == f"{slide.id}.svs"
        assert slide.patient_id == who["patient", name]
        assert slide.id == who["slide", f"{name}_HE"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key.ids.csv").stat().st_mode & 0o777 == 0o600


def test_a_map_of_microarrays_is_refused_with_pseudonyms_also_in_a_dry_run(tmp_path):
    with pytest.raises(ConfigError, match="do not go together"):
        init(
            tmp_path / "study",
            clinical=write(tmp_path, {"patient_id": NAMES}),
            slides=str(tmp_path),
            tma_map=tmp_path / "map.csv",
            pseudonymize=tmp_path / "key",
            dry_run=True,
        )
    assert not (tmp_path / "key").exists()


def test_the_same_key_gives_the_same_ids_and_another_one_others(tmp_path):
    ids = [
        {slide.id for slide in hidden(tmp_path / name, tmp_path / key).slides()}
        for name, key in (("a", "k1"), ("b", "k1"), ("c", "k2"))
    ]
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]


def test_a_key_inside_the_study_or_none_is_refused(tmp_path):
    (tmp_path / "word").write_text("secret\n")
    with pytest.raises(ConfigError, match="outside"):
        hidden(tmp_path / "a", tmp_path / "a" / "study" / "key")
    with pytest.raises(ConfigError, match="64"):
        hidden(tmp_path / "b", tmp_path / "word")
    assert not (tmp_path / "b" / "study").exists()

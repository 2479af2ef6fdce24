"""Features of TRIDENT, CLAM and STAMP enter a study."""

import h5py
import numpy as np
import pytest

from pathosig.commands.cli import main
from pathosig.commands.embed import embed
from pathosig.core.errors import InputError
from pathosig.core.records import parquet_metadata, read_json, read_parquet
from pathosig.core.study import Study
from pathosig.encoder import EncoderSpec, import_features
from pathosig.encoder.cards import one_encoder
from pathosig.encoder.features.hdf5 import read_features

COORDS = np.array([[0, 0], [512, 0], [1024, 512]])


def _trident(path, dim=6, encoder="uni2-h-pca"):
    with h5py.File(path, "w") as f:
        f["features"] = np.arange(3 * dim, dtype=np.float32).reshape(1, 3, dim) / 7
        f["features"].attrs["encoder"] = encoder
        f["coords"] = COORDS[None]
        f["coords"].attrs.update({"patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40})


def _clam(path):
    with h5py.File(path, "w") as f:
        f["features"] = np.arange(18, dtype=np.float32).reshape(3, 1, 6)
        f["coords"] = COORDS
        f["coords"].attrs.update({"patch_size": 256, "downsample": [2.0, 2.0]})


def _stamp(path):
    with h5py.File(path, "w") as f:
        f["feats"] = np.arange(18, dtype=np.float16).reshape(3, 6)
        f["coords"] = COORDS * 0.25
        f.attrs.update(
            {"stamp_version": "2.0", "unit": "um", "tile_size_um": 256.0, "tile_size_px": 224, "encoder": "x"}
        )


@pytest.fixture
def study(tmp_path):
    study = Study.create(tmp_path / "study")
    (study.root / "slides.csv").write_text(
        "slide_id,patient_id,path,mpp\nS1,P1,s1.svs,0.25\nS2,P2,s2.svs,0.25\n"
    )
    (study.root / "patients.csv").write_text(
        "patient_id,cohort,os_time,os_event\nP1,discovery,1,1\nP2,discovery,2,0\n"
    )
    (tmp_path / "h5").mkdir()
    return Study.open(study.root)


@pytest.mark.parametrize(
    ("write", "program", "unit"),
    [(_trident, "trident", "px"), (_clam, "clam", "px"), (_stamp, "stamp", "um")],
)
def test_three_programs_are_told_apart(tmp_path, write, program, unit):
    write(tmp_path / "a.h5")
    found = read_features(tmp_path / "a.h5")
    assert (found.program, found.unit) == (program, unit)
    assert found.features.shape == (3, 6)
    assert found.features.dtype == np.float16
    if unit == "px":
        assert found.tile_level0_px == 512
        assert np.array_equal(found.coords, COORDS)


@pytest.mark.parametrize("write", [_trident, _clam, _stamp])
def test_features_become_tiles_and_embeddings_of_the_study(study, tmp_path, write):
    for name in ("S1", "S2"):
        write(tmp_path / "h5" / f"{name}.h5")
    report = import_features(study, tmp_path / "h5")
    assert report.done == ("S1", "S2")
    table = read_parquet(study.root / "tiles/S1.parquet")
    assert np.array_equal(np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1), COORDS)
    facts = parquet_metadata(study.root / "tiles/S1.parquet")["pathosig"]
    expected_mpp = 256 / 224 if write is _stamp else 0.5
    assert facts["mpp"] == pytest.approx(expected_mpp)
    embeddings = np.load(study.root / "embeddings/S1.npy")
    assert embeddings.shape == (3, 6)
    assert read_json(study.root / "encoder/encoder.json")["dim"] == 6
    cards = {i: study.record("embed", i).summary for i in ("S1", "S2")}
    assert one_encoder(cards)["dim"] == 6
    assert import_features(study, tmp_path / "h5").fresh == ("S1", "S2")


def test_features_of_two_encoders_are_refused_for_the_second_slide(study, tmp_path):
    _trident(tmp_path / "h5" / "S1.h5")
    _trident(tmp_path / "h5" / "S2.h5", dim=8, encoder="virchow2")
    report = import_features(study, tmp_path / "h5")
    assert report.done == ("S1",)
    assert "E_MIXED" in report.errors[0]


def test_no_matching_file_shows_both_sides(study, tmp_path):
    _clam(tmp_path / "h5" / "other.h5")
    with pytest.raises(InputError, match=r"other\.h5.*S1"):
        import_features(study, tmp_path / "h5")


def test_files_that_are_no_features_are_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"text")
    with pytest.raises(InputError, match="not a readable HDF5"):
        read_features(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as f:
        f["coords"] = COORDS
    with pytest.raises(InputError, match="no tile features"):
        read_features(tmp_path / "b.h5")


def _hostile(tmp_path, kind):
    path = tmp_path / "hostile.h5"
    numbers = np.zeros((4, 8), np.float32)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["features"] = numbers
    (tmp_path / "secret").write_bytes(b"s" * 128)
    with h5py.File(path, "w") as stored:
        stored["coords"] = np.zeros((4, 2))
        if kind == "external link":
            stored["features"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "features")
        elif kind == "soft link":
            stored["there"] = numbers
            stored["features"] = h5py.SoftLink("/there")
        elif kind == "raw data outside":
            stored.create_dataset(
                "features", (4, 8), np.float32, external=[(str(tmp_path / "secret"), 0, 128)]
            )
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 8), np.float32)
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "features", (4, 8))
            stored.create_virtual_dataset("features", layout)
        elif kind == "size never written":
            stored.create_dataset("features", (10**8, 2048), np.float32, chunks=(1000, 2048))
        elif kind == "group":
            stored.create_group("features")
        elif kind == "scalar":
            stored["features"] = 1.0
        elif kind == "text":
            stored["features"] = np.array([[b"a", b"b"]] * 4)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "external link",
        "soft link",
        "raw data outside",
        "virtual",
        "size never written",
        "group",
        "scalar",
        "text",
    ],
)
def test_features_come_from_the_file_itself_and_are_no_larger_than_it(tmp_path, kind):
    with pytest.raises(InputError, match="Extract this slide again") as caught:
        read_features(_hostile(tmp_path, kind))
    assert caught.value.code == "E_FEATURES"


def test_mixing_encoders_or_mpp_is_refused():
    card = {
        "encoder": "a",
        "weights_sha256": "1" * 64,
        "dim": 3,
        "mpp": 0.5,
        "device": "cpu",
        "engine": "ort",
    }
    assert one_encoder({"S1": card, "S2": {**card, "device": "cuda"}})["devices"] == ["cpu/ort", "cuda/ort"]
    for change in ({"weights_sha256": "2" * 64}, {"mpp": 1.0}, {"dim": 4}):
        with pytest.raises(InputError, match="slide S2"):
            one_encoder({"S1": card, "S2": {**card, **change}})


def test_embed_takes_features_and_the_study_then_starts_from_embeddings(study, tmp_path):
    for name in ("S1", "S2"):
        _clam(tmp_path / f"h5/{name}.h5")
    report = embed(study, EncoderSpec(name="of-the-laboratory"), features=tmp_path / "h5")
    assert report.done == ("S1", "S2")
    assert np.load(study.root / "embeddings/S1.npy").shape == (3, 6)
    again = Study.open(study.root)
    assert again.level == "embeddings"
    assert read_json(study.root / "encoder/encoder.json")["name"] == "of-the-laboratory"
    assert embed(again, EncoderSpec(name="of-the-laboratory"), features=tmp_path / "h5").fresh == ("S1", "S2")
    with pytest.raises(InputError, match="no features for any slide"):
        embed(again, features=tmp_path / "nothing")


def test_features_can_be_taken_again_from_the_command_line(study, tmp_path, capsys, caplog):
    for name in ("S1", "S2"):
        _trident(tmp_path / f"h5/{name}.h5")
    command = ["embed", str(study.root), "--features", str(tmp_path / "h5")]
    for said in ("2 done", "2 fresh"):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code in (0, None)
        assert said in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(command[:2])
    assert stopped.value.code == 2
    _trident(tmp_path / "h5/S2.h5", encoder="virchow2")
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 4
    assert "One study needs one encoder" in caplog.text


def test_features_that_are_not_as_long_as_the_encoder_says_are_refused(study, tmp_path):
    _trident(tmp_path / "h5" / "S1.h5", encoder="uni2-h")
    with pytest.raises(InputError, match="6 columns, but embeddings of uni2-h have 1536") as raised:
        import_features(study, tmp_path / "h5")
    assert raised.value.code == "E_DIM"
    assert import_features(study, tmp_path / "h5", encoder="uni2-h-reduced").done == ("S1",)

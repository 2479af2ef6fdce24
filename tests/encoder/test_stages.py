"""Embed and train on small studies: resumable, same bytes for any workers, heads usable afterwards."""

import functools
import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pathosig.core.config import to_toml
from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.execution import run_once
from pathosig.core.records import Record, read_json, sha256_file
from pathosig.core.schema import TILES, write_table
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.encoder import cluster_labels, embed_tiles, load_encoder, train_encoder, train_observed
from pathosig.encoder.cards import one_encoder
from pathosig.encoder.spec import EncoderSpec, TrainSpec
from pathosig.encoder.stage import read_encoder
from pathosig.encoder.training.heads import head_probabilities, read_heads
from pathosig.encoder.training.stage import choose_rows, split_patients

SIDE = 32


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("PATHOSIG_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def _make_study(root, tiles, *, encoder, train=None, slides=4, per_slide=16):
    """PNG slides that are grids of tiles, with their tile tables and records as the tiles stage "
    "leaves them."""
    config = {
        "endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}},
        "primary": {"endpoint": "os", "discovery": "discovery"},
        "encoder": encoder,
        **({"train": train} if train else {}),
    }
    study = Study.create(root, config)
    rows, patients = ["slide_id,patient_id,path,mpp"], ["patient_id,cohort,os_time,os_event"]
    for i in range(slides):
        image = np.concatenate(
            [
                np.concatenate(list(tiles[(i * per_slide + r * 4 + np.arange(4)) % len(tiles)]), axis=1)
                for r in range(4)
            ]
        )
        Image.fromarray(image).save(root / f"S{i}.png")
        rows.append(f"S{i},P{i},{root / f'S{i}.png'},0.5")
        patients.append(f"P{i},{'discovery' if i < slides - 1 else 'validation_1'},{i + 1},{i % 2}")
    (root / "slides.csv").write_text("\n".join(rows) + "\n")
    (root / "patients.csv").write_text("\n".join(patients) + "\n")
    study = Study.open(root)
    for i in range(slides):
        _cut(study, f"S{i}", per_slide)
    return study


def _cut(study, name, n):
    at = np.array([(x * SIDE, y * SIDE) for y in range(4) for x in range(4)], np.int32)[:n]
    table = pa.table(
        {
            "tile_id": pa.array(np.arange(n, dtype=np.int32)),
            "x": pa.array(at[:, 0]), "y": pa.array(at[:, 1]), "tissue": pa.array(np.ones(n, np.float32)),
        }
    )  # fmt: skip
    path = study.file("tiles", name, ".parquet")
    facts = {"spec": {"size_px": SIDE, "mpp": 0.5}, "mpp": 0.5, "tile_level0_px": SIDE}
    write_table(path, table, TILES, {"pathosig": facts})
    record = Record(stage="tiles", unit=name, status="ok", fingerprint=f"tiles-{name}-{n}")
    record.write(study.record_path("tiles", name))


def _bytes(study, *folders):
    return {
        p.relative_to(study.root).as_posix(): sha256_file(p)
        for folder in folders
        for p in sorted((study.root / folder).rglob("*"))
        if p.is_file() and "store" not in p.parts
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    start = load_encoder("resnet10t", random_start=True, seed=5)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file({k.removeprefix("model."): v for k, v in start.module.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, coloured_tiles, weights, cache):
    spec = {"name": "resnet10t", "weights": str(weights), "batch_size": 6}
    study = _make_study(tmp_path_factory.mktemp("study") / "a", coloured_tiles, encoder=spec)
    return study, embed_tiles(study, execution=Execution(device="cpu"))


def test_every_slide_gets_one_row_a_tile(embedded, coloured_tiles, weights):
    study, report = embedded
    assert report.done == ("S0", "S1", "S2", "S3")
    out = np.load(study.root / "embeddings/S1.npy", mmap_mode="r", allow_pickle=False)
    assert out.shape == (16, 512)
    assert out.dtype == np.float16
    encoder = load_encoder("resnet10t", weights=weights)
    x = torch.from_numpy(coloured_tiles[16:32]).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (encoder.mean, encoder.std))
    with torch.inference_mode():
        expected = encoder.module((x - mean) / std).numpy()
    np.testing.assert_allclose(out, expected, rtol=2e-3, atol=2e-3)


def test_card_and_weights_describe_the_encoder(embedded):
    study, _ = embedded
    card = read_json(study.root / "encoder/encoder.json")
    assert read_encoder(study.root).weights_sha256 == card["weights_sha256"]
    cards = {i: study.record("embed", i).summary for i in ("S0", "S3")}
    common = one_encoder(cards)
    assert (common["mpp"], common["dim"], common["devices"]) == (0.5, 512, ["cpu/ort"])
    assert str(study.root) not in json.dumps(card)


def test_second_run_is_fresh_and_a_lost_output_alone_is_redone(embedded):
    study, _ = embedded
    before = _bytes(study, "embeddings", "encoder")
    (study.root / "embeddings/S2.npy").unlink()
    report = embed_tiles(study, execution=Execution(device="cpu"))
    assert report.done == ("S2",)
    assert len(report.fresh) == 3
    assert _bytes(study, "embeddings", "encoder") == before


def test_devices_that_differ_are_warned_about(embedded):
    import dataclasses

    study, _ = embedded
    path = study.record_path("embed", "S1")
    own = study.record("embed", "S1")
    dataclasses.replace(own, summary={**own.summary, "device": "cuda", "engine": "bf16"}).write(path)
    with pytest.warns(PathosigWarning, match=r"cpu/ort.*cuda/bf16 \(such as S1\)"):
        embed_tiles(study, execution=Execution(device="cpu"))
    own.write(path)


def test_two_workers_write_the_same_bytes(embedded, coloured_tiles, tmp_path):
    first, _ = embedded
    spec = first.config["encoder"]
    second = _make_study(tmp_path / "b", coloured_tiles, encoder=spec)
    embed_tiles(second, execution=Execution(device="cpu", workers=2))
    assert _bytes(first, "embeddings", "encoder") == _bytes(second, "embeddings", "encoder")


def test_unreadable_slide_fails_alone_and_missing_tiles_wait(embedded, coloured_tiles, tmp_path):
    first, _ = embedded
    study = _make_study(tmp_path / "c", coloured_tiles, encoder=first.config["encoder"], slides=3)
    (study.root / "S0.png").write_bytes(b"")
    study.record_path("tiles", "S1").unlink()
    report = embed_tiles(study, execution=Execution(device="cpu"))
    assert (report.failed, report.waiting, report.done) == (("S0",), ("S1",), ("S2",))
    assert "E_FORMAT" in report.errors[0]
    assert not (study.root / "embeddings/S0.npy").exists()


def test_tiles_that_cannot_be_decoded_are_lost_alone(embedded, coloured_tiles, tmp_path):
    """A tiled JPEG TIFF with the header of one compressed tile zeroed."""
    import tifffile

    first, _ = embedded
    study = _make_study(tmp_path / "g", coloured_tiles, encoder=first.config["encoder"], slides=1)
    path = study.root / "S0.png"
    image = np.asarray(Image.open(path))
    path.unlink()
    tif = study.root / "S0.tif"
    tifffile.imwrite(
        tif,
        image,
        tile=(32, 32),
        compression="jpeg",
        photometric="rgb",
        resolution=(20000, 20000),
        resolutionunit=3,
    )
    with tifffile.TiffFile(tif) as stored:
        at = stored.pages[0].dataoffsets[5]
    with tif.open("r+b") as handle:
        handle.seek(at)
        handle.write(bytes(20))
    slides = (study.root / "slides.csv").read_text().replace("S0.png", "S0.tif")
    (study.root / "slides.csv").write_text(slides)
    report = embed_tiles(Study.open(study.root), execution=Execution(device="cpu"))
    assert report.done == ("S0",), report.errors
    out = np.load(study.root / "embeddings/S0.npy")
    assert np.flatnonzero(np.isnan(out).any(1)).tolist() == [5]
    record = study.record("embed", "S0")
    assert record.summary["n_lost"] == 1
    assert "W_LOST_TILES 1 of 16" in record.warnings[0]


def test_int8_says_what_it_kept_and_is_made_again_when_another_cosine_is_asked_for(
    coloured_tiles, weights, tmp_path, cache
):
    encoder = {"name": "resnet10t", "weights": str(weights), "engine": "int8", "batch_size": 4}
    study = _make_study(tmp_path / "i8", coloured_tiles, encoder=encoder)
    report = embed_tiles(study)
    card = read_json(study.root / "encoder/encoder.json")["int8"]
    assert card["cosine_min"] >= 0.999
    assert card["n_int8"] + len(card["kept_in_float"]) == card["n_layers"]
    assert f"int8: {card['n_int8']} of {card['n_layers']} layers" in report.to_text()
    assert len(embed_tiles(study).fresh) == 4
    strict = study.spec(EncoderSpec).replace(int8_cosine=0.999999)
    assert len(embed_tiles(study, strict).done) == 4
    assert read_json(study.root / "encoder/encoder.json")["int8"]["n_int8"] < card["n_int8"]


def test_encoder_made_for_another_resolution_is_warned_about(monkeypatch):
    from pathosig.encoder import EncoderSpec
    from pathosig.encoder.stage import _mpp_warning

    card = {"name": "virchow2", "mpp": 0.5}
    assert not _mpp_warning(card, 0.55, EncoderSpec())
    assert "W_MPP" in _mpp_warning(card, 2.0, EncoderSpec())[0]
    assert not _mpp_warning(card, 2.0, EncoderSpec(mpp_tolerance=3.0))
    assert "W_MPP" in _mpp_warning(card, 0.55, EncoderSpec(mpp_tolerance=0.01))[0]
    assert not _mpp_warning({"name": "resnet50", "mpp": None}, 2.0, EncoderSpec())


TRAIN = {
    "backbone": "resnet10t", "random_start": True, "n_clusters": 4, "dim": 8, "batch_size": 16, "epochs": 2,
    "min_perplexity": 0.0, "val_share": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, coloured_tiles, cache):
    root = tmp_path_factory.mktemp("study") / "dlcc"
    study = _make_study(root, coloured_tiles, encoder={"method": "dlcc", "batch_size": 4}, train=TRAIN)
    return study, train_encoder(study, execution=Execution(device="cpu"))


def test_training_uses_discovery_patients_only_and_leaves_a_log(trained):
    study, report = trained
    assert report.done == ("_train",)
    record = study.record("train", "_train")
    assert sorted(record.upstream) == ["tiles/S0", "tiles/S1", "tiles/S2"]
    assert record.summary["n_tiles"] == 32
    assert record.summary["n_held_out"] == 16
    lines = (study.root / "logs/train.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        "epoch,step,barlow,cluster,instance,total,held_out,perplexity,empty,confidence,lr"
    )
    assert not (study.root / "logs/train-checkpoint.safetensors").exists()
    assert train_encoder(study, execution=Execution(device="cpu")).fresh == ("_train",)


class _Lines(list):
    """An observer that keeps what it is told."""

    closed = False

    def epoch(self, line):
        self.append(dict(line))

    def close(self):
        self.closed = True


def test_observers_are_told_of_every_epoch_and_change_nothing(trained):
    study, _ = trained
    before = (study.root / "encoder/trained.safetensors").read_bytes()
    observer = _Lines()
    train_observed(study, observers=[observer], execution=Execution(device="cpu", force=True))
    assert [line["epoch"] for line in observer] == [1, 2]
    assert observer.closed
    assert (study.root / "encoder/trained.safetensors").read_bytes() == before


def test_trained_encoder_embeds_and_its_head_gives_phenotypes(trained):
    study, _ = trained
    report = embed_tiles(study, execution=Execution(device="cpu"))
    assert len(report.done) == 4
    card = read_json(study.root / "encoder/encoder.json")
    assert (card["name"], card["method"], card["n_clusters"], card["mpp"]) == (
        "dlcc-resnet10t",
        "dlcc",
        4,
        0.5,
    )
    h = np.load(study.root / "embeddings/S3.npy")
    tensors = read_heads(study.root / "encoder/encoder.safetensors")
    c = head_probabilities(h, tensors)
    assert c.shape == (16, 4)
    np.testing.assert_allclose(c.sum(1), 1, atol=1e-5)
    assert np.array_equal(cluster_labels(h, tensors)[0], c.argmax(1))


def test_training_again_gives_the_same_bytes(trained, coloured_tiles, tmp_path):
    study, _ = trained
    again = _make_study(
        tmp_path / "d", coloured_tiles, encoder={"method": "dlcc", "batch_size": 4}, train=TRAIN
    )
    train_encoder(again, execution=Execution(device="cpu"))
    for name in ("encoder/trained.safetensors", "encoder/trained.json"):
        assert sha256_file(study.root / name) == sha256_file(again.root / name)


def test_killed_training_resumes_to_the_same_bytes(trained, coloured_tiles, tmp_path, monkeypatch):
    import pathosig.encoder.training.stage as module

    study, _ = trained
    again = _make_study(
        tmp_path / "e", coloured_tiles, encoder={"method": "dlcc", "batch_size": 4}, train=TRAIN
    )
    run_here = functools.partial(run_once, is_apart=False)
    monkeypatch.setattr(module, "run_once", lambda *a, is_apart, **options: run_here(*a, **options))
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    after_step = module._Saver.after_step

    def killed(self, state):
        after_step(self, state)
        if state.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Saver, "after_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_encoder(again, execution=Execution(device="cpu"))
    assert not (again.root / "encoder/trained.safetensors").exists()
    monkeypatch.undo()
    train_encoder(again, execution=Execution(device="cpu"))
    for name in ("encoder/trained.safetensors", "encoder/trained.json"):
        assert sha256_file(study.root / name) == sha256_file(again.root / name)


DRIVER = """
import sys
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.encoder import embed_tiles, train_encoder
study, here = Study.open(sys.argv[1]), Execution(device="cpu")
done = len(train_encoder(study, execution=here).done), len(embed_tiles(study, execution=here).done)
print(*done, "torch" in sys.modules, "onnxruntime" in sys.modules)
"""


def test_training_and_embedding_leave_torch_to_other_processes(coloured_tiles, tmp_path, monkeypatch):
    monkeypatch.setenv("PATHOSIG_CACHE", str(tmp_path / "empty"))  # the graph has to be exported
    study = _make_study(
        tmp_path / "g",
        coloured_tiles,
        encoder={"method": "dlcc", "batch_size": 4, "engine": "ort"},
        train={**TRAIN, "epochs": 1},
    )
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, study.root], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "4", "False", "False"]


def test_a_new_validation_slide_does_not_retrain(trained, coloured_tiles, tmp_path):
    study, _ = trained
    copy = tmp_path / "f"
    shutil.copytree(study.root, copy)
    with (copy / "slides.csv").open("a") as handle:
        handle.write(f"S9,P9,{study.root / 'S3.png'},0.5\n")
    with (copy / "patients.csv").open("a") as handle:
        handle.write("P9,validation_1,3,1\n")
    assert train_encoder(Study.open(copy), execution=Execution(device="cpu")).fresh == ("_train",)


def test_training_is_not_needed_without_dlcc(embedded):
    study, _ = embedded
    report = train_encoder(study)
    assert report.to_text() == "train: nothing to do"


def test_rows_of_a_slide_do_not_depend_on_the_other_slides():
    spec = TrainSpec(max_tiles_per_slide=5)
    alone = choose_rows({"A": 100}, spec)["A"]
    together = choose_rows({"A": 100, "B": 3}, spec)
    assert np.array_equal(alone, together["A"])
    assert len(alone) == 5
    assert len(together["B"]) == 3
    assert max(len(v) for v in choose_rows({"A": 100, "B": 100}, TrainSpec(max_tiles=8)).values()) == 4


def test_held_out_patients_are_whole_patients_and_never_all():
    spec = TrainSpec(val_share=0.25)
    held = split_patients(["A", "A", "B", "C", "D"], spec)
    assert len(held) == 1
    assert held == split_patients(["D", "C", "B", "A"], spec)
    assert split_patients(["A"], spec) == set()
    assert len(split_patients(["A", "B"], TrainSpec(val_share=0.9))) == 1


def test_spec_survives_study_toml():
    text = to_toml({"train": TrainSpec().to_dict()})
    import tomllib

    assert TrainSpec.from_mapping(tomllib.loads(text)["train"]) == TrainSpec()


def test_training_starts_from_the_backbone_weights_that_are_named(coloured_tiles, weights, tmp_path, cache):
    settings = TRAIN | {"random_start": False, "backbone_weights": str(weights), "epochs": 1, "lr": 1e-12}
    encoder = {"name": "resnet10t", "method": "dlcc"}
    study = _make_study(tmp_path / "w", coloured_tiles, encoder=encoder, train=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        train_encoder(study, execution=Execution(device="cpu"))
    trained = load_file(study.root / "encoder/trained.safetensors")
    named = {k: v for k, v in load_file(weights).items() if v.ndim == 4}
    assert len(named) > 5
    for name, value in named.items():
        (key,) = [k for k in trained if k.endswith(f".{name}")]
        torch.testing.assert_close(trained[key], value, rtol=1e-4, atol=1e-6)
    missing = TrainSpec(**TRAIN | {"random_start": False, "backbone_weights": "nowhere.safetensors"})
    with pytest.raises(InputError, match="is not a file") as caught:
        train_encoder(study, missing)
    assert caught.value.code == "E_WEIGHTS"

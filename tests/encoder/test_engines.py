"""Engines agree with one another, and results depend on the tile alone."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pathosig.core.errors import ConfigError, InputError
from pathosig.encoder import engines, load_encoder
from pathosig.encoder.embed import embed_blocks, prefetch, rebatch
from pathosig.encoder.engines import EnginePlan
from pathosig.encoder.export import TileModel
from pathosig.encoder.graph_cache import Baked, onnx_file


@pytest.fixture(scope="module")
def small():
    return load_encoder("resnet10t", random_start=True, seed=0)


@pytest.fixture(scope="module")
def tiles():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (11, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("PATHOSIG_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def _plan(engine, **changes):
    return EnginePlan(**{"engine": engine, "device": "cpu", "size_px": 64, "batch_size": 4, **changes})


def _cosine(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_onnx_equals_torch(small, tiles):
    exact, onnx = (
        embed_blocks(engines.engine_of(small, _plan(e)), [tiles], n=11, dim=512, batch_size=4)
        for e in ("fp32", "ort")
    )
    assert onnx.dtype == np.float16
    assert _cosine(exact.astype(float), onnx.astype(float)).min() > 0.99999


def test_torch_engine_normalises_as_the_card_says(small, tiles):
    x = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (small.mean, small.std))
    with torch.inference_mode():
        expected = small.module((x - mean) / std).numpy()
    got = np.concatenate([engines.engine_of(small, _plan("fp32"))(tiles[i : i + 4]) for i in range(0, 11, 4)])
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_bf16_is_close(small, tiles):
    exact, half = (engines.engine_of(small, _plan(e))(tiles[:4]) for e in ("fp32", "bf16"))
    assert _cosine(exact, half).min() > 0.99


def test_int8_needs_its_graph(small):
    with pytest.raises(ConfigError, match="quantised"):
        engines.engine_of(small, _plan("int8"))


@pytest.mark.parametrize("engine", ["fp32", "ort"])
def test_embedding_of_a_tile_does_not_depend_on_blocks_or_batch_fellows(small, tiles, engine):
    run = engines.engine_of(small, _plan(engine))
    whole = embed_blocks(run, [tiles], n=11, dim=512, batch_size=4)
    cut = embed_blocks(run, [tiles[:1], tiles[1:6], tiles[6:6], tiles[6:]], n=11, dim=512, batch_size=4)
    assert whole.tobytes() == cut.tobytes()
    others = tiles.copy()
    others[[0, 2, 3]] = 7
    assert embed_blocks(run, [others], n=11, dim=512, batch_size=4)[1].tobytes() == whole[1].tobytes()


def test_graph_is_exported_once_and_needs_no_torch_afterwards(small, tiles):
    path = onnx_file(Baked.of_card(small.card()), 64, lambda: small)
    before, baked = path.stat().st_mtime_ns, Baked.of_card(small.card())

    def never():
        raise AssertionError

    assert onnx_file(Baked.of_card(small.card()), 64, never) == path
    assert path.stat().st_mtime_ns == before
    code = (
        "import sys; from pathosig.encoder import engines; import numpy as np;"
        "engine, device = engines.resolve('auto', 'cpu');"
        "plan = engines.EnginePlan(engine=engine, device=device, size_px=64, batch_size=4);"
        "from pathosig.encoder.graph_cache import Baked;"
        f"run = engines.make_engine(plan, baked={baked!r}, load=None);"
        "print(run(np.zeros((2, 64, 64, 3), np.uint8)).shape, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 512) False"


def test_a_damaged_graph_is_made_again_and_never_run(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PATHOSIG_CACHE", str(tmp_path))
    baked = Baked.of_card(small.card())
    path = onnx_file(baked, 64, lambda: small)
    good = path.read_bytes()
    for damage in (good[:-9], good[:5000] + bytes([good[5000] ^ 1]) + good[5001:], b""):
        path.write_bytes(damage)
        assert onnx_file(baked, 64, lambda: small).read_bytes() != damage
        assert onnx_file(baked, 64, lambda: small).stat().st_size == len(good)
    path.with_suffix(".sha256").unlink()
    made_again = []
    onnx_file(baked, 64, lambda: made_again.append(1) or small)
    assert made_again


def test_graphs_of_other_normalisation_or_size_lie_in_other_files(small):
    baked = Baked.of_card(small.card())
    others = [
        dataclasses.replace(baked, mean=(0.1, 0.2, 0.3)), dataclasses.replace(baked, std=(1.0, 1.0, 1.0)),
        dataclasses.replace(baked, input_px=448), dataclasses.replace(baked, network="resnet34"),
        dataclasses.replace(baked, weights_sha256="0" * 64),
    ]  # fmt: skip
    assert len({b.key(64) for b in [baked, *others]} | {baked.key(224)}) == 7


@pytest.mark.parametrize("digest", ["pwned/deep/a", "../../x", "A" * 64, "0" * 63, "", "0" * 63 + "/"])
def test_what_is_no_digest_never_becomes_a_file_name(small, digest):
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        dataclasses.replace(Baked.of_card(small.card()), weights_sha256=digest)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes of folders")
def test_the_cache_is_closed_to_others(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PATHOSIG_CACHE", str(tmp_path))
    (tmp_path / "onnx").mkdir(mode=0o777)
    (tmp_path / "onnx").chmod(0o777)
    onnx_file(Baked.of_card(small.card()), 64, lambda: small)
    assert (tmp_path / "onnx").stat().st_mode & 0o777 == 0o700


def test_importing_the_folder_imports_no_torch():
    code = (
        "import sys, pathosig.encoder;"
        "from pathosig.encoder import EncoderSpec, TrainSpec, embed_tiles, train_encoder;"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules, 'pandas' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False False"


def test_auto_means_onnx_on_a_cpu_and_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(engines, "cuda_is_there", lambda: False)
    assert engines.resolve("auto", "auto") == ("ort", "cpu")
    assert engines.resolve("fp32", "auto") == ("fp32", "cpu")
    with pytest.raises(ConfigError, match="no CUDA device"):
        engines.resolve("auto", "cuda")
    monkeypatch.setattr(engines, "cuda_is_there", lambda: True)
    assert engines.resolve("auto", "auto") == ("bf16", "cuda")
    assert engines.resolve("auto", "cuda:1") == ("bf16", "cuda:1")
    assert engines.resolve("auto", "cpu") == ("ort", "cpu")
    assert engines.resolve("ort", "auto") == ("ort", "cpu")


@pytest.mark.parametrize("device", ["mps", "gpu:1", "cuda:", "cudax"])
def test_an_unknown_device_is_refused_instead_of_running_on_the_cpu(device):
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda") as caught:
        engines.resolve("auto", device)
    assert caught.value.code == "E_DEVICE"


def test_tiles_of_another_size_are_resized_where_the_encoder_wants_one(small, tiles):
    import dataclasses

    fixed = dataclasses.replace(small, input_px=32)
    assert TileModel(fixed)(torch.from_numpy(tiles)).shape == (11, 512)


@pytest.mark.parametrize("sizes", [[3, 5, 4], [12], [1] * 12, [0, 7, 0, 5]])
def test_rebatch_keeps_order_and_cuts_at_fixed_places(sizes):
    rows = np.arange(12)
    blocks = np.split(rows, np.cumsum(sizes)[:-1])
    batches = list(rebatch(blocks, 5))
    assert [len(b) for b in batches] == [5, 5, 2]
    assert np.concatenate(batches).tolist() == rows.tolist()


def test_reader_errors_arrive_in_order_and_early_stop_ends_the_thread():
    import threading

    def blocks():
        yield np.zeros(1)
        message = "broken tile"
        raise OSError(message)

    seen = prefetch(blocks())
    assert len(next(seen)) == 1
    with pytest.raises(OSError, match="broken tile"):
        next(seen)
    endless = prefetch(iter(lambda: np.zeros(1), None))
    next(endless)
    endless.close()
    assert not [t for t in threading.enumerate() if t.name == "tile-reader"]


def test_a_wrong_number_of_tiles_is_an_error(small, tiles):
    run = engines.engine_of(small, _plan("fp32"))
    for n in (10, 12):
        with pytest.raises(ValueError, match=f"{n}"):
            embed_blocks(run, [tiles], n=n, dim=512, batch_size=4)


def test_onnx_runtime_reports_nothing_to_its_maker(small, tmp_path):
    """ONNX Runtime writes an identifier of the device into the cache of its user before it reports anything."""
    graph = onnx_file(Baked.of_card(small.card()), 64, lambda: small)
    code = f"from pathosig.encoder.engines import onnx_run; onnx_run(__import__('pathlib').Path({str(graph)!r}), 1)"
    started = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=started | home, check=True, timeout=120)
    assert not list(tmp_path.rglob("*onnxruntime*"))

"""int8 graphs: as many layers as keep the cosine, none when none may, biases that take up rounding."""

import numpy as np
import pytest
import torch

from pathosig.encoder import engines, load_encoder
from pathosig.encoder.backbones import Encoder
from pathosig.encoder.engines import EnginePlan
from pathosig.encoder.quantise import cosine, quantise, rounding_bias

from .tiny import TinyBackbone


@pytest.fixture(scope="module")
def small():
    return load_encoder("resnet10t", random_start=True, seed=0)


@pytest.fixture(scope="module")
def tiny():
    return Encoder(
        name="tiny", module=TinyBackbone().eval(), dim=12, mpp=None, mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5), weights_sha256="7" * 64, licence="none",
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiles():
    """Smooth random colours: 32 tiles whose contents differ."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("PATHOSIG_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def _run(small, engine, graph=None):
    plan = EnginePlan(engine=engine, device="cpu", size_px=64, batch_size=4)
    run = engines.engine_of(small, plan, int8_model=graph)
    return lambda tiles: np.concatenate([run(tiles[i : i + 4]) for i in range(0, len(tiles), 4)])


def _ops(graph):
    import onnx

    return [n.op_type for n in onnx.load(str(graph)).graph.node]


def test_held_out_tiles_keep_the_cosine_that_was_asked_for(small, tiles, tmp_path):
    graph = tmp_path / "int8.onnx"
    found = quantise(small, tiles, graph, min_cosine=0.999, batch_size=4)
    assert 0 < found.n_int8 <= found.n_layers
    assert found.n_int8 + len(found.kept_in_float) == found.n_layers
    assert "QuantizeLinear" in _ops(graph)
    close = cosine(_run(small, "int8", graph)(tiles[3::4]), _run(small, "fp32")(tiles[3::4]))
    assert close.min() >= 0.9995 - 1e-6
    assert found.cosine_min == pytest.approx(close.min(), abs=1e-6)


def test_a_lower_cosine_lets_more_layers_be_int8_and_a_perfect_one_none(tiny, tiles, tmp_path):
    loose, exact = (
        quantise(tiny, tiles, tmp_path / f"{c}.onnx", min_cosine=c, batch_size=4) for c in (0.0, 1.1)
    )
    assert loose.n_layers == 2
    assert (loose.n_int8, loose.share_of_work, loose.kept_in_float) == (loose.n_layers, 1.0, ())
    assert (exact.n_int8, exact.share_of_work) == (0, 0.0)
    assert "QuantizeLinear" not in _ops(tmp_path / "1.1.onnx")
    assert exact.cosine_min > 0.999999


def test_the_same_tiles_give_the_same_bytes(tiny, tiles, tmp_path):
    for name in "ab":
        quantise(tiny, tiles[:16], tmp_path / name, min_cosine=0.99, batch_size=4)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("group", [1, 2, 6])
def test_shifting_a_bias_takes_out_the_mean_error_of_rounded_weights(group):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 6 // group, 3, 3))
    x = rng.gamma(2.0, size=(500, 6, 1, 1)).repeat(3, axis=2).repeat(3, axis=3)
    step = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    rounded = np.round(weight / step) * step
    exact, coarse = (
        torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), groups=group).numpy()
        for w in (weight, rounded)
    )
    shift = rounding_bias(weight, x.mean(axis=(0, 2, 3)), group)
    np.testing.assert_allclose((coarse - exact).mean(axis=(0, 2, 3)), shift, atol=1e-12)
    assert np.abs(shift).max() > 1e-3


def test_cosine_of_rows():
    a = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    b = np.array([[2.0, 0.0], [4.0, -3.0], [1.0, 1.0]])
    np.testing.assert_allclose(cosine(a, b), [1, 0, 0])

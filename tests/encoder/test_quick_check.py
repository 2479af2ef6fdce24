"""Without torch, weights have the digest that torch gives them, and an encoder is ready only if graph and weights are its own."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from pathosig.core.layout import Layout
from pathosig.encoder.graph_cache import Baked, file_sha256, onnx_file
from pathosig.encoder.quick_check import is_ready, state_digest
from pathosig.encoder.weights import state_sha256

STATE = {
    "conv.weight": torch.arange(12.0).reshape(3, 4),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "norm.num_batches_tracked": torch.tensor(3),
    "scalar": torch.tensor(2.0),
    "whole": torch.arange(4),
}


def save(path, state):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({**{f"backbone.{name}": tensor for name, tensor in state.items()}, "head": torch.ones(2)}, path)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study folder whose encoder is in the cache."""
    monkeypatch.setenv("PATHOSIG_CACHE", str(tmp_path / "cache"))
    layout = Layout(tmp_path / "study")
    save(layout.encoder_weights, STATE)
    card = {
        "name": "tiny",
        "weights_sha256": state_sha256(STATE),
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "input_px": None,
    }
    layout.encoder_card.write_text(json.dumps({**card, "weights_file": "encoder.safetensors"}))
    cache = tmp_path / "cache" / "onnx"
    cache.mkdir(parents=True, mode=0o700)
    graph = cache / f"{Baked.of_card(card).key(224)}.onnx"
    graph.write_bytes(b"graph")
    graph.with_suffix(".sha256").write_text(file_sha256(graph))
    return layout


def test_the_digest_is_that_of_torch(tmp_path):
    save(tmp_path / "w.safetensors", STATE)
    assert state_digest(tmp_path / "w.safetensors") == state_sha256(STATE)
    save(tmp_path / "w.safetensors", {**STATE, "scalar": torch.tensor(2.5)})
    assert state_digest(tmp_path / "w.safetensors") != state_sha256(STATE)


def test_an_encoder_in_the_cache_is_ready_and_torch_is_not_imported(study):
    assert is_ready(study.root, 224)
    assert onnx_file(Baked.of_card(json.loads(study.encoder_card.read_text())), 224, pytest.fail).is_file()
    code = (
        "import sys; from pathlib import Path; from pathosig.encoder.quick_check import is_ready\n"
        "print(is_ready(Path(sys.argv[1]), 224), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(study.root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    "change", ["a value", "cut off", "no weights", "another size of tiles", "graph", "digest", "no file"]
)
def test_an_encoder_that_was_changed_is_not_ready(study, tmp_path, change):
    size_px = 224
    card = json.loads(study.encoder_card.read_text())
    if change == "a value":
        save(study.encoder_weights, {**STATE, "scalar": torch.tensor(2.5)})
    elif change == "cut off":
        study.encoder_weights.write_bytes(study.encoder_weights.read_bytes()[:40])
    elif change == "no weights":
        study.encoder_weights.unlink()
    elif change == "another size of tiles":
        size_px = 256
    elif change == "graph":
        next((tmp_path / "cache" / "onnx").glob("*.onnx")).write_bytes(b"other")
    elif change == "digest":
        study.encoder_card.write_text(json.dumps({**card, "weights_sha256": "0" * 64}))
    else:
        study.encoder_card.write_text(json.dumps({**card, "weights_file": None}))
    assert not is_ready(study.root, size_px)

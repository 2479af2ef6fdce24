"""The network, its heads in numpy, and the presets."""

import numpy as np
import pytest
import torch

from pathosig.core.errors import ConfigError, InputError
from pathosig.encoder import ContrastiveClusteringNet, TrainSpec, cluster_labels, head_probabilities
from pathosig.encoder.training.heads import instance_embeddings, read_heads


def test_forward_gives_unit_rows_and_probabilities(tiny_backbone):
    net = ContrastiveClusteringNet(tiny_backbone, n_clusters=7, dim=5).eval()
    x = torch.randn(4, 3, 32, 32)
    z, c = net(x)
    assert net.embed(x).shape == (4, 12)
    assert z.shape == (4, 5)
    assert c.shape == (4, 7)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(c.sum(1), torch.ones(4))


def test_default_heads_are_those_of_the_paper():
    class Wide(torch.nn.Module):
        num_features = 2048

    net = ContrastiveClusteringNet(Wide())
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim == 2]
    assert shapes == [(2048, 2048), (128, 2048), (2048, 2048), (50, 2048)]


def test_width_is_found_by_a_forward_pass_when_the_backbone_does_not_say():
    backbone = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert ContrastiveClusteringNet(backbone, n_clusters=4).width == 3


def test_heads_in_numpy_equal_the_network(tiny_backbone, tmp_path):
    from safetensors.torch import save_file

    net = ContrastiveClusteringNet(tiny_backbone, n_clusters=7, dim=5).eval()
    path = tmp_path / "encoder.safetensors"
    save_file(net.state_dict(), path)
    tensors = read_heads(path)
    assert not any(name.startswith("backbone") for name in tensors)
    with torch.inference_mode():
        h = net.embed(torch.randn(33, 3, 32, 32))
        z, c = net.heads(h)
    np.testing.assert_allclose(head_probabilities(h.numpy(), tensors, block=10), c.numpy(), atol=1e-6)
    np.testing.assert_allclose(instance_embeddings(h.numpy(), tensors, block=10), z.numpy(), atol=1e-6)
    hpc, confidence = cluster_labels(h.numpy(), tensors)
    assert hpc.tolist() == c.argmax(1).tolist()
    np.testing.assert_allclose(confidence, c.max(1).values.numpy(), atol=1e-6)
    assert head_probabilities(np.empty((0, 12), np.float16), tensors).shape == (0, 7)


def test_heads_refuse_embeddings_of_another_encoder(tiny_backbone, tmp_path):
    from safetensors.torch import save_file

    save_file(ContrastiveClusteringNet(tiny_backbone, n_clusters=7).state_dict(), tmp_path / "e.safetensors")
    with pytest.raises(InputError, match="expects 12 columns"):
        head_probabilities(np.zeros((3, 1280), np.float16), read_heads(tmp_path / "e.safetensors"))
    save_file({"backbone.x": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(InputError, match="no cluster head"):
        read_heads(tmp_path / "plain.safetensors")


def test_small_batches_are_refused_unless_paper():
    with pytest.raises(ConfigError, match="2 K = 100"):
        TrainSpec(batch_size=64)
    paper = TrainSpec.paper()
    assert (paper.batch_size, paper.epochs, paper.lr, paper.weight_decay) == (8, 100, 5e-4, 0.0)
    assert (paper.n_clusters, paper.dim, paper.alpha, paper.barlow_weight) == (50, 128, 0.005, 0.005)
    assert paper.backbone == "resnet50"
    assert TrainSpec.from_mapping({"preset": "paper"}) == paper
    assert TrainSpec().replace(preset="paper", n_clusters=20) == TrainSpec.paper(n_clusters=20)
    assert TrainSpec.paper(epochs=3).replace(lr=1e-3) == TrainSpec.paper(epochs=3, lr=1e-3)
    assert TrainSpec.recommended().batch_size >= 512


@pytest.mark.parametrize(
    "change", [{"lr": 0.0}, {"ema": 1.0}, {"epochs": 0}, {"batch_size": 512, "accumulate": 3}]
)
def test_wrong_values_are_refused(change):
    with pytest.raises(ConfigError, match=r"\[train\]"):
        TrainSpec(**change)

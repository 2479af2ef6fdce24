"""The files of a trained encoder, encoder/trained.safetensors and trained.json, which `pathosig train` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

import torch
from safetensors.torch import save_file

from pathosig.core.layout import Layout
from pathosig.core.records import atomic_path, read_json, write_bytes, write_json
from pathosig.encoder.backbones import Encoder
from pathosig.encoder.cards import EncoderCard
from pathosig.encoder.spec import TrainSpec
from pathosig.encoder.training.network import ContrastiveClusteringNet
from pathosig.encoder.weights import state_sha256


class TrainingFacts(TypedDict):
    """Numbers about a training, for the card of its encoder and for its record."""

    mpp: float | None
    n_tiles: int
    n_held_out: int
    best_epoch: int
    held_out_patients: int
    steps: int
    device: str
    weights_sha256: NotRequired[str]


def write_trained(
    root: Path,
    state: Mapping[str, torch.Tensor],
    start: Encoder,
    spec: TrainSpec,
    facts: TrainingFacts,
    *,
    stain: Mapping[str, object] | None = None,
) -> EncoderCard:
    """Write the weights (``backbone.``, ``instance_head.``, ``cluster_head.``) and the card, and return the card."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    backbone = {k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")}
    plain = spec.preset == "paper"
    card: EncoderCard = {
        **start.card(),
        "name": f"dlcc-{start.name}",
        "method": "dlcc",
        "backbone": start.name,
        "start_sha256": start.weights_sha256,
        "weights_sha256": state_sha256(backbone),
        "heads_sha256": state_sha256({k: v for k, v in tensors.items() if not k.startswith("backbone.")}),
        "mean": [0.0] * 3 if plain else list(start.mean),
        "std": [1.0] * 3 if plain else list(start.std),
        "n_clusters": spec.n_clusters,
        "weights_file": Path(Layout.trained_weights).name,
        "train": {"spec": spec.to_dict(), **facts},
    }
    card["mpp"] = facts.get("mpp")
    if stain is not None:
        card["stain"] = dict(stain)
    with atomic_path(Layout(root).trained_weights) as temporary:
        save_file(tensors, temporary)
    write_json(Layout(root).trained_card, card)
    return card


def copy_trained(root: Path) -> EncoderCard:
    """Copy the trained encoder to encoder/encoder.safetensors, where the study reads it, and return its card."""
    card: EncoderCard = read_json(Layout(root).trained_card)
    write_bytes(Layout(root).encoder_weights, (Layout(root).trained_weights).read_bytes())
    return {**card, "weights_file": "encoder.safetensors"}


def new_network(start: Encoder, spec: TrainSpec) -> ContrastiveClusteringNet:
    """The network that training starts from: the encoder's backbone, and heads with random weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return ContrastiveClusteringNet(start.module, spec.n_clusters, spec.dim, width=start.dim)

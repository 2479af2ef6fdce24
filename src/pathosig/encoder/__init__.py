"""Encoders: from tiles to embeddings, and the DL-CC training of an encoder of one's own.

Nothing here imports torch until it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathosig.encoder.backbones import Encoder, load_encoder
    from pathosig.encoder.features.stage import import_features
    from pathosig.encoder.spec import EncoderSpec, TrainSpec
    from pathosig.encoder.stage import embed_tiles
    from pathosig.encoder.training.heads import cluster_labels, head_probabilities
    from pathosig.encoder.training.losses import barlow_loss, cluster_loss, instance_loss
    from pathosig.encoder.training.network import ContrastiveClusteringNet
    from pathosig.encoder.training.stage import train_encoder
    from pathosig.encoder.zoo import ENCODERS

_WHERE = {
    "Encoder": "backbones",
    "load_encoder": "backbones",
    "ENCODERS": "zoo",
    "EncoderSpec": "spec",
    "TrainSpec": "spec",
    "ContrastiveClusteringNet": "training.network",
    "instance_loss": "training.losses",
    "cluster_loss": "training.losses",
    "barlow_loss": "training.losses",
    "head_probabilities": "training.heads",
    "cluster_labels": "training.heads",
    "import_features": "features.stage",
    "embed_tiles": "stage",
    "train_encoder": "training.stage",
}

__all__ = [
    "ENCODERS",
    "ContrastiveClusteringNet",
    "Encoder",
    "EncoderSpec",
    "TrainSpec",
    "barlow_loss",
    "cluster_labels",
    "cluster_loss",
    "embed_tiles",
    "head_probabilities",
    "import_features",
    "instance_loss",
    "load_encoder",
    "train_encoder",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)

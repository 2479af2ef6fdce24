"""Encoders by name: the network, the preprocessing of its tiles, and its identity."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_model_config_from_hf
from torch import nn

from pathosig.core import plugins
from pathosig.core.errors import ConfigError
from pathosig.encoder import weights as weight_files
from pathosig.encoder.cards import EncoderCard
from pathosig.encoder.zoo import ENCODERS, IMAGENET_MEAN, IMAGENET_STD, EncoderEntry, Pooling

SHIPPED = "efficientnet-lite0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """A frozen network that maps normalised tiles (n, 3, h, w) to embeddings (n, dim).

    Attributes
    ----------
    name
        As in study.toml.
    module
        The network in eval mode; its input is ``(rgb / 255 - mean) / std``.
    dim
        Length of one embedding.
    mpp
        Micrometres per pixel that the encoder was trained for; None if any.
    mean, std
        Mean and standard deviation of each channel for the normalisation, on the scale 0..1.
    weights_sha256
        Digest of all weights (names, shapes, values); the format of their file makes no difference.
    licence
        Licence of the weights.
    input_px
        Side of the input in pixels; None if any.
    """

    name: str
    module: nn.Module
    dim: int
    mpp: float | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights_sha256: str
    licence: str
    input_px: int | None = None

    def card(self) -> EncoderCard:
        """Everything except the network, as recorded in encoder.json and in every artefact."""
        return {
            "name": self.name,
            "dim": self.dim,
            "mpp": self.mpp,
            "mean": list(self.mean),
            "std": list(self.std),
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
            "input_px": self.input_px,
        }


class PooledModel(nn.Module):
    """A timm model with the rule that reduces its tokens or feature maps to one vector."""

    def __init__(self, model: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        width: Any = model.num_features
        self.pool = AttentionPool(width, 768) if pooling == "attention" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) -> (n, dim)."""
        model: Any = self.model
        out: torch.Tensor
        if self.pooling == "model":
            out = model(x)
            return out
        tokens: torch.Tensor = model.forward_features(x)
        if self.pool is not None:
            out = self.pool(tokens)
            return out
        if self.pooling == "cls":
            return tokens[:, 0]
        patches = tokens[:, model.num_prefix_tokens :]
        return torch.cat([tokens[:, 0], patches.mean(1)], dim=1)


class AttentionPool(nn.Module):
    """One learned query attends to all tokens (the contrastive pooler of CoCa and CONCH)."""

    def __init__(self, context: int, dim: int, heads: int = 8) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, dim))
        self.attn = nn.MultiheadAttention(dim, heads, kdim=context, vdim=context, batch_first=True)
        self.ln_q = nn.LayerNorm(dim)
        self.ln_k = nn.LayerNorm(context)
        self.ln_out = nn.LayerNorm(dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, tokens, context) -> (n, dim)."""
        keys = self.ln_k(tokens)
        query = self.ln_q(self.query).unsqueeze(0).expand(len(tokens), -1, -1)
        pooled, _ = self.attn(query, keys, keys, need_weights=False)
        out: torch.Tensor = self.ln_out(pooled[:, 0])
        return out


def load_encoder(
    name: str = SHIPPED, *, weights: Path | str | None = None, random_start: bool = False, seed: int = 0
) -> Encoder:
    """Load an encoder by name, in eval mode on the CPU.

    Parameters
    ----------
    name
        A name of docs/reference/encoders.md, of the plug-in group ``pathosig.encoders``, or any timm model.
    weights
        Local file (.safetensors, or .pth / .pt / .bin read with ``weights_only=True``). By default the installed weights
        (efficientnet-lite0) or those on the Hugging Face hub are used.
    random_start
        Use random weights instead, as a start of training or for tests.
    seed
        Seed of the random weights.

    Returns
    -------
    Encoder

    Raises
    ------
    ConfigError
        If the name is unknown, or its weights are gated or not reachable; the message says how to get them.
    InputError
        If a weights file does not fit the network.
    """
    if not random_start and name in plugins.available("pathosig.encoders"):
        encoder: Encoder = plugins.load("pathosig.encoders", name)(name, weights=weights)
        return encoder
    return _load(name, weights=weights, random_start=random_start, seed=seed)


def _load(name: str, *, weights: Path | str | None, random_start: bool = False, seed: int = 0) -> Encoder:
    entry = ENCODERS.get(name) or _timm_entry(name)
    state = None if random_start else _published(name, entry, weights)
    module = _build(name, entry, seed)
    if state is not None:
        state = weight_files.to_timm(state, entry, module)
        weight_files.fill(module, state, where=Path(weights).name if weights else name)
    module.eval().requires_grad_(False)
    return Encoder(
        name=name,
        module=module,
        dim=entry.dim,
        mpp=entry.mpp,
        mean=entry.mean,
        std=entry.std,
        weights_sha256=weight_files.state_sha256(module.state_dict()),
        licence=entry.licence,
        input_px=entry.input_px,
    )


def shipped_encoder(name: str, *, weights: Path | str | None = None) -> Encoder:
    """Build an encoder of docs/reference/encoders.md; these are registered in the plug-in group ``pathosig.encoders``."""
    return _load(name, weights=weights)


def encoder_from_state(card: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> Encoder:
    """The encoder that encoder.json and encoder.safetensors describe.

    Parameters
    ----------
    card
        Content of encoder.json.
    state
        Tensors of encoder.safetensors, of which only those under ``backbone.`` are used; a trained network also has heads.

    Returns
    -------
    Encoder

    Raises
    ------
    InputError
        If tensors are missing or their digest differs from that on the card.
    """
    name = str(card["backbone"] if "backbone" in card else card["name"])
    foreign = name not in ENCODERS and name in plugins.available("pathosig.encoders")
    base = load_encoder(name) if foreign else load_encoder(name, random_start=True)
    backbone = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    weight_files.fill(base.module, backbone, where="encoder.safetensors")
    digest = weight_files.state_sha256(base.module.state_dict())
    weight_files.check_digest(digest, str(card["weights_sha256"]), where="encoder.safetensors")
    return replace(
        base,
        name=str(card["name"]),
        weights_sha256=digest,
        mpp=card["mpp"],
        mean=tuple(card["mean"]),
        std=tuple(card["std"]),
        licence=str(card["licence"]),
        input_px=card["input_px"],
    )


def _published(name: str, entry: EncoderEntry, weights: Path | str | None) -> dict[str, torch.Tensor]:
    """The tensors of an encoder under the names that its authors gave them."""
    if weights is not None:
        return weight_files.read_weights(Path(weights))
    if name == SHIPPED:
        return weight_files.shipped_lite0()
    if entry.hub is None:
        message = (
            f"encoder {name}: timm has no published weights for it. Set [encoder] weights to a local file."
        )
        raise ConfigError(message, code="E_WEIGHTS")
    return weight_files.from_hub(name, entry)


def _build(name: str, entry: EncoderEntry, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = timm.create_model(
                entry.architecture, pretrained=False, **weight_files.resolve_options(entry.options)
            )
        except (RuntimeError, TypeError, ValueError) as error:
            message = (
                f"encoder {name}: timm cannot build {entry.architecture} ({error}). Update timm, or "
                "choose another encoder."
            )
            raise ConfigError(message, code="E_ENCODER") from error
        return PooledModel(model, entry.pooling)


def _timm_entry(name: str) -> EncoderEntry:
    """The entry of a timm model, read from timm's own tables."""
    if name.startswith(("hf-hub:", "hf_hub:")):
        try:
            cfg, architecture, args = load_model_config_from_hf(name.split(":", 1)[1])
        except Exception as error:
            raise weight_files.hub_error(name, name.split(":", 1)[1], gated=False, cause=error) from error
        return _entry(architecture, dict(cfg), name.split(":", 1)[1], dict(args or {}))
    base = name.split(".", 1)[0]
    if base not in timm.list_models():
        near = difflib.get_close_matches(name, [*ENCODERS, *timm.list_models()], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        message = (
            f"encoder {name!r}: neither in docs/reference/encoders.md, nor a plug-in, nor a timm model.{hint}"
        )
        raise ConfigError(message, code="E_ENCODER")
    config = timm.get_pretrained_cfg(name)
    values: dict[str, Any] = config.to_dict() if config is not None else {}
    hub = values.get("hf_hub_id") or None
    if hub and hub.endswith("/"):
        hub += f"{base}.{values['tag']}" if values.get("tag") else base
    return _entry(name, values, hub, {})


def _entry(
    architecture: str, config: Mapping[str, Any], hub: str | None, options: Mapping[str, object]
) -> EncoderEntry:
    options = {**options, "num_classes": 0}
    with torch.device("meta"):
        model: Any = timm.create_model(architecture, pretrained=False, **options)
    fixed = config.get("fixed_input_size") or hasattr(model, "patch_embed")
    return EncoderEntry(
        architecture=architecture,
        hub=hub,
        dim=getattr(model, "head_hidden_size", None) or model.num_features,
        input_px=int(config.get("input_size", (3, 224, 224))[-1]) if fixed else None,
        mean=tuple(config.get("mean", IMAGENET_MEAN)),
        std=tuple(config.get("std", IMAGENET_STD)),
        licence=str(config.get("license") or "see the model card"),
        options=options,
    )

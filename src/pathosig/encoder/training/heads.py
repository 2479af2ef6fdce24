"""The trained heads applied to stored embeddings, without torch and without reading a slide again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from pathosig.core.errors import InputError

_LAYERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def read_heads(path: Path) -> dict[str, np.ndarray]:
    """The head tensors of encoder/encoder.safetensors (the backbone is not read).

    Raises
    ------
    InputError
        If the file is missing or its encoder was not trained with heads.
    """
    if not path.is_file():
        message = f'{path.name}: no such file. Set [encoder] method = "dlcc" and run `pathosig train`.'
        raise InputError(message, code="E_MISSING")
    with safe_open(path, framework="np") as stored:
        every = list(stored.keys())
        names = [k for k in every if k.startswith(("cluster_head.", "instance_head."))]
        tensors = {name: stored.get_tensor(name) for name in names}
    if not tensors:
        message = (
            f'{path.name}: this encoder has no cluster head. phenotypes.method = "dlcc" needs '
            '[encoder] method = "dlcc"; run `pathosig train`, then `pathosig embed`.'
        )
        raise InputError(message, code="E_NO_HEAD")
    return tensors


def head_probabilities(h: np.ndarray, tensors: Mapping[str, np.ndarray], *, block: int = 8192) -> np.ndarray:
    """Soft assignments c of the cluster head.

    Parameters
    ----------
    h
        (n, width) embeddings of the trained backbone, any float type.
    tensors
        See `read_heads`.
    block
        Rows at a time.

    Returns
    -------
    float32 (n, K), rows sum to 1.

    Raises
    ------
    InputError
        If the width of `h` is not the head's.
    """
    out = [_softmax(_mlp(rows, tensors, "cluster_head.")) for rows in _blocks(h, tensors, block)]
    k = tensors["cluster_head.2.bias"].shape[0]
    return np.concatenate(out) if out else np.empty((0, k), np.float32)


def cluster_labels(h: np.ndarray, tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(hpc int16, confidence float32), both (n,): the largest entry of `head_probabilities`."""
    c = head_probabilities(h, tensors)
    return c.argmax(1).astype(np.int16), c.max(1, initial=0.0).astype(np.float32)


def instance_embeddings(h: np.ndarray, tensors: Mapping[str, np.ndarray], *, block: int = 8192) -> np.ndarray:
    """z, float32 (n, dim), rows of length 1: the coordinates for maps of tiles."""
    out = []
    for rows in _blocks(h, tensors, block):
        z = _mlp(rows, tensors, "instance_head.")
        out.append(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12))
    dim = tensors["instance_head.2.bias"].shape[0]
    return np.concatenate(out) if out else np.empty((0, dim), np.float32)


def _blocks(h: np.ndarray, tensors: Mapping[str, np.ndarray], block: int) -> list[np.ndarray]:
    width = tensors["cluster_head.0.weight"].shape[1]
    if h.ndim != 2 or h.shape[1] != width:
        message = (
            f"embeddings of shape {h.shape}: the trained head expects {width} columns. Run `pathosig embed`."
        )
        raise InputError(message, code="E_WIDTH")
    return [h[i : i + block] for i in range(0, len(h), block)]


def _mlp(h: np.ndarray, tensors: Mapping[str, np.ndarray], prefix: str) -> np.ndarray:
    w0, b0, w2, b2 = (tensors[prefix + name].astype(np.float32) for name in _LAYERS)
    hidden = np.maximum(h.astype(np.float32) @ w0.T + b0, 0)
    out: np.ndarray = hidden @ w2.T + b2
    return out


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    out: np.ndarray = e / e.sum(1, keepdims=True)
    return out

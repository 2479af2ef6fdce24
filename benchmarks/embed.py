"""Is reading hidden behind the model, and how fast is the model on this CPU?

    python benchmarks/embed.py [SLIDE] [--images DIR] [--encoder NAME] [--tiles N]

share_of_model_rate: tiles a second of the whole embedding loop (open, read, resample, embed) over tiles a
second of the engine alone on the same tiles in memory; interleaved rounds, wall time, median.
vs_torch_eager: images per CPU-second of each engine over torch eager (contiguous, as torch runs it by
default); cosine and the share of tiles whose nearest of 50 centroids changes. Every other tile calibrates
int8, the rest are compared: different tiles of the slide, or those of the image files below --images DIR.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pathosig.encoder import engines, load_encoder
from pathosig.encoder.embed import embed_blocks
from pathosig.encoder.engines import EnginePlan
from pathosig.encoder.export import TileModel
from pathosig.encoder.quantise import quantise
from pathosig.encoder.reading import TileTable, opened_tiles

SIDE, BATCH = 224, 16


def grid_of(slide: Path, mpp: float, n: int) -> TileTable:
    """n tiles on a grid over the whole slide (repeated when it has fewer)."""
    from pathosig.slides import open_slide, plan_read

    with open_slide(slide) as reader:
        plan = plan_read(reader.info, mpp)
        step = SIDE * plan.level0_per_px
        width, height = reader.info.level_sizes[0]
        xs, ys = np.arange(0, width - step, step), np.arange(0, height - step, step)
        xy = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2).round().astype(np.int32)
    return TileTable(xy=np.resize(xy, (n, 2)), size_px=SIDE, mpp=mpp, spec={}, plan=plan.to_dict())


def images_of(folder: Path, n: int) -> np.ndarray:
    """At most n tiles, evenly from the sorted image files below a folder, brought to SIDE px."""
    from PIL import Image

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif"))
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, n).astype(int))]
    return np.stack([np.asarray(Image.open(p).convert("RGB").resize((SIDE, SIDE))) for p in chosen])


def eager(encoder) -> engines.Run:
    """Plain torch: contiguous tensors, no padding."""
    model = TileModel(encoder).eval()

    def run(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(tiles)).numpy()

    return run


def share_of_model_rate(
    run: engines.Run, slide: Path, table: TileTable, tiles: np.ndarray, dim: int
) -> dict[str, float]:
    """The loop with reading against the loop on tiles in memory."""
    facts = {"path": str(slide), "mpp": None, "region": None}
    n = len(tiles)
    ratios, reading, whole = [], [], []
    for round_ in range(6):
        began = time.perf_counter()
        embed_blocks(run, [tiles], n=n, dim=dim, batch_size=BATCH)
        model = time.perf_counter() - began
        began = time.perf_counter()
        with opened_tiles(facts, table) as blocks:
            embed_blocks(run, blocks, n=n, dim=dim, batch_size=BATCH)
        loop = time.perf_counter() - began
        began = time.perf_counter()
        with opened_tiles(facts, table) as blocks:
            for _ in blocks:
                pass
        if round_:
            reading.append(time.perf_counter() - began)
            ratios.append(model / loop)
            whole.append(loop)
    return {
        "share_of_model_rate": statistics.median(ratios),
        "tiles_per_s": n / statistics.median(whole),
        "reading_tiles_per_s": n / statistics.median(reading),
    }


def engine_rates(runs: dict[str, engines.Run], tiles: np.ndarray) -> dict[str, float]:
    """Images per CPU-second of every engine, interleaved."""
    times: dict[str, list[float]] = {k: [] for k in runs}
    for round_ in range(8):
        for name, run in runs.items():
            began = time.process_time()
            run(tiles[:BATCH])
            if round_:
                times[name].append(time.process_time() - began)
    out = {f"{k}_per_cpu_s": BATCH / statistics.median(v) for k, v in times.items()}
    for name, values in times.items():
        if name != "torch_eager":
            ratios = [e / v for e, v in zip(times["torch_eager"], values, strict=True)]
            out[f"{name}_vs_torch_eager"] = statistics.median(ratios)
    return out


def agreement(exact: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Per-tile cosine, and how many tiles change their nearest of 50 spherical k-means centroids."""
    from sklearn.cluster import KMeans

    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (exact, other))
    centres = KMeans(min(50, len(a) // 4), n_init=1, random_state=0).fit(a).cluster_centers_
    changed = float(((a @ centres.T).argmax(1) != (b @ centres.T).argmax(1)).mean())
    cosine = (a * b).sum(1)
    return {
        "cosine_min": float(cosine.min()),
        "cosine_mean": float(cosine.mean()),
        "share_under_999": float((cosine < 0.999).mean()),
        "hpc_changed": changed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("PATHOSIG_DATA", "data")) / "slides" / "cmu-1-small-region.svs"
    parser.add_argument("slide", type=Path, nargs="?", default=default)
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--random", action="store_true", help="random weights, for timing without a hub")
    parser.add_argument("--mpp", type=float, default=0.5)
    parser.add_argument("--tiles", type=int, default=192)
    parser.add_argument("--images", type=Path, help="compare engines on the image files below this folder")
    parser.add_argument("--n-images", type=int, default=1024)
    parser.add_argument("--int8-cosine", type=float, default=0.999)
    given = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder(given.encoder, weights=given.weights, random_start=given.random)
    table = grid_of(given.slide, given.mpp, given.tiles)
    with opened_tiles({"path": str(given.slide)}, table) as blocks:
        tiles = np.concatenate(list(blocks))
    compared = images_of(given.images, given.n_images) if given.images else np.unique(tiles, axis=0)
    compared = np.random.default_rng(0).permutation(compared)
    plans = {
        e: EnginePlan(engine=e, device="cpu", size_px=SIDE, batch_size=BATCH)
        for e in ("fp32", "bf16", "ort", "int8")
    }
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "int8.onnx"
        quantised = quantise(
            encoder, compared[::2][:256], graph, min_cosine=given.int8_cosine, batch_size=BATCH
        )
        runs = {"torch_eager": eager(encoder)}
        runs |= {e: engines.engine_of(encoder, plan, int8_model=graph) for e, plan in plans.items()}
    compared = compared[1::2]

    def outputs(name: str) -> np.ndarray:
        return np.concatenate([runs[name](compared[i : i + BATCH]) for i in range(0, len(compared), BATCH)])

    exact = outputs("torch_eager")
    result: dict[str, object] = {"encoder": encoder.name, "threads": 1, "n_tiles": len(tiles)}
    result |= {"n_compared": len(compared), "int8_layers": quantised.n_int8, "layers": quantised.n_layers}
    result |= {"int8_share_of_work": quantised.share_of_work}
    result |= share_of_model_rate(runs["ort"], given.slide, table, tiles, encoder.dim)
    result |= engine_rates(runs, tiles)
    for name in ("ort", "bf16", "int8"):
        result |= {f"{name}_{k}": v for k, v in agreement(exact, outputs(name)).items()}
    print(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in result.items()}))


if __name__ == "__main__":
    main()

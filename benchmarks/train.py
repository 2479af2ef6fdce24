"""How fast DL-CC training goes, piece by piece, against the original's way of doing it.

    python benchmarks/train.py [--tiles DIR] [--backbone NAME] [--batch N] [--device auto]

Measured in one run: augmentation per tile (one thread), packed store against PNG files through a
DataLoader, and training steps of the original's loop (batch 8, one image at a time, float32) against
ours at batch 8 and at the recommended batch. On CUDA also MFU against a measured bf16 matrix product.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as tvf

from pathosig.encoder import ContrastiveClusteringNet, TrainSpec, load_encoder
from pathosig.encoder.training import train as loop
from pathosig.encoder.training.augment import Views
from pathosig.encoder.training.store import open_store, write_store

SIDE = 224


def original_view(tile: torch.Tensor, view: int) -> torch.Tensor:
    """One view of one tile (3, h, w) in 0..1, one image at a time on torchvision and Pillow."""
    m, s = ((0.25, 0.30), (0.40, 0.40))[view]
    for flip in (tvf.hflip, tvf.vflip, lambda x: x.transpose(1, 2)):
        if random.random() < 0.5:
            tile = flip(tile)
    tile = torch.rot90(tile, random.randrange(4), (1, 2))
    for _ in range(2):
        op = random.randrange(4)
        if op == 1:
            tile = (tile + torch.rand_like(tile) * 0.2 - 0.1).clamp(0, 1)
        elif op == 2:
            tile = (tile * random.uniform(1 - m, 1 + m)).clamp(0, 1)
        elif op == 3:
            image = tvf.to_pil_image(tile).convert("HSV")
            hsv = np.asarray(image).astype(np.float32)
            hsv[..., 0] = hsv[..., 0] * random.uniform(1 - s, 1 + s) % 256
            hsv[..., 1] = (hsv[..., 1] * random.uniform(1 - s, 1 + s)).clip(0, 255)
            tile = tvf.to_tensor(Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB"))
    scale = ((0.5, 2.0), (0.8, 2.4))[view]
    half = random.random() < 0.5
    if view == 1 and half:
        box = RandomResizedCrop.get_params(tile, (0.08, 1.0), (3 / 4, 4 / 3))
        tile = tvf.resized_crop(tile, *box, [SIDE, SIDE], antialias=True)
        return tvf.hflip(tile) if random.random() < 0.5 else tile
    if view == 1 or half:
        tile = tvf.affine(
            tile, random.uniform(-45, 45), [0, 0], random.uniform(*scale), [0.0, 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )  # fmt: skip
    return tile


def original_pair(tile: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Both views of one uint8 tile (h, w, 3)."""
    x = torch.from_numpy(tile).permute(2, 0, 1).float() / 255
    return original_view(x, 0).contiguous(), original_view(x, 1).contiguous()


def seconds(work, *, rounds: int = 5, clock=time.process_time) -> float:
    """Median CPU (or wall) time of one call."""
    work()
    times = []
    for _ in range(rounds):
        began = clock()
        work()
        times.append(clock() - began)
    return statistics.median(times)


def augmentation(tiles: np.ndarray) -> dict[str, float]:
    """Tiles a second (two views each) on one thread; interleaved rounds, CPU time."""
    batch = torch.from_numpy(tiles[:64])
    work = {
        "original": lambda: [original_pair(t) for t in tiles[:64]],
        "paper_fused": lambda: Views("paper")(batch, seed=0),
        "recommended_fused": lambda: Views("recommended", mean=(0.5,) * 3, std=(0.5,) * 3)(batch, seed=0),
    }
    times: dict[str, list[float]] = {k: [] for k in work}
    for round_ in range(6):
        for name, call in work.items():
            began = time.process_time()
            call()
            if round_:
                times[name].append(time.process_time() - began)
    rate = {f"{k}_tiles_per_s": 64 / statistics.median(v) for k, v in times.items()}
    ratios = [o / f for o, f in zip(times["original"], times["paper_fused"], strict=True)]
    return {**rate, "fused_vs_original": statistics.median(ratios)}


class PngTiles(Dataset):
    """PNG files, as the original reads them."""

    def __init__(self, folder: Path, n: int) -> None:
        self.paths = [folder / f"{i}.png" for i in range(n)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.from_numpy(np.array(Image.open(self.paths[i]).convert("RGB")))


def storage(tiles: np.ndarray) -> dict[str, float]:
    """Random batches of 64 from the packed store against PNG through a DataLoader (no workers), CPU time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, tile in enumerate(tiles):
            Image.fromarray(tile).save(folder / f"{i}.png")
        write_store(folder / "store", [("all", [tiles])], key="k")
        store = open_store(folder / "store", key="k")
        assert store is not None
        loader = DataLoader(PngTiles(folder, len(tiles)), batch_size=64, shuffle=True)
        png = seconds(lambda: sum(1 for _ in loader), rounds=3)
        order = np.random.default_rng(0).permutation(len(tiles))
        packed = seconds(lambda: [store.rows(order[i : i + 64]) for i in range(0, len(order), 64)], rounds=3)
    return {
        "png_tiles_per_s": len(tiles) / png,
        "packed_tiles_per_s": len(tiles) / packed,
        "packed_vs_png": png / packed,
    }


def original_loop(net: ContrastiveClusteringNet, tiles: np.ndarray, device: str, steps: int) -> float:
    """Views a second of the original's loop: batch 8, images one by one, float32, no overlap."""
    net = net.to(device, memory_format=torch.contiguous_format).float().train()
    spec = TrainSpec.paper(n_clusters=net.n_clusters)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-4)

    def step(i: int) -> None:
        chosen = tiles[np.arange(i * 8, i * 8 + 8) % len(tiles)]
        a, b = (torch.stack(v).to(device) for v in zip(*map(original_pair, chosen), strict=True))
        ha, hb = net.embed(a), net.embed(b)
        (za, ca), (zb, cb) = net.heads(ha), net.heads(hb)
        loss = loop.total_loss((ha, hb), (za, zb), (ca, cb), spec).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        _ = loss.item()

    return 16 / timed_steps(step, steps, device)


def our_loop(
    net: ContrastiveClusteringNet, tiles: np.ndarray, device: str, batch: int, steps: int, **options
) -> float:
    """Views a second of ours; tiles lie on the device when that is a GPU."""
    spec = TrainSpec(
        batch_size=batch, n_clusters=min(50, batch // 2), precision="auto", channels_last=True, **options
    )
    rng = np.random.default_rng(0)
    data = loop.Data(
        rows=lambda i: tiles[i % len(tiles)], train=np.arange(max(batch, len(tiles))), held_out=np.arange(0)
    )
    trainer = loop.Trainer(
        loop.start(net, spec, device=device),
        data,
        spec,
        views=Views("recommended", mean=(0.5,) * 3, std=(0.5,) * 3),
        device=device,
    )

    def step(i: int) -> None:
        trainer._one_step(rng.integers(0, len(data.train), batch), 0, i, 1000)

    return 2 * batch / timed_steps(step, steps, device)


def timed_steps(step, steps: int, device: str) -> float:
    """Seconds a step after two warm-up steps (CPU time on the CPU, wall time on a GPU)."""
    on_gpu = device.startswith("cuda")
    clock = time.perf_counter if on_gpu else time.process_time
    for i in range(2):
        step(i)
    if on_gpu:
        torch.cuda.synchronize()
    began = clock()
    for i in range(steps):
        step(2 + i)
    if on_gpu:
        torch.cuda.synchronize()
    return (clock() - began) / steps


def matmul_flops(device: str) -> float:
    """Measured bf16 FLOP/s of a large matrix product."""
    n = 8192
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    for _ in range(5):
        a @ a
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * n**3 / (time.perf_counter() - began)


def forward_flops(net: ContrastiveClusteringNet) -> float:
    """FLOP of one forward pass of one tile, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    net = net.to("cpu").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, SIDE, SIDE))
    return float(counter.get_total_flops())


def network(backbone: str, n_clusters: int = 50) -> ContrastiveClusteringNet:
    start = load_encoder(backbone, random_start=True)
    start.module.requires_grad_(True)
    torch.manual_seed(0)
    return ContrastiveClusteringNet(start.module, n_clusters, width=start.dim)


def real_tiles(folder: Path | None, n: int) -> np.ndarray:
    """Tiles of a folder, or random textures."""
    if folder is None:
        rng = np.random.default_rng(0)
        low = rng.integers(60, 255, (n, 14, 14, 3), dtype=np.uint8)
        return np.kron(low, np.ones((1, 16, 16, 1), np.uint8))
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpeg", ".jpg", ".png"))[::1]
    paths = paths[:: max(1, len(paths) // n)][:n]
    return np.stack([np.asarray(Image.open(p).convert("RGB").resize((SIDE, SIDE))) for p in paths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--backbone")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    gpu = given.device.startswith("cuda")
    torch.set_num_threads(1 if not gpu else torch.get_num_threads())
    backbone = given.backbone or ("resnet50" if gpu else "efficientnet-lite0")
    batch = given.batch or (512 if gpu else 32)
    steps = given.steps or (20 if gpu else 2)
    tiles = real_tiles(given.tiles, 1024 if gpu else 128)
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name() if gpu else "cpu, 1 thread", "date": time.strftime("%Y-%m-%d"),
        "backbone": backbone, "batch": batch, **augmentation(tiles), **storage(tiles),
    }  # fmt: skip
    original = original_loop(network(backbone), tiles, given.device, steps)
    small = our_loop(network(backbone, 4), tiles, given.device, 8, steps)
    large = our_loop(
        network(backbone, min(50, batch // 2)), tiles, given.device, batch, steps, compile=given.compile
    )
    result |= {
        "original_views_per_s": original, "ours_batch_8_views_per_s": small, "views_per_s": large,
        "tiles_per_s": large / 2, "engineering_effect": small / original, "batch_effect": large / small,
        "vs_original": large / original,
    }  # fmt: skip
    if gpu:
        peak = matmul_flops(given.device)
        result |= {
            "bf16_matmul_tflops": peak / 1e12,
            "mfu": 3 * forward_flops(network(backbone)) * large / peak,
        }
        result["max_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    rounded = {
        k: float(f"{v:.4g}") if isinstance(v, float) and math.isfinite(v) else v for k, v in result.items()
    }
    print(json.dumps(rounded))


if __name__ == "__main__":
    main()

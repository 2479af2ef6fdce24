"""How fast tiles are stain-normalised, against torchstain on the same tiles.

    python benchmarks/stain.py [--tiles N] [--rounds N]

Tiles of 224 px are cut from a real slide. Ratios are CPU-seconds a tile, one thread, medians of interleaved rounds.

vs_torchstain          {"macenko", "reinhard"}: torchstain's NumPy backend as it is called by default, over ours;
                       null with a reason where it is not installed
vs_torchstain_no_stains   Macenko again, without torchstain's two pictures of single stains
ms_per_tile            ours
mean_difference        grey levels between the two, mean over tiles (Macenko; Reinhard's colour spaces differ)

Prints one JSON object as the last line.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE = 224
SOURCE = Path(os.environ.get("PATHOSIG_DATA", "data")) / "slides" / "cmu-1-small-region.svs"


def tissue_tiles(n: int) -> np.ndarray:
    """Real tiles with tissue, uint8[n, 224, 224, 3]."""
    import tifffile

    image = tifffile.imread(SOURCE, key=0)
    rng = np.random.default_rng(0)
    tiles: list[np.ndarray] = []
    while len(tiles) < n:
        y, x = (int(rng.integers(0, s - SIZE)) for s in image.shape[:2])
        tile = image[y : y + SIZE, x : x + SIZE]
        if tile.mean() < 215:
            tiles.append(np.ascontiguousarray(tile))
    return np.stack(tiles)


def cpu(run: Callable[[], object], n: int) -> float:
    """CPU-seconds for each of n tiles."""
    start = time.process_time()
    run()
    return (time.process_time() - start) / n


def measure(tiles: np.ndarray, rounds: int) -> dict[str, object]:
    """All numbers."""
    from pathosig.tiles.stain import fit_reference, normalise

    references = {m: fit_reference(tiles[:1], m) for m in ("macenko", "reinhard")}
    runs: dict[str, Callable[[], object]] = {
        m: lambda r=r: normalise(tiles, r) for m, r in references.items()
    }
    reasons: dict[str, str] = {}
    result: dict[str, object] = {"tiles": len(tiles)}
    try:
        from torchstain import normalizers
    except ImportError as error:
        reasons["torchstain"] = f"{type(error).__name__}: {error}"
    else:
        macenko = normalizers.MacenkoNormalizer(backend="numpy")
        reinhard = normalizers.ReinhardNormalizer(backend="numpy")
        macenko.fit(tiles[0])
        reinhard.fit(tiles[0])
        runs |= {
            "peer_macenko": lambda: [macenko.normalize(I=t) for t in tiles],
            "peer_no_stains": lambda: [macenko.normalize(I=t, stains=False) for t in tiles],
            "peer_reinhard": lambda: [reinhard.normalize(I=t) for t in tiles],
        }
        theirs = np.stack([macenko.normalize(I=t, stains=False)[0] for t in tiles]).astype(float)
        ours = normalise(tiles, references["macenko"])
        result["mean_difference"] = round(float(np.abs(theirs - ours).mean()), 2)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(cpu(run, len(tiles)))
    times = {name: statistics.median(values) for name, values in found.items()}
    result["ms_per_tile"] = {m: round(1000 * times[m], 3) for m in references}
    peers = "peer_macenko" in times
    result["vs_torchstain"] = (
        {m: round(times[f"peer_{m}"] / times[m], 1) for m in references} if peers else None
    )
    result["vs_torchstain_no_stains"] = (
        round(times["peer_no_stains"] / times["macenko"], 1) if peers else None
    )
    return {**result, "reasons": reasons}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(json.dumps(measure(tissue_tiles(arguments.tiles), arguments.rounds)))


if __name__ == "__main__":
    main()

"""Slides that are unlike the training: how many are flagged, and how many of the same kind are by mistake.

    python benchmarks/unlike.py TILES [--slides SLIDE ...] [--patients 40] [--train 30] [--splits 4] [--most 400] [--deals 1]

TILES is a folder as in benchmarks/features.py. Its groups are dealt to patients of uneven mixtures of the classes; the distance
(`pathosig.phenotypes.distance`) is fitted on some, with at most so many tiles each, and judges the others and slides of forty tiles changed
on purpose: stained like immunohistochemistry (nuclei, membranes), grey, blurred (3 and 1.5 px), noisy, noise alone, fluorescence,
magnified and reduced twofold, green nuclei, pale, inverted, hue shifted by 12 and 25 of 255, pen. ``--slides`` are other organs, cut into tiles
of 224 px. With ``--deals`` above 1 the patients are dealt anew so many times and nothing is changed: false alarms only. Prints one JSON
object: false alarms on held-out patients, far tiles among theirs, proportion flagged of each kind.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage.color import hed2rgb, hsv2rgb, rgb2hed, rgb2hsv

from features import tile_files
from pathosig.encoder import load_encoder
from pathosig.encoder.engines import EnginePlan, engine_of
from pathosig.phenotypes.distance import Distance, Shift, fit_distance
from pathosig.phenotypes.kmeans import normalise
from pathosig.slides import open_slide

_SIDE = 224
_SLIDE = 40
_CHANGED = 160


def _bytes(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _stained(tile: np.ndarray, source: int, factor: float, nuclei: float) -> np.ndarray:
    """Diaminobenzidine where haematoxylin (0) or eosin (1) was, no eosin."""
    hed = rgb2hed(tile)
    hed[..., 2] = np.clip(hed[..., source], 0, None) * factor
    hed[..., 0] *= nuclei
    hed[..., 1] = 0
    return _bytes(hed2rgb(hed) * 255)


def _fluorescent(tile: np.ndarray) -> np.ndarray:
    nuclei, rest = (np.clip(rgb2hed(tile)[..., i] / 0.12, 0, 1) for i in (0, 1))
    return _bytes(np.stack([rest * 20, rest * 90, nuclei * 200], axis=2))


def _green(tile: np.ndarray) -> np.ndarray:
    hed = rgb2hed(tile)
    nuclei = np.clip(hed[..., 0] / 0.12, 0, 1)[..., None]
    hed[..., 0] = 0
    return _bytes(255 * (hed2rgb(hed) * (1 - nuclei) + nuclei * np.array([0.2, 0.55, 0.3])))


def _hue(tile: np.ndarray, shift: float) -> np.ndarray:
    hsv = rgb2hsv(tile)
    hsv[..., 0] = (hsv[..., 0] + shift) % 1
    return _bytes(hsv2rgb(hsv) * 255)


def _resized(tile: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC))


def _reduced(tile: np.ndarray) -> np.ndarray:
    small = _resized(tile, _SIDE // 2)
    row = np.concatenate([small, small[:, ::-1]], axis=1)
    return np.concatenate([row, row[::-1]])


def _blurred(tile: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(tile).filter(ImageFilter.GaussianBlur(sigma)))


def _pen(tile: np.ndarray) -> np.ndarray:
    out = tile.copy()
    out[:, 80:160] = _bytes(out[:, 80:160] * 0.3 + np.array([20, 40, 160]) * 0.7)
    return out


_RNG = np.random.default_rng(0)
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ihc_nuclei": lambda t: _stained(t, 0, 0.9, 0.5),
    "ihc_membranes": lambda t: _stained(t, 1, 1.2, 1.0),
    "grey": lambda t: np.repeat(_bytes(t @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=2),
    "blur_3": lambda t: _blurred(t, 3),
    "blur_1.5": lambda t: _blurred(t, 1.5),
    "noisy": lambda t: _bytes(t + _RNG.normal(0, 40, t.shape)),
    "noise": lambda t: _RNG.integers(0, 256, t.shape).astype(np.uint8),
    "fluorescence": _fluorescent,
    "magnified_2": lambda t: _resized(t[56:168, 56:168], _SIDE),
    "reduced_2": _reduced,
    "green": _green,
    "pale": lambda t: _bytes(255 - (255 - t.astype(float)) * 0.5),
    "inverted": lambda t: 255 - t,
    "hue_12": lambda t: _hue(t, 12 / 255),
    "hue_25": lambda t: _hue(t, 25 / 255),
    "pen": _pen,
}


def organ(path: Path) -> list[np.ndarray]:
    """Tiles of a slide at its own resolution that are at least a quarter tissue."""
    with open_slide(path) as reader:
        width, height = reader.info.level_sizes[0]
        image = reader.read_level(0, 0, 0, width, height)
    corners = [
        (x, y) for y in range(0, height - _SIDE + 1, _SIDE) for x in range(0, width - _SIDE + 1, _SIDE)
    ]
    tiles = [image[y : y + _SIDE, x : x + _SIDE] for x, y in corners]
    return [t for t in tiles if (t.min(axis=2) > 215).mean() < 0.75]


def flagged(distance: Distance, embeddings: np.ndarray, rng: np.random.Generator) -> list[bool]:
    """Slides of forty tiles each, judged."""
    order = rng.permutation(len(embeddings))
    size = min(_SLIDE, len(order))
    parts = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    return [distance.unlike(Shift.of(distance.of(embeddings[part]))) for part in parts]


def dealt(label: np.ndarray, group: np.ndarray, patients: int, *, seed: int) -> np.ndarray:
    """Patient of every tile: groups dealt to uneven mixtures of the classes."""
    rng = np.random.default_rng(seed)
    mixture = rng.dirichlet(np.full(label.max() + 1, 0.5), patients)
    patient = np.zeros(len(label), int)
    for g in np.unique(group):
        weight = mixture[:, label[group == g][0]]
        patient[group == g] = rng.choice(patients, p=weight / weight.sum())
    return patient


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--slides", type=Path, nargs="*", default=[])
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--train", type=int, default=30)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--most", type=int, default=400, help="tiles of a patient that enter the fit")
    parser.add_argument("--deals", type=int, default=1, help="times that patients are dealt anew")
    given = parser.parse_args()
    run = engine_of(load_encoder(), EnginePlan(engine="ort", device="cpu", batch_size=32))

    def embed(tiles: Sequence[np.ndarray]) -> np.ndarray:
        blocks = [run(np.stack(tiles[i : i + 32])) for i in range(0, len(tiles), 32)]
        return np.concatenate(blocks).astype(np.float32)

    files = tile_files(given.tiles)
    images = [_resized(np.asarray(Image.open(p).convert("RGB")), _SIDE) for p, _, _ in files]
    label, group = (np.unique([f[i] for f in files], return_inverse=True)[1] for i in (1, 2))
    first = np.unique(group, return_index=True)[1]
    changed = np.random.default_rng(1).permutation(first)[:_CHANGED]
    usual = embed(images)
    kinds = KINDS if given.deals == 1 else {}
    odd = {name: embed([change(images[i]) for i in changed]) for name, change in kinds.items()}
    odd |= {path.stem: embed(organ(path)) for path in given.slides}
    alarms: list[bool] = []
    far: list[float] = []
    caught: dict[str, list[bool]] = {name: [] for name in odd}
    for deal, split in product(range(given.deals), range(given.splits)):
        patient = dealt(label, group, given.patients, seed=3 + deal)
        rng = np.random.default_rng(split)
        names = rng.permutation(np.unique(patient))
        rows = np.concatenate(
            [rng.permutation(np.flatnonzero(patient == p))[: given.most] for p in names[: given.train]]
        )
        distance, _ = fit_distance(
            normalise(usual[rows]),
            patient=patient[rows],
            slide=patient[rows],
            seed=split,
        )
        for p in names[given.train :]:
            shift = Shift.of(distance.of(usual[patient == p]))
            alarms.append(distance.unlike(shift))
            far.append(shift.far)
        for name, embeddings in odd.items():
            caught[name] += flagged(distance, embeddings, rng)
    print(json.dumps({
        "train": given.train, "most": given.most, "splits": given.splits, "deals": given.deals, "held_out_slides": len(alarms),
        "false_alarms": float(np.mean(alarms)), "far_tiles": float(np.mean(far)),
        "flagged": {name: round(float(np.mean(v)), 3) for name, v in caught.items()},
    }))  # fmt: skip


if __name__ == "__main__":
    main()

"""The appearance of simulated tissue: procedural textures, or mosaics of real labelled tiles."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pathosig.core.errors import ConfigError
from pathosig.core.records import atomic_path
from pathosig.synthetic.textures import TEXTURE_NAMES, texture

_IMAGES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
_FEATHER = 28
_VARIANTS = 3


@dataclass(frozen=True, kw_only=True)
class TileLibrary:
    """Labelled tiles on disk: the names of the types, and the (path, group) of each tile of each type."""

    names: tuple[str, ...]
    tiles: tuple[tuple[tuple[str, str], ...], ...]

    def half(self, discovery: bool) -> TileLibrary:
        """Tiles of one half of the groups, so that discovery and validation never share a group."""
        out = []
        for rows in self.tiles:
            groups = sorted({g for _, g in rows})
            order = np.random.default_rng(len(groups)).permutation(len(groups))
            chosen = {groups[i] for i in order[: (len(groups) + 1) // 2]}
            out.append(tuple(r for r in rows if (r[1] in chosen) == discovery))
        return TileLibrary(names=self.names, tiles=tuple(out))


def read_library(folder: Path) -> TileLibrary:
    """Labelled tiles in a folder.

    Parameters
    ----------
    folder
        Has a subfolder with images for each type, and ``<type>.groups.csv`` if images come from common originals.

    Returns
    -------
    TileLibrary

    Raises
    ------
    ConfigError
        If there are fewer than three types, or a type has fewer than four groups.
    """
    names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if len(names) < 3:
        raise ConfigError(
            f"--tiles {folder.name}: found subfolders {names}; expected at least three types, one in each."
        )
    tiles = []
    for name in names:
        group = _groups(folder / f"{name}.groups.csv")
        files = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in _IMAGES)
        rows = tuple((str(p), group.get(p.name, p.name)) for p in files)
        if len({g for _, g in rows}) < 4:
            raise ConfigError(
                f"--tiles: type {name} has fewer than four groups of tiles. Add tiles of other patients."
            )
        tiles.append(rows)
    return TileLibrary(names=tuple(names), tiles=tuple(tiles))


def _groups(path: Path) -> dict[str, str]:
    """File name -> group; tiles made from the same original have the same group."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        return {r["img_path"].rsplit("/", 1)[-1]: r["cluster_label"] for r in csv.DictReader(handle)}


def type_names(types: int) -> tuple[str, ...]:
    """Names of the first `types` procedural types."""
    return tuple(TEXTURE_NAMES[i % len(TEXTURE_NAMES)] for i in range(types))


@functools.lru_cache(maxsize=40)
def _procedural(name: str, variant: int, seed: int, shared: str) -> np.ndarray:
    stored = Path(shared) / f"{name}-{variant}.npy"
    if shared and stored.is_file():
        return np.asarray(np.load(stored, allow_pickle=False))
    spread = (-0.6, 0.0, 0.6)[variant]
    image = texture(name, (seed, 21, variant, TEXTURE_NAMES.index(name)), size=1024, vary=spread)
    if shared:
        with atomic_path(stored) as path, path.open("wb") as file:
            np.save(file, image, allow_pickle=False)
    return image


@functools.lru_cache(maxsize=4000)
def _load(path: str) -> np.ndarray:
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if rgb.size != (224, 224):
            rgb = rgb.resize((224, 224), Image.Resampling.BOX)
        return np.asarray(rgb)


def procedural_fill(
    size: tuple[int, int], name: str, seed: int, rng: np.random.Generator, shared: str = ""
) -> np.ndarray:
    """A procedural texture, repeated from a random offset, uint8[height, width, 3].

    `shared` is a folder in which processes that paint with the same seed leave their textures for each other.
    """
    source = _procedural(name, int(rng.integers(_VARIANTS)), seed, shared)
    side = source.shape[0]
    top, left = int(rng.integers(side)), int(rng.integers(side))
    return _repeated(np.roll(source, (-top, -left), axis=(0, 1)), size[1], size[0])


def _repeated(source: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image repeated to fill a size, uint8[height, width, 3]."""
    times = (-(-height // source.shape[0]), -(-width // source.shape[1]), 1)
    return np.ascontiguousarray(np.tile(source, times)[:height, :width])


def mosaic_fill(
    size: tuple[int, int], tiles: Sequence[tuple[str, str]], rng: np.random.Generator
) -> np.ndarray:
    """A mosaic of real tiles that are rotated, flipped and blended into each other, uint8[height, width, 3].

    Rows of tiles have a random offset and tiles overlap by some pixels, so that no grid of 224 pixels is visible.
    """
    step = 224 - _FEATHER
    ramp = np.minimum(np.arange(1, 225), np.arange(224, 0, -1)) / _FEATHER
    weight_tile = np.clip(np.minimum.outer(ramp, ramp), 0.02, 1).astype(np.float32)[..., None]
    width, height = size
    total = np.zeros((height + 448, width + 448, 3), np.float32)
    weight = np.zeros((height + 448, width + 448, 1), np.float32)
    groups = sorted({g for _, g in tiles})
    chosen = set(rng.permutation(groups)[: max(4, len(groups) // 6)].tolist())
    pool = [p for p, g in tiles if g in chosen]
    for top in range(int(rng.integers(step)), height + 224, step):
        for left in range(int(rng.integers(step)), width + 224, step):
            tile = _load(pool[int(rng.integers(len(pool)))])
            tile = np.rot90(tile, int(rng.integers(4)))
            tile = tile[:, ::-1] if rng.random() < 0.5 else tile
            place = (slice(top, top + 224), slice(left, left + 224))
            total[place] += tile * weight_tile
            weight[place] += weight_tile
    filled = total[224 : 224 + height, 224 : 224 + width] / np.maximum(
        weight[224 : 224 + height, 224 : 224 + width], 0.01
    )
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def paint(
    labels: np.ndarray, fills: dict[int, np.ndarray], rng: np.random.Generator, shift: float
) -> np.ndarray:
    """A slide at level 0: a fill for each label on glass, with the stain strength of this slide.

    Parameters
    ----------
    labels
        uint8[h, w] at level 0; 0 is glass.
    fills
        Label -> uint8[h, w, 3].
    rng
        Generator for the noise of the glass and the stain.
    shift
        Ten times the standard deviation of the logarithm of the stain strength of a channel.

    Returns
    -------
    uint8[h, w, 3]
    """
    out = bare_glass(labels.shape, rng)
    apply_fills(out, labels, fills, stain_table(shift, rng))
    return out


def bare_glass(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Empty glass with the noise of a camera, uint8[height, width, 3]."""
    height, width = shape[:2]
    glass = np.array([244, 243, 245], np.float32)
    grain = rng.normal(0, 1.2, (256, 256, 1)).astype(np.float32)
    return _repeated(np.clip(glass + grain, 0, 255).astype(np.uint8), height, width)


def stain_table(shift: float, rng: np.random.Generator) -> np.ndarray:
    """New value for each old value and channel, for a slide with its own stain strength, uint8[256, 3]."""
    # I' = I0 (I / I0)^strength: optical density times strength
    strength = np.exp(rng.normal(0, 0.1 * shift, 3))
    return np.asarray(
        np.clip(np.rint(244 * (np.arange(256)[:, None] / 244) ** strength), 0, 255).astype(np.uint8)
    )


def apply_fills(out: np.ndarray, labels: np.ndarray, fills: dict[int, np.ndarray], table: np.ndarray) -> None:
    """Paint fills into an image, in place, with the colours that the slide's stain table gives."""
    for value, fill in fills.items():
        inside = labels == value
        for channel in range(3):
            stained = np.take(table[:, channel], fill[..., channel])
            np.copyto(out[..., channel], stained, where=inside)

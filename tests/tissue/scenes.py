"""Generated low-power slides with everything that misleads a tissue detector, and their true masks."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

UM = 4.0
"""Micrometres per pixel of the generated slides."""

GLASS = {
    "white": (246, 246, 247),
    "grey": (222, 222, 224),
    "dark grey": (200, 201, 203),
    "warm": (243, 236, 222),
    "bluish": (228, 233, 244),
    "pinkish": (243, 232, 238),
}
INK = {
    "blue": (28, 58, 190),
    "green": (18, 140, 62),
    "black": (24, 23, 26),
    "red": (205, 28, 38),
    "light blue": (70, 140, 215),
}
H, E = np.array([0.60, 0.70, 0.30]), np.array([0.10, 0.55, 0.22])
ARTEFACTS = ("blur", "pen", "fold")


@dataclass
class Scene:
    """A generated slide with its true masks."""

    rgb: np.ndarray
    tissue: np.ndarray
    artefacts: dict[str, np.ndarray] = field(default_factory=dict)


def noise(rng, shape, sigma):
    """Smooth noise of unit variance."""
    values = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap")
    return values / values.std()


def blob(rng, shape, centre, radius):
    """A piece with a ragged outline, bool."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    stretch = rng.uniform(0.75, 1.3)
    distance = np.hypot((x - centre[0]) * stretch, (y - centre[1]) / stretch)
    ragged = 0.09 * radius * noise(rng, shape, 30) + 0.02 * radius * noise(rng, shape, 6)
    return distance + ragged < radius


def stained(rng, shape, strength):
    """Optical density of nuclei and stroma, float32[h, w, 3]."""
    nuclei = np.clip(noise(rng, shape, 0.9) - 0.3, 0, 2.5) * (1 + 0.4 * noise(rng, shape, 25)).clip(0.2, 2)
    stroma = np.clip(1 + 0.30 * noise(rng, shape, 3) + 0.25 * noise(rng, shape, 20), 0.25, 2.2)
    return strength * (0.28 * nuclei[..., None] * H + 0.50 * stroma[..., None] * E)


def fat(rng, shape):
    """Optical density of fat: thin walls around empty cells of 50 to 90 micrometres."""
    n = int(shape[0] * shape[1] * UM**2 / 70**2)
    points = np.stack([rng.uniform(0, s, n) for s in shape], axis=1)
    from scipy.spatial import cKDTree

    yx = np.stack(np.meshgrid(*(np.arange(s) for s in shape), indexing="ij"), -1).reshape(-1, 2)
    distance = cKDTree(points).query(yx, k=2)[0]
    wall = np.exp(-((((distance[:, 1] - distance[:, 0]) * UM) / 5.0) ** 2)).reshape(shape)
    return (0.45 * wall[..., None] * E).astype(np.float32)


def stroke(rng, shape, width):
    """A marker stroke across a part of the slide, bool."""
    height, length = shape
    x = np.linspace(rng.uniform(0, 0.3), rng.uniform(0.6, 1.0), 400) * length
    bend = rng.uniform(-0.15, 0.15) * height * np.sin(np.linspace(0, np.pi, 400))
    y = np.linspace(rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95), 400) * height + bend
    line = np.ones(shape, bool)
    line[np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, length - 1).astype(int)] = False
    return ndimage.distance_transform_edt(line) < width / 2


def tissue_scene(seed, *, shape=(1000, 1400)):
    """A slide with glass, stain, fat, pen marks, dust and coverslip edge drawn at random; pen marks are not tissue."""
    rng = np.random.default_rng(seed)
    glass = np.array(list(GLASS.values())[seed % len(GLASS)], np.float32)
    strength = (0.35, 1.0, 0.6, 1.5)[seed % 4]
    density, tissue = _pieces(rng, shape, strength)
    if seed % 3 == 0:
        where = blob(rng, shape, (rng.uniform(0.2, 0.8) * shape[1], rng.uniform(0.2, 0.8) * shape[0]), 130)
        where &= ~tissue
        density[where] = fat(rng, shape)[where]
        tissue |= where
    density += 0.004 * noise(rng, shape, 200)[..., None]  # uneven light
    pen = np.zeros(shape, bool)
    image = np.broadcast_to(glass, (*shape, 3)).astype(np.float32)
    image = image * 10.0 ** -np.clip(density, -0.01, 2.5)
    if seed % 2 == 0:
        for _ in range(int(rng.integers(1, 3))):
            image, drawn = _ink(rng, image, list(INK.values())[int(rng.integers(len(INK)))])
            pen |= drawn
    _dust(rng, image)
    if seed % 3 == 1:
        _coverslip(rng, image)
    return Scene(rgb=_scanned(rng, image), tissue=tissue & ~pen, artefacts={"pen": pen})


def artefact_scene(seed, *, shape=(1000, 1400)):
    """A well-stained slide with patches out of focus, folds and pen, each as bool[h, w]."""
    rng = np.random.default_rng(10_000 + seed)
    glass = np.array(list(GLASS.values())[seed % 3], np.float32)
    density, tissue = _pieces(rng, shape, (0.8, 1.0, 1.3)[seed % 3])
    fold = np.zeros(shape, bool)
    for _ in range(2):
        fold |= stroke(rng, shape, rng.uniform(40, 70)) & tissue
    density[fold] *= rng.uniform(2.3, 3.0)  # two or three layers of tissue
    image = glass * 10.0 ** -np.clip(density, 0, 2.5)
    blur = np.zeros(shape, bool)
    for _ in range(2):
        at = (rng.uniform(0.2, 0.8) * shape[1], rng.uniform(0.2, 0.8) * shape[0])
        blur |= blob(rng, shape, at, 150)
    soft = ndimage.gaussian_filter(image, (rng.uniform(9, 14) / UM,) * 2 + (0,))
    image = np.where(blur[..., None], soft, image)
    image, pen = _ink(rng, image, list(INK.values())[seed % len(INK)])
    return Scene(
        rgb=_scanned(rng, image),
        tissue=tissue,
        artefacts={"blur": blur & ~pen, "pen": pen, "fold": fold & ~pen},
    )


def _pieces(rng, shape, strength):
    density, tissue = np.zeros((*shape, 3), np.float32), np.zeros(shape, bool)
    for _ in range(int(rng.integers(1, 4))):
        centre = (rng.uniform(0.25, 0.75) * shape[1], rng.uniform(0.3, 0.7) * shape[0])
        tissue |= blob(rng, shape, centre, rng.uniform(140, 300))
    for _ in range(int(rng.integers(0, 4))):  # lumens and tears
        centre = (rng.uniform(0.3, 0.7) * shape[1], rng.uniform(0.3, 0.7) * shape[0])
        tissue &= ~blob(rng, shape, centre, rng.uniform(30, 60))
    density[tissue] = stained(rng, shape, strength)[tissue]
    return density, tissue


def _ink(rng, image, colour):
    drawn = stroke(rng, image.shape[:2], rng.uniform(300, 900) / UM)
    cover = np.clip(0.92 + 0.06 * noise(rng, drawn.shape, 8), 0.75, 1.0)
    soft = ndimage.gaussian_filter(drawn.astype(np.float32), 1.0) * cover
    through = np.minimum(image, 255) / 255
    ink = np.array(colour, np.float32) * (0.85 + 0.15 * through)
    return image * (1 - soft[..., None]) + ink * soft[..., None], drawn


def _dust(rng, image):
    height, width = image.shape[:2]
    for _ in range(60):
        x, y, r = int(rng.integers(5, width - 5)), int(rng.integers(5, height - 5)), int(rng.integers(1, 5))
        image[y - r : y + r, x - r : x + r] *= rng.uniform(0.3, 0.8)
    fibre = stroke(rng, (height, width), 4.5)
    image[fibre] *= 0.7


def _coverslip(rng, image):
    height, width = image.shape[:2]
    at = int(rng.uniform(0.03, 0.1) * width)
    image[:, at : at + 5] *= 0.72
    image[:, :at] *= 0.985  # uncovered glass is a little brighter or darker than glass under the coverslip
    y = int(rng.uniform(0.92, 0.97) * height)
    image[y : y + 4] *= 0.8


def _scanned(rng, image):
    """Sensor noise and JPEG, uint8."""
    import simplejpeg

    noisy = np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(noisy), 85))


def halved(image):
    """2 x 2 means."""
    h, w = image.shape[0] // 2, image.shape[1] // 2
    parts = image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, *image.shape[2:]).astype(np.float32)
    return parts.mean(axis=(1, 3))


def dice(found, truth):
    """Overlap of two masks."""
    return float(2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1))


def tissue_dice(seed):
    """Dice coefficient of the default tissue mask of a generated slide at 8 micrometres per pixel."""
    from pathosig.tissue import tissue_mask

    scene = tissue_scene(seed)
    rgb = np.rint(halved(scene.rgb)).astype(np.uint8)
    return dice(tissue_mask(rgb, mpp=2 * UM), halved(scene.tissue) > 0.5)


def artefact_counts(seed, tile=28):
    """Numbers of tiles by artefact, at default settings: [bad and left out, bad and kept, clean and left out because of it].

    A tile is bad if more than half of it lies in the artefact, and clean if less than a tenth lies in any artefact.
    """
    from pathosig.tiles import TileSpec, grid, quality, tissue_fraction
    from pathosig.tiles.quality import excluded

    scene = artefact_scene(seed)
    height, width = scene.tissue.shape
    xy = grid((width, height), float(tile))
    share = {k: tissue_fraction(m, xy, tile, 1.0) for k, m in scene.artefacts.items()}
    looked_at = (tissue_fraction(scene.tissue, xy, tile, 1.0) > 0.6) | (share["pen"] > 0.5)
    share = {k: v[looked_at] for k, v in share.items()}
    reasons = excluded(quality(scene.rgb, xy[looked_at], tile, 1.0), TileSpec())
    out = np.any(list(reasons.values()), axis=0)
    worst = np.max(list(share.values()), axis=0)
    counts = {k: _counts(share[k] > 0.5, out, reasons[k] & (worst < 0.1)) for k in ARTEFACTS}
    return {**counts, "any": _counts(worst > 0.5, out, out & (worst < 0.1))}


def _counts(bad, out, false):
    return np.array([(bad & out).sum(), (bad & ~out).sum(), false.sum()])

"""Generated tissue microarrays with known cores."""

import numpy as np


def microarray(rows, columns, *, angle=0.0, missing=0.1, bend=0.0, diameter=34, pitch=48, seed=0):
    """(rgb uint8[h, w, 3], centres float[rows, columns, 2], present bool[rows, columns])."""
    rng = np.random.default_rng(seed)
    r, c = np.mgrid[:rows, :columns].astype(float)
    x, y = (c - (columns - 1) / 2) * pitch, (r - (rows - 1) / 2) * pitch * 1.08
    x = x + bend * pitch * np.sin(2.5 * r / rows + 0.3)
    y = y + bend * pitch * np.cos(2.0 * c / columns)
    x, y = x + rng.normal(0, 0.04 * pitch, x.shape), y + rng.normal(0, 0.04 * pitch, y.shape)
    turn = np.deg2rad(angle)
    centres = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=2)
    margin = pitch * 1.3
    low = centres.reshape(-1, 2).min(axis=0) - margin
    centres = centres - low
    width, height = np.ceil(centres.reshape(-1, 2).max(axis=0) + margin).astype(int)
    present = rng.random((rows, columns)) >= missing
    rgb = np.full((height, width, 3), (243, 242, 244), float) + rng.normal(0, 1.5, (height, width, 1))
    for row, column in zip(*np.nonzero(present), strict=True):
        cx, cy = centres[row, column]
        window = tuple(slice(int(v - diameter), int(v + diameter)) for v in (cy, cx))
        yy, xx = np.mgrid[window]
        radius = diameter / 2 * rng.uniform(0.85, 1.05)
        disc = (xx - cx) ** 2 + (yy - cy) ** 2 < radius**2
        if rng.random() < 0.25:  # a torn core: a wedge or a hole is gone
            direction = rng.uniform(0, 2 * np.pi)
            disc &= (xx - cx) * np.cos(direction) + (yy - cy) * np.sin(direction) < radius * rng.uniform(
                0.1, 0.8
            )
        colour = np.array([205, 140, 180]) + rng.normal(0, 15, 3)
        texture = rng.normal(0, 18, (int(disc.sum()), 1))
        rgb[window][disc] = np.clip(colour + texture, 0, 238)
    yy, xx = np.mgrid[:height, :width]
    for _ in range(12):  # dust
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        rgb[(xx - cx) ** 2 + (yy - cy) ** 2 < rng.uniform(1, 4) ** 2] = (90, 90, 95)
    return rgb.clip(0, 255).astype(np.uint8), centres, present


def share_right(cores, centres, present, *, tolerance=0.3, pitch=48):
    """Proportion of positions whose core is found in the right row and column or correctly reported as missing."""
    rows, columns = present.shape
    right = 0
    found = {(c.row - 1, c.column - 1): c for c in cores}
    for row in range(rows):
        for column in range(columns):
            core = found.get((row, column))
            if core is None:
                continue
            near = np.hypot(*(np.array([core.x, core.y]) - centres[row, column])) < tolerance * pitch
            right += core.status == "ok" and near if present[row, column] else core.status != "ok"
    return right / max(rows * columns, len(found))

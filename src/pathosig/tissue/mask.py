"""The tissue mask, from optical density relative to the background of the slide, colour and shape."""

from __future__ import annotations

import numpy as np
from skimage import feature, segmentation

from pathosig.slides.otsu import otsu
from pathosig.tissue.artefacts import is_ink, strokes
from pathosig.tissue.morphology import closed, opened, pieces, smoothed
from pathosig.tissue.spec import TissueSpec

_BAND = 64
"""Rows that are processed together, so that the memory of temporary arrays is reused instead of allocated again."""

_GAP_UM = 28.0
"""Radius of the closing, which joins the walls of fat cells, so that their insides become small holes."""

_THIN_UM = 20.0
"""Radius of the opening, which removes fibres and edges of coverslips."""


def background_colour(rgb: np.ndarray) -> np.ndarray:
    """Colour of the empty glass, float[3]: the mode of the bright, weakly coloured pixels.

    Parameters
    ----------
    rgb
        uint8[h, w, 3].
    """
    flat = rgb.reshape(-1, 3)
    if len(flat) > 200_000:
        flat = flat[:: len(flat) // 200_000]
    planes = np.ascontiguousarray(flat.T)
    low, high = np.minimum.reduce(planes), np.maximum.reduce(planes)
    glass = (low > 140) & (high - low < 45)
    if glass.mean() < 0.005:  # without visible glass a white lamp is assumed
        return np.array([245.0, 245.0, 245.0])
    level = (planes[0].astype(np.uint16) + planes[1] + planes[2]) // 3
    counts = np.bincount(level[glass], minlength=256).astype(float)
    counts = np.convolve(counts, np.ones(5) / 5, mode="same")
    if counts[250:].sum() > 0.2 * counts.sum():
        mode = 252
    else:
        # The brightest peak of at least a fifth of the height of the highest, because pale tissue is darker than the glass.
        peaks = np.flatnonzero(counts >= 0.2 * counts.max())
        mode = int(peaks[-1])
        window = slice(max(mode - 8, 0), mode + 1)
        mode = window.start + int(np.argmax(counts[window]))
    near = glass & (level >= mode) & (level <= mode + 4)  # darker pixels may be pale tissue
    return np.array([_median(plane[near if near.any() else glass]) for plane in planes])


def _median(values: np.ndarray) -> float:
    """Median of uint8[n] from the counts of the values."""
    below = np.cumsum(np.bincount(values, minlength=256))
    middle = np.searchsorted(below, [(len(values) - 1) // 2, len(values) // 2], side="right")
    return float(middle.sum() / 2)


def optical_density(rgb: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Optical density log10(background / pixel) of each channel, at least 0: float32[h, w, 3] with contiguous channels."""
    table = np.log10(np.maximum(background[:, None], 1.0) + 1.0) - np.log10(np.arange(256.0) + 1.0)
    table = np.clip(table, 0, None).astype(np.float32)
    planes = np.empty((3, *rgb.shape[:-1]), np.float32)
    for channel in range(3):
        np.take(table[channel], rgb[..., channel], out=planes[channel], mode="clip")
    return np.moveaxis(planes, 0, -1)


def channel_mean(values: np.ndarray) -> np.ndarray:
    """Mean over three channels; NumPy's mean is five times slower for such a short axis."""
    return np.asarray((values[..., 0] + values[..., 1] + values[..., 2]) * np.float32(1 / 3))


def channel_range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum over three channels."""
    a, b, c = (values[..., i] for i in range(3))
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def tissue_mask(rgb: np.ndarray, spec: TissueSpec | None = None, *, mpp: float | None = None) -> np.ndarray:
    """Mask of the tissue in a low-power image.

    Parameters
    ----------
    rgb
        uint8[h, w, 3], the whole slide at low power.
    spec
        Settings; the defaults if None.
    mpp
        Micrometres per pixel of `rgb`; by default ``spec.mpp``.

    Returns
    -------
    bool[h, w]

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Trans. SMC 9(1).
    """
    spec = spec or TissueSpec()
    scale = mpp or spec.mpp
    background = background_colour(rgb)
    score, ink = np.empty(rgb.shape[:2], np.float32), np.zeros(rgb.shape[:2], bool)
    for top in range(0, len(rgb), _BAND):
        rows = slice(top, top + _BAND)
        density = optical_density(rgb[rows], background)
        score[rows] = _score(density)
        if spec.remove_pen:
            ink[rows] = is_ink(density)
    blocked = strokes(ink)
    score[blocked] = 0
    radius = spec.smooth_um / scale
    if radius >= 0.5:
        score = smoothed(score, radius / 2)
    mask = score > threshold(score, spec)
    mask &= ~blocked
    return _shaped(mask, spec, scale)


def _score(density: np.ndarray) -> np.ndarray:
    """Similarity to stained tissue: mean optical density, plus the excess of green over red and blue, as in H&E."""
    red, green, blue = (density[..., i] for i in range(3))
    return np.asarray(channel_mean(density) + np.maximum(green - np.minimum(red, blue), 0))


def threshold(score: np.ndarray, spec: TissueSpec) -> float:
    """Otsu's threshold of the logarithm of the score, limited to a range between the noise of the glass and a maximum."""
    noise = 2 * spec.min_density
    floor = np.float32(noise / 4)
    above = score[score > floor]
    glass = score.size - above.size  # most of a slide, so that its pixels are counted instead of stored
    values = np.log10(np.minimum(np.append(above, floor) if glass else above, np.float32(2)))
    counts, edges = np.histogram(values, bins=128)
    counts[0] += max(glass - 1, 0)
    centres = (edges[1:] + edges[:-1]) / 2
    cut = float(10 ** edges[1:][otsu(counts, centres)]) if counts.astype(bool).sum() > 1 else noise
    return float(
        np.clip(
            cut * spec.sensitivity, noise * min(1.0, spec.sensitivity), 8 * noise * max(1.0, spec.sensitivity)
        )
    )


def _shaped(mask: np.ndarray, spec: TissueSpec, mpp: float) -> np.ndarray:
    """The mask without gaps, small holes, fibres, specks and slide edges."""
    whole = closed(mask, max(1, round(_GAP_UM / mpp)))
    filled = _fill_holes(whole, spec.min_hole_um2 / mpp**2)
    if spec.min_hole_um2:  # glass that contains a disc of the area of a hole stays glass, also in bays
        filled &= ~opened(~closed(mask, 1), max(1, round(np.sqrt(spec.min_hole_um2 / np.pi) / mpp)))
    if min(mask.shape) > 50:
        filled = opened(filled, max(1, round(_THIN_UM / mpp)))
    kept = _large(filled, spec.min_area_um2 / mpp**2)
    return split_touching(kept, radius=max(2, round(100 / mpp))) if spec.split else kept


def _fill_holes(mask: np.ndarray, area: float) -> np.ndarray:
    holes = pieces(~mask)
    height, width = mask.shape
    inside = np.all(holes.boxes[:, :2] > 0, axis=1) & np.all(holes.boxes[:, 2:] < (height, width), axis=1)
    return mask | holes.chosen(inside & (holes.areas < area))


def _large(mask: np.ndarray, area: float) -> np.ndarray:
    """The mask without small pieces, and without long thin ones, which are edges of coverslips and slides."""
    components = pieces(mask)
    sides = components.boxes[:, 2:] - components.boxes[:, :2]
    long, short = sides.max(axis=1), sides.min(axis=1)
    thickness, largest = components.areas / long, max(mask.shape)
    lines = (long > 0.4 * largest) & (thickness < min(0.02 * largest, 8)) & (short < 0.2 * long)
    return components.chosen((components.areas >= area) & ~lines)


def split_touching(mask: np.ndarray, *, radius: int) -> np.ndarray:
    """Separate touching compact pieces by a watershed on the distance to the background.

    Parameters
    ----------
    mask
        bool[h, w].
    radius
        Distance in pixels; maxima of the distance to the background that are closer belong to one piece.
    """
    from scipy import ndimage  # most studies do not separate pieces

    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    peaks = feature.peak_local_max(distance, min_distance=radius, labels=ndimage.label(mask)[0])
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    lines = segmentation.watershed(-distance, markers, mask=mask, watershed_line=True) == 0
    return mask & ~lines

"""Selection of the level for a resolution, and the resampling that all readers use."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.reader import SlideInfo

try:
    from pathosig.slides import _resample
except ImportError:  # no compiler was available when the package was built
    COMPILED = False
else:
    COMPILED = True
"""Whether the loops of the resampling are compiled; results are identical in either case."""

_SAME = 0.01
"""A level is read without resampling if its resolution differs from the target by at most this proportion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPlan:
    """How to read pixels at a target resolution.

    Attributes
    ----------
    mpp
        Target resolution in micrometres per pixel.
    level
        Level that is read, which is the coarsest one that is not coarser than the target.
    level_downsample
        Level-0 pixels per pixel of this level.
    scale
        Pixels of this level per target pixel; 1.0 means no resampling.
    exact
        Whether to decode at full size and average areas, instead of decoding JPEG at reduced size.

    Examples
    --------
    >>> ReadPlan(mpp=1.0, level=1, level_downsample=4.0, scale=1.5).level0_per_px
    6.0
    """

    mpp: float
    level: int
    level_downsample: float
    scale: float
    exact: bool = False

    @property
    def level0_per_px(self) -> float:
        """Level-0 pixels per target pixel."""
        return self.level_downsample * self.scale

    def to_dict(self) -> dict[str, float]:
        """The attributes as plain values."""
        return asdict(self)


def plan_read(info: SlideInfo, mpp: float, *, tolerance: float = 0.05, exact: bool = False) -> ReadPlan:
    """Plan how to read a slide at a target resolution.

    Parameters
    ----------
    info
        Properties of the slide, as in ``reader.info``.
    mpp
        Target resolution in micrometres per pixel, above 0.
    tolerance
        By which fraction level 0 may be coarser than the target; a larger difference would require interpolation.
    exact
        Whether to decode at full size and average areas, instead of decoding JPEG at reduced size.

    Returns
    -------
    ReadPlan

    Raises
    ------
    SlideError
        E_MPP if the resolution of the slide is unknown, E_RESOLUTION if the slide is coarser than the target.

    Examples
    --------
    >>> from pathosig.slides.reader import SlideInfo
    >>> sizes = ((40_000, 30_000), (10_000, 7_500))
    >>> info = SlideInfo(level_sizes=sizes, downsamples=(1.0, 4.0), mpp=0.25, mpp_source="header", vendor="aperio")
    >>> plan = plan_read(info, 0.5)
    >>> plan.level, plan.scale
    (0, 2.0)
    >>> plan_read(info, 2.0).level
    1
    """
    if info.mpp is None:
        raise SlideError(
            "no mpp in its header. Give it in the mpp column of slides.csv, or drop the slide.", code="E_MPP"
        )
    if info.mpp > mpp * (1 + tolerance):
        raise SlideError(
            f"its finest level has {info.mpp:g} micrometres per pixel, which is coarser than the {mpp:g} asked for. "
            f"Ask for mpp >= {info.mpp:g}, or drop the slide.",
            code="E_RESOLUTION",
        )
    level = 0
    for index, downsample in enumerate(info.downsamples):
        if info.mpp * downsample <= mpp * (1 + _SAME):
            level = index
    scale = mpp / (info.mpp * info.downsamples[level])
    if abs(scale - 1) <= _SAME:
        scale = 1.0
    return ReadPlan(
        mpp=mpp, level=level, level_downsample=info.downsamples[level], scale=float(scale), exact=exact
    )


def resample(
    image: np.ndarray, size: tuple[int, int], *, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Area resampling: every target pixel is the mean of the source area that it covers.

    Parameters
    ----------
    image
        uint8[h, w, c].
    size
        (width, height) of the result.
    box
        (x, y, width, height) of the source area in pixels, which may be fractions; by default the whole image. Beyond the
        edges of the image the edge pixels are repeated.

    Returns
    -------
    uint8[size[1], size[0], c]; if target pixels are smaller than source pixels they are linearly interpolated.

    Examples
    --------
    >>> image = np.array([[[0], [100], [200], [60]]], np.uint8)
    >>> resample(image, (2, 1)).ravel()
    array([ 50, 130], dtype=uint8)
    >>> resample(image, (1, 1), box=(0.5, 0, 2, 1)).ravel()  # half of the first pixel, the second, half of the third
    array([100], dtype=uint8)
    """
    height, width = image.shape[:2]
    x, y, w, h = box or (0.0, 0.0, float(width), float(height))
    if (x, y, w, h) == (0.0, 0.0, float(size[0]), float(size[1])) and (width, height) == size:
        return image
    whole = _whole_factor(image, size, (x, y, w, h))
    if whole is not None:
        return whole
    rows, columns = _taps(y, h, size[1], height), _taps(x, w, size[0], width)
    if COMPILED and image.dtype == np.uint8:
        result = np.empty((size[1], size[0], image.shape[2]), np.uint8)
        _resample.resample(np.ascontiguousarray(image), *rows, *columns, result)
        return result
    sums = _weighted(image.astype(np.float32), *rows)
    out = _weighted(sums.transpose(1, 0, 2), *columns).transpose(1, 0, 2)
    result = np.clip(np.rint(out), 0, 255).astype(np.uint8)
    return result


def _whole_factor(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray | None:
    """Means of blocks, if the source is an integer multiple of the target; None otherwise."""
    x, y, w, h = box
    fx, fy = w / size[0], h / size[1]
    if fx != fy or fx != int(fx) or x != int(x) or y != int(y):
        return None
    factor, x0, y0 = int(fx), int(x), int(y)
    source = image[y0 : y0 + int(h), x0 : x0 + int(w)]
    if factor < 1 or source.shape[:2] != (int(h), int(w)) or x0 < 0 or y0 < 0:
        return None
    if factor == 1:
        return np.ascontiguousarray(source)
    if COMPILED and image.dtype == np.uint8:
        mean: np.ndarray = np.empty((size[1], size[0], image.shape[2]), np.uint8)
        _resample.block_means(np.ascontiguousarray(source), factor, mean)
        return mean
    total: np.ndarray = np.zeros((size[1], size[0], image.shape[2]), np.uint32)
    for dy in range(factor):
        for dx in range(factor):
            total += source[dy::factor, dx::factor]
    area = factor * factor
    mean = ((total + area // 2) // area).astype(np.uint8)
    return mean


@functools.lru_cache(maxsize=64)
def _taps(start: float, length: float, size: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Source rows of each target row, int32[taps, size], and their weights, float32[taps, size]; n source rows in all."""
    step = length / size
    lower = start + step * np.arange(size)
    if step < 1:  # enlargement: linear interpolation between pixel centres
        centre = lower + step / 2 - 0.5
        first = np.floor(centre).astype(int)
        fraction = (centre - first).astype(np.float32)
        sources, weights = [first, first + 1], [1 - fraction, fraction]
    else:
        upper = lower + step
        first = np.floor(lower + 1e-9).astype(int)
        sources = [first + tap for tap in range(int(np.ceil(step)) + 1)]
        weights = [np.clip(np.minimum(s + 1, upper) - np.maximum(s, lower), 0, None) / step for s in sources]
    index = np.clip(np.stack(sources), 0, n - 1).astype(np.int32)
    return index, np.stack(weights).astype(np.float32)


def _weighted(image: np.ndarray, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted sums of source rows, float32[size, ...]."""
    out = np.zeros((index.shape[1], *image.shape[1:]), np.float32)
    for source, share in zip(index, weight, strict=True):
        if share.any():
            out += image[source] * share[:, None, None]
    return out

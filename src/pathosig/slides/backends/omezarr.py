"""OME-Zarr slides (NGFF 0.4 and 0.5, Zarr 2 and 3): folders of chunks, read with the package zarr."""

from __future__ import annotations

import errno
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.cache import PieceCache, bytes_kept
from pathosig.slides.backends.ngff import ZarrFacts, ZarrLevel, read_facts
from pathosig.slides.backends.source import read_error
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.resolution import checked_mpp

_ROUNDING = 0.02


class OmeZarrReader(ContextClose):
    """An OME-Zarr slide. Decoded chunks are cached.

    A chunk that is not stored has the fill value, as the format prescribes.

    Raises
    ------
    SlideError
        E_FORMAT, also if the package zarr is not installed, and the errors of `read_facts`.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        if not path.is_dir():
            raise SlideError(
                f"{path.name}: is a file, but an OME-Zarr slide is a folder. Unpack it.", code="E_FORMAT"
            )
        self._facts = read_facts(path)
        self._arrays = [_open(path, level) for level in self._facts.levels]
        self._cache = PieceCache(max(bytes_kept(*self.piece_px(i)) for i in range(len(self._arrays))))
        value, source = checked_mpp(*self._facts.mpp, given=mpp, name=path.name)
        self.info = SlideInfo(
            level_sizes=tuple(self._facts.size(i) for i in range(len(self._arrays))),
            downsamples=_downsamples(self._facts),
            mpp=value,
            mpp_source=source,
            vendor="ome-zarr",
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level, white outside the slide."""
        return self._assembled(level, (x, y, width, height), lossy=False)[0]

    def read_with_holes(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, int]:
        """Pixels of a level, white where a chunk cannot be decoded, and the number of pixels lost in this way."""
        return self._assembled(level, (x, y, width, height), lossy=True)

    def _assembled(
        self, level: int, box: tuple[int, int, int, int], *, lossy: bool
    ) -> tuple[np.ndarray, int]:
        x, y, width, height = box
        out, lost = np.full((height, width, 3), 255, np.uint8), 0
        total_w, total_h = self.info.level_sizes[level]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, total_w), min(y + height, total_h)
        if x1 <= x0 or y1 <= y0:
            return out, 0
        step_x, step_y = self.piece_px(level)
        for row in range(y0 // step_y, -(-y1 // step_y)):
            top, bottom = max(row * step_y, y0), min((row + 1) * step_y, y1)
            for column in range(x0 // step_x, -(-x1 // step_x)):
                left, right = max(column * step_x, x0), min((column + 1) * step_x, x1)
                try:
                    pixels = self._decoded(level, column, row)
                except SlideError as error:
                    if not lossy or error.code == "E_READ":
                        raise
                    lost += (right - left) * (bottom - top)
                    continue
                out[top - y : bottom - y, left - x : right - x] = pixels[
                    top - row * step_y : bottom - row * step_y,
                    left - column * step_x : right - column * step_x,
                ]
        return out, lost

    def piece_px(self, level: int) -> tuple[int, int]:
        """(width, height) of a level's chunks."""
        chunks = self._arrays[level].chunks
        return int(chunks[self._facts.axes.index("x")]), int(chunks[self._facts.axes.index("y")])

    def _decoded(self, level: int, column: int, row: int) -> np.ndarray:
        """The pixels of a chunk, all channels, uint8[h, w, 3]."""
        return self._cache.get((level, column, row), lambda: self._decode(level, column, row))

    def _decode(self, level: int, column: int, row: int) -> np.ndarray:
        axes = self._facts.axes
        step_x, step_y = self.piece_px(level)
        spans = {
            "x": slice(column * step_x, (column + 1) * step_x),
            "y": slice(row * step_y, (row + 1) * step_y),
            "c": slice(None),
        }
        place = tuple(spans.get(name, 0) for name in axes)
        kept = [name for name in axes if name in spans]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about codecs whose specification is not final
                pixels = np.asarray(self._arrays[level][place])
        except OSError as error:
            if error.errno == errno.EIO:
                raise read_error(self.path.name, error) from error
            raise self._damaged(level, column, row) from error
        except Exception as error:  # on damaged data codecs raise many kinds of exception
            raise self._damaged(level, column, row) from error
        return np.ascontiguousarray(pixels.transpose([kept.index(name) for name in "yxc"]))

    def _damaged(self, level: int, column: int, row: int) -> SlideError:
        return SlideError(
            f"{self.path.name}: chunk ({column}, {row}) of level {level} cannot be decoded.", code="E_PIXELS"
        )

    def close(self) -> None:
        """Drop the decoded chunks."""
        self._cache.clear()


def _open(path: Path, level: ZarrLevel) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise SlideError(
            f"{path.name}: is an OME-Zarr slide and needs the package zarr, which is not installed. "
            "Install it with: pip install 'pathosig[zarr]'",
            code="E_FORMAT",
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pathosig.slides.backends.zarr_store import BoundedStore

            how = level.storage
            store = BoundedStore(
                level.folder,
                compressor=how.compressor,
                chunk_bytes=how.chunk_bytes,
                shard_chunks=how.shard_chunks,
                index=how.index,
            )
            array = zarr.open_array(store, mode="r", zarr_format=level.version)
    except Exception as error:  # on damaged metadata zarr raises many kinds of exception
        raise SlideError(
            f"{path.name}: level {level.folder.name!r} cannot be opened ({type(error).__name__}). Copy it again.",
            code="E_FORMAT",
        ) from error
    if tuple(array.shape) != level.shape or array.dtype != np.uint8 or math.prod(array.chunks) < 1:
        raise SlideError(
            f"{path.name}: level {level.folder.name!r} does not agree with its metadata.", code="E_FORMAT"
        )
    return array


def _downsamples(pyramid: ZarrFacts) -> tuple[float, ...]:
    """Level-0 pixels per pixel of each level.

    Sizes are rounded, so the ratio of the scales is used wherever it agrees with that of the sizes.
    """
    downsamples = []
    for index, level in enumerate(pyramid.levels):
        width, height = pyramid.size(index)
        by_size = pyramid.size(0)[0] / width
        by_scale = level.scale[0] / pyramid.levels[0].scale[0]
        slack = _ROUNDING + 2 / min(width, height)
        value = by_scale if abs(by_scale / by_size - 1) < slack else by_size
        downsamples.append(float(round(value)) if abs(value - round(value)) < 0.01 * value else value)
    return tuple(downsamples)

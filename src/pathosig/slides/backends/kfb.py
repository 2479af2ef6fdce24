"""KFB slides (KFBio): JPEG tiles, each found through the index of the file and decoded on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import simplejpeg

from pathosig.core.errors import SlideError
from pathosig.slides.backends.bounds import check_declared, check_decoded
from pathosig.slides.backends.kfb_layout import KfbFacts, read_facts
from pathosig.slides.backends.mosaic import MosaicReader, Pieces, whole_levels
from pathosig.slides.backends.source import ByteSource
from pathosig.slides.reader import SlideInfo
from pathosig.slides.resolution import checked_mpp, power_warning

_MAX_BYTES = 64_000_000
_LOST = 0.02
"""Share of the level-0 tiles that may lie beyond the end of the file; with more, the file is refused as truncated."""


class KfbReader(MosaicReader):
    """A KFB slide. Reading a damaged tile raises an error; the tile is never filled with other pixels.

    Raises
    ------
    SlideError
        E_TOO_LARGE, E_MPP_RANGE, and the errors of `read_facts`.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        self._source = ByteSource(path)
        try:
            file_bytes = path.stat().st_size
            self._facts = read_facts(self._source, file_bytes, path.name)
            lost = _lost(self._facts, file_bytes, path.name)
            info = _info(self._facts, table_mpp=mpp, name=path.name, file_bytes=file_bytes, lost=lost)
            levels = tuple(_pieces(self._facts, scale) for scale in _scales(self._facts))
            kept = whole_levels(levels, info.downsamples, info.level_sizes[0])
            super().__init__(tuple(levels[i] for i in kept))
            self.info = replace(
                info,
                level_sizes=tuple(info.level_sizes[i] for i in kept),
                downsamples=tuple(info.downsamples[i] for i in kept),
            )
        except SlideError:
            self._source.close()
            raise

    def _decode(self, number: int) -> np.ndarray:
        tile = self._facts.tiles[number]
        size, length = (int(tile["height"]), int(tile["width"])), int(tile["length"])
        data = self._source.read(int(tile["offset"]), length) if length <= _MAX_BYTES else b""
        try:
            if simplejpeg.decode_jpeg_header(data)[:2] != size:
                raise ValueError("its size is not the declared one")
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
        except ValueError as error:
            x, y, scale = int(tile["x"]), int(tile["y"]), float(tile["scale"])
            raise SlideError(
                f"{self.path.name}: tile at ({x}, {y}) of scale {scale:g} cannot be decoded ({error}).",
                code="E_PIXELS",
            ) from error

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._source.close()


def _scales(layout: KfbFacts) -> list[float]:
    """The scales of the levels, finest first. Scales below 1 are previews and are left out."""
    return sorted((float(s) for s in np.unique(layout.tiles["scale"]) if s >= 1.0), reverse=True)


def _pieces(layout: KfbFacts, scale: float) -> Pieces:
    number = np.flatnonzero(layout.tiles["scale"] == np.float32(scale))
    x, y, w, h = (layout.tiles[name][number].astype(np.int64) for name in ("x", "y", "width", "height"))
    return Pieces(x=x, y=y, width=w, height=h, number=number)


def _lost(layout: KfbFacts, file_bytes: int, name: str) -> tuple[str, ...]:
    """A warning if a few tiles lie beyond the end of the file.

    Raises
    ------
    SlideError
        E_FORMAT if many tiles do.
    """
    full = layout.tiles[layout.tiles["scale"] == layout.tiles["scale"].max()]
    lost = int((full["offset"] >= file_bytes).sum())
    if lost > _LOST * len(full):
        raise SlideError(
            f"{name}: is truncated: {lost} of {len(full)} tiles lie beyond its end. Copy it again.",
            code="E_FORMAT",
        )
    return (f"the file is truncated: {lost} of {len(full)} tiles are lost",) if lost else ()


def _info(
    layout: KfbFacts, *, table_mpp: float | None, name: str, file_bytes: int, lost: tuple[str, ...]
) -> SlideInfo:
    width, height = layout.size
    check_declared(layout.size, file_bytes, name)
    tiles = layout.tiles[layout.tiles["scale"] == layout.tiles["scale"].max()]
    check_decoded(int((tiles["width"].astype(np.float64) * tiles["height"]).sum()), file_bytes, name)
    header = (
        float(f"{layout.mpp:.6g}") if np.isfinite(layout.mpp) and layout.mpp > 0 else None
    )  # stored as a 32-bit float
    mpp, source = checked_mpp(header, header, given=table_mpp, name=name)
    scales = _scales(layout)
    downsamples = tuple(scales[0] / scale for scale in scales)
    return SlideInfo(
        level_sizes=tuple((max(1, int(width / d)), max(1, int(height / d))) for d in downsamples),
        downsamples=downsamples,
        mpp=mpp,
        mpp_source=source,
        vendor="kfbio",
        objective_power=layout.power,
        warnings=(*power_warning(mpp, layout.power), *lost),
    )

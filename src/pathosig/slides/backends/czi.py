"""Reader of CZI slides (ZEISS) with uncompressed, zstd and JPEG XR subblocks."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends import czi_layout as layout
from pathosig.slides.backends.czi_layout import CziFacts, Subblock, read_facts
from pathosig.slides.backends.mosaic import MosaicReader, Pieces, whole_levels
from pathosig.slides.backends.source import ByteSource
from pathosig.slides.reader import SlideInfo
from pathosig.slides.resolution import checked_mpp, power_warning

_CLEAR = 32
"""Smallest side in pixels of a subblock whose sizes determine its downsample in spite of rounding."""


class CziReader(MosaicReader):
    """A CZI slide, with all its scenes in one coordinate system; areas without subblocks are white.

    The levels are those that are stored for the whole slide; a file without a pyramid has one level. OpenSlide reads CZI too, but
    its bundled version does not support JPEG XR, focal planes or grey pixels, it reduces 16 bits to 8 without a warning, and it is
    three times as slow (`benchmarks/read_openslide.py`).

    Parameters
    ----------
    path
        Path of the file.
    mpp
        Micrometres per level-0 pixel; takes precedence over the header.

    Raises
    ------
    SlideError
        As for `read_facts`; E_MPP_RANGE or E_MPP_ANISO.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "S01.czi"
    >>> _ = path.write_bytes(b"not a slide")
    >>> CziReader(path)
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.czi: is not a CZI file, or is damaged. Copy it again.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        self._source = ByteSource(path)
        try:
            contents = read_facts(path, self._source)
            self._blocks = sorted(contents.blocks, key=lambda block: block.order)
            self._file_bytes = path.stat().st_size
            self.info, levels = _levels(contents, self._blocks, table_mpp=mpp, name=path.name)
        except SlideError:
            self._source.close()
            raise
        super().__init__(levels)

    def _decode(self, number: int) -> np.ndarray:
        block = self._blocks[number]
        try:
            return _pixels(self._data(block), block)
        except SlideError:
            raise
        except Exception as error:  # codecs raise many types of exceptions for damaged data
            raise SlideError(
                f"{self.path.name}: subblock at ({block.x}, {block.y}) of {block.stored[0]} x {block.stored[1]} pixels "
                f"cannot be decoded ({error}).",
                code="E_PIXELS",
            ) from error

    def _data(self, block: Subblock) -> bytes:
        head = self._source.read(block.place, 48)
        if not head.startswith(b"ZISRAWSUBBLOCK") or len(head) < 48:
            raise ValueError("no subblock there")
        metadata, _, size = struct.unpack_from("<iiq", head, 32)
        begin = block.place + 32 + max(256, 16 + block.entry_bytes) + metadata
        if metadata < 0 or not 0 < size <= self._file_bytes - begin:
            raise ValueError("it lies beyond the end of the file")
        return self._source.read(begin, size)

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._source.close()


open_czi = CziReader
"""The name under which pyproject.toml registers the reader."""


def _pixels(data: bytes, block: Subblock) -> np.ndarray:
    """Decoded pixels of a subblock, uint8[h, w, 3], with transparent pixels on white.

    Raises
    ------
    ValueError
        If the data do not have the declared number of pixels; codecs raise other exceptions.
    """
    channels = {layout.GRAY8: 1, layout.BGR24: 3, layout.BGRA32: 4}[block.pixels]
    width, height = block.stored
    if block.codec == layout.JPEG_XR:  # decoded to RGB
        shape = (height, width, 3) if channels == 3 else (height, width)
        pixels = imagecodecs.jpegxr_decode(data, out=np.empty(shape, np.uint8))
        return pixels if channels == 3 else np.repeat(pixels[..., None], 3, axis=2)
    expected = width * height * channels
    if block.codec == layout.ZSTD1:
        data = _without_header(data)
    if block.codec in (layout.ZSTD0, layout.ZSTD1):
        data = bytes(imagecodecs.zstd_decode(data, out=expected))
    if len(data) != expected:
        raise ValueError(f"{len(data)} bytes of pixels, expected {expected}")
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, channels)
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        return ((pixels[..., 2::-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1])


def _without_header(data: bytes) -> bytes:
    """The zstd stream of a "zstd1" subblock, after a header of 1 byte, or of 3 bytes that may declare shuffled bytes."""
    length = data[0] if data else 0
    if length == 1:
        return data[1:]
    if length != 3 or len(data) < 3 or data[1] != 1 or data[2] & 1:
        raise ValueError("its header is unknown")
    return data[3:]


def _levels(
    contents: CziFacts, blocks: list[Subblock], *, table_mpp: float | None, name: str
) -> tuple[SlideInfo, tuple[Pieces, ...]]:
    factors = _factors(blocks)
    downsamples = tuple(sorted({1, *factors}))
    levels = tuple(_pieces(contents, blocks, factors, factor=d) for d in downsamples)
    kept = whole_levels(levels, tuple(float(d) for d in downsamples), contents.size)
    mpp, source = checked_mpp(*contents.mpp, given=table_mpp, name=name)
    width, height = contents.size
    info = SlideInfo(
        level_sizes=tuple((max(1, width // downsamples[i]), max(1, height // downsamples[i])) for i in kept),
        downsamples=tuple(float(downsamples[i]) for i in kept),
        mpp=mpp,
        mpp_source=source,
        vendor="zeiss",
        objective_power=contents.power,
        warnings=(*power_warning(mpp, contents.power), *contents.warnings),
    )
    return info, tuple(levels[i] for i in kept)


def _factors(blocks: list[Subblock]) -> list[int]:
    """Downsample of each subblock; small subblocks, whose sizes are too imprecise, get one of the downsamples of the others."""
    raw = [
        max(1, round(max(b.width, b.height) / (b.stored[0] if b.width >= b.height else b.stored[1])))
        for b in blocks
    ]
    clear = sorted({1, *(f for f, b in zip(raw, blocks, strict=True) if max(b.stored) >= _CLEAR)})
    return [min(clear, key=_misfit(block)) for block in blocks]


def _misfit(block: Subblock) -> Callable[[int], float]:
    """Function from a downsample to the difference, in stored pixels, between expected and actual sizes of a subblock."""
    return lambda f: abs(block.width / f - block.stored[0]) + abs(block.height / f - block.stored[1])


def _pieces(contents: CziFacts, blocks: list[Subblock], factors: list[int], *, factor: int) -> Pieces:
    number = [i for i, downsample in enumerate(factors) if downsample == factor]
    chosen = [blocks[i] for i in number]
    left, top = contents.origin
    place = np.array([(b.x - left, b.y - top) for b in chosen], np.float64).reshape(-1, 2)
    size = np.array([b.stored for b in chosen], np.int64).reshape(-1, 2)
    x, y = np.rint(place / factor).astype(np.int64).T
    return Pieces(x=x, y=y, width=size[:, 0], height=size[:, 1], number=np.array(number, np.int64))

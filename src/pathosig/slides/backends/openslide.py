"""Slides read with OpenSlide: SVS, NDPI, MRXS, SCN, BIF, Philips, DICOM and generic TIFF."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.core.fingerprints import input_bytes
from pathosig.slides.backends.aside import OpenSlideAside, OpenSlideError
from pathosig.slides.backends.bounds import check_declared, check_decoded
from pathosig.slides.backends.dicom import Instance, is_dicom, series_instances, slide_instances
from pathosig.slides.backends.dicom_frames import FrameHeads, damage
from pathosig.slides.backends.source import read_error
from pathosig.slides.reader import ContextClose, SlideInfo
from pathosig.slides.resolution import checked_mpp, from_resolution_tags, parse_number, power_warning

_LOOSE = {"mirax", "zeiss", "ventana"}
"""Vendors whose pieces may overlap or lie anywhere."""

_MOST_ENDS = 5
"""How often a file may crash the process that reads it; starting a process takes a second."""


class OpenSlideReader(ContextClose):
    """A slide read with OpenSlide in a separate process. Transparent pixels are drawn on the slide's background colour.

    Raises
    ------
    SlideError
        E_FORMAT if OpenSlide cannot open it; see `open_slide` for the others.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        self.path = path
        levels = slide_instances(path) if path.is_dir() or is_dicom(path) else []
        self._file = levels[0].path if levels else path
        self._ended = 0
        self._slide = self._open()
        try:
            levels = self._all_levels(levels)
            damages = damage(levels) if levels else ()
            self._frames = FrameHeads(levels)
            info = self._info(mpp)
            self.info = replace(info, warnings=(*info.warnings, *damages))
        except SlideError:
            self._slide.close()
            raise
        bounds = self._slide.properties
        self._x0 = int(bounds.get("openslide.bounds-x", 0) or 0)
        self._y0 = int(bounds.get("openslide.bounds-y", 0) or 0)
        colour = str(bounds.get("openslide.background-color", "FFFFFF")).lstrip("#")
        self._background = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)], np.uint16)

    def _open(self) -> OpenSlideAside:
        try:
            return OpenSlideAside(self._file)
        except (OpenSlideError, OSError) as error:
            raise SlideError(
                f"{self.path.name}: cannot be opened by any reader ({_plain(error, self.path)}). It may be damaged, truncated or of "
                "an unknown format; copy it again or convert it to a tiled TIFF.",
                code="E_FORMAT",
            ) from error

    def _all_levels(self, levels: list[Instance]) -> list[Instance]:
        """The levels in DICOM, also if only one of their files was given: OpenSlide finds the others in its folder."""
        if not levels or len(self._slide.level_dimensions) <= len(levels):
            return levels
        return series_instances(levels[0])

    def _info(self, table_mpp: float | None) -> SlideInfo:
        properties = self._slide.properties
        sizes = [tuple(size) for size in self._slide.level_dimensions]
        width, height = sizes[0]
        file_bytes = input_bytes(self.path)
        check_declared((width, height), file_bytes, self.path.name)
        # the smallest level is decoded for the tissue mask; that of a scanner is small, so only a malicious file is refused
        check_decoded(sizes[-1][0] * sizes[-1][1], file_bytes, self.path.name, slow=True)
        if "openslide.bounds-width" in properties:
            w, h = (int(properties[f"openslide.bounds-{k}"]) for k in ("width", "height"))
            sizes = [(max(1, round(w / d)), max(1, round(h / d))) for d in self._slide.level_downsamples]
        x, y = (parse_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
        if x is None:
            x = y = parse_number(properties.get("aperio.MPP"))
        tags = x is None
        if tags:
            x, y = _tiff_mpp(properties)
        mpp, source = checked_mpp(x, y, given=table_mpp, name=self.path.name, tags=tags)
        power = parse_number(properties.get("openslide.objective-power"))
        return SlideInfo(
            level_sizes=tuple((int(w), int(h)) for w, h in sizes),
            downsamples=tuple(float(d) for d in self._slide.level_downsamples),
            mpp=mpp,
            mpp_source=source,
            vendor=properties.get("openslide.vendor", "unknown"),
            objective_power=power,
            warnings=power_warning(mpp, power),
        )

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level, white outside the slide."""
        downsample = self.info.downsamples[level]
        if self._ended >= _MOST_ENDS:
            raise SlideError(
                f"{self.path.name}: has crashed the process that reads it {_MOST_ENDS} times. Copy it again.",
                code="E_PIXELS",
            )
        origin = (round(x * downsample) + self._x0, round(y * downsample) + self._y0)
        self._check_frames(level, (x, y), origin, (width, height))
        try:
            rgba = self._slide.region(origin, level, (width, height))
        except OpenSlideError as error:
            self._renew()
            if "Input/output error" in str(error):
                raise read_error(self.path.name, OSError(errno.EIO, "Input/output error")) from error
            raise SlideError(
                f"{self.path.name}: pixels at ({x}, {y}) of level {level} cannot be decoded "
                f"({_plain(error, self.path)}).",
                code="E_PIXELS",
            ) from error
        return self._composite(rgba)

    def _check_frames(
        self, level: int, at: tuple[int, int], origin: tuple[int, int], size: tuple[int, int]
    ) -> None:
        """Refuse a region with frames that OpenSlide would decode to wrong pixels; `origin` is that given to OpenSlide."""
        downsample = self.info.downsamples[level]
        box = (origin[0] / downsample, origin[1] / downsample, *size)
        try:
            self._frames.check(self.info.level_sizes[level], box)
        except OSError as error:
            raise read_error(self.path.name, error) from error
        except Exception as error:  # on damaged data pydicom raises many kinds of exception
            raise SlideError(
                f"{self.path.name}: pixels at ({at[0]}, {at[1]}) of level {level} cannot be decoded ({error}).",
                code="E_PIXELS",
            ) from error

    def lattice(self, level: int) -> tuple[int, int, int, int] | None:
        """(x, y) at which a tile of a level begins, and (width, height) of its tiles; None if they form no known grid."""
        tile = [
            int(self._slide.properties.get(f"openslide.level[{level}].tile-{k}", 0) or 0)
            for k in ("width", "height")
        ]
        if self.info.vendor in _LOOSE or min(tile) < 1:
            return None
        downsample = self.info.downsamples[level]
        return -round(self._x0 / downsample), -round(self._y0 / downsample), tile[0], tile[1]

    def _renew(self) -> None:
        """Start a new process if it has ended. A running process opens the slide again by itself after an error."""
        if not self._slide.has_ended:
            return
        self._ended += 1
        self._slide.close()
        if self._ended < _MOST_ENDS:
            self._slide = self._open()

    def _composite(self, rgba: np.ndarray) -> np.ndarray:
        alpha = rgba[..., 3]
        rgb = rgba[..., :3]
        if alpha.min(initial=255) == 255:
            return np.ascontiguousarray(rgb)
        weight = alpha[..., None].astype(np.uint16)
        return ((rgb * weight + self._background * (255 - weight) + 127) // 255).astype(np.uint8)

    def icc_profile(self) -> bytes:
        """The ICC profile of the slide; empty if it has none."""
        return self._slide.icc_profile

    def close(self) -> None:
        """Close the slide and end the process."""
        self._slide.close()


def _tiff_mpp(properties: object) -> tuple[float | None, float | None]:
    get = properties.get  # type: ignore[attr-defined]
    unit = {"inch": 2, "centimeter": 3}.get(str(get("tiff.ResolutionUnit", "")), 0)
    return from_resolution_tags(
        parse_number(get("tiff.XResolution")), parse_number(get("tiff.YResolution")), unit
    )


def _plain(error: BaseException, path: Path) -> str:
    """OpenSlide's message without the folder, which may be private."""
    return str(error).replace(str(path), path.name).replace(str(path.parent), "")[:160]

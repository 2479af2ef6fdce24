"""The section `[tiles]` of study.toml: the size of tiles, and which tiles are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class TileSpec(Spec):
    """The size of tiles, and which tiles are kept.

    Attributes
    ----------
    preset
        recommended | paper. As published, ``paper`` scales the image of a core to 5,000 pixels, cuts it into 23 x 23 tiles of
        224 pixels and keeps tiles by their mean darkness; of the settings below it uses only `exact` and `icc`.
    size_px
        Side of a tile in pixels at `mpp`.
    mpp
        Micrometres per pixel of the tiles.
    stride_px
        Distance between the corners of neighbouring tiles in pixels at `mpp`. By default the side of a tile, so that no area is
        used twice.
    min_tissue
        Lowest proportion of tissue in a tile.
    edge
        What happens to tiles that extend beyond the right or lower edge of the slide: drop | pad (with white).
    mpp_tolerance
        How much coarser than `mpp` a slide's finest level may be, as a fraction.
    exact
        Decode JPEG at full size and average pixels, instead of decoding it at half size.
    icc
        Colours: ``off`` reads pixels as they are stored; ``srgb`` converts them to sRGB with the slide's ICC profile, if it has one.
    quality_mpp
        Micrometres per pixel at which quality is measured.
    max_blur
        Highest blur (0 sharp .. 1 nothing in focus) of a kept tile.
    max_pen
        Highest proportion of pen marks in a kept tile.
    max_fold
        Highest proportion of folded tissue (much denser than the slide's other tissue of that colour) in a kept tile.
    max_background
        Highest proportion of glass in a kept tile.
    min_saturation
        Lowest mean saturation (0..1) of a kept tile.

    Examples
    --------
    >>> spec = TileSpec(size_px=256, mpp=1.0)
    >>> spec.size_px * spec.mpp  # side of a tile in micrometres
    256.0
    """

    section: ClassVar[str] = "tiles"
    preset: Literal["recommended", "paper"] = "recommended"
    size_px: int = 224
    mpp: float = 0.5
    stride_px: int | None = None
    min_tissue: float = 0.6
    edge: Literal["drop", "pad"] = "drop"
    mpp_tolerance: float = 0.05
    exact: bool = False
    icc: Literal["off", "srgb"] = "off"
    quality_mpp: float = 4.0
    max_blur: float = 0.5
    max_pen: float = 0.1
    max_fold: float = 0.2
    max_background: float = 0.8
    min_saturation: float = 0.0

    def __post_init__(self) -> None:
        if self.size_px < 16 or (self.stride_px is not None and self.stride_px < 1):
            raise ConfigError("[tiles] size_px must be at least 16 and stride_px at least 1.")
        if self.mpp <= 0 or self.quality_mpp <= 0:
            raise ConfigError("[tiles] mpp and quality_mpp must be above 0.")
        if self.preset == "paper" and self.size_px != 224:
            raise ConfigError('[tiles] preset = "paper" cuts tiles of 224 pixels. Remove size_px.')
        for name in ("min_tissue", "max_blur", "max_pen", "max_fold", "max_background", "min_saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"[tiles] {name} must lie between 0 and 1.")

"""How tissue is found: `[tissue]` of study.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class TissueSpec(Spec):
    """How tissue is found.

    Attributes
    ----------
    mpp
        Micrometres per pixel of the low-power image the mask is made on.
    min_area_um2
        Smaller pieces of tissue are dropped.
    min_hole_um2
        Smaller holes are filled.
    min_density
        Lowest optical density that can be tissue; lower it for very pale stains.
    sensitivity
        Multiplies the automatic threshold; below 1 keeps paler tissue.
    smooth_um
        Radius of the smoothing before thresholding.
    split
        Cut pieces that touch (cores of a microarray) by watershed.
    remove_pen
        Leave out pen marks.
    """

    section: ClassVar[str] = "tissue"
    mpp: float = 8.0
    min_area_um2: float = 25_000.0
    min_hole_um2: float = 10_000.0
    min_density: float = 0.02
    sensitivity: float = 1.0
    smooth_um: float = 12.0
    split: bool = False
    remove_pen: bool = True

    def __post_init__(self) -> None:
        if self.mpp <= 0 or self.sensitivity <= 0:
            raise ConfigError("[tissue] mpp and sensitivity must be above 0.")
        if min(self.min_area_um2, self.min_hole_um2, self.smooth_um, self.min_density) < 0:
            raise ConfigError("[tissue] areas, radii and densities must not be negative.")

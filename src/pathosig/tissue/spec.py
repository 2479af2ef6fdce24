"""Settings of tissue detection: `[tissue]` of study.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class TissueSpec(Spec):
    """How tissue is detected.

    Attributes
    ----------
    mpp
        Micrometres per pixel of the low-power image in which tissue is detected.
    min_area_um2
        Smallest area of a piece of tissue in square micrometres; smaller pieces are left out.
    min_hole_um2
        Smallest area of a hole in square micrometres; smaller holes are filled.
    min_density
        Lowest optical density of tissue; use a lower value for very pale stains.
    sensitivity
        Factor of the automatic threshold; a value below 1 includes paler tissue.
    smooth_um
        Radius in micrometres of the smoothing before thresholding.
    split
        Whether to separate touching pieces, such as cores of a microarray, by watershed.
    remove_pen
        Whether to leave out pen marks.
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

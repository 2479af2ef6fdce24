"""The settings of a simulation: how many patients there are, and what is planted in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class SimulateSpec(Spec):
    """What is planted in a simulated cohort.

    Attributes
    ----------
    level
        slides (pyramidal SVS files) | embeddings (only embeddings of tiles, without images, which is much faster).
    kind
        wsi (whole slides) | tma (microarrays of small cell lung cancer) | mixed (discovery and the first validation
        cohort on microarrays, the second on whole slides).
    array
        Rows and columns of a microarray block, such as 6x8.
    heterogeneous
        Microarrays: proportion of patients whose cores truly differ.
    n_discovery
        Patients of the discovery cohort.
    n_validation
        Patients of each of the two validation cohorts.
    types
        Number of tissue types; with `tiles`, the number of its subfolders is used.
    subtypes
        Embeddings level: number of variants of each type, which a clustering with many clusters separates.
    tiles_per_patient
        Approximate number of tiles of tissue of a patient.
    tile_px
        Whole slides: side of a tile in pixels of 0.5 um. Regions of one tissue type are about five tiles wide, and the study
        uses tiles of this size.
    harm
        Log hazard ratio per SD of the proportion of the harmful type.
    protect
        Log hazard ratio per SD of the proportion of the protective type; negative if the type protects.
    treatment_benefit
        Log hazard ratio of treatment in patients above the median risk; treatment has no effect in the others.
    median_survival
        Median survival in months of a patient with average risk.
    follow_up
        Longest follow-up in months; patients are censored between 15 % and 100 % of it.
    second_slide
        Proportion of patients with two slides.
    slide_shift
        Strength of stain differences between slides.
    noise
        Embeddings level: standard deviation of tiles around their subtype.
    dim
        Embeddings level: length of the embeddings.
    features
        Embeddings level: an .npy file with real features of tiles; their labels are in the .labels.csv file next to it.
    tiles
        A folder with labelled tiles, one subfolder for each type, to use instead of procedural textures.
    seed
        Seed of every random step: the same seed gives the same cohort.

    Examples
    --------
    >>> SimulateSpec(kind="tma", array="6x8").level
    'slides'
    """

    section: ClassVar[str] = "simulate"
    level: Literal["slides", "embeddings"] = "slides"
    kind: Literal["wsi", "tma", "mixed"] = "wsi"
    array: str = "6x8"
    heterogeneous: float = 0.15
    n_discovery: int = 60
    n_validation: int = 30
    types: int = 6
    subtypes: int = 4
    tiles_per_patient: int = 80
    tile_px: int = 224
    harm: float = 0.7
    protect: float = -0.7
    treatment_benefit: float = -0.8
    median_survival: float = 36.0
    follow_up: float = 96.0
    second_slide: float = 0.15
    slide_shift: float = 0.3
    noise: float = 1.0
    dim: int = 64
    features: str | None = None
    tiles: str | None = None
    seed: int = 0

    @property
    def array_shape(self) -> tuple[int, int]:
        """(rows, columns) of a microarray block."""
        rows, _, columns = self.array.lower().partition("x")
        return int(rows), int(columns)

    def __post_init__(self) -> None:
        if (
            not re.fullmatch(r"[1-9]\d?[xX][1-9]\d?", self.array)
            or self.array_shape[0] * self.array_shape[1] < 6
        ):
            raise ConfigError(
                f"[simulate] array = {self.array!r}: expected rows x columns, such as 6x8, with at least six places."
            )
        if not 0 <= self.heterogeneous <= 1:
            raise ConfigError(
                f"[simulate] heterogeneous = {self.heterogeneous}: expected a proportion from 0 to 1."
            )
        if self.kind != "wsi" and self.level != "slides":
            raise ConfigError(
                f"[simulate] kind = {self.kind!r} paints slides and therefore needs level = 'slides'."
            )
        if self.n_discovery < 4 or self.n_validation < 0:
            raise ConfigError("[simulate] n_discovery must be at least 4, n_validation at least 0.")
        if not 3 <= self.types <= 40 or self.subtypes < 1 or self.tiles_per_patient < 4:
            raise ConfigError(
                "[simulate] expected types from 3 to 40, subtypes of at least 1, tiles_per_patient of at least 4."
            )
        if not 64 <= self.tile_px <= 1024:
            raise ConfigError(f"[simulate] tile_px = {self.tile_px}: expected 64 to 1024 pixels.")
        if not 0 <= self.second_slide <= 1 or self.noise < 0 or self.dim < 8 or self.median_survival <= 0:
            raise ConfigError(
                "[simulate] expected second_slide from 0 to 1, noise of at least 0, dim of at least 8, median_survival above 0."
            )

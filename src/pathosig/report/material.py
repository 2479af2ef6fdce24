"""What a report is made of: everything a study holds, as plain values; whatever is missing is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pathosig.figures.results import cohort_title, endpoint_title

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pathosig.core.clinical import Endpoint
    from pathosig.core.records import Record

__all__ = ["AtlasTile", "Material", "SlidePicture", "cohort_title", "endpoint_title"]

STAGES = ("tma", "tissue", "tiles", "train", "embed", "phenotypes", "profiles", "signature", "validate")


@dataclass(frozen=True, kw_only=True)
class SlidePicture:
    """Overview of one slide with what was found on it.

    Attributes
    ----------
    slide_id, patient_id, cohort
        Whose it is.
    overview
        uint8[h, w, 3].
    downsample
        Level-0 pixels per pixel of the overview.
    rings
        Rings of the tissue polygons in level-0 pixels: float[n, 2] each.
    x, y, hpc
        Tiles in level-0 pixels and their HPC (-1 without).
    tile_px
        Width of a tile in level-0 pixels.
    mpp
        Micrometres per level-0 pixel.
    """

    slide_id: str
    patient_id: str
    cohort: str
    overview: NDArray[np.uint8]
    downsample: float
    rings: Sequence[NDArray[np.floating]]
    x: NDArray[np.integer]
    y: NDArray[np.integer]
    hpc: NDArray[np.integer]
    tile_px: float
    mpp: float | None


@dataclass(frozen=True, kw_only=True)
class AtlasTile:
    """One tile of the atlas with its pixels."""

    hpc: int
    rank: int
    kind: str
    slide_id: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything the sections draw on.

    Attributes
    ----------
    name
        Name in the table [study], empty without one.
    config
        study.toml.
    slides
        One mapping per specimen: id, patient, cohort, kind, site.
    patients
        patients.csv, or None.
    endpoints, primary, cohorts
        Declarations of study.toml and the cohorts found.
    events
        (cohort, endpoint) -> (patients with outcome, events).
    records
        Stage -> its records.
    truth
        truth.json of a simulated study.
    tree, health, signature, results
        The JSON files of those names; empty when absent.
    tile_map
        Columns of phenotypes/map.parquet; empty when absent.
    atlas, pictures
        Tiles and overviews that could be read.
    slide_profiles, patient_profiles
        Tables of profiles, or None.
    profile_facts
        Metadata of the profiles.
    scores
        Rows of signature/scores.csv.
    audits
        Name -> result of an audit.
    versions
        Library -> version.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    slides: Sequence[Mapping[str, Any]] = ()
    patients: pd.DataFrame | None = None
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    primary: Mapping[str, Any] = field(default_factory=dict)
    cohorts: Sequence[str] = ()
    events: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)
    tree: Mapping[str, Any] = field(default_factory=dict)
    health: Mapping[str, Any] = field(default_factory=dict)
    tile_map: Mapping[str, np.ndarray] = field(default_factory=dict)
    signature: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    atlas: Sequence[AtlasTile] = ()
    pictures: Sequence[SlidePicture] = ()
    slide_profiles: pd.DataFrame | None = None
    patient_profiles: pd.DataFrame | None = None
    profile_facts: Mapping[str, Any] = field(default_factory=dict)
    scores: Sequence[Mapping[str, str]] = ()
    audits: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def of(self, stage: str, status: str = "") -> list[Record]:
        """Records of a stage, of one status when given."""
        return [r for r in self.records.get(stage, ()) if not status or r.status == status]

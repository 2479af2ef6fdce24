"""What a report is made of: everything a study holds, as values; whatever is missing is empty."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pathosig.core.clinical import Columns, Primary
from pathosig.core.labels import PhenotypeNames
from pathosig.figures.titles import cohort_title, endpoint_title

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pathosig.core.clinical import Endpoint
    from pathosig.core.planted_claims import Claim
    from pathosig.core.records import Record
    from pathosig.validation.results import CoreRates, Results

__all__ = ["AtlasTile", "Material", "SlidePicture", "cohort_title", "endpoint_title"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SlidePicture:
    """Overview of one slide with its tissue and tiles.

    Attributes
    ----------
    slide_id, patient_id, cohort
        The slide, its patient and the cohort.
    overview
        uint8[h, w, 3].
    downsample
        Level-0 pixels per pixel of the overview.
    rings
        Rings of the tissue polygons in level-0 pixels: float[n, 2] each.
    x, y, hpc, coarse
        Tiles in level-0 pixels, their HPC and their coarse group (-1 without).
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
    coarse: NDArray[np.integer] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AtlasTile:
    """One tile of the atlas with its pixels; `width_um` is None where the slide has no mpp, `coarse` is -1 without groups.

    `place` is its top-left corner and its width in level-0 pixels.
    """

    hpc: int
    rank: int
    kind: str
    slide_id: str
    patient_id: str
    pixels: NDArray[np.uint8]
    width_um: float | None = None
    coarse: int = -1
    place: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideRow:
    """One slide or core: `kind` is ``wsi`` or ``core``; `cohort` and `site` may be empty."""

    id: str
    patient: str
    cohort: str
    kind: str
    site: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientScore:
    """One row of signature/scores.csv; `score` is NaN for a patient who cannot be assessed, `agreement` that of the cores."""

    patient: str
    cohort: str
    score: float
    group: str
    agreement: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreScore:
    """One row of signature/core_scores.csv: a core or slide of a patient, its tiles and score (NaN with too few tiles)."""

    core: str
    patient: str
    tiles: int
    score: float
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HpcHealth:
    """Health of one HPC: proportions in 0..1, None where they were not computed; verdict and its reason.

    `steadiness` is agreement across disjoint halves of the discovery patients, `bootstrap_jaccard` that over refits.
    """

    hpc: int
    share: float | None = None
    steadiness: float | None = None
    bootstrap_jaccard: float | None = None
    top_slide: float | None = None
    top_patient: float | None = None
    top_site: float | None = None
    verdict: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseGroup:
    """One coarse group: its number, the HPCs below it in the tree, its name, proportion of tiles and steadiness."""

    number: int
    hpcs: tuple[int, ...]
    name: str = ""
    share: float | None = None
    steadiness: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Phenotypes:
    """The codebook: its tree, its names and its health.

    Attributes
    ----------
    k
        Number of HPCs.
    artefacts
        HPCs that are artefacts and enter no profile.
    nodes
        Node -> its leaves.
    linkage
        The tree as scipy writes it: float[k - 1, 4].
    names
        Names given by pathologists.
    groups
        Coarse groups by their number; empty without a coarse cut.
    health
        One row per HPC; empty before health.json.
    facts
        Single numbers of health.json with their names.
    """

    k: int
    artefacts: frozenset[int] = frozenset()
    nodes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    linkage: Sequence[Sequence[float]] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    groups: Sequence[CoarseGroup] = ()
    health: Sequence[HpcHealth] = ()
    facts: Sequence[tuple[str, str]] = ()

    def of(self, hpc: int) -> HpcHealth:
        """Health of one HPC; empty without one."""
        return next((row for row in self.health if row.hpc == hpc), HpcHealth(hpc=hpc))

    @property
    def coarse(self) -> list[int]:
        """Coarse group of every HPC; empty without groups."""
        of_hpc = {hpc: g.number for g in self.groups for hpc in g.hpcs}
        return [of_hpc[hpc] for hpc in sorted(of_hpc)]

    def name_of(self, leaves: Collection[int]) -> str:
        """The name of an HPC, or of the coarse group that all of these HPCs lie in; empty without."""
        names = PhenotypeNames(hpcs=self.names, coarse={g.number: g.name for g in self.groups})
        return names.of(leaves, self.coarse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the score: its feature, coefficient, centre, and the HPCs inside (empty for outside features)."""

    feature: str
    coef: float
    center: float
    leaves: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenScore:
    """The signature as the report shows it.

    Attributes
    ----------
    endpoint, cutoff, cutoff_rule, scale
        As frozen; the scale is ``share``, ``feature``, ``logodds`` or ``logratio``.
    terms
        Terms in the order of the signature.
    equation
        The score as a formula.
    unit, baseline
        Unit of time; (time, survival) of a patient with score 0.
    competes
        Whether another event competes; `baseline` is then 1 - cumulative incidence.
    trained_on
        Facts about the training patients, with their names.
    sd
        Standard deviation of the score in discovery.
    stable
        Features that the selection over half-samples kept -> proportion of half-samples that select them or a feature
        that hardly differs from them; the other terms complete them. None without such a selection.
    """

    endpoint: str
    terms: Sequence[Term]
    cutoff: float
    cutoff_rule: str
    scale: str
    equation: str = ""
    unit: str = ""
    baseline: Sequence[tuple[float, float]] = ()
    competes: bool = False
    trained_on: Sequence[tuple[str, str]] = ()
    sd: float = 1.0
    stable: Mapping[str, float] | None = None

    @property
    def leaves(self) -> list[str]:
        """Columns of the profiles that enter, directly or through a node."""
        names = {f"hpc_{h:02d}" for t in self.terms for h in t.leaves}
        return sorted(names | {t.feature for t in self.terms if not t.leaves})


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One row of signature/univariate.csv: a candidate of the screen; numbers are None where not estimable."""

    feature: str
    kind: str
    leaves: tuple[int, ...]
    hr: float | None
    lower: float | None
    upper: float | None
    p: float | None
    q: float | None
    prevalence: float | None
    selected: bool
    frequency: float | None
    steadiness: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Profiles:
    """Profiles of slides and patients with what their metadata declare: kind ``composition`` or ``features``."""

    slides: pd.DataFrame | None = None
    patients: pd.DataFrame | None = None
    kind: str = "composition"
    k: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Everything the sections draw on.

    Attributes
    ----------
    name, level
        Of the table [study]: its name, and ``embeddings`` for a study without slides; empty without.
    columns, endpoints, primary, cohorts
        Declarations of study.toml and the cohorts of patients.csv; `primary` is None where none is declared.
    slides
        One row per specimen.
    patients
        patients.csv, or None.
    events
        (cohort, endpoint) -> (patients with outcome, events).
    records
        Stage -> its records.
    truth, claims
        truth.json of a simulated study, and its planted claims with what was found.
    phenotypes, signature, results
        None when absent.
    results_error
        Code and message of what makes results.json unreadable; empty where it can be read, or is not there.
    core_agreement
        Cohort -> agreement of its cores.
    tile_map
        Columns of phenotypes/map.parquet; empty when absent.
    atlas, pictures
        Tiles and overviews that could be read.
    profiles
        Profiles of slides and of patients.
    candidates
        The univariable screen.
    scores, core_scores
        Rows of signature/scores.csv, and of each core or slide.
    audits
        Name -> result of an audit.
    versions
        Library -> version.
    """

    name: str = ""
    level: str = ""
    columns: Columns = field(default_factory=Columns)
    slides: Sequence[SlideRow] = ()
    patients: pd.DataFrame | None = None
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    primary: Primary | None = None
    cohorts: Sequence[str] = ()
    events: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)
    claims: Sequence[Claim] = ()
    phenotypes: Phenotypes | None = None
    tile_map: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    signature: FrozenScore | None = None
    candidates: Sequence[Candidate] = ()
    results: Results | None = None
    results_error: str = ""
    core_agreement: Mapping[str, CoreRates] = field(default_factory=dict)
    atlas: Sequence[AtlasTile] = ()
    pictures: Sequence[SlidePicture] = ()
    profiles: Profiles = field(default_factory=Profiles)
    scores: Sequence[PatientScore] = ()
    core_scores: Sequence[CoreScore] = ()
    audits: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def of(self, stage: str, status: str = "") -> list[Record]:
        """Records of a stage, of one status when given."""
        records = self.records.get(stage, ())
        return [r for r in records if not status or r.status == status]

    @property
    def primary_endpoint(self) -> str:
        """The endpoint of the primary analysis; the only declared one, or nothing, without it."""
        return self.primary.endpoint if self.primary is not None else next(iter(self.endpoints), "")

    @property
    def terms(self) -> Sequence[Term]:
        """Terms of the signature; none without one."""
        return () if self.signature is None else self.signature.terms

"""The paths of all files in a study folder.

``study.paths.tree`` is the path of the file; ``Layout.tree`` is its name relative to the study folder, as in records and
bundles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from pathosig.core.names import file_stem


class _At:
    """A descriptor for a fixed file or folder: its path on a layout, its relative name on the class."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, layout: None, owner: type) -> str: ...
    @overload
    def __get__(self, layout: Layout, owner: type) -> Path: ...
    def __get__(self, layout: Layout | None, owner: type) -> str | Path:
        return self.name if layout is None else layout.root / self.name


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one study folder.

    Attributes
    ----------
    root
        The study folder.
    twins
        Function that returns the lower-cased slide ids that occur in several spellings of case (see `names.file_stem`). It is
        a function because slides.csv may not be written yet.

    Examples
    --------
    >>> Layout(Path("study")).tiles("S01").as_posix(), Layout.scores
    ('study/tiles/S01.parquet', 'signature/scores.csv')
    """

    root: Path
    twins: Callable[[], frozenset[str]] = frozenset

    # inputs
    config = _At("study.toml")
    slides = _At("slides.csv")
    patients = _At("patients.csv")
    tma_map = _At("tma_map.csv")
    hpc_names = _At("hpc_names.csv")
    truth = _At("truth.json")
    claims = _At("truth/claims.json")
    # pixels
    cores = _At("cores.csv")
    cores_note = _At("tma/_cores.json")
    encoder_card = _At("encoder/encoder.json")
    encoder_weights = _At("encoder/encoder.safetensors")
    encoder_int8 = _At("encoder/encoder.int8.onnx")
    trained_card = _At("encoder/trained.json")
    trained_weights = _At("encoder/trained.safetensors")
    tile_store = _At("encoder/store")
    codebook = _At("phenotypes/codebook.safetensors")
    tree = _At("phenotypes/tree.json")
    health = _At("phenotypes/health.json")
    atlas = _At("phenotypes/atlas.parquet")
    tile_map = _At("phenotypes/map.parquet")
    # patients
    slide_profiles = _At("profiles/slides.parquet")
    patient_profiles = _At("profiles/patients.parquet")
    raw_profiles = _At("profiles/raw.parquet")
    signature = _At("signature/signature.json")
    selection = _At("signature/selection.json")
    benchmark = _At("signature/benchmark.json")
    core_agreement = _At("signature/cores.json")
    core_scores = _At("signature/core_scores.csv")
    univariate = _At("signature/univariate.csv")
    scores = _At("signature/scores.csv")
    results = _At("validation/results.json")
    clinical_model = _At("validation/clinical_model.json")
    audits = _At("validation/audits")
    comparators = _At("comparators")
    report = _At("report/index.html")
    # reading by pathologists
    annotation_key = _At("annotation/key.json")
    agreement = _At("annotation/agreement.json")
    # bookkeeping
    records = _At("records")
    identities = _At("logs/identity.json")
    train_checkpoint = _At("logs/train-checkpoint.safetensors")
    train_log = _At("logs/train.csv")

    def file(self, folder: str, unit: str, suffix: str) -> Path:
        """The file of a unit in a folder; the unit may have any name."""
        return self.root / folder / (file_stem(unit, self.twins()) + suffix)

    def tma(self, unit: str) -> Path:
        """Cores that were detected on a microarray slide."""
        return self.file("tma", unit, ".csv")

    def tissue(self, unit: str) -> Path:
        """Tissue polygons of a specimen, as the tissue stage wrote them."""
        return self.file("tissue", unit, ".geojson")

    def edited_tissue(self, unit: str) -> Path:
        """Tissue polygons that the user edited, which take precedence."""
        return self.file("tissue/edited", unit, ".geojson")

    def tiles(self, unit: str) -> Path:
        """Tile table of a specimen."""
        return self.file("tiles", unit, ".parquet")

    def embeddings(self, unit: str) -> Path:
        """Embeddings of a specimen, in the order of its tile table."""
        return self.file("embeddings", unit, ".npy")

    def assignments(self, unit: str) -> Path:
        """HPC of every tile of a specimen."""
        return self.file("phenotypes", unit, ".parquet")

    def planted(self, unit: str, suffix: str) -> Path:
        """Planted truth of a simulated slide: tile types (.npy) or a label map (.png)."""
        return self.root / "truth" / f"{unit}{suffix}"

    def validation_table(self, name: str) -> Path:
        """One tidy table of the validation."""
        return self.root / "validation" / "tables" / f"{name}.csv"

    def audit(self, name: str) -> Path:
        """Results of one audit."""
        return self.audits / f"{name}.json"

    def comparator(self, name: str) -> Path:
        """Scores of one comparator, which `validate` evaluates beside those of the signature."""
        return self.comparators / f"{name}.csv"

    def figure(self, name: str, suffix: str = ".svg") -> Path:
        """A figure of the report."""
        return self.root / "figures" / f"{name}{suffix}"

    def annotation_form(self, reader: str) -> Path:
        """The blinded form of one reader."""
        return self.file("annotation", reader, ".html")

    def record(self, stage: str, unit: str) -> Path:
        """Record of a unit; names of fits begin with an underscore and are used unchanged."""
        if unit.startswith("_"):
            return self.records / stage / f"{unit}.json"
        return self.file(f"records/{stage}", unit, ".json")

    def relative(self, path: Path) -> str:
        """Name of a file relative to the study folder, with forward slashes, as in records."""
        return path.relative_to(self.root).as_posix()

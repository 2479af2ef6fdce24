"""What the phenotypes stages read: slides of a study, their embeddings, and the tiles a codebook is fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.study import Specimen, Study
from pathosig.core.tile_tables import SlideTiles, read_slide_tiles
from pathosig.phenotypes.fit import TrainingTiles
from pathosig.phenotypes.spatial import NeighbourScatter, neighbour_pairs
from pathosig.phenotypes.spec import PhenotypeSpec

_QUALITY = ("blur", "pen", "fold", "background")


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideFiles:
    """One slide as a worker needs it.

    Attributes
    ----------
    id, patient, site
        Names; site is empty where it is unknown.
    is_discovery
        Whether its patient belongs to the cohort that the codebook is fitted on.
    embeddings, tiles, assigned
        Files relative to the study folder.
    """

    id: str
    patient: str
    site: str
    is_discovery: bool
    embeddings: str
    tiles: str
    assigned: str

    @classmethod
    def of(cls, study: Study, specimen: Specimen) -> Self:
        """The files of a specimen, whether they are there or not."""
        paths = study.paths

        def place(path: Path) -> str:
            return path.relative_to(study.root).as_posix()

        return cls(
            id=specimen.id,
            patient=specimen.patient_id,
            site=specimen.site or "",
            is_discovery=specimen.is_discovery,
            embeddings=place(paths.embeddings(specimen.id)),
            tiles=place(paths.tiles(specimen.id)),
            assigned=place(paths.assignments(specimen.id)),
        )

    def to_dict(self) -> dict[str, str | bool]:
        """For the payload of a unit; ``SlideFiles(**...)`` reads it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Discovery:
    """The discovery slides of a study that have embeddings, and how its codebook is fitted.

    Attributes
    ----------
    root
        The study folder.
    slides
        In the order of slides.csv.
    spec
        ``[phenotypes]`` of study.toml.
    """

    root: Path
    slides: tuple[SlideFiles, ...]
    spec: PhenotypeSpec


def read_discovery(study: Study) -> Discovery:
    """The discovery slides of a study that have embeddings.

    Parameters
    ----------
    study
        An open study.
    """
    slides = [SlideFiles.of(study, s) for s in study.specimens() if s.is_discovery]
    there = tuple(slide for slide in slides if (study.root / slide.embeddings).is_file())
    return Discovery(root=study.root, slides=there, spec=study.spec(PhenotypeSpec))


def read_embeddings(path: Path) -> np.ndarray:
    """A slide's embeddings, memory-mapped float16[n, d].

    Parameters
    ----------
    path
        File of a slide's embeddings.

    Returns
    -------
    float16[n, d].

    Raises
    ------
    InputError
        If the file is missing or damaged.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "S01.npy"
    >>> np.save(path, np.ones((5, 8), np.float16))
    >>> read_embeddings(path).shape
    (5, 8)
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: embeddings cannot be read. Run `pathosig embed`.") from error


def readable_rows(embeddings: np.ndarray) -> np.ndarray:
    """Rows of tiles that could be decoded; the rows of lost tiles are NaN.

    Parameters
    ----------
    embeddings
        float[n, d].

    Returns
    -------
    int[m].

    Examples
    --------
    >>> readable_rows(np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.1]]))
    array([0, 2])
    """
    return np.flatnonzero(np.isfinite(np.asarray(embeddings[:, 0], np.float32)))


def tile_mpp(root: Path, slides: Sequence[SlideFiles]) -> float | None:
    """Micrometres per pixel of the tiles of the first slide whose table gives it; None where none does.

    Parameters
    ----------
    root
        The study folder.
    slides
        Slides in the order of slides.csv.
    """
    mpps = (
        read_slide_tiles(root / slide.tiles).facts.mpp for slide in slides if (root / slide.tiles).is_file()
    )
    return next((mpp for mpp in mpps if mpp), None)


def numbers(names: Iterable[str]) -> np.ndarray:
    """Names as numbers from 0 in alphabetical order.

    Parameters
    ----------
    names
        Names of slides, patients or sites, repeated for each tile.

    Returns
    -------
    int[n].

    Examples
    --------
    >>> numbers(["P2", "P1", "P2"])
    array([1, 0, 1])
    """
    return np.unique(np.asarray(list(names)), return_inverse=True)[1].ravel()


def training_tiles(
    root: Path, training: Sequence[SlideFiles], spec: PhenotypeSpec
) -> tuple[TrainingTiles, dict[str, np.ndarray]]:
    """Tiles of training slides, their quality columns, and how neighbours among them differ.

    At most `tiles_per_slide` tiles of a slide are taken, fewer where there are so many slides that
    `max_tiles` would be passed; neighbours are looked for among all tiles of a slide.

    Parameters
    ----------
    root
        The study folder.
    training
        Slides of the patients to train on.
    spec
        `tiles_per_slide` and `max_tiles` limit the number of tiles; `seed` chooses them.

    Returns
    -------
    `TrainingTiles`, and float[n] for each quality column.
    """
    embedded: list[np.ndarray] = []
    numbered: list[np.ndarray] = []
    quality: dict[str, list[np.ndarray]] = {name: [] for name in _QUALITY}
    scatter = NeighbourScatter()
    most = max(1, min(spec.tiles_per_slide, spec.max_tiles // max(1, len(training))))
    for number, slide in enumerate(training):
        embeddings = read_embeddings(root / slide.embeddings)
        rng = np.random.default_rng([spec.seed, 1, number])
        chosen = np.sort(rng.permutation(len(embeddings))[:most])
        chosen = chosen[readable_rows(embeddings[chosen])]
        embedded.append(np.asarray(embeddings[chosen], np.float32))
        numbered.append(np.full(len(chosen), number))
        tiles = read_slide_tiles(root / slide.tiles)
        for name in _QUALITY:
            if name in tiles.table.column_names:
                quality[name].append(tiles.column(name)[chosen])
        if spec.spatial != "never":
            _add_neighbours(scatter, embeddings, tiles, most, rng)
    owner = np.concatenate(numbered)
    training_set = TrainingTiles(
        embeddings=np.concatenate(embedded),
        slide=owner,
        patient=numbers(s.patient for s in training)[owner],
        site=numbers(s.site for s in training)[owner],
        neighbours=scatter if scatter.n_pairs else None,
    )
    whole = {k: np.concatenate(v) for k, v in quality.items() if sum(map(len, v)) == len(owner)}
    return training_set, whole


def _add_neighbours(
    scatter: NeighbourScatter, embeddings: np.ndarray, tiles: SlideTiles, most: int, rng: np.random.Generator
) -> None:
    """Add at most `most` pairs of touching tiles of a slide."""
    size = tiles.facts.level0_px
    if size is None or len(tiles) != len(embeddings):
        return
    pairs = neighbour_pairs(tiles.xy, size)
    pairs = pairs[np.sort(rng.permutation(len(pairs))[:most])]
    first, second = (np.asarray(embeddings[rows], np.float32) for rows in (pairs[:, 0], pairs[:, 1]))
    both = np.isfinite(first[:, 0]) & np.isfinite(second[:, 0])
    if both.any():
        scatter.add(first[both], second[both])

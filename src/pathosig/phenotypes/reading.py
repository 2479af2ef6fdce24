"""Input of the phenotypes stage: slides of a study, their embeddings, and the tiles that a codebook is fitted on."""

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
    """What a worker needs to know about one slide.

    Attributes
    ----------
    id, patient, site
        Ids of the slide, its patient and its site; `site` is empty if it is unknown.
    is_discovery
        Whether its patient belongs to the cohort that the codebook is fitted on.
    embeddings, tiles, assigned
        Paths relative to the study folder.
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
        """The paths of a specimen's files, whether they exist or not."""
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
    """The discovery slides of a study that have embeddings, and the settings of its codebook.

    Attributes
    ----------
    root
        The study folder.
    slides
        The slides, in the order of slides.csv.
    spec
        The section ``[phenotypes]`` of study.toml.
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

    Returns
    -------
    Discovery
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
        raise InputError(f"{path.name}: embeddings are missing or damaged. Run `pathosig embed`.") from error


def readable_rows(embeddings: np.ndarray) -> np.ndarray:
    """Rows of tiles that could be decoded; the embeddings of the others are NaN.

    Parameters
    ----------
    embeddings
        float[n, d].

    Returns
    -------
    int[m]
        Row numbers, ascending.

    Examples
    --------
    >>> readable_rows(np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.1]]))
    array([0, 2])
    """
    return np.flatnonzero(np.isfinite(np.asarray(embeddings[:, 0], np.float32)))


def tile_mpp(root: Path, slides: Sequence[SlideFiles]) -> float | None:
    """Micrometres per pixel of the tiles, from the first slide whose table of tiles states it.

    Parameters
    ----------
    root
        The study folder.
    slides
        Slides in the order of slides.csv.

    Returns
    -------
    float or None
        None if no table states it.
    """
    mpps = (
        read_slide_tiles(root / slide.tiles).facts.mpp for slide in slides if (root / slide.tiles).is_file()
    )
    return next((mpp for mpp in mpps if mpp), None)


def numbers(names: Iterable[str]) -> np.ndarray:
    """Numbers from 0 for names, in alphabetical order.

    Parameters
    ----------
    names
        Names, which may repeat.

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
    """Sample tiles of training slides, and read their quality and the differences between neighbours.

    At most `tiles_per_slide` tiles are taken from a slide, or fewer if all slides together would exceed `max_tiles`.
    Neighbours are sought among all tiles of a slide.

    Parameters
    ----------
    root
        The study folder.
    training
        Slides of the patients to train on.
    spec
        `tiles_per_slide` and `max_tiles` limit the number of tiles; `seed` is the seed of the sample.

    Returns
    -------
    (TrainingTiles, dict)
        float[n] for each quality column that all slides have.

    Raises
    ------
    InputError
        If embeddings or a table of tiles are missing or damaged.
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

"""The stain reference of a study, which is estimated once from discovery slides and stored on the encoder's card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from pathosig.encoder.reading import opened_tiles, read_tile_table
from pathosig.tiles.stain import fit_reference, normalise


def sample_tiles(root: Path, slides: Sequence[Mapping[str, object]], *, n: int, seed: int) -> np.ndarray:
    """Sample tiles evenly from slides.

    Parameters
    ----------
    root
        The study folder.
    slides
        For each slide the content of `specimen_facts`, and ``tiles``, the name of its table of tiles.
    n
        Largest number of tiles.
    seed
        Seed of the sample.

    Returns
    -------
    uint8[at most n, h, w, 3]
    """
    each = -(-n // len(slides))
    sample: list[np.ndarray] = []
    for number, slide in enumerate(slides):
        table = read_tile_table(root / "tiles" / str(slide["tiles"]))
        rng = np.random.default_rng([seed, number])
        rows = np.sort(rng.permutation(len(table.xy))[:each])
        if len(rows):
            with opened_tiles(slide, table, rows=rows) as blocks:
                sample.extend(blocks)
    return np.concatenate(sample)[:n]


def fit_stain(tiles: np.ndarray, method: Literal["none", "macenko", "reinhard"]) -> dict[str, object] | None:
    """Fit the stain reference for the encoder's card.

    Parameters
    ----------
    tiles
        uint8[n, h, w, 3].
    method
        none, macenko or reinhard.

    Returns
    -------
    dict or None
        None if the method is none.

    Raises
    ------
    NotEstimableError
        E_STAIN if the tiles do not show two stains.
    """
    return None if method == "none" else fit_reference(tiles, method)


def in_reference_colours(
    blocks: Iterable[np.ndarray], reference: Mapping[str, object] | None
) -> Iterator[np.ndarray]:
    """Yield the blocks after stain normalisation, or unchanged if there is no reference."""
    for block in blocks:
        yield block if reference is None else normalise(block, reference)

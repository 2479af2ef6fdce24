"""The stain reference of a study: estimated once from discovery slides, kept on the encoder's card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from pathosig.encoder.reading import opened_tiles, read_tile_table
from pathosig.tiles.stain import fit_reference, normalise


def sample_tiles(root: Path, slides: Sequence[Mapping[str, object]], *, n: int, seed: int) -> np.ndarray:
    """Tiles drawn evenly from slides, uint8 (at most n, h, w, 3).

    Parameters
    ----------
    slides
        What `specimen_facts` gives, and ``tiles``: the name of the slide's tile table.
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
    """The reference for the encoder's card; None where stains are left as they are.

    Raises
    ------
    NotEstimableError
        E_STAIN if the tiles do not show two stains.
    """
    return None if method == "none" else fit_reference(tiles, method)


def in_reference_colours(
    blocks: Iterable[np.ndarray], reference: Mapping[str, object] | None
) -> Iterator[np.ndarray]:
    """The same blocks, stain-normalised where the encoder's card has a reference."""
    for block in blocks:
        yield block if reference is None else normalise(block, reference)

"""What single tiles and single features add to a score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def tile_weights(terms: Iterable[tuple[Sequence[int], float]], k: int) -> NDArray[np.float64]:
    """What a tile of each HPC adds to the score: float[k]; 0 for HPCs outside the signature.

    On the scale of proportions the score is a constant plus the mean of these weights over the tiles, since

        score = sum_j b_j (x_j - c_j),  x_j = proportion of tiles in feature j.

    On log-ratio scales the weights show direction and relative size only.

    Parameters
    ----------
    terms
        HPCs inside a feature, and its coefficient.
    k
        Number of HPCs.

    Examples
    --------
    >>> tile_weights([((0, 1), 2.0), ((1,), -0.5)], 3).tolist()
    [2.0, 1.5, 0.0]
    """
    weights = np.zeros(k)
    for leaves, coefficient in terms:
        weights[list(leaves)] += coefficient
    return weights

"""What single tiles and single features add to a score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pathosig.signature.cores import tile_gradient
from pathosig.signature.model import Signature


def tile_weights(terms: Iterable[tuple[Sequence[int], float]], k: int) -> NDArray[np.float64]:
    """What a tile of each HPC adds to the score: float[k]; 0 for HPCs outside the signature.

    On the scale of proportions the score is a constant plus the mean of these weights over the tiles, since
    score = sum_j b_j (x_j - c_j) with x_j = proportion of tiles in feature j.

    On log-ratio scales the weights show direction and relative size only; `risk_of_tiles` is exact for one slide.

    Parameters
    ----------
    terms, k
        HPCs inside each feature with its coefficient, and the number of HPCs.

    Examples
    --------
    >>> tile_weights([((0, 1), 2.0), ((1,), -0.5)], 3).tolist()
    [2.0, 1.5, 0.0]
    """
    weights = np.zeros(k)
    for leaves, coefficient in terms:
        weights[list(leaves)] += coefficient
    return weights


def signature_weights(signature: Signature, k: int) -> NDArray[np.float64] | None:
    """`tile_weights` of a signature; None where no HPC is in it."""
    inside = [signature.transform.leaves.get(name, ()) for name in signature.hpcs]
    return tile_weights(zip(inside, signature.coef, strict=True), k) if any(inside) else None


def risk_of_tiles(signature: Signature, slide: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Weight of a tile of each phenotype in the score: float[k].

    The mean over the tiles of the slide is the slide's score: score + derivative of the score towards a slide of that
    phenotype alone, which for proportions is the coefficient itself, less the discovery mean.
    """
    least = slide.assign(n_tiles=np.maximum(slide["n_tiles"], signature.transform.min_tiles))
    weights = float(signature.score(least)[0]) + tile_gradient(signature, slide, columns)
    weights[list(signature.transform.artefact_hpcs)] = 0.0
    return np.asarray(weights)

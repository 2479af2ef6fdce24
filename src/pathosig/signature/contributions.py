"""What single tiles add to a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pathosig.profiles.tree import tile_weights
from pathosig.signature.cores import tile_gradient
from pathosig.signature.model import Signature


def signature_weights(signature: Signature, k: int) -> NDArray[np.float64] | None:
    """`tile_weights` of a signature.

    Parameters
    ----------
    signature, k
        A frozen signature, and the number of HPCs in its codebook.

    Returns
    -------
    float[k], or None if the signature uses no HPC.

    Examples
    --------
    >>> from pathosig.signature import Transform
    >>> signature = Signature(endpoint="os", hpcs=("hpc_01",), coef=(2.0,), center=(0.3,), cutoff=0.0, transform=Transform(leaves={"hpc_01": (1,)}))
    >>> signature_weights(signature, 3).tolist()
    [0.0, 2.0, 0.0]
    """
    inside = [signature.transform.leaves.get(name, ()) for name in signature.hpcs]
    return tile_weights(zip(inside, signature.coef, strict=True), k) if any(inside) else None


def risk_of_tiles(signature: Signature, slide: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Weight of one tile of each HPC in the score of a slide.

    The mean of these weights over the tiles of the slide is the score of the slide. A weight is the score plus the derivative of
    the score towards a slide of that HPC alone; for proportions this is the coefficient less the discovery mean.

    Parameters
    ----------
    signature
        A frozen signature.
    slide, columns
        Profile of the slide, one row with its n_tiles, and its columns with the proportions of the HPCs, in order.

    Returns
    -------
    float[k], in units of the score; 0 for artefact HPCs.

    Examples
    --------
    >>> from pathosig.signature import Transform
    >>> signature = Signature(endpoint="os", hpcs=("hpc_01",), coef=(2.0,), center=(0.3,), cutoff=0.0, transform=Transform(leaves={"hpc_01": (1,)}))
    >>> slide = pd.DataFrame({"hpc_00": [0.6], "hpc_01": [0.4], "n_tiles": 80})
    >>> weights = risk_of_tiles(signature, slide, ["hpc_00", "hpc_01"])
    >>> weights.round(6).tolist(), round(float(weights @ [0.6, 0.4]), 6), signature.score(slide).round(6).tolist()
    ([-0.6, 1.4], 0.2, [0.2])
    """
    least = slide.assign(n_tiles=np.maximum(slide["n_tiles"], signature.transform.min_tiles))
    weights = float(signature.score(least)[0]) + tile_gradient(signature, slide, columns)
    weights[list(signature.transform.artefact_hpcs)] = 0.0
    return np.asarray(weights)

"""Stability of phenotypes for several K, computed on a study's training tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.layout import Layout
from pathosig.core.threads import one_blas_thread
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.reading import Discovery, training_tiles
from pathosig.phenotypes.steadiness import stability_curve

_MOST_TILES = 4000


@one_blas_thread()
def stability_over_k(discovery: Discovery, ks: Sequence[int] | None = None) -> dict[str, object]:
    """Stability over seeds and bootstrapped patients, and prediction strength, for several K, without outcomes.

    Parameters
    ----------
    discovery
        From `read_discovery`, for a study with a codebook.
    ks
        Numbers of HPCs to try; by default 5, 10, 20, 30, 50 and 75. The study's own number is always added, and numbers
        with fewer than twenty tiles for each HPC are left out.

    Returns
    -------
    dict
        ``k`` is the study's own number, ``n_tiles`` the number of tiles compared, and ``curve`` a list of rows with k,
        seed_ari, bootstrap_ari and prediction_strength.

    Raises
    ------
    InputError
        E_MISSING if there is no codebook.

    References
    ----------
    Tibshirani & Walther (2005), J. Comput. Graph. Stat. 14 (prediction strength).
    """
    path = Layout(discovery.root).codebook
    if not path.is_file():
        raise InputError(
            "stability over K: no codebook yet. Run `pathosig phenotypes` first.", code="E_MISSING"
        )
    codebook = Codebook.load(path)
    spec = discovery.spec.replace(spatial="never")
    tiles, _ = training_tiles(discovery.root, discovery.slides, spec)
    rows = np.random.default_rng([spec.seed, 6]).permutation(len(tiles.embeddings))[:_MOST_TILES]
    rows = np.sort(rows)
    x = codebook.project(tiles.embeddings[rows])
    wanted = sorted({*(ks or (5, 10, 20, 30, 50, 75)), codebook.k})
    wanted = [k for k in wanted if 2 <= k <= max(2, len(rows) // 20)]
    return {
        "k": codebook.k,
        "n_tiles": len(rows),
        "curve": stability_curve(x, tiles.patient[rows], wanted, spec),
    }

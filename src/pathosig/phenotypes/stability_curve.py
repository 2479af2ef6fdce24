"""How stable phenotypes are over K, of a study's own training tiles."""

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
    """Seed and patient-bootstrap stability and prediction strength for several K; blind to outcome.

    Parameters
    ----------
    discovery
        What `read_discovery` gives, of a study with a codebook.
    ks
        Numbers of HPCs; 5, 10, 20, 30, 50 and 75 and the study's own by default, as far as there are
        twenty tiles for each.

    Returns
    -------
    dict with ``k`` (the study's own), ``n_tiles`` compared, and ``curve``: rows of k, seed_ari, bootstrap_ari,
    prediction_strength

    Raises
    ------
    InputError
        E_MISSING if there is no codebook.

    References
    ----------
    METHOD: stability by seed and by patients. Tibshirani & Walther (2005), J. Comput. Graph. Stat. 14.
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

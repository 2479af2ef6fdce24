"""Agreement of the cores or slides of a patient, beyond what sampling within them explains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.signature.model import HIGH, LOW, NOT_ASSESSABLE, Signature
from pathosig.survival.agreement import HETEROGENEOUS
from pathosig.survival.agreement import core_agreement as core_agreement  # offered by pathosig.signature


def tile_gradient(signature: Signature, core: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Derivative of the score of one core with respect to the proportion of each HPC.

    Parameters
    ----------
    signature
        A frozen signature.
    core, columns
        Profile of the core, one row with its n_tiles, and its columns with the proportions of the HPCs, in order.

    Returns
    -------
    float[k], in units of the score: the other proportions shrink as one grows, so that they still sum to 1.

    Examples
    --------
    >>> from pathosig.signature import Transform
    >>> signature = Signature(endpoint="os", hpcs=("hpc_01",), coef=(2.0,), center=(0.3,), cutoff=0.0, transform=Transform(leaves={"hpc_01": (1,)}))
    >>> core = pd.DataFrame({"hpc_00": [0.5], "hpc_01": [0.5], "n_tiles": 80})
    >>> tile_gradient(signature, core, ["hpc_00", "hpc_01"]).round(6).tolist()  # 2 x (share of the tile - share of the core)
    [-1.0, 1.0]
    """
    step = 1e-4
    shares = core[list(columns)].to_numpy(float)[0]
    rows = np.tile(shares, (len(columns) + 1, 1))
    rows[1:] *= 1 - step
    rows[np.arange(1, len(rows)), np.arange(len(columns))] += step
    table = pd.DataFrame(rows, columns=list(columns))
    table["n_tiles"] = max(float(core["n_tiles"].iloc[0]), float(signature.transform.min_tiles))
    score = signature.score(table)
    return np.asarray((score[1:] - score[0]) / step)


def paper_groups(cores: pd.DataFrame, cutoff: float) -> pd.Series:
    """The three risk groups of the published study: low or high if all cores of a patient agree, and otherwise heterogeneous.

    Parameters
    ----------
    cores, cutoff
        patient_id and score, one row per core, and the score above which risk is high.

    Returns
    -------
    One group per patient, indexed by patient_id; ``not assessable`` if no core has a score.

    References
    ----------
    Zhang et al. (2024), npj Digital Medicine.

    Examples
    --------
    >>> paper_groups(pd.DataFrame({"patient_id": ["P1", "P1", "P2"], "score": [-1.0, 1.0, 0.5]}), 0.0).to_dict()
    {'P1': 'heterogeneous', 'P2': 'high'}
    """

    def name(score: pd.Series) -> str:
        finite = score[np.isfinite(score)]
        if not len(finite):
            return NOT_ASSESSABLE
        return HIGH if (finite > cutoff).all() else LOW if (finite <= cutoff).all() else HETEROGENEOUS

    return cores.groupby("patient_id")["score"].agg(name)

"""Honesty check of the whole procedure: stability of scores and selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.estimates import estimate
from pathosig.signature.fit import SignatureFit
from pathosig.signature.repeats import quiet_fit
from pathosig.signature.spec import SignatureSpec


def audit_stability(
    rows: pd.DataFrame,
    outcome: pd.DataFrame,
    *,
    spec: SignatureSpec,
    resamples: int = 20,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
    **facts: Any,
) -> dict[str, Any]:
    """Scores and selections by other seeds and by patient bootstrap.

    Returns
    -------
    dict with the correlation of scores with the original's, and how often each feature was selected.
    """
    quick = spec.replace(bootstraps=0)
    table = (
        outcome[outcome["patient_id"].isin(set(rows["patient_id"]))]
        .sort_values("patient_id")
        .reset_index(drop=True)
    )
    data = rows.merge(table[["patient_id"]], on="patient_id").sort_values("patient_id").reset_index(drop=True)
    base = quiet_fit(data, table, quick, **facts)
    if base is None or base.signature is None:
        message = "audit stability: there is no signature to compare with."
        raise NotEstimableError(message)
    original = base.signature.score(data)
    again = [quiet_fit(data, table, quick.replace(seed=s), **facts) for s in seeds]
    rng = np.random.default_rng(seed)
    boots = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(table), len(table))
        names = [f"{p}#{i}" for i, p in enumerate(table["patient_id"].to_numpy()[drawn])]
        sample, events = data.iloc[drawn].assign(patient_id=names), table.iloc[drawn].assign(patient_id=names)
        boots.append(quiet_fit(sample, events, quick, groups=pd.Series(drawn, index=names), **facts))
    return {
        "audit": "stability",
        "seeds": _agreement(again, data, original),
        "bootstrap": _agreement(boots, data, original),
        "selected": list(base.signature.hpcs),
    }


def _agreement(
    fits: Sequence[SignatureFit | None], data: pd.DataFrame, original: np.ndarray
) -> dict[str, Any]:
    made = [f.signature for f in fits if f is not None and f.signature is not None]
    known = np.isfinite(original)
    r = [float(np.corrcoef(s.score(data)[known], original[known])[0, 1]) for s in made]
    names: dict[str, int] = {}
    for signature in made:
        for name in signature.hpcs:
            names[name] = names.get(name, 0) + 1
    shares = {k: v / len(fits) for k, v in sorted(names.items(), key=lambda item: (-item[1], item[0]))}
    limits = np.quantile(r, [0.05, 0.95]) if r else [np.nan, np.nan]
    return {
        "n": len(fits),
        "share_empty": 1 - len(made) / max(len(fits), 1),
        "correlation": estimate(np.mean(r) if r else np.nan, *limits),
        "selected": shares,
    }

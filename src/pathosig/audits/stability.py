"""Audit `stability`: scores and selections by other seeds, other patients and other levels of the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pathosig.audits.repeats import aligned, c_of, quiet_fit
from pathosig.core.errors import NotEstimableError
from pathosig.core.progress import Progress
from pathosig.core.threads import one_blas_thread
from pathosig.profiles.tree import hpc_column, shares_at_level
from pathosig.signature.fit import SignatureFit
from pathosig.signature.spec import SignatureSpec
from pathosig.validation.estimates import estimate, finite

_LEVELS = (3, 5, 10, 20, 30)


@one_blas_thread()
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
    """Scores and selections by other seeds, by patient bootstrap and at every level of the tree.

    Parameters
    ----------
    rows, outcome
        Discovery profiles; patient_id, time, event.
    spec
        The signature's settings.
    resamples, seeds, seed
        Patient bootstraps, other seeds of the selection, seed of the bootstrap.
    facts
        Further arguments of `fit_details`.

    Returns
    -------
    dict with, for ``seeds`` and ``bootstrap``, the correlation of scores with the original's and how often each feature was
    selected; ``levels``: the signature fitted on the tree cut at k clusters alone (k, features, correlation, apparent C)

    Raises
    ------
    NotEstimableError
        If there is no signature.
    """
    quick = spec.replace(bootstraps=0)
    data, table = aligned(rows, outcome)
    base = quiet_fit(data, table, quick, **facts)
    if base is None or base.signature is None:
        message = "audit stability: there is no signature to compare with."
        raise NotEstimableError(message)
    original = base.signature.score(data)
    again = [quiet_fit(data, table, quick.replace(seed=s), **facts) for s in seeds]
    rng = np.random.default_rng(seed)
    boots = []
    with Progress("bootstrapped", total=resamples) as bar:
        for _ in range(resamples):
            drawn = rng.integers(0, len(table), len(table))
            names = [f"{p}#{i}" for i, p in enumerate(table["patient_id"].to_numpy()[drawn])]
            sample, events = (
                data.iloc[drawn].assign(patient_id=names),
                table.iloc[drawn].assign(patient_id=names),
            )
            boots.append(quiet_fit(sample, events, quick, groups=pd.Series(drawn, index=names), **facts))
            bar.advance()
    return {
        "audit": "stability",
        "seeds": _agreement(again, data, original),
        "bootstrap": _agreement(boots, data, original),
        "levels": _levels(data, table, quick, original, facts),
        "selected": list(base.signature.hpcs),
    }


def _levels(
    data: pd.DataFrame,
    table: pd.DataFrame,
    spec: SignatureSpec,
    original: np.ndarray,
    facts: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The whole procedure with the shares of the tree's clusters at one level as its only candidates."""
    tree = facts.get("tree")
    if not tree or facts.get("kind", "composition") != "composition":
        return []
    without = tuple(facts.get("artefacts", ()))
    out = []
    for k in sorted({*_LEVELS, int(tree["k"]) - len(without)}):
        if not 2 <= k <= int(tree["k"]) - len(without):
            continue
        matrix = shares_at_level(data, tree, k, without=without)
        level = pd.DataFrame(matrix, columns=[hpc_column(i) for i in range(k)])
        level.insert(0, "patient_id", data["patient_id"].to_numpy())
        level["n_tiles"] = data["n_tiles"].to_numpy() if "n_tiles" in data else spec.min_tiles
        found = quiet_fit(level, table, spec, kind="composition")
        score, features = np.full(len(level), np.nan), 0
        if found is not None and found.signature is not None:
            score, features = found.signature.score(level), len(found.signature.hpcs)
        known = np.isfinite(score) & np.isfinite(original)
        r = np.corrcoef(score[known], original[known])[0, 1] if known.sum() > 2 else np.nan
        apparent = c_of(found, level, table) if found is not None else 0.5
        out.append({"k": k, "features": features, "correlation": finite(r), "apparent_c": apparent})
    return out


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

"""Audit `site`: what the place of origin explains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.features import leaf_columns
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import harrell_c
from pathosig.validation.estimates import estimate, finite
from pathosig.validation.internal import cross_validate


def audit_site(
    training: TrainingSet,
    site: Mapping[str, str],
    *,
    spec: SignatureSpec,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Preserved-site cross-validation, C within sites, C of the site alone, and how well profiles tell the site.

    Parameters
    ----------
    training
        Discovery patients.
    site
        patient_id -> site.

    Raises
    ------
    NotEstimableError
        With fewer than two sites.
    """
    ids, time, event = training.outcome["patient_id"], training.time, training.event
    sites = pd.Series({p: site.get(p, "") for p in ids})
    count = int(sites.nunique())
    if count < 2:
        message = f"audit site: {count} site among discovery patients. Name the column in [columns] site."
        raise NotEstimableError(message)
    folds = min(folds, count)
    kept = cross_validate(training, spec=spec, repeats=1, folds=folds, seed=seed, groups=sites.to_dict())
    score = kept.scores["score"].to_numpy(float)
    label = sites.to_numpy(str)
    inside = []
    for name in np.unique(label):
        part = label == name
        if event[part].sum() >= 5:
            found = harrell_c(score[part], time[part], event[part])
            inside.append((found.c, found.concordant + found.discordant + found.tied))
    within = (
        float(np.average([c for c, _ in inside], weights=[w for _, w in inside])) if inside else float("nan")
    )
    rate = {s: event[label == s].sum() / max(time[label == s].sum(), 1e-9) for s in np.unique(label)}
    alone = float(harrell_c(np.array([rate[s] for s in label]), time, event).c)
    names = list(training.columns) or leaf_columns(training.profiles)
    matrix = training.profiles[names].to_numpy(float)
    return {
        "audit": "site",
        "sites": count,
        "preserved_site_c": estimate(kept.c, kept.lower, kept.upper),
        "within_site_c": finite(within),
        "site_only_c": alone,
        "site_predictability": _site_accuracy(matrix, label, np.random.default_rng(seed)),
    }


def _site_accuracy(matrix: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Leave-one-out nearest-neighbour accuracy of the site against labels permuted 200 times."""
    spread = matrix.std(0)
    z = (matrix - matrix.mean(0)) / np.where(spread > 0, spread, 1.0)
    distance = (z**2).sum(1)[:, None] - 2 * z @ z.T + (z**2).sum(1)[None]
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    observed = float((label[nearest] == label).mean())
    chance = [
        float((mixed[nearest] == mixed).mean()) for mixed in (rng.permutation(label) for _ in range(200))
    ]
    p = (1 + sum(c >= observed for c in chance)) / 201
    return {"accuracy": observed, "chance": float(np.mean(chance)), "p": p}

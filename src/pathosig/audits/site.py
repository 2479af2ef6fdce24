"""Audit `site`: the influence of the site from which patients come."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pathosig.audits.results import SiteAccuracy, SiteAudit
from pathosig.core.errors import NotEstimableError
from pathosig.profiles.tree import leaf_columns
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import harrell_c
from pathosig.survival.ridge import fold_of
from pathosig.validation.internal import cross_validate
from pathosig.validation.values import Estimate, NotEstimable, attempt, finite

_FOLDS = 5


def audit_site(
    training: TrainingSet,
    site: Mapping[str, str],
    *,
    spec: SignatureSpec,
    folds: int = 5,
    seed: int = 0,
    workers: int = 1,
) -> SiteAudit:
    """Cross-validated C with whole sites in folds, C within sites, C of the site alone, and predictability of the site.

    Parameters
    ----------
    training
        Discovery patients.
    site
        Site of each patient_id.
    spec
        Settings of the signature.
    folds, seed
        Number of folds, at most that of the sites, and seed.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    SiteAudit

    Raises
    ------
    NotEstimableError
        If there are fewer than two sites.
    """
    ids, time, event = training.outcome["patient_id"], training.time, training.event
    sites = pd.Series({p: site.get(p, "") for p in ids})
    count = int(sites.nunique())
    if count < 2:
        message = (
            f"audit site: {count} site among discovery patients; at least 2 are needed. Set site under [columns] in study.toml to "
            "the column with sites."
        )
        raise NotEstimableError(message)
    folds = min(folds, count)
    kept = cross_validate(
        training, spec=spec, repeats=1, folds=folds, seed=seed, groups=sites.to_dict(), workers=workers
    )
    score = kept.scores["score"].to_numpy(float)
    label = sites.to_numpy(str)
    inside = []
    for name in np.unique(label):
        part = label == name
        if event[part].sum() >= 5:
            pairs = harrell_c(score[part], time[part], event[part])
            inside.append((pairs.c, pairs.concordant + pairs.discordant + pairs.tied))
    within = (
        float(np.average([c for c, _ in inside], weights=[w for _, w in inside])) if inside else float("nan")
    )
    names = list(training.columns) or leaf_columns(training.profiles)
    matrix = training.profiles[names].to_numpy(float)
    return SiteAudit(
        sites=count,
        preserved_site_c=Estimate.of(kept.c, kept.lower, kept.upper),
        within_site_c=finite(within),
        site_only_c=site_only_c(label, time, event, np.random.default_rng([seed, 3])),
        site_predictability=_site_accuracy(matrix, label, np.random.default_rng(seed)),
    )


def site_only_c(
    label: np.ndarray, time: np.ndarray, event: np.ndarray, rng: np.random.Generator, repeats: int = 20
) -> float:
    """C of the event rates of the sites, estimated in patients of other folds; mean over repeated 5-fold splits.

    The rate of a site is shrunken towards the overall rate by one expected event, so that a site with few patients in the
    training folds has little influence. Patients are compared only within a fold: if a fold has many events, the rates that are
    estimated in the other folds are low, which would make C less than .5 without any effect of the site.

    Parameters
    ----------
    label
        [n] sites.
    time, event
        float[n] and bool[n].
    rng
        Random number generator of the splits.
    repeats
        Number of splits.
    """
    names, which = np.unique(label, return_inverse=True)
    values, weights = [], []
    for _ in range(repeats):
        fold = fold_of(len(event), event, min(_FOLDS, max(2, int(event.sum()))), rng)
        for k in np.unique(fold):
            train, test = fold != k, fold == k
            overall = max(event[train].sum(), 1) / max(time[train].sum(), 1e-12)
            deaths = np.bincount(which[train], weights=event[train], minlength=len(names))
            exposure = np.bincount(which[train], weights=time[train], minlength=len(names))
            rate = (deaths + 1) / (exposure + 1 / overall)
            pairs = attempt(harrell_c, rate[which[test]], time[test], event[test])
            if not isinstance(pairs, NotEstimable):
                values.append(pairs.c)
                weights.append(pairs.concordant + pairs.discordant + pairs.tied)
    return float(np.average(values, weights=weights)) if values else 0.5


def _site_accuracy(matrix: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> SiteAccuracy:
    """Leave-one-out nearest-neighbour accuracy of the site, compared with 200 permutations of the labels."""
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
    return SiteAccuracy(accuracy=observed, chance=float(np.mean(chance)), p=p)

"""Audit `stability`: scores and selections with other seeds, other patients and other levels of the tree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pathosig.audits.results import Agreement, Level, StabilityAudit
from pathosig.core.errors import NotEstimableError
from pathosig.core.progress import Progress
from pathosig.core.threads import one_blas_thread
from pathosig.profiles.tree import hpc_column, shares_at_level
from pathosig.signature.fit import SignatureFit
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.validation.repeats import c_of, quiet_fit
from pathosig.validation.values import Estimate, finite

_LEVELS = (3, 5, 10, 20, 30)


@one_blas_thread()
def audit_stability(
    training: TrainingSet,
    *,
    spec: SignatureSpec,
    resamples: int = 20,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
) -> StabilityAudit:
    """Scores and selections with other seeds, in bootstrap samples of patients, and at several levels of the tree.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        Settings of the signature.
    resamples, seeds, seed
        Number of bootstrap samples of patients, other seeds of the selection, and seed of the bootstrap.

    Returns
    -------
    StabilityAudit

    Raises
    ------
    NotEstimableError
        If there is no signature.
    """
    quick = spec.replace(bootstraps=0)
    base = quiet_fit(training, quick)
    if base is None or base.signature is None:
        message = "audit stability: there is no signature to compare with."
        raise NotEstimableError(message)
    original = training_scores(base.signature, training)
    again = [quiet_fit(training, quick.replace(seed=s)) for s in seeds]
    rng = np.random.default_rng(seed)
    boots = []
    with Progress("bootstrapped", total=resamples) as bar:
        for _ in range(resamples):
            drawn = rng.integers(0, len(training), len(training))
            boots.append(quiet_fit(training.resampled(drawn), quick))
            bar.advance()
    return StabilityAudit(
        seeds=_agreement(again, training, original),
        bootstrap=_agreement(boots, training, original),
        levels=_levels(training, quick, original),
        selected=base.signature.hpcs,
    )


def _levels(training: TrainingSet, spec: SignatureSpec, original: np.ndarray) -> tuple[Level, ...]:
    """The whole procedure with the clusters of the tree at one level as its only candidates, for several levels."""
    tree, without = training.tree, training.artefacts
    if not tree or training.kind != "composition":
        return ()
    out = []
    for k in sorted({*_LEVELS, int(tree["k"]) - len(without)}):
        if not 2 <= k <= int(tree["k"]) - len(without):
            continue
        matrix = shares_at_level(training.profiles, tree, k, without=without)
        rows = pd.DataFrame(matrix, columns=[hpc_column(i) for i in range(k)])
        rows.insert(0, "patient_id", training.profiles["patient_id"].to_numpy())
        rows["n_tiles"] = np.asarray(training.profiles.get("n_tiles", spec.min_tiles))
        level = dataclasses.replace(training, profiles=rows, slides=None, columns=(), tree={}, artefacts=())
        fit = quiet_fit(level, spec)
        score, features = np.full(len(rows), np.nan), 0
        if fit is not None and fit.signature is not None:
            score, features = training_scores(fit.signature, level), len(fit.signature.hpcs)
        both = np.isfinite(score) & np.isfinite(original)
        r = np.corrcoef(score[both], original[both])[0, 1] if both.sum() > 2 else np.nan
        apparent = c_of(fit, level) if fit is not None else 0.5
        out.append(Level(k=k, features=features, correlation=finite(r), apparent_c=apparent))
    return tuple(out)


def _agreement(fits: Sequence[SignatureFit | None], training: TrainingSet, original: np.ndarray) -> Agreement:
    signatures = [f.signature for f in fits if f is not None and f.signature is not None]
    usable = np.isfinite(original)
    r = [float(np.corrcoef(training_scores(s, training)[usable], original[usable])[0, 1]) for s in signatures]
    names: dict[str, int] = {}
    for signature in signatures:
        for name in signature.hpcs:
            names[name] = names.get(name, 0) + 1
    shares = {k: v / len(fits) for k, v in sorted(names.items(), key=lambda item: (-item[1], item[0]))}
    limits = np.quantile(r, [0.05, 0.95]) if r else [np.nan, np.nan]
    return Agreement(
        n=len(fits),
        share_empty=1 - len(signatures) / max(len(fits), 1),
        correlation=Estimate.of(np.mean(r) if r else np.nan, *limits),
        selected=shares,
    )

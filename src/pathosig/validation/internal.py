"""Without a validation cohort: repeated, patient-grouped, nested cross-validation, labelled internal."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError, PathosigWarning
from pathosig.core.threads import one_blas_thread
from pathosig.signature.fit import fit_details
from pathosig.signature.spec import SignatureSpec
from pathosig.survival import harrell_c
from pathosig.survival.ridge import fold_of

Prepare = Callable[[set[str]], pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """Out-of-fold results.

    Attributes
    ----------
    scores
        patient_id, score (in SD of the training folds, mean over repeats), group (majority of repeats).
    per_repeat
        C-index of each repeat.
    c, lower, upper
        Mean of the repeats' C with limits from the mean of their standard errors.
    share_empty
        Part of the fits that selected nothing; their patients score 0, which is chance.
    selected
        Feature -> part of the fits that selected it.
    ridge
        C of the full-information benchmark in the folds of the first repeat; NaN when not asked for.
    """

    scores: pd.DataFrame
    per_repeat: tuple[float, ...]
    c: float
    lower: float
    upper: float
    share_empty: float
    selected: dict[str, float]
    ridge: float


@one_blas_thread()
def cross_validate(
    prepare: Prepare,
    survival: pd.DataFrame,
    *,
    spec: SignatureSpec,
    repeats: int = 5,
    folds: int = 5,
    seed: int = 0,
    benchmark: bool = False,
    groups: pd.Series | None = None,
    **facts: Any,
) -> CrossValidation:
    """Refit the whole procedure, selection and cut-off included, without the patients it is judged on.

    Parameters
    ----------
    prepare
        Training patient ids -> profiles of all patients, by rules fitted on those ids only.
    survival
        patient_id, time, event.
    spec
        The signature's settings.
    repeats, folds, seed
        Cross-validation; folds hold whole patients.
    benchmark
        Whether the ridge benchmark is cross-validated too.
    groups
        patient_id -> label whose patients stay in one fold (site).
    facts
        Further arguments of `fit_details` (tree, artefacts, kind, columns, endpoint, unit).

    Raises
    ------
    NotEstimableError
        With fewer events than folds.
    """
    table = survival.sort_values("patient_id").reset_index(drop=True)
    everyone = prepare(set(table["patient_id"]))
    table = table[table["patient_id"].isin(set(everyone["patient_id"]))].reset_index(drop=True)
    event = table["event"].to_numpy(bool)
    if event.sum() < max(folds, 4):
        message = f"cross-validation: {int(event.sum())} events for {folds} folds."
        raise NotEstimableError(message)
    labels = None if groups is None else table["patient_id"].map(groups).fillna("").to_numpy(str)
    rng = np.random.default_rng(seed)
    quick = spec.replace(bootstraps=0)
    n = len(table)
    scores, high, ridge = np.zeros((repeats, n)), np.zeros((repeats, n)), np.zeros(n)
    empty, picked = 0, dict[str, int]()
    for repeat in range(repeats):
        fold = fold_of(n, event, folds, rng, labels)
        for k in np.unique(fold):
            test = np.flatnonzero(fold == k)
            train = table[fold != k]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PathosigWarning)
                rows = prepare(set(train["patient_id"]))
                place = rows.set_index("patient_id", drop=False).reindex(table["patient_id"].iloc[test])
                try:
                    found = fit_details(
                        rows[rows["patient_id"].isin(set(train["patient_id"]))], train, spec=quick,
                        benchmark=benchmark and repeat == 0, **facts,
                    )  # fmt: skip
                except NotEstimableError:
                    empty += 1
                    continue
            if found.benchmark is not None:
                ridge[test] = found.benchmark.score(place) / max(found.benchmark.sd, 1e-12)
            if found.signature is None:
                empty += 1
                continue
            raw = found.signature.score(place)
            scores[repeat, test] = raw / max(found.signature.sd, 1e-12)
            high[repeat, test] = raw > found.signature.cutoff
            for name in found.signature.hpcs:
                picked[name] = picked.get(name, 0) + 1
    usable = np.isfinite(scores).all(0)
    time = table["time"].to_numpy(float)
    found_c = [harrell_c(s[usable], time[usable], event[usable]) for s in scores]
    c, se = float(np.mean([f.c for f in found_c])), float(np.mean([f.se for f in found_c]))
    fits = repeats * folds
    mean = scores.mean(0)
    named = np.where(high.mean(0) > 0.5, "high", "low").astype(object)
    named[~usable] = "not assessable"
    full = harrell_c(ridge[usable], time[usable], event[usable]).c if benchmark else float("nan")
    return CrossValidation(
        scores=pd.DataFrame({"patient_id": table["patient_id"], "score": mean, "group": named}),
        per_repeat=tuple(f.c for f in found_c),
        c=c,
        lower=c - 1.959963984540054 * se,
        upper=c + 1.959963984540054 * se,
        share_empty=empty / fits,
        selected={k: v / fits for k, v in sorted(picked.items(), key=lambda item: -item[1])},
        ridge=float(full),
    )

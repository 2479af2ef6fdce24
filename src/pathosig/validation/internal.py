"""Internal validation, for studies without a validation cohort: repeated nested cross-validation grouped by patient."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError, PathosigWarning
from pathosig.core.pool import over_processes
from pathosig.core.threads import one_blas_thread
from pathosig.core.words import counted
from pathosig.signature.model import NOT_ASSESSABLE
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import harrell_c
from pathosig.survival.ridge import fold_of
from pathosig.validation.repeats import quiet_fit
from pathosig.validation.values import Z95


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """Results of a cross-validation.

    Attributes
    ----------
    scores
        patient_id; score, in standard deviations of the training folds and averaged over repeats; and group, by the majority
        of the repeats that had a signature for the patient.
    per_repeat
        Harrell's C of each repeat.
    c, lower, upper
        Mean of C over repeats, with a confidence interval that accounts for refitting; NaN if nothing was selected in any fit.
    share_empty
        Proportion of the fits that selected nothing; the score of their patients is 0, which counts as chance.
    selected
        Proportion of the fits that selected each feature.
    ridge
        C of the ridge benchmark in the folds of the first repeat; NaN if it was not fitted.
    """

    scores: pd.DataFrame
    per_repeat: tuple[float, ...]
    c: float
    lower: float
    upper: float
    share_empty: float
    selected: dict[str, float]
    ridge: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _LeftOut:
    """Predictions for the patients of a fold by a refit without them.

    Attributes
    ----------
    rows
        int[m]: positions of the patients.
    features
        Selected features; empty without a signature.
    score
        float[m], in standard deviations of the training patients.
    high
        float[m]: 1 above the refitted cut-off, 0 below it; NaN without a signature.
    c
        Harrell's C in these patients; empty if no pair can be compared.
    ridge
        float[m]: score of the ridge benchmark; empty if it was not fitted.
    """

    rows: np.ndarray
    features: tuple[str, ...]
    score: np.ndarray
    high: np.ndarray
    c: tuple[float, ...]
    ridge: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Refits:
    """The whole procedure from profiles to cut-off, refitted without the patients in which it is evaluated."""

    training: TrainingSet
    spec: SignatureSpec

    def without(self, fold: tuple[np.ndarray, bool]) -> _LeftOut:
        """Predictions for the rows `fold[0]` by a refit without them; `fold[1]` is whether to fit the benchmark too."""
        (rows, benchmark), training = fold, self.training
        kept = np.setdiff1d(np.arange(len(training)), rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PathosigWarning)
            prepared = training.prepared(training.outcome["patient_id"].iloc[kept])
        left_out = prepared.take(rows)
        nothing = _LeftOut(
            rows=rows,
            features=(),
            score=np.zeros(len(rows)),
            high=np.full(len(rows), np.nan),
            c=(),
            ridge=np.zeros(0),
        )
        fit = quiet_fit(prepared.take(kept), self.spec, benchmark=benchmark)
        if fit is None:
            return nothing
        if fit.benchmark is not None:
            ridge = training_scores(fit.benchmark, left_out) / max(fit.benchmark.sd, 1e-12)
            nothing = replace(nothing, ridge=ridge)
        if fit.signature is None:
            return nothing
        raw = training_scores(fit.signature, left_out)
        return replace(
            nothing,
            features=fit.signature.hpcs,
            score=raw / max(fit.signature.sd, 1e-12),
            high=(raw > fit.signature.cutoff).astype(float),
            c=_fold_c(raw, left_out.time, left_out.event),
        )


@one_blas_thread()
def cross_validate(
    training: TrainingSet,
    *,
    spec: SignatureSpec,
    repeats: int = 5,
    folds: int = 5,
    seed: int = 0,
    benchmark: bool = False,
    groups: Mapping[str, str] | None = None,
    workers: int = 1,
) -> CrossValidation:
    """Cross-validate the whole procedure: selection, coefficients and cut-off are refitted in every training fold.

    Parameters
    ----------
    training
        Discovery patients. Missing values of outside features are filled, and features are scaled, by the patients of each
        training fold.
    spec
        Settings of the signature.
    repeats, folds, seed
        Number of repeats and of folds, and the seed; all data of a patient are in one fold.
    benchmark
        Whether to cross-validate the ridge benchmark too.
    groups
        Label of each patient_id, such as the site; patients with the same label stay in one fold.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    CrossValidation

    Raises
    ------
    NotEstimableError
        If there are fewer events than folds, or fewer than four.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60)})
    >>> time = rng.exponential(30 * np.exp(-table["grade"]))
    >>> training = training_set(table, pd.DataFrame({"time": time, "event": True}))
    >>> spec = SignatureSpec(selection="stepwise", bootstraps=0)
    >>> round(cross_validate(training, spec=spec, repeats=1, folds=3).c, 2)
    0.7
    """
    ids, event = training.outcome["patient_id"], training.event
    if event.sum() < max(folds, 4):
        message = f"cross-validation: {counted(int(event.sum()), 'event')} for {folds} folds."
        raise NotEstimableError(message)
    labels = None if groups is None else ids.map(groups).fillna("").to_numpy(str)
    rng = np.random.default_rng(seed)
    n = len(training)
    left_out: list[list[np.ndarray]] = []
    for _ in range(repeats):
        fold = fold_of(n, event, folds, rng, labels)
        left_out.append([np.flatnonzero(fold == k) for k in np.unique(fold)])
    refits = _Refits(training=training, spec=spec.replace(bootstraps=0))
    results = over_processes(
        refits.without,
        [(rows, benchmark and repeat == 0) for repeat, parts in enumerate(left_out) for rows in parts],
        workers=workers,
        label="folds",
    )
    scores, high, ridge = np.zeros((repeats, n)), np.full((repeats, n), np.nan), np.zeros(n)
    per_fold: list[float] = []
    picked = dict[str, int]()
    numbers = [repeat for repeat, parts in enumerate(left_out) for _ in parts]
    for repeat, result in zip(numbers, results, strict=True):
        scores[repeat, result.rows], high[repeat, result.rows] = result.score, result.high
        if len(result.ridge):
            ridge[result.rows] = result.ridge
        per_fold += result.c
        for name in result.features:
            picked[name] = picked.get(name, 0) + 1
    empty = sum(not result.features for result in results)
    usable = np.isfinite(scores).all(0)
    time = training.time
    indices = [harrell_c(s[usable], time[usable], event[usable]) for s in scores]
    c = float(np.mean([f.c for f in indices]))
    fits = repeats * folds
    share_empty = empty / fits
    se = _refitting_error([f.se for f in indices], per_fold, fits=fits, folds=folds)
    mean = scores.mean(0)
    scored = np.isfinite(high).any(0)
    with np.errstate(invalid="ignore"):
        above = np.nansum(high, axis=0) / np.maximum(np.isfinite(high).sum(0), 1)
    named = np.where(above > 0.5, "high", "low").astype(object)
    named[~usable | ~scored] = NOT_ASSESSABLE
    if share_empty == 1:  # nothing was evaluated, and C = .5 would look like a result
        c = se = float("nan")
    full = harrell_c(ridge[usable], time[usable], event[usable]).c if benchmark else float("nan")
    return CrossValidation(
        scores=pd.DataFrame({"patient_id": ids, "score": mean, "group": named}),
        per_repeat=tuple(f.c for f in indices),
        c=c,
        lower=c - Z95 * se,
        upper=c + Z95 * se,
        share_empty=share_empty,
        selected={k: v / fits for k, v in sorted(picked.items(), key=lambda item: -item[1])},
        ridge=float(full),
    )


def _fold_c(score: np.ndarray, time: np.ndarray, event: np.ndarray) -> tuple[float, ...]:
    """Harrell's C of one fold; empty if no pair can be compared."""
    usable = np.isfinite(score)
    try:
        return (harrell_c(score[usable], time[usable], event[usable]).c,)
    except NotEstimableError:
        return ()


def _refitting_error(errors: Sequence[float], per_fold: Sequence[float], *, fits: int, folds: int) -> float:
    """Standard error of a cross-validated C.

    var = (1 / fits + 1 / (folds - 1)) S^2, where S^2 is the variance of C over folds. The second term accounts for overlapping
    training sets, because of which folds are not independent. The result is never less than the mean of the naive standard
    errors, which ignore that the fits vary.

    References
    ----------
    Nadeau C, Bengio Y. Mach Learn 2003; 52: 239.
    """
    naive = float(np.mean(errors))
    if len(per_fold) < 2:
        return naive
    return max(naive, float(np.sqrt((1 / fits + 1 / (folds - 1)) * np.var(per_fold, ddof=1))))

"""Scores of a comparator: from one model for all patients, and out of fold for discovery, in the signature's folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError
from pathosig.core.progress import Progress
from pathosig.core.words import counted
from pathosig.survival.ridge import fold_of, ridge_fit

Scorer = Callable[[np.ndarray], np.ndarray]
"""Takes the training patients, bool[n], and returns the risks of all patients, float[n]."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldedScores:
    """Scores of one comparator.

    Attributes
    ----------
    frozen
        float[n]: scores from a model of all discovery patients, in units of their SD.
    out_of_fold
        float[n]: scores from models that did not train on the patient, each in units of the SD of its training patients,
        averaged over repeats; NaN outside discovery.
    """

    frozen: np.ndarray
    out_of_fold: np.ndarray


def ridge_scorer(vectors: np.ndarray, time: np.ndarray, event: np.ndarray) -> Scorer:
    """A ridge Cox model on vectors of patients, whose penalty is chosen by cross-validation in the training patients.

    Parameters
    ----------
    vectors
        float[n, d].
    time, event
        float[n] and bool[n].

    Returns
    -------
    Scorer
    """

    def score(training: np.ndarray) -> np.ndarray:
        fit = ridge_fit(vectors[training], time[training], event[training])
        return np.asarray((vectors - fit.center) @ fit.coef)

    return score


def folded_scores(
    scorer: Scorer,
    discovery: np.ndarray,
    event: np.ndarray,
    *,
    repeats: int,
    folds: int,
    seed: int,
    label: str = "comparator",
) -> FoldedScores:
    """Fit in the folds in which `validation.cross_validate` fits the signature, and once on all discovery patients.

    Parameters
    ----------
    scorer
        Fits on the patients that it is given, and scores all patients.
    discovery
        int[m]: indices of the discovery patients, in the order of the signature's training set.
    event
        bool[n].
    repeats, folds, seed
        As in the cross-validation.
    label
        Label of the progress bar.

    Returns
    -------
    FoldedScores

    Raises
    ------
    NotEstimableError
        If there are fewer events than folds, or fewer than four.
    """
    n, died = len(event), event[discovery]
    if died.sum() < max(folds, 4):
        raise NotEstimableError(
            f"comparators: {counted(int(died.sum()), 'event')} in discovery; expected at least {max(folds, 4)} for {folds} folds."
        )
    rng = np.random.default_rng(seed)
    left_out = np.zeros((repeats, n))
    with Progress(label, total=repeats * folds + 1) as bar:
        for repeat in range(repeats):
            fold = fold_of(len(discovery), died, folds, rng)
            for k in np.unique(fold):
                training = np.zeros(n, bool)
                training[discovery[fold != k]] = True
                test = discovery[fold == k]
                left_out[repeat, test] = _scaled(scorer(training), training)[test]
                bar.advance()
        everyone = np.zeros(n, bool)
        everyone[discovery] = True
        frozen = _scaled(scorer(everyone), everyone)
        bar.advance()
    mean = np.full(n, np.nan)
    mean[discovery] = left_out.mean(axis=0)[discovery]
    return FoldedScores(frozen=frozen, out_of_fold=mean)


def _scaled(score: np.ndarray, training: np.ndarray) -> np.ndarray:
    spread = float(score[training].std(ddof=1))
    return np.asarray((score - score[training].mean()) / max(spread, 1e-12))

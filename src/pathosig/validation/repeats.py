"""The whole procedure, profiles to cut-off, as something that can be repeated on altered copies of its data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from pathosig.core.errors import NotEstimableError, PathosigError, PathosigWarning
from pathosig.signature.fit import SignatureFit, fit_details
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import harrell_c, logrank


def quiet_fit(training: TrainingSet, spec: SignatureSpec, *, benchmark: bool = False) -> SignatureFit | None:
    """A fit without its warnings and without what is only reported about a selection; None where nothing can be estimated.

    Parameters
    ----------
    training
        Patients to fit on.
    spec
        The signature's settings.
    benchmark
        Whether the ridge benchmark is fitted too.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60)})
    >>> training = training_set(table, pd.DataFrame({"time": rng.exponential(np.exp(-table["grade"])), "event": True}))
    >>> fit = quiet_fit(training, SignatureSpec(selection="ridge", bootstraps=0))
    >>> fit.signature.hpcs
    ('grade',)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        try:
            return fit_details(training, spec, benchmark=benchmark, univariate=False, brief=True)
        except NotEstimableError:
            return None


def c_of(fit: SignatureFit, training: TrainingSet) -> float:
    """C-index of a fit in some patients; chance (0.5) without a signature or without pairs.

    Parameters
    ----------
    fit
        From `quiet_fit`.
    training
        The patients.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> c_of(SimpleNamespace(signature=None), None)
    0.5
    """
    if fit.signature is None:
        return 0.5
    score = training_scores(fit.signature, training)
    usable = np.isfinite(score)
    try:
        return float(harrell_c(score[usable], training.time[usable], training.event[usable]).c)
    except PathosigError:
        return 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Apparent:
    """How a procedure does in its own training patients; chance without a signature.

    Attributes
    ----------
    c
        C-index of the score in the patients it was fitted on.
    naive_p
        Log-rank p of its risk groups in them, as if they had not been used.
    selected
        Whether there is a signature.
    """

    c: float
    naive_p: float
    selected: bool


def apparent(fit: SignatureFit | None, training: TrainingSet) -> Apparent:
    """How a fit does in the patients it was made on.

    Parameters
    ----------
    fit
        From `quiet_fit`; None counts as no signature.
    training
        Those patients.

    Returns
    -------
    `Apparent`.

    Examples
    --------
    >>> apparent(None, None)
    Apparent(c=0.5, naive_p=1.0, selected=False)
    """
    if fit is None or fit.signature is None:
        return Apparent(c=0.5, naive_p=1.0, selected=False)
    score = training_scores(fit.signature, training)
    usable = np.isfinite(score)
    time, event = training.time[usable], training.event[usable]
    high = score[usable] > fit.signature.cutoff
    p = 1.0
    if 0 < high.sum() < len(high):
        p = float(logrank(time, event, high).p)
    return Apparent(c=float(harrell_c(score[usable], time, event).c), naive_p=p, selected=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfBag:
    """C of one resample's signature in the patients it left out, and how much it gained in its own."""

    c: float
    optimism: float
    selected: bool


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Selection, refit and cut-off on given patients.

    Attributes
    ----------
    training
        Discovery patients.
    spec
        The signature's settings.
    """

    training: TrainingSet
    spec: SignatureSpec

    def apparent(self, training: TrainingSet) -> Apparent:
        """The procedure on some patients, and how it does in them."""
        return apparent(quiet_fit(training, self.spec), training)

    def permuted(self, order: np.ndarray) -> Apparent:
        """`apparent` with (time, event) in another order of patients."""
        return self.apparent(self.training.permuted(order))

    def bootstrapped(self, drawn: np.ndarray) -> OutOfBag:
        """The procedure on one resample of patients; repeats of a patient stay in one inner fold."""
        sample = self.training.resampled(drawn)
        fit = quiet_fit(sample, self.spec)
        if fit is None or fit.signature is None:
            return OutOfBag(c=0.5, optimism=0.0, selected=False)
        left = np.setdiff1d(np.arange(len(self.training)), drawn)
        gap = c_of(fit, sample) - c_of(fit, self.training)
        return OutOfBag(c=c_of(fit, self.training.take(left)), optimism=gap, selected=True)

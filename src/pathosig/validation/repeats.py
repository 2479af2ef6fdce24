"""The whole procedure from profiles to cut-off, in a form that can be repeated on resampled or permuted data."""

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
    """A fit without warnings and without results that are only reported; None if nothing can be estimated.

    Parameters
    ----------
    training
        Patients to which the signature is fitted.
    spec
        Settings of the signature.
    benchmark
        Whether to fit the ridge benchmark too.

    Returns
    -------
    SignatureFit or None

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
    """Harrell's C of a fit in some patients; 0.5, which is chance, without a signature or comparable pairs.

    Parameters
    ----------
    fit
        From `quiet_fit`.
    training
        Patients in which it is evaluated.

    Returns
    -------
    Harrell's C, 0 to 1.

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
    """Apparent performance of a procedure, that is, in the patients to which it was fitted; chance without a signature.

    Attributes
    ----------
    c
        C-index of the score in these patients.
    naive_p
        P-value of the log-rank test of its risk groups in these patients, which ignores that it was fitted to them.
    selected
        Whether there is a signature.
    """

    c: float
    naive_p: float
    selected: bool


def apparent(fit: SignatureFit | None, training: TrainingSet) -> Apparent:
    """Apparent performance of a fit.

    Parameters
    ----------
    fit
        From `quiet_fit`; None counts as no signature.
    training
        The patients to which it was fitted.

    Returns
    -------
    Apparent

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
    """Performance of the signature of one bootstrap sample.

    Attributes
    ----------
    c
        C-index in the patients that were not drawn.
    optimism
        C-index in the bootstrap sample minus that in all patients.
    selected
        Whether there is a signature.
    """

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
        Settings of the signature.
    """

    training: TrainingSet
    spec: SignatureSpec

    def apparent(self, training: TrainingSet) -> Apparent:
        """Apparent performance of the procedure when it is fitted to some patients."""
        return apparent(quiet_fit(training, self.spec), training)

    def permuted(self, order: np.ndarray) -> Apparent:
        """Apparent performance when (time, event) are permuted among patients."""
        return self.apparent(self.training.permuted(order))

    def bootstrapped(self, drawn: np.ndarray) -> OutOfBag:
        """Performance when the procedure is fitted to a bootstrap sample; repeats of a patient stay in one inner fold."""
        sample = self.training.resampled(drawn)
        fit = quiet_fit(sample, self.spec)
        if fit is None or fit.signature is None:
            return OutOfBag(c=0.5, optimism=0.0, selected=False)
        left = np.setdiff1d(np.arange(len(self.training)), drawn)
        gap = c_of(fit, sample) - c_of(fit, self.training)
        return OutOfBag(c=c_of(fit, self.training.take(left)), optimism=gap, selected=True)

"""One procedure on many altered copies of its data, over as many processes as allowed; the same numbers for any count."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pathosig.core.errors import NotEstimableError, PathosigError, PathosigWarning
from pathosig.core.progress import Progress
from pathosig.core.threads import one_blas_thread
from pathosig.signature.fit import SignatureFit, fit_details
from pathosig.signature.scores import training_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival import harrell_c, logrank

Kind = Literal["permuted", "bootstrapped"]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_FEW = 8


def quiet_fit(training: TrainingSet, spec: SignatureSpec) -> SignatureFit | None:
    """A fit without its warnings; None where nothing can be estimated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        try:
            return fit_details(training, spec, benchmark=False, univariate=False)
        except NotEstimableError:
            return None


def c_of(fit: SignatureFit, training: TrainingSet) -> float:
    """C-index of a fit in some patients; chance without a signature or without pairs."""
    if fit.signature is None:
        return 0.5
    score = training_scores(fit.signature, training)
    usable = np.isfinite(score)
    try:
        return float(harrell_c(score[usable], training.time[usable], training.event[usable]).c)
    except PathosigError:
        return 0.5


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Selection, refit and cut-off on given patients, as something that can be repeated.

    Attributes
    ----------
    training
        Discovery patients.
    spec
        The signature's settings.
    """

    training: TrainingSet
    spec: SignatureSpec

    def apparent(self, training: TrainingSet) -> tuple[float, float, bool]:
        """(apparent C, naive log-rank p, whether there is a signature); chance without one."""
        fit = quiet_fit(training, self.spec)
        if fit is None or fit.signature is None:
            return 0.5, 1.0, False
        score = training_scores(fit.signature, training)
        usable = np.isfinite(score)
        time, event = training.time[usable], training.event[usable]
        high = score[usable] > fit.signature.cutoff
        p = float(logrank(time, event, high).p) if 0 < high.sum() < len(high) else 1.0
        return float(harrell_c(score[usable], time, event).c), p, True

    def permuted(self, order: np.ndarray) -> tuple[float, float, bool]:
        """`apparent` with (time, event) in another order of patients."""
        return self.apparent(self.training.permuted(order))

    def bootstrapped(self, drawn: np.ndarray) -> tuple[float, float, bool]:
        """(out-of-bag C, optimism, whether there is a signature) of one resample of patients.

        Repeats of a patient stay in one inner fold.
        """
        sample = self.training.resampled(drawn)
        fit = quiet_fit(sample, self.spec)
        if fit is None or fit.signature is None:
            return 0.5, 0.0, False
        left = np.setdiff1d(np.arange(len(self.training)), drawn)
        gap = c_of(fit, sample) - c_of(fit, self.training)
        return c_of(fit, self.training.take(left)), gap, True


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Processes started inside compute with one thread each: results must not depend on their number."""
    saved = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@one_blas_thread()
def repeat(
    procedure: Procedure, kind: Kind, tasks: Sequence[np.ndarray], *, workers: int = 1
) -> list[tuple[float, float, bool]]:
    """Results of ``procedure.permuted`` or ``.bootstrapped``, in the order of `tasks`, for any number of workers."""
    made: list[tuple[float, float, bool]] = []
    with Progress(kind, total=len(tasks)) as bar:
        if workers <= 1 or len(tasks) < _FEW:
            for task in tasks:
                made += _part(procedure, kind, [task])
                bar.advance()
            return made
        parts = np.array_split(np.arange(len(tasks)), min(len(tasks), 16 * workers))
        context = multiprocessing.get_context("spawn")
        with one_thread(), ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
            futures = [pool.submit(_part, procedure, kind, [tasks[i] for i in part]) for part in parts]
            for future in futures:
                made += future.result()
                bar.advance(len(made) - bar.count)
    return made


@one_blas_thread()
def _part(procedure: Procedure, kind: Kind, tasks: Sequence[np.ndarray]) -> list[tuple[float, float, bool]]:
    return [getattr(procedure, kind)(task) for task in tasks]

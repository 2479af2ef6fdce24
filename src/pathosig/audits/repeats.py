"""One procedure on many altered copies of its data, over as many processes as allowed; the same numbers for any count."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError, PathosigError, PathosigWarning
from pathosig.core.progress import Progress
from pathosig.core.threads import one_blas_thread
from pathosig.signature.fit import SignatureFit, fit_details
from pathosig.signature.spec import SignatureSpec
from pathosig.survival import harrell_c, logrank

Kind = Literal["permuted", "bootstrapped"]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_FEW = 8


def quiet_fit(
    rows: pd.DataFrame, outcome: pd.DataFrame, spec: SignatureSpec, **facts: Any
) -> SignatureFit | None:
    """A fit without its warnings; None where nothing can be estimated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        try:
            return fit_details(rows, outcome, spec=spec, benchmark=False, univariate=False, **facts)
        except NotEstimableError:
            return None


def c_of(found: SignatureFit, rows: pd.DataFrame, outcome: pd.DataFrame) -> float:
    """C-index of a fit in patients given in the same order; chance without a signature or without pairs."""
    if found.signature is None:
        return 0.5
    score = found.signature.score(rows)
    known = np.isfinite(score)
    time, event = outcome["time"].to_numpy(float)[known], outcome["event"].to_numpy(bool)[known]
    try:
        return float(harrell_c(score[known], time, event).c)
    except PathosigError:
        return 0.5


def aligned(rows: pd.DataFrame, outcome: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Profiles and outcomes of the patients who have both, sorted by patient."""
    table = outcome[outcome["patient_id"].isin(set(rows["patient_id"]))].sort_values("patient_id")
    data = rows.merge(table[["patient_id"]], on="patient_id").sort_values("patient_id")
    return data.reset_index(drop=True), table.reset_index(drop=True)


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Selection, refit and cut-off on given patients, as something that can be repeated.

    Attributes
    ----------
    rows, outcome
        Profiles; patient_id, time, event; the same patients in the same order.
    spec
        The signature's settings.
    facts
        Further arguments of `fit_details`.
    """

    rows: pd.DataFrame
    outcome: pd.DataFrame
    spec: SignatureSpec
    facts: Mapping[str, Any] = field(default_factory=dict)

    def apparent(self, outcome: pd.DataFrame) -> tuple[float, float, bool]:
        """(apparent C, naive log-rank p, whether there is a signature); chance without one."""
        found = quiet_fit(self.rows, outcome, self.spec, **self.facts)
        if found is None or found.signature is None:
            return 0.5, 1.0, False
        score = found.signature.score(self.rows)
        known = np.isfinite(score)
        time, event = outcome["time"].to_numpy(float)[known], outcome["event"].to_numpy(bool)[known]
        high = score[known] > found.signature.cutoff
        p = float(logrank(time, event, high).p) if 0 < high.sum() < len(high) else 1.0
        return float(harrell_c(score[known], time, event).c), p, True

    def permuted(self, order: np.ndarray) -> tuple[float, float, bool]:
        """`apparent` with (time, event) in another order of patients."""
        moved = {k: self.outcome[k].to_numpy()[order] for k in ("time", "event")}
        return self.apparent(self.outcome.assign(**moved))

    def bootstrapped(self, drawn: np.ndarray) -> tuple[float, float, bool]:
        """(out-of-bag C, optimism, whether there is a signature) of one resample of patients.

        Repeats of a patient stay in one inner fold.
        """
        names = [f"{p}#{i}" for i, p in enumerate(self.outcome["patient_id"].to_numpy()[drawn])]
        sample = self.rows.iloc[drawn].assign(patient_id=names)
        events = self.outcome.iloc[drawn].assign(patient_id=names)
        found = quiet_fit(sample, events, self.spec, groups=pd.Series(drawn, index=names), **self.facts)
        if found is None or found.signature is None:
            return 0.5, 0.0, False
        left = np.setdiff1d(np.arange(len(self.outcome)), drawn)
        gap = c_of(found, sample, events) - c_of(found, self.rows, self.outcome)
        return c_of(found, self.rows.iloc[left], self.outcome.iloc[left]), gap, True


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

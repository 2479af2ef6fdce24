"""Tests of discovery that account for the selection: the whole procedure is repeated on permuted outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pathosig.core.pool import over_processes
from pathosig.signature.features import candidates, design
from pathosig.signature.fit import assessable
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival.maxtest import max_test
from pathosig.validation.repeats import Apparent, Procedure

LEVEL = 0.05
FULL = 1000
"""Number of permutations with which p is no longer a preview."""

ENOUGH = 10
"""The test ends when so many permutations have reached the observed C (Besag and Clifford 1991)."""

_BLOCKS = (20, 60)
"""Permutations after which this rule is applied for the first and the second time; the others are computed together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A proportion of repeats with its 95 % Monte Carlo interval (Clopper and Pearson)."""

    estimate: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, count: int, n: int) -> Rate:
        """Rate from a count.

        Examples
        --------
        >>> rate = Rate.of(3, 200)
        >>> f"{rate.estimate:.3f} [{rate.lower:.3f}, {rate.upper:.3f}]"
        '0.015 [0.003, 0.043]'
        """
        lower = float(stats.beta.ppf(0.025, count, n - count + 1)) if count else 0.0
        upper = float(stats.beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0
        return cls(estimate=count / n, lower=lower, upper=upper, n=n)


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionTest:
    """The apparent C of the whole procedure compared with its values on permuted outcomes.

    Attributes
    ----------
    observed_c
        Apparent C; .5 if nothing is selected.
    null_c
        Mean and 2.5 and 97.5 % quantiles of the apparent C on permuted outcomes.
    p
        (1 + number of permutations that reach the observed C) / (1 + number of permutations); 10 / number of permutations if
        the test ended early; 1 if nothing is selected.
    p_lower, p_upper
        95 % Monte Carlo interval of the proportion of permutations that reach the observed C.
    significant
        Whether `p_upper` is below .05, so that more permutations are unlikely to change the conclusion.
    any_signature
        Proportion of permuted outcomes for which something is selected.
    permutations
        Number of permutations; with fewer than 1,000 p is a preview, unless the test ended early.
    stopped
        Whether the test ended early because ten permutations had reached the observed C.
    """

    observed_c: float
    null_c: tuple[float, float, float]
    p: float
    p_lower: float
    p_upper: float
    significant: bool
    any_signature: Rate
    permutations: int
    stopped: bool = False

    @property
    def preview(self) -> bool:
        """Whether there were too few permutations for a final result."""
        return self.permutations < FULL and not self.stopped

    def sentence(self) -> str:
        """The result and its meaning, for the top of a report."""
        chance = self.any_signature
        arises = (
            f"From outcomes permuted at random, selection finds a signature in {chance.estimate:.0%} of cases "
            f"(95 % Monte Carlo interval {chance.lower:.0%} to {chance.upper:.0%})"
        )
        if self.p >= 1:
            return f"{arises}; here it finds none that separates patients."
        reaches = (
            f"Adjusted for selection, p = {self.p:.3f} (interval {self.p_lower:.3f} to {self.p_upper:.3f})"
        )
        verdict = (
            "the association in discovery is stronger than selection alone explains"
            if self.significant
            else "finding a signature is not evidence by itself"
        )
        few = f" This is a preview of {self.permutations} permutations." if self.preview else ""
        if self.stopped:
            few = f" The test ended after {self.permutations} permutations, {ENOUGH} of which had reached the observed value."
        return f"{arises}. {reaches}: {verdict}.{few}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidatesTest:
    """Whether any candidate is associated with survival in discovery, adjusted for the number of candidates.

    Attributes
    ----------
    candidate, statistic
        The strongest candidate and its standardised log-rank score statistic.
    candidates
        Number of candidates.
    p, p_se
        Permutation p-value of the largest statistic and its Monte Carlo standard error.
    permutations
        Number of permutations.
    """

    candidate: str
    statistic: float
    candidates: int
    p: float
    p_se: float
    permutations: int

    def sentence(self) -> str:
        """The result and its meaning, for the top of a report."""
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        verdict = (
            "at least one of them is associated with survival"
            if self.p < LEVEL
            else "a selection from them is compatible with chance and needs validation in other patients"
        )
        return (
            f"Adjusted for testing {self.candidates} candidates in discovery, {p} ({self.permutations:,} permutations of the "
            f"outcome): {verdict}."
        )


def candidates_test(
    training: TrainingSet,
    spec: SignatureSpec,
    *,
    strata: Mapping[str, str] | None = None,
    permutations: int = 9999,
    seed: int = 0,
) -> CandidatesTest:
    """Test of whether any candidate of a signature is associated with survival, by `max_test`.

    The test is fast, and it is valid whichever candidates are selected.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        Settings of the signature, which determine the candidates.
    strata
        Label of each patient_id, such as the site; outcomes are permuted within labels.
    permutations, seed
        Number of permutations, and their seed.

    Returns
    -------
    CandidatesTest

    References
    ----------
    See `survival.max_test`.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.signature.spec import SignatureSpec
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60), "size": rng.normal(size=60)})
    >>> training = training_set(table, pd.DataFrame({"time": rng.exponential(np.exp(-table["grade"])), "event": True}))
    >>> test = candidates_test(training, SignatureSpec(), permutations=199)
    >>> test.candidate, test.candidates, test.p
    ('grade', 2, 0.005)
    """
    patients = assessable(training, spec)
    scale = "logratio" if spec.selection == "logcontrast" else spec.scale
    pool = candidates(
        patients, scale=scale, min_prevalence=spec.min_prevalence, min_steadiness=spec.min_steadiness
    )
    test = max_test(
        design(patients.profiles, pool.names, pool.transform),
        patients.time,
        patients.event,
        strata=stratum_labels(patients, strata),
        permutations=permutations,
        seed=seed,
    )
    return CandidatesTest(
        candidate=pool.names[test.column],
        statistic=test.statistic,
        candidates=len(pool.names),
        p=test.p,
        p_se=test.p_se,
        permutations=test.permutations,
    )


def judge(observed: Apparent, null: Sequence[Apparent], *, stopped: bool = False) -> SelectionTest:
    """Compare an observed result with results on permuted outcomes.

    Parameters
    ----------
    observed, null
        Results of the procedure on the observed outcomes, and on each permutation.
    stopped
        Whether the last permutation ended the test.

    Returns
    -------
    SelectionTest

    Examples
    --------
    >>> from pathosig.validation.repeats import Apparent
    >>> null = [Apparent(c=0.5 + 0.01 * (i % 20), naive_p=0.5, selected=True) for i in range(99)]
    >>> test = judge(Apparent(c=0.75, naive_p=1e-6, selected=True), null)
    >>> test.p, test.significant
    (0.01, True)
    """
    c = np.array([a.c for a in null])
    claimed = _claims(observed)
    reached = int(_reach(observed, null).sum()) if claimed else len(c)
    rate = Rate.of(reached, len(c))
    low, high = np.quantile(c, [0.025, 0.975])
    return SelectionTest(
        observed_c=observed.c,
        null_c=(float(c.mean()), float(low), float(high)),
        p=reached / len(c) if stopped else (1 + reached) / (1 + len(c)),
        p_lower=rate.lower,
        p_upper=rate.upper,
        significant=claimed and rate.upper < LEVEL,
        any_signature=Rate.of(sum(a.selected for a in null), len(c)),
        permutations=len(c),
        stopped=stopped,
    )


def _claims(observed: Apparent) -> bool:
    return observed.selected and observed.c > 0.5


def _reach(observed: Apparent, null: Sequence[Apparent]) -> np.ndarray:
    """Which results on permuted outcomes reach the observed one: bool[n]."""
    return np.array([a.c for a in null]) >= observed.c - 1e-12


def selection_test(
    training: TrainingSet,
    spec: SignatureSpec,
    *,
    strata: Mapping[str, str] | None = None,
    permutations: int = 200,
    seed: int = 0,
    workers: int = 1,
) -> SelectionTest:
    """Test of whether the apparent C in discovery is higher than selection alone explains.

    (time, event) are permuted jointly among patients, within strata, and the whole procedure (selection and refit) is
    repeated on each permutation. The resulting p-value is valid for any selection. A naive p-value of the selected signature
    in the same patients is not: without any effect it is below .05 in most studies.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        Settings of the signature.
    strata
        Label of each patient_id, such as the site; outcomes are permuted within labels.
    permutations
        Largest number of permutations, each of which costs one fit: 200 for a preview, 1,000 for a verdict. The test ends once
        ten permutations have reached the observed C, or after 20 if nothing was selected.
    seed
        Seed of the permutations.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    SelectionTest

    References
    ----------
    Besag J, Clifford P. Sequential Monte Carlo p-values. Biometrika 1991; 78: 301.
    Phipson B, Smyth GK. Permutation p-values should never be zero. Stat Appl Genet Mol Biol 2010; 9: 39.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.signature.spec import SignatureSpec
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=40), "size": rng.normal(size=40)})
    >>> training = training_set(table, pd.DataFrame({"time": rng.exponential(np.exp(-table["grade"])), "event": True}))
    >>> test = selection_test(training, SignatureSpec(selection="stepwise", bootstraps=0), permutations=4)
    >>> round(test.observed_c, 2), test.p
    (0.68, 0.2)
    """
    procedure = Procedure(training=training, spec=spec.replace(bootstraps=0))
    labels = stratum_labels(training, strata)
    rng = np.random.default_rng([seed, 29])
    orders = [permuted_order(labels, rng) for _ in range(permutations)]
    observed = procedure.apparent(training)
    null: list[Apparent] = []
    for until in [*(b for b in _BLOCKS if b < permutations), permutations]:
        block = orders[len(null) : until]
        null += over_processes(procedure.permuted, block, workers=workers, label="permuted outcomes")
        if not _claims(observed):
            break
        reached = np.flatnonzero(_reach(observed, null))
        if len(reached) >= ENOUGH and reached[ENOUGH - 1] + 1 < permutations:
            return judge(observed, null[: reached[ENOUGH - 1] + 1], stopped=True)
    return judge(observed, null)


def stratum_labels(training: TrainingSet, strata: Mapping[str, str] | None) -> np.ndarray:
    """Label of the stratum of each patient; empty for patients without one.

    Parameters
    ----------
    training
        The patients.
    strata
        Label of each patient_id, or None.

    Returns
    -------
    str[n]

    Examples
    --------
    >>> import pandas as pd
    >>> from types import SimpleNamespace
    >>> training = SimpleNamespace(outcome=pd.DataFrame({"patient_id": ["P1", "P2"]}))
    >>> stratum_labels(training, {"P1": "Bern"}).tolist()
    ['Bern', '']
    """
    return training.outcome["patient_id"].map(dict(strata or {})).fillna("").to_numpy(str)


def permuted_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of patients that permutes them within strata only.

    Parameters
    ----------
    strata
        [n] labels.
    rng
        Random number generator.

    Returns
    -------
    int[n]

    Examples
    --------
    >>> permuted_order(np.array(["a", "a", "a", "b", "b"]), np.random.default_rng(0))
    array([2, 0, 1, 4, 3])
    """
    order = np.arange(len(strata))
    for label in np.unique(strata):
        inside = np.flatnonzero(strata == label)
        order[inside] = rng.permutation(inside)
    return order

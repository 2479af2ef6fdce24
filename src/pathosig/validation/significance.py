"""What a discovery claim is worth: the whole procedure on permuted outcomes, selection included."""

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
"""Permutations from which p is no preview."""

ENOUGH = 10
"""Permutations that reach the observed C after which no more are made (Besag and Clifford 1991)."""

_BLOCKS = (20, 60)
"""Permutations made before the rule is looked at for the first and the second time; the rest is made in one go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A proportion of repeats with its 95 % Monte-Carlo interval (Clopper and Pearson)."""

    estimate: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, count: int, n: int) -> Rate:
        """From a count.

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
    """The apparent C of the whole procedure against its values on permuted outcomes.

    Attributes
    ----------
    observed_c
        Apparent C; .5 when nothing is selected.
    null_c
        Mean and central 95 % of the apparent C on permuted outcomes.
    p
        (1 + number of permutations that reach the observed C) / (1 + permutations); where the tenth ended the test, 10 /
        permutations; 1 when nothing is selected.
    p_lower, p_upper
        95 % Monte-Carlo interval of the proportion that reaches it.
    significant
        Whether `p_upper` is below .05: a claim that further permutations would not take back.
    any_signature
        Proportion of permuted outcomes from which some signature arises.
    permutations
        How many were made; fewer than 1,000 are a preview, unless the test ended early.
    stopped
        Whether the test ended early, because ten of them had reached the observed C.
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
        """Whether there were too few permutations for more than a first look."""
        return self.permutations < FULL and not self.stopped

    def sentence(self) -> str:
        """What it means, for the top of a report."""
        chance = self.any_signature
        arises = (
            f"From outcomes permuted at random, selection finds a signature in {chance.estimate:.0%} of cases "
            f"(95 % Monte-Carlo interval {chance.lower:.0%} to {chance.upper:.0%})"
        )
        if self.p >= 1:
            return f"{arises}; here it finds none that separates patients."
        reaches = (
            f"Adjusted for selection, p = {self.p:.3f} (interval {self.p_lower:.3f} to {self.p_upper:.3f})"
        )
        verdict = (
            "the association in discovery is stronger than selection alone explains"
            if self.significant
            else "that a signature was found is no evidence by itself"
        )
        few = f" This is a preview of {self.permutations} permutations." if self.preview else ""
        if self.stopped:
            few = f" The test ended after {self.permutations} permutations, {ENOUGH} of which had reached the observed value."
        return f"{arises}. {reaches}: {verdict}.{few}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidatesTest:
    """Whether any candidate at all is associated with survival in discovery, adjusted for looking at all of them.

    Attributes
    ----------
    candidate, statistic
        The strongest candidate and its standardised log-rank score statistic.
    candidates
        How many were looked at.
    p, p_se
        Permutation p of the largest statistic and its Monte-Carlo standard error.
    permutations
        How many.
    """

    candidate: str
    statistic: float
    candidates: int
    p: float
    p_se: float
    permutations: int

    def sentence(self) -> str:
        """What it means, for the top of a report."""
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        verdict = (
            "something in them is associated with survival"
            if self.p < LEVEL
            else "what was selected from them is compatible with chance; only other patients can tell"
        )
        return (
            f"Adjusted for looking at {self.candidates} candidates in discovery, {p} ({self.permutations:,} permutations of "
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
    """Whether any candidate at all is associated with survival, by `max_test` over the candidates of a signature.

    It is valid for whatever is selected from them, and cheap.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        Which candidates there are.
    strata
        patient_id -> label within which outcomes are permuted (site).
    permutations, seed
        Number of permutations, and their seed.

    Returns
    -------
    `CandidatesTest`.

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
    """The test of an observed result among results on permuted outcomes.

    Parameters
    ----------
    observed, null
        What the procedure gave on the outcomes as they are, and on each permutation.
    stopped
        Whether the last of `null` ended the test.

    Returns
    -------
    `SelectionTest`.

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
    """Whether discovery shows more than a search for a signature finds in noise.

    (time, event) are permuted jointly among patients, within strata, and the whole procedure (selection, refit) is
    repeated on each; the p that follows is valid whatever the selection does. A naive p of the selected signature in
    the patients it was selected on is not: on noise it falls below .05 in most studies.

    Parameters
    ----------
    training
        Discovery patients.
    spec
        The signature's settings.
    strata
        patient_id -> label within which outcomes are permuted (site).
    permutations
        200 for a preview, 1,000 for a verdict, at most: each costs one fit, and the test ends as soon as ten of them have
        reached the observed C, or after 20 where nothing was found.
    seed
        Seed of the permutations.
    workers
        Processes; the result does not depend on it.

    Returns
    -------
    `SelectionTest`.

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
    """Label of each patient's stratum; empty where none is given.

    Parameters
    ----------
    training
        The patients.
    strata
        patient_id -> label.

    Returns
    -------
    str[n].

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
    """An order of patients that mixes them within strata only.

    Parameters
    ----------
    strata
        [n] labels.
    rng
        Source of the order.

    Returns
    -------
    int[n].

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

"""The sparse alternative to a completed signature: a few nodes in its place, and the concordance that is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError
from pathosig.signature.fit import SignatureFit
from pathosig.signature.scores import patient_scores
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.validation.comparators import PairedC, compare_scores
from pathosig.validation.internal import cross_validate
from pathosig.validation.repeats import quiet_fit
from pathosig.validation.spec import ValidateSpec

DENSE, SPARSE = "completed", "tree"
"""The selection that has a sparse alternative, and the selection of the alternative."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseAlternative:
    """The features that `selection = "tree"` selects in the same discovery patients, and their concordance.

    Attributes
    ----------
    features
        Features of the alternative; empty if it selects nothing, which counts as C = .50.
    terms
        Number of terms of the signature itself.
    cohorts
        Concordance of both in the patients that evaluate them; `difference` is the C of the signature minus that of the
        alternative.
    """

    features: tuple[str, ...]
    terms: int
    cohorts: tuple[PairedC, ...]

    def sentence(self) -> str:
        """A sentence that compares the number of terms and the concordance of both."""
        differences = ", ".join(c.text() for c in self.cohorts)
        if self.features:
            plural = "s" if len(self.features) > 1 else ""
            size = f"has {len(self.features)} feature{plural} in place of {self.terms}"
        else:
            size = "finds no signature in the discovery patients (C .50)"
        return (
            f'The sparse alternative, selection = "tree", {size}. Its cost in concordance: {differences} (C of the signature '
            "minus that of the alternative)."
        )


def sparse_alternative(
    training: TrainingSet,
    settings: SignatureSpec,
    scores: Mapping[str, pd.DataFrame],
    *,
    profiles: pd.DataFrame,
    slides: pd.DataFrame,
    terms: int,
    spec: ValidateSpec,
    within: bool,
    workers: int = 1,
) -> SparseAlternative:
    """Fit the sparse alternative to discovery patients, and evaluate it in the same patients as the signature.

    Parameters
    ----------
    training, settings
        Discovery patients and the settings of the signature.
    scores
        patient_id, score, time and event of each cohort; if there is no other cohort, those of discovery with out-of-fold
        scores.
    profiles, slides
        Profiles of all patients and of their slides.
    terms
        Number of terms of the signature.
    spec
        Number of resamples, repeats and folds, and seed; the folds are those of the cross-validation of the signature.
    within
        Whether the scores are out of fold.
    workers
        Number of processes; the result does not depend on it.

    Returns
    -------
    SparseAlternative

    Raises
    ------
    NotEstimableError
        If no cohort has enough events, or the selection cannot be fitted.

    Examples
    --------
    >>> from pathosig.signature.training import training_set
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"patient_id": [f"P{i:02}" for i in range(60)], "grade": rng.normal(size=60)})
    >>> outcome = table[["patient_id"]].assign(time=rng.exponential(np.exp(-table["grade"])), event=True)
    >>> training = training_set(table[:40], outcome[:40])
    >>> result = sparse_alternative(
    ...     training, SignatureSpec(n_subsamples=20), {"v1": outcome[40:].assign(score=table["grade"])},
    ...     profiles=table, slides=table, terms=5, spec=ValidateSpec(bootstraps=5), within=False,
    ... )
    >>> result.features
    ('grade',)
    """
    sparse = settings.replace(selection=SPARSE, bootstraps=0)
    fit = quiet_fit(training, sparse)
    if fit is None:
        raise NotEstimableError('selection = "tree" could not be fitted.')
    if within:
        folded = cross_validate(
            training, spec=sparse, repeats=spec.repeats, folds=spec.folds, seed=spec.seed, workers=workers
        ).scores
        other = folded.set_index("patient_id")["score"]
    else:
        other = _scores(fit, profiles, slides)
    frames = {c: table.assign(other=table["patient_id"].map(other)) for c, table in scores.items()}
    compared = compare_scores(
        SPARSE,
        frames,
        role="cross-validated" if within else "validation",
        bootstraps=spec.bootstraps,
        seed=spec.seed,
        workers=workers,
    )
    features = () if fit.signature is None else fit.signature.hpcs
    return SparseAlternative(features=features, terms=terms, cohorts=compared.cohorts)


def _scores(fit: SignatureFit, profiles: pd.DataFrame, slides: pd.DataFrame) -> pd.Series:
    """Score of every patient; 0 for all of them if there is no signature."""
    values = np.zeros(len(profiles))
    if fit.signature is not None:
        values = patient_scores(fit.signature, profiles, slides)
    return pd.Series(values, index=profiles["patient_id"].to_numpy())

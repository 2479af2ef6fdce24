"""What a validation computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class ValidateSpec(Spec):
    """What is computed on the cohorts; the cut-off is the signature's and cannot be chosen here.

    Attributes
    ----------
    horizons
        Years at which survival, AUC, calibration, Brier score, absolute risks and the nomogram are given; where the follow-up of a
        cohort ends earlier, nothing is given there, with the warning W_HORIZON.
    bootstraps
        Resamples for percentile confidence intervals of differences; 1,000 is the least that makes their ends stable.
    repeats
        Repeats of the cross-validation when there is no validation cohort.
    folds
        Folds of that cross-validation, grouped by patient.
    imputations
        Imputed data sets for missing covariates.
    permutations
        Largest number of permutations of the whole procedure (selection and refit) for the adjusted p of the discovery claim;
        each costs one fit. 200 are a preview, 1,000 a verdict, 0 leaves the test out. It ends early once ten of them reach what
        was observed.
    instability
        Bootstrap samples on which the whole procedure is repeated to see how far individual risks move; each costs one fit.
        Take 200 for a publication; 0 leaves them out.
    clinical
        Covariates of the clinical + histology model; by default those of the study.
    forest
        Whether multivariable models are also fitted on imputed data.
    seed
        Seed of resamples and folds.
    """

    section: ClassVar[str] = "validate"
    horizons: tuple[float, ...] = (1.0, 3.0, 5.0)
    bootstraps: int = 1000
    repeats: int = 5
    folds: int = 5
    imputations: int = 20
    permutations: int = 200
    instability: int = 50
    clinical: tuple[str, ...] = ()
    forest: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = (
            ("bootstraps", 0, 100_000),
            ("repeats", 1, 1000),
            ("folds", 2, 50),
            ("imputations", 0, 1000),
            ("permutations", 0, 100_000),
            ("instability", 0, 10_000),
        )
        for name, low, high in ranges:
            self._within(name, low, high)
        if not self.horizons or any(not 0 < h < 200 for h in self.horizons):
            message = f"[validate] horizons: found {list(self.horizons)}; expected years above 0."
            raise ConfigError(message)

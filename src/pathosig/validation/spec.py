"""Settings of a validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class ValidateSpec(Spec):
    """What is computed in the cohorts; the cut-off belongs to the signature and cannot be chosen here.

    Attributes
    ----------
    horizons
        Years at which survival, AUC, calibration, Brier score, absolute risks and the nomogram are given. Horizons beyond the
        follow-up of a cohort are left out, with the warning W_HORIZON.
    bootstraps
        Number of resamples for percentile confidence intervals of differences; use at least 1,000, so that their ends are stable.
    repeats
        Number of repeats of the cross-validation if there is no validation cohort.
    folds
        Number of folds of this cross-validation; all data of a patient are in one fold.
    imputations
        Number of imputed data sets for missing covariates.
    permutations
        Largest number of permuted outcomes on which the whole procedure (selection and refit) is repeated for the p-value of
        discovery that is adjusted for selection; each costs one fit. 200 give a preview and 1,000 a verdict; 0 leaves the test
        out. The test ends early once ten permutations reach the observed value.
    instability
        Number of bootstrap samples on which the whole procedure is repeated to measure how much individual risks vary; each
        costs one fit. Use 200 for a publication; 0 leaves this out.
    clinical
        Covariates of the clinical + histology model; by default those of the study.
    forest
        Whether to fit multivariable models on imputed data too.
    seed
        Seed of resamples and folds.

    Examples
    --------
    >>> ValidateSpec(horizons=(2.0, 5.0), permutations=1000).horizons
    (2.0, 5.0)
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

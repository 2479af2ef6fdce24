"""Settings of audits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class AuditSpec(Spec):
    """Numbers of repeats of the audits.

    Attributes
    ----------
    permutations
        Number of permutations of `null`; use 1,000 for a verdict, as fewer give only a preview.
    resamples
        Number of bootstrap resamples of `optimism` and `stability`.
    repeats
        Number of repeats of the cross-validation of `optimism`.
    folds
        Number of folds of the cross-validations of `optimism` and `site`.
    codebook_resamples
        Number of resamples of `optimism` in which the codebook is refitted too; 0 leaves this out.
    depths
        Numbers of tiles per patient of `depth`.
    seed
        Seed of all audits.

    Examples
    --------
    >>> AuditSpec().section
    'audit'
    """

    section: ClassVar[str] = "audit"
    permutations: int = 200
    resamples: int = 100
    repeats: int = 5
    folds: int = 5
    codebook_resamples: int = 20
    depths: tuple[int, ...] = (30, 60, 120, 300)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (
            ("permutations", 10),
            ("resamples", 10),
            ("repeats", 1),
            ("folds", 2),
            ("codebook_resamples", 0),
        ):
            self._within(name, low, 100_000)

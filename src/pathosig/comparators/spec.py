"""The section `[compare]` of study.toml: which comparators are fitted, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec

METHODS = ("mean", "mixture", "attention")


@dataclass(frozen=True, kw_only=True)
class CompareSpec(Spec):
    """The models that the signature is compared with.

    Attributes
    ----------
    methods
        mean (mean of all tiles, ridge Cox) | mixture (moments of a Gaussian mixture, ridge Cox) | attention (gated attention
        over tiles, trained on the Cox likelihood; needs torch).
    table
        A table with embeddings of patients or slides from another program (CSV or Parquet with patient_id and columns of
        numbers), for a ridge Cox model.
    components
        Number of Gaussians of the mixture.
    tiles
        Largest number of tiles of each patient that mixture and attention use, sampled at random; the mean uses all tiles.
    epochs
        Passes of the attention model over all patients.
    seed
        Seed of every random step; the folds are those of `[validate]`.

    Examples
    --------
    >>> CompareSpec().section
    'compare'
    """

    section: ClassVar[str] = "compare"
    methods: tuple[str, ...] = METHODS
    table: str | None = None
    components: int = 16
    tiles: int = 400
    epochs: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.methods) - set(METHODS))
        if unknown:
            raise ConfigError(f"[compare] methods: found {unknown}; expected some of {', '.join(METHODS)}.")
        for name, low, high in (("components", 2, 256), ("tiles", 10, 100_000), ("epochs", 1, 10_000)):
            self._within(name, low, high)

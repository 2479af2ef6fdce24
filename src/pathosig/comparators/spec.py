"""Which comparators are fitted, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec

METHODS = ("mean", "mixture", "attention")


@dataclass(frozen=True, kw_only=True)
class CompareSpec(Spec):
    """What the signature is compared with.

    Attributes
    ----------
    methods
        mean (mean of all tiles, ridge Cox) | mixture (moments of a Gaussian mixture, ridge Cox) | attention (gated attention
        over tiles, trained on the Cox likelihood; needs torch).
    table
        A table of embeddings of patients or slides made elsewhere (CSV or Parquet: patient_id and numbers), for a ridge Cox model.
    components
        Gaussians of the mixture.
    tiles
        How many tiles of each patient mixture and attention see, drawn at random; the mean takes all tiles.
    epochs
        Passes of the attention model over all patients.
    seed
        Seed; folds are those of `[validate]`.
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

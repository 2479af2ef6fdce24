"""How profiles are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class ProfilesSpec(Spec):
    """How profiles are made.

    Attributes
    ----------
    table
        Outside feature table (CSV, Parquet, h5ad), relative to the study folder; none means HPC composition.
    patient_column
        Column of that table with patient ids, when it is not ``patient_id``.
    columns
        Names or patterns (``*_HE``) of its feature columns; all numeric ones by default.
    max_missing
        Features missing in a larger part of the discovery patients are dropped.
    soft
        Count each tile by its confidences over its three nearest HPCs instead of 1 for the nearest.
    drop_artefacts
        Take artefact HPCs out and close shares again.
    """

    section: ClassVar[str] = "profiles"
    table: str | None = None
    patient_column: str | None = None
    columns: tuple[str, ...] = ()
    max_missing: float = 0.5
    soft: bool = False
    drop_artefacts: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.max_missing < 1:
            message = f"[profiles] max_missing: found {self.max_missing}; expected 0 to below 1."
            raise ConfigError(message)

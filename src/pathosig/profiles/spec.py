"""The section `[profiles]` of study.toml: how profiles are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class ProfilesSpec(Spec):
    """How profiles are computed.

    Attributes
    ----------
    table
        Table of features from elsewhere (CSV, Parquet, h5ad), relative to the study folder; without it, profiles are the
        proportions of HPCs.
    patient_column
        Column of that table with patient ids, if it is not ``patient_id``.
    columns
        Names or patterns (``*_HE``) of its feature columns; all numeric columns by default.
    max_missing
        Features that are missing in a larger proportion of the discovery patients are dropped.
    soft
        Divide each tile between its three nearest HPCs by confidence, instead of counting it for the nearest HPC only.
    drop_artefacts
        Remove HPCs that are artefacts, and scale the proportions of the others to add up to 1.

    Examples
    --------
    >>> ProfilesSpec(table="features.csv", columns=("*_HE",)).max_missing
    0.5
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
            message = f"[profiles] max_missing: found {self.max_missing}; expected at least 0 and below 1."
            raise ConfigError(message)

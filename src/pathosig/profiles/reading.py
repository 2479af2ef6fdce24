"""Reads the profiles that the profiles stage wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import InputError
from pathosig.core.records import parquet_metadata, read_parquet
from pathosig.core.schema import (
    PATIENT_PROFILES,
    SLIDE_PROFILES,
    read_table,
)
from pathosig.core.study import Study
from pathosig.profiles.tables import FeatureRules

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Profiles of a study as read from disk.

    Attributes
    ----------
    kind
        ``composition`` or ``features``.
    patients, slides
        Tables with one row for each patient, and for each slide or core.
    columns
        Names of the HPC shares or features, in order.
    tree
        Content of tree.json; empty for features.
    artefacts
        HPCs that were removed.
    rules
        How missing features were filled and features were scaled; None for compositions.
    raw
        Features of slides before filling and scaling; None for compositions.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"patient_id": ["P1", "P2"], "n_tiles": 300, "hpc_00": [0.2, 0.7], "hpc_01": [0.8, 0.3]})
    >>> profiles = Profiles(kind="composition", patients=table, slides=table, columns=("hpc_00", "hpc_01"), tree={})
    >>> profiles.patients[list(profiles.columns)].sum(axis=1).tolist()
    [1.0, 1.0]
    """

    kind: str
    patients: pd.DataFrame
    slides: pd.DataFrame
    columns: tuple[str, ...]
    tree: Mapping[str, Any]
    artefacts: tuple[int, ...] = ()
    rules: FeatureRules | None = None
    raw: pd.DataFrame | None = None


def read_profiles(study: Study) -> Profiles:
    """The profiles of a study.

    Parameters
    ----------
    study
        An open study whose profiles stage has run.

    Returns
    -------
    Profiles

    Raises
    ------
    InputError
        E_MISSING if the profiles stage has not run.
    """
    path = study.paths.patient_profiles
    if not path.is_file():
        message = "profiles/patients.parquet: no such file. Run `pathosig profiles` first."
        raise InputError(message, code="E_MISSING")
    declared = parquet_metadata(path).get("pathosig", {})
    raw = study.paths.raw_profiles
    return Profiles(
        kind=str(declared.get("kind", "composition")),
        patients=read_table(path, PATIENT_PROFILES).to_pandas(),
        slides=read_table(study.paths.slide_profiles, SLIDE_PROFILES).to_pandas(),
        columns=tuple(declared.get("columns", ())),
        tree=declared.get("tree", {}),
        artefacts=tuple(declared.get("artefact_hpcs", ())),
        rules=FeatureRules.from_dict(declared["rules"]) if declared.get("rules") else None,
        raw=_raw(raw) if declared.get("kind") == "features" and raw.is_file() else None,
    )


def _raw(path: Path) -> pd.DataFrame:
    """Raw features of slides; files of older versions have one row for each patient instead."""
    table = read_parquet(path).to_pandas()
    return table if "slide_id" in table else table.assign(slide_id=table["patient_id"])

"""Profiles of a study, read back."""

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
        One row per patient, one per slide or core.
    columns
        Leaf shares or features, in order.
    tree
        Content of tree.json; empty for features.
    artefacts
        HPCs taken out.
    rules
        How raw features were filled and scaled; None for compositions.
    raw
        Outside features of slides before that; None for compositions.
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
    """Profiles of a study.

    Raises
    ------
    InputError
        If the profiles stage has not run.
    """
    path = study.paths.patient_profiles
    if not path.is_file():
        message = "profiles/patients.parquet: not there. Run `pathosig profiles` first."
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
    """Raw features of slides; files of older versions have a row per patient."""
    table = read_parquet(path).to_pandas()
    return table if "slide_id" in table else table.assign(slide_id=table["patient_id"])

"""What the signature's stages take from a study: columns by role, profiles of discovery patients, facts of the codebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pathosig.core.study import Study
from pathosig.profiles.reading import Profiles

if TYPE_CHECKING:
    import pandas as pd


def clinical_variables(study: Study) -> list[str]:
    """Columns of patients.csv that Table 1 shows: covariates, treatments, subgroups."""
    c, p = study.columns, study.primary
    return list(dict.fromkeys([*c.covariates, *p.covariates, *c.treatments, *c.subgroups]))


def covariates_of(study: Study) -> list[str]:
    """Covariates of the models: those declared, without treatments."""
    treatments = {*study.columns.treatments, study.primary.treatment}
    return [
        c
        for c in dict.fromkeys([*study.primary.covariates, *study.columns.covariates])
        if c not in treatments
    ]


def treatment_arms(study: Study) -> list[str]:
    """Treatment columns, the primary one first."""
    arms = [study.primary.treatment] if study.primary.treatment else []
    return list(dict.fromkeys([*arms, *study.columns.treatments]))


def model_facts(profiles: Profiles) -> dict[str, Any]:
    """Arguments of `fit_details` that come from the profiles."""
    return {
        "tree": profiles.tree or None,
        "artefacts": profiles.artefacts,
        "kind": profiles.kind,
        "columns": () if profiles.kind == "features" else profiles.columns,
    }


def preparer(study: Study, profiles: Profiles, policy: str) -> Any:
    """Training ids -> profiles of discovery patients, outside features scaled by rules of those ids only."""
    from pathosig.profiles.spec import ProfilesSpec
    from pathosig.profiles.tables import FeatureRules
    from pathosig.signature.stage import discovery_rows

    if profiles.kind != "features" or profiles.raw is None:
        rows = discovery_rows(study, profiles, policy)
        return lambda ids: rows
    raw = profiles.raw[profiles.raw["patient_id"].isin(set(study.cohort(study.primary.discovery)))]
    names = [c for c in raw.columns if c not in ("patient_id", "n_slides", "n_tiles")]
    least = study.spec(ProfilesSpec).max_missing

    def prepare(ids: set[str]) -> pd.DataFrame:
        rules = FeatureRules.fit(raw[raw["patient_id"].isin(ids)], names, max_missing=least)
        scaled = rules.apply(raw)
        scaled.insert(0, "patient_id", raw["patient_id"])
        return scaled.reset_index(drop=True)

    return prepare

"""What the signature's stages read from a study: discovery patients, declared columns, and what the stage wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.records import read_json
from pathosig.core.schema import ASSIGNMENTS, TILES, read_table
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.profiles.reading import Profiles
from pathosig.profiles.spec import ProfilesSpec
from pathosig.signature.scores import TilePlaces
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet

FIT, SCORES = "_fit", "_scores"
SCORE_COLUMNS = (
    "patient_id",
    "cohort",
    "score",
    "group",
    "core_agreement",
    "n_slides",
    "n_tiles",
    "ridge_score",
    "paper_group",
)


def clinical_variables(study: Study) -> list[str]:
    """Columns of patients.csv that Table 1 shows: covariates, treatments, subgroups.

    Parameters
    ----------
    study
        An open study.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> columns = SimpleNamespace(covariates=("age",), treatments=("chemo",), subgroups=("sex", "age"))
    >>> clinical_variables(SimpleNamespace(columns=columns, primary=SimpleNamespace(covariates=("stage",))))
    ['age', 'stage', 'chemo', 'sex']
    """
    c, p = study.columns, study.primary
    return list(dict.fromkeys([*c.covariates, *p.covariates, *c.treatments, *c.subgroups]))


def covariates_of(study: Study) -> list[str]:
    """Covariates of the models: those declared, without treatments.

    Parameters
    ----------
    study
        An open study.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> columns = SimpleNamespace(covariates=("stage", "chemo"), treatments=("chemo",))
    >>> covariates_of(SimpleNamespace(columns=columns, primary=SimpleNamespace(covariates=("age",), treatment=None)))
    ['age', 'stage']
    """
    treatments = {*study.columns.treatments, study.primary.treatment}
    return [
        c
        for c in dict.fromkeys([*study.primary.covariates, *study.columns.covariates])
        if c not in treatments
    ]


def treatment_arms(study: Study) -> list[str]:
    """Treatment columns, the primary one first.

    Parameters
    ----------
    study
        An open study.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> primary = SimpleNamespace(treatment="radio")
    >>> treatment_arms(SimpleNamespace(primary=primary, columns=SimpleNamespace(treatments=("chemo", "radio"))))
    ['radio', 'chemo']
    """
    arms = [study.primary.treatment] if study.primary.treatment else []
    return list(dict.fromkeys([*arms, *study.columns.treatments]))


def endpoint_of(study: Study, spec: SignatureSpec) -> str:
    """The endpoint a signature is fitted on: that of its settings, or the study's primary one.

    Parameters
    ----------
    study, spec
        An open study, and the settings.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> endpoint_of(SimpleNamespace(primary=SimpleNamespace(endpoint="os")), SignatureSpec())
    'os'
    """
    return spec.endpoint or study.primary.endpoint


def discovery_rows(study: Study, profiles: Profiles) -> pd.DataFrame:
    """Profiles of discovery patients, sorted by patient.

    Raises
    ------
    InputError
        If no discovery patient has a profile.
    """
    ids = set(study.cohort(study.primary.discovery))
    rows = profiles.patients
    rows = rows[rows["patient_id"].isin(ids)].sort_values("patient_id", kind="stable").reset_index(drop=True)
    if not len(rows):
        message = (
            f"signature: no patient of cohort {study.primary.discovery!r} has a profile; cohorts found: "
            f"{study.cohorts()}. Name the discovery cohort in [primary] of study.toml."
        )
        raise InputError(message, code="E_COHORT")
    return rows


def read_training(study: Study, profiles: Profiles, spec: SignatureSpec) -> TrainingSet:
    """Discovery patients with a profile and an outcome.

    Raises
    ------
    InputError
        If no discovery patient has a profile.
    """
    name = endpoint_of(study, spec)
    raw, slides = profiles.raw, profiles.slides
    discovery = set(study.cohort(study.primary.discovery))
    if raw is not None:
        raw = raw[raw["patient_id"].isin(discovery)].reset_index(drop=True)
    return TrainingSet.of(
        discovery_rows(study, profiles),
        study.survival(name),
        slides=slides[slides["patient_id"].isin(discovery)].reset_index(drop=True),
        endpoint=name,
        unit=study.endpoints()[name].unit,
        cohort=study.primary.discovery,
        kind=profiles.kind,
        columns=profiles.columns,
        tree=profiles.tree,
        artefacts=profiles.artefacts,
        rules=profiles.rules,
        raw=raw,
        max_missing=study.spec(ProfilesSpec).max_missing,
    )


def tile_places(study: Study, slide: str) -> TilePlaces | None:
    """HPC and place of every tile of a slide; None when the study holds no tiles."""
    tiles, labels = study.paths.tiles(slide), study.paths.assignments(slide)
    if not (tiles.is_file() and labels.is_file()):
        return None
    place, assigned = read_table(tiles, TILES), read_table(labels, ASSIGNMENTS)
    rows = assigned.column(
        "tile_id"
    ).to_numpy()  # a tile that could not be decoded has a place and no phenotype
    x, y = (place.column(c).to_numpy().astype(float)[rows] for c in ("x", "y"))
    hpc = assigned.column("hpc").to_numpy()
    return TilePlaces(hpc=hpc, x=x, y=y)


def read_scores(study: Study) -> pd.DataFrame:
    """signature/scores.csv with numbers as float."""
    rows = read_csv_rows(study.paths.scores)
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    for name in ("score", "ridge_score", "n_slides", "n_tiles"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    return table


def read_selection(study: Study) -> Mapping[str, Any]:
    """signature/selection.json; empty when the stage has not run."""
    path = study.paths.selection
    return dict(read_json(path)) if path.is_file() else {}

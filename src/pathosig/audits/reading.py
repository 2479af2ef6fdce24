"""Reads the input of audits: validation patients, sites, numbers of tiles, and profiles by a refitted codebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pathosig.core.errors import NotEstimableError, PathosigError
from pathosig.core.study import Study
from pathosig.profiles.pooling import pool_patients, slide_profiles
from pathosig.profiles.reading import Profiles
from pathosig.profiles.spec import ProfilesSpec
from pathosig.profiles.tree import hpc_column
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet


def read_validation(study: Study, profiles: Profiles, spec: SignatureSpec) -> TrainingSet | None:
    """Patients with profile and outcome of all cohorts except discovery; None if there is no event among them."""
    name = spec.endpoint or study.primary.endpoint
    discovery = set(study.cohort(study.primary.discovery))
    rows = profiles.patients[~profiles.patients["patient_id"].isin(discovery)]
    slides = profiles.slides[~profiles.slides["patient_id"].isin(discovery)]
    outcome = study.survival(name)
    if not outcome.loc[outcome["patient_id"].isin(set(rows["patient_id"])), "event"].any():
        return None
    return TrainingSet.of(
        rows,
        outcome,
        slides=slides.reset_index(drop=True),
        endpoint=name,
        unit=study.endpoints()[name].unit,
        cohort="validation",
        kind=profiles.kind,
        columns=profiles.columns,
    )


def sites_of(study: Study) -> dict[str, str]:
    """Site of each patient_id: from the declared column, otherwise from the slides of the patient."""
    patients = study.patients().set_index("patient_id")
    column = study.columns.site
    if column and column in patients:
        return {str(k): str(v) for k, v in patients[column].items()}
    return {s.patient_id: s.site for s in study.slides() if s.site}


def tile_counts(profiles: Profiles) -> pd.DataFrame:
    """patient_id and the number of tiles of each HPC, for every patient."""
    counts = profiles.patients[["patient_id", *profiles.columns]].copy()
    counts[list(profiles.columns)] = counts[list(profiles.columns)].mul(profiles.patients["n_tiles"], axis=0)
    return counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Refitted:
    """Discovery patients with profiles by a refitted codebook, and its agreement with the codebook of the study.

    `agreement` is the adjusted Rand index of the HPCs that both assign to the tiles.
    """

    training: TrainingSet
    agreement: float


def refitted(root: Path, training: TrainingSet, patients: Collection[str]) -> Refitted:
    """Patients with profiles by a codebook that is fitted to some of them.

    Parameters
    ----------
    root
        Folder of the study.
    training
        Discovery patients.
    patients
        Ids of the patients to whom the codebook is fitted.

    Raises
    ------
    NotEstimableError
        If the codebook cannot be refitted (a trained head, no embeddings).
    """
    from pathosig.phenotypes.reading import read_discovery
    from pathosig.phenotypes.refit import (
        refit_codebook,  # imports scikit-learn and the readers of embeddings
    )

    study = Study.open(root)
    try:
        book = refit_codebook(read_discovery(study), set(patients))
    except PathosigError as error:
        raise NotEstimableError(str(error)) from error
    artefacts = book.artefact_hpcs if study.spec(ProfilesSpec).drop_artefacts else ()
    columns = [hpc_column(i) for i in range(book.counts.shape[1])]
    ids = pd.DataFrame({"slide_id": book.slide_ids, "patient_id": book.patient_ids})
    slides = slide_profiles(ids, book.counts, artefacts)
    rows = pool_patients(slides, columns=columns)
    rows = training.outcome[["patient_id"]].merge(rows, on="patient_id", how="left")
    for name in (*columns, "n_tiles"):  # a patient may have only artefacts by this codebook
        rows[name] = rows[name].fillna(0.0)
    again = dataclasses.replace(
        training,
        profiles=rows,
        slides=slides,
        columns=tuple(columns),
        tree=book.tree,
        artefacts=tuple(artefacts),
    )
    return Refitted(training=again, agreement=book.agreement)

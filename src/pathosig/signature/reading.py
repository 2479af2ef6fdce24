"""What the signature's stages read from a study: discovery patients, declared columns, and what the stage wrote."""

from __future__ import annotations

import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.schema import ASSIGNMENTS, TILES, read_table
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.profiles.reading import Profiles
from pathosig.profiles.spec import ProfilesSpec
from pathosig.signature.scores import TilePlaces
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.survival.causes import causes_of

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


def outcome_of(study: Study, endpoint: str) -> pd.DataFrame:
    """Outcomes of all patients for one endpoint.

    Parameters
    ----------
    study, endpoint
        An open study, and an endpoint that it declares.

    Returns
    -------
    patient_id, time and event; and ``cause`` if another event competes and no patient enters late.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ends = pd.DataFrame({"patient_id": ["P1"], "time": [9.0], "event": [True]})
    >>> study = SimpleNamespace(survival={"os": ends}.get, endpoints=lambda: {"os": SimpleNamespace(competing=None)})
    >>> list(outcome_of(study, "os"))
    ['patient_id', 'time', 'event']
    """
    outcome, other = study.survival(endpoint), study.endpoints()[endpoint].competing
    return outcome if other is None or "entry" in outcome else causes_of(outcome, study.survival(other))


def discovery_rows(study: Study, profiles: Profiles) -> pd.DataFrame:
    """Profiles of discovery patients.

    Parameters
    ----------
    study, profiles
        An open study and its profiles.

    Returns
    -------
    The rows of ``profiles.patients`` that belong to the discovery cohort, sorted by patient.

    Raises
    ------
    InputError
        E_COHORT if no discovery patient has a profile.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> cohorts = {"discovery": ["P2", "P1"], "validation": ["P3"]}
    >>> study = SimpleNamespace(cohort=cohorts.get, primary=SimpleNamespace(discovery="discovery"))
    >>> patients = pd.DataFrame({"patient_id": ["P3", "P2", "P1"], "hpc_00": [0.1, 0.2, 0.3]})
    >>> discovery_rows(study, SimpleNamespace(patients=patients))["hpc_00"].tolist()
    [0.3, 0.2]
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
    r"""Discovery patients who have a profile and an outcome.

    Parameters
    ----------
    study, profiles, spec
        An open study, its profiles, and the settings, which may name an endpoint other than the primary one.

    Returns
    -------
    TrainingSet

    Raises
    ------
    InputError
        E_COHORT if no discovery patient has a profile.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = Study.create(folder, {"endpoints": {"os": {"time": "months", "event": "died", "unit": "months"}}})
    ...     rows = "patient_id,cohort,months,died\nP1,discovery,9,1\nP2,discovery,30,0\nP3,external,12,1\n"
    ...     _ = (study.root / "patients.csv").write_text(rows)
    ...     table = pd.DataFrame({"patient_id": ["P1", "P2", "P3"], "hpc_00": [0.2, 0.7, 0.4], "n_tiles": 300})
    ...     profiles = Profiles(kind="composition", patients=table, slides=table, columns=("hpc_00",), tree={})
    ...     read_training(Study.open(folder), profiles, SignatureSpec()).outcome.to_dict("list")
    {'patient_id': ['P1', 'P2'], 'time': [9.0, 30.0], 'event': [True, False]}
    """
    name = spec.endpoint or study.primary.endpoint
    raw, slides = profiles.raw, profiles.slides
    discovery = set(study.cohort(study.primary.discovery))
    if raw is not None:
        raw = raw[raw["patient_id"].isin(discovery)].reset_index(drop=True)
    return TrainingSet.of(
        discovery_rows(study, profiles),
        outcome_of(study, name),
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
    """HPC and position of every tile of a slide.

    Parameters
    ----------
    study, slide
        An open study, and the id of the slide.

    Returns
    -------
    TilePlaces, or None if the study has no tiles of the slide.

    Examples
    --------
    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> absent = SimpleNamespace(tiles=lambda slide: Path("no.parquet"), assignments=lambda slide: Path("no.parquet"))
    >>> tile_places(SimpleNamespace(paths=absent), "S1") is None
    True
    """
    tiles, labels = study.paths.tiles(slide), study.paths.assignments(slide)
    if not (tiles.is_file() and labels.is_file()):
        return None
    place, assigned = read_table(tiles, TILES), read_table(labels, ASSIGNMENTS)
    rows = assigned.column("tile_id").to_numpy()  # a tile that could not be decoded has no phenotype
    x, y = (place.column(c).to_numpy().astype(float)[rows] for c in ("x", "y"))
    hpc = assigned.column("hpc").to_numpy()
    return TilePlaces(hpc=hpc, x=x, y=y)


def read_scores(study: Study) -> pd.DataFrame:
    r"""The table signature/scores.csv.

    Parameters
    ----------
    study
        An open study whose signature stage has run.

    Returns
    -------
    One row per patient with `SCORE_COLUMNS`; numbers are float, and NaN where the file has none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "scores.csv")
    ...     _ = path.write_text("patient_id,score,group\nP1,0.5,high\nP2,,not assessable\n")
    ...     read_scores(SimpleNamespace(paths=SimpleNamespace(scores=path)))["score"].tolist()
    [0.5, nan]
    """
    rows = read_csv_rows(study.paths.scores)
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    for name in ("score", "ridge_score", "n_slides", "n_tiles"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    return table

"""The profiles stage: writes profiles/slides.parquet and patients.parquet from assignments or from an outside table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.execution import run_once
from pathosig.core.fingerprints import identity
from pathosig.core.layout import Layout
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.records import write_parquet
from pathosig.core.schema import (
    ASSIGNMENTS,
    PATIENT_PROFILES,
    SLIDE_PROFILES,
    Schema,
    read_table,
    write_table,
)
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.core.words import counted
from pathosig.profiles.clinical_copies import without_clinical
from pathosig.profiles.pooling import pool_patients, slide_profiles
from pathosig.profiles.spec import ProfilesSpec
from pathosig.profiles.tables import FeatureRules, read_features
from pathosig.profiles.tree import hpc_column, shares, tree_shares

STAGE_VERSION = 2
STAGE = Stage(name="profiles", version=STAGE_VERSION)
UNIT = "_profiles"
_READING = 2
"""Version of the rules by which columns of an outside table are chosen as features."""

FACTS = ("slide_id", "patient_id", "n_slides", "n_tiles", "artefact_share")


def build_profiles(
    study: Study,
    spec: ProfilesSpec | None = None,
    *,
    execution: Execution = Execution(),
    features: Path | None = None,
) -> StageReport:
    """Compute each patient's mixture of phenotypes, or read features from another table instead.

    Parameters
    ----------
    study
        An open study.
    spec
        How profiles are computed; from study.toml by default.
    execution
        Of its settings, only ``force`` is used.
    features
        Table of features (CSV, Parquet, h5ad) to use instead of slides; study.toml records it for later runs.

    Returns
    -------
    StageReport

    Raises
    ------
    InputError
        If there are neither assignments nor a table (E_MISSING), or the table has none of the study's patients
        (E_NO_OVERLAP) or no usable features.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = Study.create(folder, {"endpoints": {"os": {"time": "months", "event": "died", "unit": "months"}}})
    ...     patients = pd.DataFrame({"patient_id": ["P1", "P2", "P3"], "cohort": "discovery", "months": 9, "died": 1})
    ...     patients.to_csv(study.root / "patients.csv", index=False)
    ...     features = pd.DataFrame({"patient_id": ["P1", "P2", "P3"], "grade": [1.5, 2.25, 4.0]})
    ...     features.to_csv(study.root / "features.csv", index=False)
    ...     report = build_profiles(Study.open(folder), features=study.root / "features.csv")
    ...     pd.read_parquet(study.paths.patient_profiles)["grade"].round(2).tolist()
    [-0.84, -0.26, 1.1]
    """
    spec = spec or study.spec(ProfilesSpec)
    if features is not None:
        spec = spec.replace(table=_noted(study, Path(features)))
        _save(study, spec)
    unit = _table_unit(study, spec) if spec.table else _composition_unit(study)
    task = _from_table if spec.table else _from_assignments
    return run_once(study, STAGE, spec, unit, task, execution=execution)


def _noted(study: Study, path: Path) -> str:
    """Path of a table for study.toml: relative if the table is inside the study folder, otherwise absolute."""
    where = path.expanduser().resolve()
    if not where.is_file():
        message = f"--features {path}: no such file."
        raise InputError(message, code="E_MISSING")
    return where.relative_to(study.root).as_posix() if where.is_relative_to(study.root) else where.as_posix()


def _save(study: Study, spec: ProfilesSpec) -> None:
    if not study.slides():
        study.update("study", level="features")
    study.save_spec(spec)


# -- an outside table -------------------------------------------------------------------------


def _table_unit(study: Study, spec: ProfilesSpec) -> Unit:
    path = study.root / str(spec.table)
    if not path.is_file():
        message = f"[profiles] table {spec.table!r}: no such file. Give it with `pathosig profiles DIR --features TABLE`."
        raise InputError(message, code="E_MISSING")
    frame = study.patients()
    cohorts = dict(zip(frame["patient_id"], frame["cohort"], strict=True))
    names = sorted(frame.columns)
    return Unit(
        id=UNIT, inputs={"table": identity(path), "cohorts": cohorts, "columns": names, "reading": _READING}
    )


def _from_table(job: Job) -> Outcome:
    study, spec = Study.open(job.root), job.spec
    patients = study.patients()
    declared = {c for e in study.endpoints().values() for c in (e.time, e.event, e.entry) if c}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        slides = read_features(
            study.root / spec.table,
            list(patients["patient_id"]),
            patient_column=spec.patient_column,
            columns=spec.columns,
            leave_out=set(patients.columns) | declared,
            missing=study.columns.missing,
            decimal=study.columns.decimal_mark,
        )
        slides = without_clinical(
            slides, _clinical_numbers(study, patients), FACTS, table=Path(str(spec.table)).name
        )
    names = [c for c in slides.columns if c not in FACTS]
    raw = pool_patients(slides, policy="pooled", columns=names)
    discovery = set(study.cohort(study.primary.discovery)) or set(raw["patient_id"])
    rules = FeatureRules.fit(raw[raw["patient_id"].isin(discovery)], names, max_missing=spec.max_missing)
    metadata = {"kind": "features", "columns": list(rules.columns), "rules": rules.to_dict()}
    slides_out = _joined(slides, rules.apply(slides), ("slide_id", "patient_id", "n_tiles"))
    patients_out = _joined(raw, rules.apply(raw), ("patient_id", "n_slides", "n_tiles"))
    _write(study, Layout.slide_profiles, slides_out, SLIDE_PROFILES, metadata)
    _write(study, Layout.patient_profiles, patients_out, PATIENT_PROFILES, metadata)
    _write(
        study,
        Layout.raw_profiles,
        slides[["slide_id", "patient_id", "n_tiles", *names]],
        None,
        {"columns": names},
    )
    issued = [w.message for w in caught if isinstance(w.message, PathosigWarning)]
    if rules.dropped:
        text = f"{counted(len(rules.dropped), 'feature')} dropped: {dict(list(rules.dropped.items())[:50])}"
        issued.append(PathosigWarning(text, code="W_FEATURES"))
    for warning in issued:
        warnings.warn(warning, stacklevel=2)
    notes = [f"{w.code} {w.message}" for w in issued]
    missing = int(raw[list(rules.columns)].isna().to_numpy().sum())
    summary = {
        "kind": "features",
        "patients": len(raw),
        "rows": len(slides),
        "features": len(rules.columns),
        "dropped": len(rules.dropped),
        "imputed_values": missing,
        "without_profile": sorted(set(patients["patient_id"]) - set(raw["patient_id"]))[:50],
    }
    return Outcome(
        outputs=(Layout.slide_profiles, Layout.patient_profiles, Layout.raw_profiles),
        warnings=tuple(notes),
        summary=summary,
    )


def _clinical_numbers(study: Study, patients: pd.DataFrame) -> pd.DataFrame:
    """Numbers of patients.csv, and times and events of every endpoint that can be read."""
    frame = patients[["patient_id", *patients.select_dtypes("number").columns]]
    for name in study.endpoints():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PathosigWarning)  # `pathosig check` reports these
            try:
                outcome = study.survival(name)
            except InputError:
                continue
        outcome = outcome.assign(event=outcome["event"].astype(float))
        labels = {"time": f"time of {name}", "event": f"event of {name}"}
        frame = frame.merge(outcome.rename(columns=labels), on="patient_id", how="left")
    return frame


def _joined(frame: pd.DataFrame, values: pd.DataFrame, keep: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat([frame[list(keep)], values], axis=1)


# -- HPC composition --------------------------------------------------------------------------


def _composition_unit(study: Study) -> Unit:
    specimens = study.specimens()
    usable = {s.id: s.patient_id for s in specimens if study.upstream("phenotypes", s.id) is not None}
    if not usable:
        message = (
            f"profiles: none of {len(specimens)} slides has phenotypes. Run `pathosig phenotypes` first, or give an "
            "outside table: `pathosig profiles DIR --features TABLE`."
        )
        raise InputError(message, code="E_MISSING")
    upstream = {i: study.upstream("phenotypes", i) for i in usable}
    lost = sorted({s.id for s in specimens} - set(usable))
    return Unit(id=UNIT, inputs={"patients": usable}, upstream=upstream, payload={"lost": lost})


def _from_assignments(job: Job) -> Outcome:
    study, spec = Study.open(job.root), job.spec
    tree = PhenotypeTree.read(study.paths.tree)
    k = tree.k
    artefacts = tuple(sorted(tree.artefacts)) if spec.drop_artefacts else ()
    rows, counts, empty = [], [], []
    for specimen in study.specimens():
        record = study.record("phenotypes", specimen.id)
        if record is None or record.status == "failed":
            continue
        if record.status == "empty":
            empty.append(specimen.id)
            continue
        counts.append(_counts(study.paths.assignments(specimen.id), k, soft=spec.soft))
        rows.append((specimen.id, specimen.patient_id))
    if not rows:
        message = "profiles: no slide has a tile with a phenotype. See `pathosig status`."
        raise InputError(message)
    names = [hpc_column(i) for i in range(k)]
    listed = pd.DataFrame(rows, columns=["slide_id", "patient_id"])
    slides = slide_profiles(listed, np.vstack(counts), artefacts)
    patients = pool_patients(slides, policy="pooled", columns=["artefact_share", *names])
    metadata = {
        "kind": "composition",
        "k": k,
        "columns": names,
        "tree": tree.to_dict(),
        "artefact_hpcs": list(artefacts),
    }
    for path, frame, schema in (
        (Layout.slide_profiles, slides, SLIDE_PROFILES),
        (Layout.patient_profiles, patients, PATIENT_PROFILES),
    ):
        nodes = tree_shares(frame, tree.to_dict(), without=artefacts)
        nodes = nodes[[c for c in nodes.columns if c not in frame.columns]]
        _write(study, path, pd.concat([frame, nodes], axis=1), schema, metadata)
    lost = {"empty": empty, "without phenotypes": job.payload["lost"]}
    notes = [f"{counted(len(ids), 'slide')} {what}: {ids[:5]}" for what, ids in lost.items() if ids]
    summary = {
        "kind": "composition",
        "k": k,
        "slides": len(slides),
        "patients": len(patients),
        "tiles": int(np.vstack(counts).sum()),
        "artefact_tiles": int(np.vstack(counts)[:, list(artefacts)].sum()),
        "artefact_hpcs": list(artefacts),
    }
    return Outcome(
        outputs=(Layout.slide_profiles, Layout.patient_profiles), warnings=tuple(notes), summary=summary
    )


def _counts(path: Path, k: int, *, soft: bool) -> np.ndarray:
    """Number of tiles (or sum of confidences) in each HPC of one slide, float[k]."""
    if not soft:
        hpc = read_table(path, ASSIGNMENTS).column("hpc").to_numpy()
        return np.asarray(shares(hpc, k) * len(hpc))
    pairs = (("hpc", "confidence"), ("hpc_2", "confidence_2"), ("hpc_3", "confidence_3"))
    table = read_table(path, ASSIGNMENTS)
    total = np.zeros(k)
    for label, weight in pairs:
        hpc, value = table.column(label).to_numpy(), table.column(weight).to_numpy().astype(float)
        used = hpc >= 0
        total += np.bincount(hpc[used], weights=value[used], minlength=k)
    return total * (table.num_rows / total.sum()) if total.sum() > 0 else total


# -- files ------------------------------------------------------------------------------------


def _write(
    study: Study, relative: str, frame: pd.DataFrame, schema: Schema | None, metadata: Mapping[str, object]
) -> None:
    frame = frame.copy()
    for name, kind in (("n_tiles", np.int32), ("n_slides", np.int32)):
        if name in frame:
            frame[name] = frame[name].fillna(0).astype(kind)
    for name in ("slide_id", "patient_id"):
        if name in frame:
            frame[name] = frame[name].astype(str)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if schema is None:
        write_parquet(study.root / relative, table, {"pathosig": metadata})
    else:
        write_table(study.root / relative, table, schema, {"pathosig": metadata})

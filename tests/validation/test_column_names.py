"""The names of columns do not change results: no covariate is mistaken for the outcome, the score or delayed entry."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.records import read_json
from pathosig.core.study import Study
from pathosig.intake import check, init
from pathosig.profiles import build_profiles
from pathosig.report.reading import read_material
from pathosig.report.sections.nomogram import example_patient
from pathosig.report.spec import ReportSpec
from pathosig.scoring.clinical import clinical_reading, read_clinical
from pathosig.signature import SignatureSpec, build_signature, fit_signature
from pathosig.validation import ValidateSpec, read_results, validate, validate_signature
from pathosig.validation.clinical_names import TAKEN, clinical_name, clinical_table
from pathosig.validation.forests import forest, subgroup_effects
from pathosig.validation.treatment import treatment_benefit

PLAIN = ("dose", "side", "drug")
NAMES = [
    ("time", "event", "score"),
    ("entry", "group", "weight"),
    ("score", "strata", "entry"),
    ("cohort", "patient_id", "risk"),
    ("n_tiles", "stop", "cause"),
]
"""Names for a numeric covariate, a subgroup and a treatment each."""
FURTHER = ("start", "intercept", "other", "group", "time")
"""Columns that study.toml does not declare."""
N = 160


def clinical(names: tuple[str, str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients of two cohorts: a number that matters, two groups, two arms, and the feature of a signature."""
    rng = np.random.default_rng(3)
    feature, number = rng.normal(size=N), rng.normal(60, 9, N).round()
    side, drug = rng.choice(["left", "right"], N), rng.choice(["no", "yes"], N)
    time = rng.exponential(20, N) * np.exp(-feature - 0.04 * (number - 60))
    number[::9] = np.nan
    table = {
        "case": [f"P{i:03d}" for i in range(N)],
        "set": np.where(np.arange(N) < 90, "discovery", "clinic"),
        "os_months": np.minimum(time, 40).round(3),
        "os_status": (time < 40).astype(int),
        names[0]: number,
        names[1]: side,
        names[2]: drug,
    }
    features = pd.DataFrame({"patient_id": table["case"], "f0": feature, "f1": rng.normal(size=N)})
    table |= {name: rng.choice(["a", "b"], N) for name in FURTHER if name not in table}
    return pd.DataFrame(table), features


def study_of(root: Path, names: tuple[str, str, str]) -> Study:
    """Run a table of patients through init, check, profiles, signature and validate."""
    root.mkdir()
    table, features = clinical(names)
    table.to_csv(root / "clinical.csv", index=False)
    features.to_csv(root / "features.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        init(
            root / "study",
            clinical=root / "clinical.csv",
            patient_column="case",
            cohort_column="set",
            discovery="discovery",
            time=("os_months",),
            event=("os_status",),
            unit=("months",),
            covariates=(names[0], names[1]),
            treatment=(names[2],),
        )
        toml = root / "study" / "study.toml"
        columns = column_names(names)
        text = toml.read_text().replace("subgroups = []", f'subgroups = ["{columns[1]}"]')
        toml.write_text(text + f'\n[treatment."{columns[2]}"]\nrandomised = true\n')
        study = Study.open(root / "study")
        assert check(study).problems == ()
        build_profiles(study, features=root / "features.csv")
        study = Study.open(study.root)
        build_signature(study, SignatureSpec(bootstraps=0, n_subsamples=10, selection="ridge"))
        validate_signature(study, ValidateSpec(permutations=0, instability=0, bootstraps=10, imputations=3))
    return study


def column_names(names: tuple[str, str, str]) -> list[str]:
    """Columns of patients.csv: what the study itself calls patient_id and cohort is marked by init."""
    return [f"{n} (table)" if n in ("cohort", "patient_id") else n for n in names]


def plain_results(study: Study, names: tuple[str, str, str]) -> dict:
    """results.json, with columns renamed to those of `PLAIN`."""
    marked = [clinical_name(column) for column in column_names(names)]
    content = read_json(study.paths.results)
    for key in ("primary", "roles"):
        content.pop(key, None)
    return renamed(content, dict(zip(marked, PLAIN, strict=True)), "")


def renamed(value, names: dict[str, str], parent: str):
    """A JSON value with the names of columns replaced wherever such a name can occur."""
    if isinstance(value, dict):
        keys = names if parent in ("missing", "variables") else {}
        return {keys.get(k, k): renamed(v, names, k) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, names, parent) for v in value]
    if not isinstance(value, str):
        return value
    for name, plain in names.items():
        if value == name or value.startswith((f"{name} ", f"{name}:")):
            return plain + value[len(name) :]
    return value


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    study = study_of(tmp_path_factory.mktemp("plain") / "s", PLAIN)
    return plain_results(study, PLAIN), read_results(study.paths.results)


def differences(ours, theirs, where="") -> list[str]:
    """Places at which two JSON values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if set(ours) != set(theirs):
            return [f"{where}: {sorted(set(ours) ^ set(theirs))}"]
        return [d for k in ours for d in differences(ours[k], theirs[k], f"{where}.{k}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            d
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
            for d in differences(a, b, f"{where}[{i}]")
        ]
    return [] if ours == theirs else [f"{where}: {ours!r} != {theirs!r}"]


@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_columns_of_any_name_give_the_numbers_of_plain_names(names, plain, tmp_path):
    study = study_of(tmp_path / "s", names)
    assert not differences(plain_results(study, names), plain[0])

    model, theirs = (r.clinical_histology.model for r in (read_results(study.paths.results), plain[1]))
    assert model.coef == theirs.coef
    example = example_patient(
        read_material(study, ReportSpec()), read_results(study.paths.results).clinical_histology
    )
    assert example is not None
    assert all(0 < risk < 1 for risk in example.risks)
    rows = study.patients()
    rows.dropna().to_csv(tmp_path / "new.csv", index=False)
    patient = rows.dropna()["patient_id"].iloc[0]
    reading = clinical_reading(model, read_clinical(tmp_path / "new.csv", model), patient, 0.3)
    assert reading.survival
    assert not reading.remark


def test_every_name_that_a_validation_uses_itself_is_tried():
    assert TAKEN - {"ridge_score"} <= {name for names in NAMES for name in names} | set(FURTHER)


def test_a_table_in_memory_may_call_its_columns_as_it_likes():
    _, features = clinical(PLAIN)
    results = []
    for names in (PLAIN, ("entry", "time", "score"), ("score", "group", "ridge_score")):
        table, _ = clinical(names)
        outcome = pd.DataFrame(
            {"patient_id": table["case"], "time": table["os_months"], "event": table["os_status"] == 1}
        )
        patients = table.rename(columns={"case": "patient_id", "set": "cohort"}).drop(
            columns=["os_months", "os_status"]
        )
        signature = fit_signature(
            features[:90], outcome[:90], spec=SignatureSpec(selection="ridge", bootstraps=0)
        )
        result = validate(
            signature,
            features,
            {"os": outcome},
            patients=patients,
            covariates=[names[0]],
            subgroups=[names[1]],
            treatments=[names[2]],
            spec=ValidateSpec(bootstraps=5, imputations=3),
        )
        row = result.analysis("clinic", "os")
        assert row.forest.multivariable[1].variable == clinical_name(names[0])
        results.append(
            (row.hr_sd, row.harrell_c, row.forest.multivariable[1].effect, row.subgroups[0].p_interaction)
        )
    assert results[0] == results[1] == results[2]


def test_a_frame_of_scores_and_outcomes_refuses_a_covariate_of_the_same_name():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"score": rng.normal(size=40), "time": rng.exponential(9, 40), "event": True, "group": "low"}
    )
    calls = (
        lambda: forest(frame, ["score"], sd=1.0),
        lambda: subgroup_effects(frame, ["group"], sd=1.0),
        lambda: treatment_benefit({"v": frame}, arm="group", endpoint="os"),
    )
    for call in calls:
        with pytest.raises(InputError, match="Give the covariate another name") as caught:
            call()
        assert caught.value.code == "E_COLUMN"
    with pytest.raises(InputError, match="Rename one of them"):
        clinical_table(pd.DataFrame({"time": [1], "time (table)": [2]}))

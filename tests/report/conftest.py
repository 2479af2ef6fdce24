"""Studies that `signature` and `validate` wrote: what the report is tested on."""

from __future__ import annotations

import csv
import math
import random
import warnings

import pytest

from pathosig.core.study import Study
from pathosig.profiles.stage import build_profiles
from pathosig.report.reading import read_material
from pathosig.report.spec import ReportSpec
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.stage import build_signature
from pathosig.validation.spec import ValidateSpec
from pathosig.validation.stage import validate_signature

CONFIG = {
    "endpoints": {
        "os": {"time": "os_time", "event": "os_event", "unit": "months", "competing": "other"},
        "dfs": {"time": "dfs_time", "event": "dfs_event", "unit": "months"},
        "other": {"time": "os_time", "event": "other_event", "unit": "months"},
    },
    "columns": {
        "covariates": ["age", "sex"],
        "treatments": ["chemo"],
        "subgroups": ["sex", "stage", "rare"],
    },
    "primary": {
        "endpoint": "os",
        "discovery": "discovery",
        "covariates": ["age", "sex"],
        "treatment": "chemo",
    },
}


def features_study(root, *, cohorts, effect=1.0, seed=3, config=CONFIG):
    """A study of six outside features, the first of which has the effect, as far as profiles."""
    rng = random.Random(seed)
    patients, features = [], []
    for cohort, n in cohorts.items():
        for _ in range(n):
            name = f"P{len(patients):03d}"
            x = [rng.gauss(0, 1) for _ in range(6)]
            time = rng.expovariate(0.03 * math.exp(effect * x[0]))
            other, follow_up = rng.expovariate(0.006), rng.uniform(12, 80)
            seen = min(time, other, follow_up)
            row = [name, cohort, round(seen + 0.01, 3), int(time == seen), int(other == seen)]
            row += [round(min(time * 0.8, follow_up) + 0.01, 3), int(time * 0.8 <= follow_up)]
            row += [rng.randint(40, 80), rng.choice("FM"), rng.choice(["I-II", "III"])]
            patients.append([*row, rng.randint(0, 1), "yes" if rng.random() < 0.05 else "no"])
            features.append([name, *(round(v, 5) for v in x)])
    head = "patient_id cohort os_time os_event other_event dfs_time dfs_event age sex stage chemo rare"
    root.mkdir(parents=True)
    _write(root / "patients.csv", head.split(), patients)
    _write(root / "features.csv", ["patient_id", *(f"f{i}" for i in range(6))], features)
    study = Study.create(root, config)
    build_profiles(study, features=root / "features.csv")
    return Study.open(root)


def _write(path, head, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def finish(study, **settings):
    """Signature and validation of a study, with few resamples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build_signature(study, SignatureSpec(n_subsamples=20, bootstraps=20, **settings))
        validate_signature(
            study,
            ValidateSpec(bootstraps=20, imputations=2, repeats=1, folds=2, permutations=0, instability=4),
        )
    return study


@pytest.fixture(scope="session")
def validated(tmp_path_factory):
    """A study with a signature that holds, two validation cohorts, and all that can be declared."""
    cohorts = {"discovery": 90, "validation_1": 60, "validation_2": 60}
    root = tmp_path_factory.mktemp("validated") / "study"
    return finish(features_study(root, cohorts=cohorts))


@pytest.fixture(scope="session")
def internal(tmp_path_factory):
    """A study without a validation cohort."""
    root = tmp_path_factory.mktemp("internal") / "study"
    return finish(features_study(root, cohorts={"discovery": 90}))


@pytest.fixture(scope="session")
def material(validated):
    """What the report of `validated` is made of."""
    return read_material(validated, ReportSpec())

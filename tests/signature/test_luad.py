"""TCGA-LUAD histology features: several slides a patient, missing values, one cohort, no torch."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import pytest

from pathosig.core.errors import PathosigWarning
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.profiles import ProfilesSpec, build_profiles, read_profiles
from pathosig.signature import Signature, SignatureSpec, build_signature


@pytest.mark.slow
def test_luad_features_give_a_signature_of_histology_only(pathosig_data: Path, tmp_path: Path):
    table = pathosig_data / "survival" / "luad.hifs.csv"
    with table.open(encoding="utf-8-sig") as handle:
        first = {r["bcr_patient_barcode"]: r for r in reversed(list(csv.DictReader(handle)))}
    names = {"os_time": "os_time", "os_event": "os", "age": "age_at_initial_pathologic_diagnosis"}
    rows = [
        {"patient_id": p, "cohort": "discovery", **{k: r[c] for k, c in names.items()}}
        for p, r in first.items()
    ]
    study = Study.create(
        tmp_path / "luad", {"endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "days"}}}
    )
    write_csv_rows(study.root / "patients.csv", rows, list(rows[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        build_profiles(study, features=table)
        everything = set(read_profiles(study).columns)
        build_profiles(study, ProfilesSpec(columns=("*_HE",)), features=table)
        found = read_profiles(study)
        build_signature(Study.open(study.root), SignatureSpec(bootstraps=0))
    assert len(found.patients) == 444
    assert len(found.slides) == 501
    assert sum(c.endswith("_HE") for c in found.columns) > 590
    clinical = {"age_at_initial_pathologic_diagnosis", "birth_days_to", "initial_pathologic_dx_year"}
    assert not (clinical | {"death_days_to", "dss_time"}) & everything
    assert everything - set(found.columns) == {
        "num_mutations"
    }  # no name and no number says that it is not histology
    signature = Signature.load(study.root / "signature" / "signature.json")
    assert all(name.endswith("_HE") for name in signature.hpcs)
    assert signature.baseline.unit == "days"

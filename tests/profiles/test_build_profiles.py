"""The profiles stage on a small study."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.execution import run_once
from pathosig.core.records import write_json, write_parquet
from pathosig.core.schema import ASSIGNMENTS, write_table
from pathosig.core.spec import Spec
from pathosig.core.study import Study
from pathosig.core.units import Outcome, Stage, Unit
from pathosig.profiles import FeatureRules, ProfilesSpec, build_profiles, read_profiles
from pathosig.profiles.feature_columns import choose_features
from pathosig.profiles.tables import read_features


class _Spec(Spec):
    section = "phenotypes"


def features_study(root: Path) -> Study:
    study = Study.create(root)
    lines = ["patient_id,cohort,os_time,os_event"]
    lines += [f"P{i:02d},{'discovery' if i < 8 else 'validation_1'},{i + 1},{i % 2}" for i in range(12)]
    (root / "patients.csv").write_text("\n".join(lines) + "\n")
    return study


def table(root: Path, **extra: list) -> Path:
    rng = np.random.default_rng(0)
    ids = [f"P{i:02d}" for i in range(12)] + ["P00"]
    frame = pd.DataFrame(
        {"case": ids, "area": rng.normal(5, 2, 13), "count": rng.normal(0, 1, 13), "flat": 1.0}
    )
    frame.loc[2, "area"] = np.nan
    for name, values in extra.items():
        frame[name] = values
    path = root / "outside.csv"
    frame.to_csv(path, index=False)
    return path


def run_quietly(study: Study, **options) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        build_profiles(study, **options)


def test_an_outside_table_becomes_profiles_by_rules_of_the_discovery_patients(tmp_path):
    study = features_study(tmp_path / "s")
    path = table(tmp_path)
    run_quietly(study, features=path)
    found = read_profiles(study)
    assert found.kind == "features"
    assert found.columns == ("area", "count")
    assert found.rules.dropped == {"flat": "constant in discovery"}
    first = found.patients.set_index("patient_id")
    discovery = first.loc[study.cohort("discovery"), "area"]
    assert discovery.mean() == pytest.approx(0, abs=1e-12)
    assert discovery.std() == pytest.approx(1)
    assert first.loc["P00", "n_slides"] == 2
    assert len(first) == 12
    again = Study.open(study.root)
    assert again.level == "features"
    assert build_profiles(again).fresh == ("_profiles",)


def test_a_changed_validation_patient_never_changes_the_rules(tmp_path):
    study = features_study(tmp_path / "s")
    path = table(tmp_path)
    run_quietly(study, features=path)
    before = read_profiles(study).rules
    frame = pd.read_csv(path, float_precision="round_trip")
    frame.loc[11, "area"] = 1e6
    frame.to_csv(path, index=False)
    run_quietly(Study.open(study.root))
    assert read_profiles(study).rules == before


def test_columns_that_name_an_outcome_are_not_features(tmp_path):
    study = features_study(tmp_path / "s")
    path = table(
        tmp_path,
        dfi_time=list(range(13)),
        death_days_to=list(range(13)),
        slide_id=[f"x{i}" for i in range(13)],
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        build_profiles(study, features=path)
    texts = [str(w.message) for w in caught]
    assert any("look like outcomes" in t and "dfi_time" in t and "death_days_to" in t for t in texts)
    assert any("'flat': 'constant in discovery'" in t for t in texts)
    assert read_profiles(study).columns == ("area", "count")


def test_patterns_choose_the_features(tmp_path):
    study = features_study(tmp_path / "s")
    run_quietly(study, spec=ProfilesSpec(columns=("ar*",)), features=table(tmp_path))
    assert read_profiles(study).columns == ("area",)


def test_no_overlap_of_ids_shows_examples_of_both_sides(tmp_path):
    study = features_study(tmp_path / "s")
    path = tmp_path / "other.csv"
    path.write_text("patient_id,f\nQ1,1\nQ2,2\n")
    with pytest.raises(InputError, match=r"This table has \['Q1', 'Q2'\]; patients.csv has \['P00'"):
        build_profiles(study, features=path)


def test_parquet_and_h5ad_give_the_same_profiles_as_csv(tmp_path):
    import anndata

    path = table(tmp_path)
    frame = pd.read_csv(path, float_precision="round_trip")
    frame.to_parquet(tmp_path / "t.parquet")
    obs = frame[["case"]].set_index(pd.Index([f"s{i}" for i in range(13)], name="slide"))
    var = pd.DataFrame(index=["area", "count", "flat"])
    anndata.AnnData(frame[["area", "count", "flat"]].to_numpy(), obs=obs, var=var).write_h5ad(
        tmp_path / "t.h5ad"
    )
    tables = []
    for name in ("outside.csv", "t.parquet", "t.h5ad"):
        study = features_study(tmp_path / f"study_{name}")
        run_quietly(study, features=tmp_path / name)
        tables.append(read_profiles(study).patients)
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


def test_rules_give_one_patient_alone_the_result_of_the_batch():
    rng = np.random.default_rng(0)
    raw = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    raw.loc[4, "b"] = np.nan
    rules = FeatureRules.fit(raw, ["a", "b"])
    again = FeatureRules.from_dict(rules.to_dict())
    np.testing.assert_array_equal(rules.apply(raw).iloc[4], again.apply(raw.iloc[[4]]).iloc[0])


def composition_study(root: Path) -> Study:
    study = Study.create(root)
    (root / "patients.csv").write_text(
        "patient_id,cohort,os_time,os_event\np1,discovery,1,1\np2,discovery,2,0\n"
    )
    (root / "slides.csv").write_text(
        "slide_id,patient_id,path\ns1,p1,a.svs\ns2,p1,b.svs\ns3,p2,c.svs\ns4,p2,d.svs\n"
    )
    study = Study.open(root)
    tree = {"k": 3, "nodes": [{"id": "node_00", "leaves": [0, 1], "height": 1.0}], "artefact_hpcs": [2]}
    write_json(root / "phenotypes/tree.json", tree)
    for name, hpc in (("s1", [0, 0, 1, 2]), ("s2", [1, 1, 1, 1]), ("s3", [0, 1, 2, 2])):
        columns = {"tile_id": pa.array(range(4), pa.int32()), "hpc": pa.array(hpc, pa.int16())}
        columns |= {f"hpc_{i}": pa.array([-1] * 4, pa.int16()) for i in (2, 3)}
        columns |= {f"confidence{i}": pa.array([0.0] * 4, pa.float32()) for i in ("_2", "_3")}
        columns |= {name_: pa.array([1.0] * 4, pa.float32()) for name_ in ("confidence", "distance")}
        write_table(study.file("phenotypes", name, ".parquet"), pa.table(columns), ASSIGNMENTS)
        run_once(study, Stage(name="phenotypes", version=1), _Spec(), Unit(id=name), lambda job: Outcome())
    return study


def test_composition_is_counted_from_assignments_with_artefacts_taken_out(tmp_path):
    study = composition_study(tmp_path / "s")
    report = build_profiles(study)
    assert report.done == ("_profiles",)
    found = read_profiles(study)
    patients = found.patients.set_index("patient_id")
    assert patients.loc["p1", "n_tiles"] == 7
    assert patients.loc["p1", "hpc_00"] == pytest.approx(2 / 7)
    assert patients.loc["p1", "hpc_02"] == 0
    np.testing.assert_allclose(patients[["hpc_00", "hpc_01", "hpc_02"]].sum(1), 1)
    assert found.artefacts == (2,)
    assert "s4" in study.record("profiles", "_profiles").warnings[0]


def test_without_slides_and_without_a_table_the_way_out_is_named(tmp_path):
    study = features_study(tmp_path / "s")
    with pytest.raises(InputError, match="--features TABLE"):
        build_profiles(study)


def test_an_assignment_table_that_is_not_one_is_named(tmp_path):
    study = composition_study(tmp_path / "s")
    path = study.file("phenotypes", "s1", ".parquet")
    table = pa.table({"tile_id": pa.array(range(4), pa.int32()), "hpc": pa.array(["a"] * 4)})
    write_parquet(path, table)
    with pytest.raises(InputError, match=r"s1.parquet: column hpc is string; expected int16"):
        build_profiles(study)


def test_the_column_of_patients_can_be_named(tmp_path):
    study = features_study(tmp_path / "s")
    path = table(tmp_path, person=[f"P{i % 12:02d}" for i in range(13)][::-1])
    run_quietly(study, features=path, spec=ProfilesSpec(patient_column="case", columns=("area",)))
    by_case = read_profiles(study).patients.set_index("patient_id")["n_slides"]
    run_quietly(study, features=path, spec=ProfilesSpec(patient_column="person", columns=("area",)))
    by_person = read_profiles(study).patients.set_index("patient_id")["n_slides"]
    assert by_case["P00"] == 2
    assert by_person.to_dict() == {**{f"P{i:02d}": 1 for i in range(1, 12)}, "P00": 2}


@pytest.mark.parametrize(("max_missing", "columns"), [(0.5, ("area", "count", "sparse")), (0.1, ("count",))])
def test_features_missing_in_too_many_discovery_patients_are_dropped(tmp_path, max_missing, columns):
    study = features_study(tmp_path / "s")
    path = table(
        tmp_path, sparse=[np.nan, 1.0, 2.0, np.nan, 4.0, 7.0, np.nan, 3.0, 1.0, 2.0, 3.0, 4.0, np.nan]
    )
    run_quietly(study, features=path, spec=ProfilesSpec(max_missing=max_missing))
    assert read_profiles(study).columns == columns


@pytest.mark.parametrize(("drop", "tiles", "artefact"), [(True, 7, 0.0), (False, 8, 1 / 8)])
def test_tiles_of_artefact_hpcs_are_taken_out_unless_they_are_to_stay(tmp_path, drop, tiles, artefact):
    study = composition_study(tmp_path / "s")
    build_profiles(study, ProfilesSpec(drop_artefacts=drop))
    patient = read_profiles(study).patients.set_index("patient_id").loc["p1"]
    assert patient["n_tiles"] == tiles
    assert patient["hpc_02"] == pytest.approx(artefact)


def test_soft_profiles_count_the_confidence_of_three_hpcs_instead_of_tiles(tmp_path):
    study = composition_study(tmp_path / "s")
    columns = {"tile_id": pa.array(range(4), pa.int32()), "distance": pa.array([1.0] * 4, pa.float32())}
    columns |= {name: pa.array([i] * 4, pa.int16()) for name, i in (("hpc", 0), ("hpc_2", 1), ("hpc_3", -1))}
    confidence = {"confidence": 0.75, "confidence_2": 0.25, "confidence_3": 0.0}
    columns |= {name: pa.array([value] * 4, pa.float32()) for name, value in confidence.items()}
    for name in ("s1", "s2"):
        write_table(study.file("phenotypes", name, ".parquet"), pa.table(columns), ASSIGNMENTS)
    shares = []
    for soft in (False, True):
        build_profiles(study, ProfilesSpec(soft=soft))
        patient = read_profiles(study).patients.set_index("patient_id").loc["p1"]
        shares.append((patient["hpc_00"], patient["hpc_01"]))
    assert shares == [pytest.approx((1, 0)), pytest.approx((0.75, 0.25))]


def test_the_table_of_features_can_be_named_in_the_study(tmp_path):
    study = features_study(tmp_path / "s")
    table(study.root)
    run_quietly(study, spec=ProfilesSpec(table="outside.csv"))
    assert read_profiles(study).columns == ("area", "count")
    with pytest.raises(InputError, match="no such file") as caught:
        build_profiles(study, ProfilesSpec(table="nowhere.csv"))
    assert caught.value.code == "E_MISSING"


def test_features_that_are_called_like_our_own_phenotypes_are_refused_in_words():
    table = pd.DataFrame({"patient_id": ["a", "b"], "hpc_00": [1.5, -2.0], "cells": [1.0, 2.0]})
    with pytest.raises(InputError, match=r"'hpc_00' have the names .* Rename the features") as caught:
        choose_features(table, ["hpc_00", "cells"], source="t.csv")
    assert caught.value.code == "E_FEATURE"
    assert list(choose_features(table, ["cells"], source="t.csv").values) == ["cells"]


def test_a_table_of_ten_thousand_columns_takes_time_in_proportion(tmp_path):
    seconds = {}
    for columns in (1000, 10_000):
        path = tmp_path / f"{columns}.csv"
        lines = [",".join(["patient_id", *(f"gene{j}" for j in range(columns))])]
        lines += [",".join([f"P{i:02d}", *(f"{i * j % 7}.5" for j in range(columns))]) for i in range(4)]
        path.write_text("\n".join(lines) + "\n")
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PathosigWarning)
            frame = read_features(path, [f"P{i:02d}" for i in range(4)])
        seconds[columns] = time.process_time() - start
        assert len(frame) == 4
    assert seconds[10_000] < 30 * seconds[1000] + 1


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("is_shuffled", [False, True])
def test_numbers_of_rows_are_no_feature_under_any_name(first, is_shuffled):
    numbers = np.arange(first, first + 20)
    area = np.random.default_rng(0).normal(size=20)
    if is_shuffled:
        np.random.default_rng(1).shuffle(numbers)
    chosen = choose_features(
        pd.DataFrame({"cells": numbers, "area": area}), ["cells", "area"], source="t.csv"
    )
    assert list(chosen.values) == ["area"]
    assert chosen.left_out == {"number the rows": ("cells",)}

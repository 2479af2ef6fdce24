"""Microarrays, DICOM folders and several slides of a patient: a bundle says of them what the study says, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from pathosig.commands.export import export
from pathosig.commands.pipeline import run_all
from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.scoring import read_bundle, score_slides, write_bundle
from pathosig.scoring.score import read_new
from pathosig.signature import SignatureSpec, build_signature
from tests.scoring.conftest import pack
from tests.scoring.painted import paint

NEW = ("W01", "W02")


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        return function(*args, **options)


def own_scores(study: Study) -> pd.DataFrame:
    table = pd.read_csv(study.paths.scores, dtype={"patient_id": str}, float_precision="round_trip")
    return table.set_index("patient_id")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    study = paint(tmp_path_factory.mktemp("painted") / "s")
    assert quietly(run_all, study, until="signature").exit_code == 0
    return study


@pytest.fixture(scope="module")
def bundle(study, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "b.psig"
    quietly(write_bundle, study, out=path)
    return path


@pytest.fixture(scope="module")
def owners(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("owners") / "patients.csv"
    rows = [(f"W01{name}", "W01") for name in "ABC"] + [("W02", "W02")]
    pd.DataFrame(rows, columns=["slide", "patient_id"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def scored(study, bundle, owners, tmp_path_factory):
    """The three slides of one patient and the DICOM folder of another, with pages."""
    folder = tmp_path_factory.mktemp("scored")
    slides = [s.path for s in study.specimens() if s.patient_id in NEW]
    assert len(slides) == 4 and any(s.is_dir() for s in slides)
    report = score_slides(
        bundle, *slides, patients=owners, out=folder / "s.csv", report=folder / "pages", work=folder / "work"
    )
    assert report.exit_code == 0, report.to_text()
    return folder, report


@pytest.mark.parametrize("policy", ["pooled", "mean", "worst", "per_core"])
def test_several_slides_and_a_dicom_folder_score_as_in_the_study_under_every_policy(
    study, scored, tmp_path, policy
):
    spec = study.spec(SignatureSpec).replace(policy=policy)
    quietly(build_signature, study, spec)
    quietly(write_bundle, study, out=tmp_path / "b.psig")
    work = Study.open(shutil.copytree(scored[0] / "work", tmp_path / "work"))
    bundle = read_bundle(tmp_path / "b.psig", work.root)
    readings = {r.patient_id: r for r in read_new(work, bundle, Execution())}
    own = own_scores(study)
    assert set(readings) == set(NEW)
    for patient, reading in readings.items():
        assert reading.score == own.loc[patient, "score"]
        assert (reading.group, reading.core_agreement) == tuple(own.loc[patient, ["group", "core_agreement"]])
        assert reading.n_slides == (3 if patient == "W01" else 1)
        assert reading.lower is None or reading.lower <= reading.score <= reading.upper
    assert any(r.lower is not None for r in readings.values())
    quietly(build_signature, study, study.spec(SignatureSpec))


def test_a_microarray_scores_every_core_owner_as_the_study_did(study, bundle, tmp_path):
    cells = pd.read_csv(study.paths.tma_map, dtype=str).query("tma == 'T1'")
    with pd.ExcelWriter(tmp_path / "map.xlsx") as book:  # laid out like the array, as a laboratory sends it
        laid_out = cells.assign(row=cells["row"].astype(int), column=cells["column"].astype(int))
        laid_out.pivot(index="row", columns="column", values="patient_id").to_excel(book, sheet_name="T1")
    array = next(s.path for s in study.specimens() if s.slide_id.startswith("T1"))
    report = score_slides(bundle, array, tma_map=tmp_path / "map.xlsx", out=tmp_path / "s.csv")
    own = own_scores(study)
    new = own[own["cohort"] == "validation"].drop(index=list(NEW))
    readings = {r.patient_id: r for r in report.readings}
    assert set(readings) == set(cells["patient_id"])
    given = 0
    for patient in new.index:
        reading = readings[patient]
        if reading.score is not None:
            given += 1
            assert reading.score == new.loc[patient, "score"]
            assert reading.group == new.loc[patient, "group"]
            assert reading.core_agreement == new.loc[patient, "core_agreement"]
        else:
            assert reading.remark
    assert given >= 3


def test_the_page_shows_the_slide_its_map_and_typical_tiles(scored):
    folder, report = scored
    for reading in report.readings:
        page = (folder / "pages" / f"{reading.patient_id}.html").read_text()
        assert page.count('<div class="map"><svg') == reading.n_slides
        assert page.count('<svg class="drawn"') == 2  # place among discovery, predicted survival
        assert page.count('src="data:image/jpeg;base64,') >= 6
        assert "Typical tiles" in page and "Provenance" in page
        assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
        assert "<script" not in page
        numbers = json.loads((folder / "pages" / f"{reading.patient_id}.json").read_text())
        assert numbers["score"] == reading.score
        assert sum(numbers["contributions"].values()) == pytest.approx(reading.score, abs=1e-12)


def test_a_scanner_that_no_training_slide_came_from_is_a_remark(scored):
    remarks = {r.patient_id: r.remark for r in scored[1].readings}
    assert "scanner dicom, which no training slide came from" in remarks["W02"]
    assert "scanner" not in remarks["W01"]


def test_the_map_is_geojson_whose_mean_contribution_is_the_score(scored):
    folder, report = scored
    reading = next(r for r in report.readings if r.patient_id == "W02")
    shapes = json.loads((folder / "pages" / "W02.W02.geojson").read_text())
    assert shapes["type"] == "FeatureCollection" and len(shapes["features"]) == reading.n_tiles
    parts = []
    for shape in shapes["features"]:
        ring = shape["geometry"]["coordinates"][0]
        assert shape["geometry"]["type"] == "Polygon" and ring[0] == ring[-1] and len(ring) == 5
        about = shape["properties"]
        assert about["objectType"] == "tile"
        assert set(about["classification"]) == {"name", "color"}
        assert all(0 <= c <= 255 for c in about["classification"]["color"])
        parts.append(about["measurements"]["risk contribution"])
    assert sum(parts) / len(parts) == pytest.approx(reading.score, abs=2e-3)


@pytest.fixture(scope="module")
def exported(study, owners, tmp_path_factory) -> Path:
    """The new slides as `export --to h5` writes them."""
    folder = tmp_path_factory.mktemp("h5")
    export(study, to="h5", out=folder)
    kept = set(pd.read_csv(owners)["slide"])
    for path in folder.glob("*.h5"):
        if path.stem not in kept:
            path.unlink()
    assert len(list(folder.glob("*.h5"))) == 4
    return folder


def test_exported_features_score_as_their_slides(scored, bundle, owners, exported, tmp_path):
    report = score_slides(bundle, features=exported, patients=owners, out=tmp_path / "s.csv")
    by_slide = {r.patient_id: r for r in scored[1].readings}
    assert len(report.readings) == 2
    for reading in report.readings:
        assert reading.score == by_slide[reading.patient_id].score is not None
        assert (reading.lower, reading.upper) == (
            by_slide[reading.patient_id].lower, by_slide[reading.patient_id].upper
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mpp": 1.0}, "E_MIXED"),
        ({"patch_size": 128, "patch_size_level0": 128}, "E_MIXED"),
        ({"mpp": None, "patch_size": None}, "E_MPP"),
    ],
)
def test_features_of_other_tiles_are_refused(bundle, exported, tmp_path, change, code):
    import h5py

    folder = shutil.copytree(exported, tmp_path / "h5")
    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            for key, value in change.items():
                if value is None:
                    del file["coords"].attrs[key]
                else:
                    file["coords"].attrs[key] = value
    with pytest.raises(InputError) as caught:
        score_slides(bundle, features=folder, out=tmp_path / "s.csv")
    assert caught.value.code == code
    assert not (tmp_path / "s.csv").exists()


def can_leave_the_network() -> bool:
    tool = shutil.which("unshare")
    return (
        bool(tool) and subprocess.run([tool, "-n", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_leave_the_network(), reason="unshare -n is not allowed here")
def test_slides_are_scored_without_any_network(study, bundle, tmp_path):
    out = tmp_path / "s.csv"
    command = [
        "unshare",
        "-n",
        sys.executable,
        "-m",
        "pathosig",
        "score",
        bundle,
        study.root / "W01A.tif",
        "--out",
        out,
    ]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(out)["score"].notna().all()


def test_changed_weights_are_refused_though_their_graph_is_cached(study, bundle, tmp_path):
    slide = study.root / "W01A.tif"
    with zipfile.ZipFile(bundle) as archive:
        members = {
            n: archive.read(n) for n in archive.namelist() if n not in ("manifest.json", "signature.sig")
        }
    name = "encoder/encoder.safetensors"
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
    with pytest.raises(InputError) as caught:
        score_slides(pack(tmp_path / "c.psig", members), slide, out=tmp_path / "s.csv")
    assert caught.value.code == "E_WEIGHTS"

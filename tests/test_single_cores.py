"""A study of single core images: PNG, JPEG and TIFF files without a resolution, several of one patient, up to the report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pathosig.commands.pipeline import run_all
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.units import Execution
from pathosig.intake import init
from pathosig.scoring import score_slides, write_bundle
from pathosig.synthetic import SimulateSpec
from pathosig.synthetic.layout import core_label_map, enlarge, true_shares
from pathosig.synthetic.materials import paint, procedural_fill, type_names
from pathosig.synthetic.patients import draw_outcomes, draw_patients, draw_shares, linear_predictor

SPEC = SimulateSpec(n_discovery=8, n_validation=1, types=3, harm=2.5, protect=-2.5, follow_up=400.0, seed=4)
PATIENTS = SPEC.n_discovery + 2 * SPEC.n_validation
SIDE_PX = 448
SUFFIXES = (".png", ".jpg", ".tif")
SETTINGS = {
    "tiles": {"size_px": 56, "mpp": 1.0},
    "encoder": {"engine": "fp32"},
    "phenotypes": {"k": 4, "runs": 2},
    "signature": {"min_tiles": 3, "selection": "ridge"},
    "validate": {"permutations": 0, "instability": 0, "bootstraps": 100, "imputations": 2},
}


def paint_core(path, shares, rng):
    """One core on glass; its true proportions of the tissue types."""
    labels = core_label_map(SIDE_PX // 8, shares, rng)
    full = enlarge(labels)
    names = type_names(SPEC.types)
    fills = {
        int(v): procedural_fill((SIDE_PX, SIDE_PX), names[v - 1], 0, rng) for v in np.unique(full) if v > 0
    }
    options = {"quality": 90} if path.suffix == ".jpg" else {}
    Image.fromarray(paint(full, fills, rng, 0.2)).save(path, **options)
    return true_shares(labels, SPEC.types)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two cores of each patient as images of three formats, and the table of a laboratory."""
    root = tmp_path_factory.mktemp("single cores")
    (root / "cores").mkdir()
    rng = np.random.default_rng(7)
    patients = draw_patients(SPEC)
    wanted = draw_shares(SPEC, len(patients))
    shares = np.zeros_like(wanted)
    for number, patient in enumerate(patients):
        for core in (1, 2):
            name = f"{patient.id}_core{core}{SUFFIXES[(number + core) % 3]}"
            shares[number] += paint_core(root / "cores" / name, wanted[number], rng) / 2
    risk, _ = linear_predictor(shares, SPEC, np.array([p.cohort == "discovery" for p in patients]))
    pd.DataFrame(draw_outcomes(patients, risk, SPEC)).to_csv(root / "clinical.csv", index=False)
    init(
        root / "study", slides=str(root / "cores" / "*"), clinical=root / "clinical.csv", mpp=0.5, kind="core",
        unit=["months"],
    )  # fmt: skip
    text = (root / "study" / "study.toml").read_text()
    for section, table in SETTINGS.items():
        text += f"\n[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in table.items()) + "\n"
    (root / "study" / "study.toml").write_text(text)
    study = Study.open(root / "study")
    report = run_all(study, execution=Execution(workers=1))
    assert report.exit_code == 0, report.to_text()
    return study


class TestSingleCores:
    def test_every_image_is_a_core_of_its_patient_with_the_resolution_that_was_given(self, study):
        specimens = study.specimens()
        assert len(specimens) == 2 * PATIENTS
        assert {(s.kind, s.mpp, s.id.partition("_")[0] == s.patient_id) for s in specimens} == {
            ("core", 0.5, True)
        }
        assert {s.path.suffix for s in specimens} == set(SUFFIXES)
        assert all(r.status == "ok" for r in study.records("tiles"))

    def test_cores_are_scored_one_by_one_and_joined_by_patient(self, study):
        cores = read_csv_rows(study.paths.core_scores)
        assert len(cores) == 2 * PATIENTS
        patients = read_csv_rows(study.paths.scores)
        assert len(patients) == PATIENTS
        assert {p["core_agreement"] for p in patients} <= {"agree", "heterogeneous"}

    def test_the_report_shows_the_cores_of_each_patient(self, study):
        html = study.paths.report.read_text()
        assert 'id="cores"' in html
        assert "Agreement of cores" in html
        assert "D001_core1" in html

    def test_a_bundle_of_them_joins_new_cores_by_the_ids_of_a_table_and_says_when_it_cannot(
        self, study, tmp_path
    ):
        write_bundle(study, out=tmp_path / "b.psig", anyway=True)
        cores = [s.path for s in study.specimens() if s.patient_id == "V001"]
        options = {"mpp": 0.5, "work": tmp_path / "work"}
        alone = score_slides(tmp_path / "b.psig", *cores, out=tmp_path / "alone.csv", **options)
        assert [r.patient_id for r in alone.readings] == sorted(c.stem for c in cores)
        assert "a patient of its own" in alone.to_text()
        (tmp_path / "ids.csv").write_text("patient_id\nV001\nV002\n")
        joined = score_slides(
            tmp_path / "b.psig", *cores, patients=tmp_path / "ids.csv", out=tmp_path / "joined.csv", **options
        )
        assert not joined.warnings
        (reading,) = joined.readings
        (own,) = [p for p in read_csv_rows(study.paths.scores) if p["patient_id"] == "V001"]
        assert (reading.patient_id, reading.n_slides) == ("V001", 2)
        assert reading.score == float(own["score"])
        assert (reading.group, reading.core_agreement) == (own["group"], own["core_agreement"])

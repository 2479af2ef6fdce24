"""Simulated microarrays of small cell lung cancer: what is planted is what is written."""

import csv
import datetime
import json

import numpy as np
import openpyxl
import pytest

from pathosig.core.errors import ConfigError
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.slides import open_slide
from pathosig.synthetic import SimulateSpec, simulate
from pathosig.synthetic.arrays import plan_arrays
from pathosig.synthetic.clinic import draw_clinic
from pathosig.synthetic.patients import draw_patients, draw_shares, linear_predictor
from pathosig.tma.dearray import dearray
from pathosig.tma.lattice import fit
from pathosig.tma.stage import find_cores

SMALL = SimulateSpec(
    kind="tma", array="4x6", n_discovery=8, n_validation=0, types=3, heterogeneous=0.4, seed=3
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays") / "study"
    simulate(folder, SMALL, execution=Execution(workers=1))
    return Study.open(folder), json.loads((folder / "truth.json").read_text())


def test_cores_are_found_where_they_were_planted_and_belong_to_their_patients(small):
    study, truth = small
    find_cores(study)
    with study.paths.cores.open(newline="") as handle:
        rows = {row["slide_id"]: row for row in csv.DictReader(handle)}
    present = {core: c for core, c in truth["cores"].items() if c["state"] != "missing"}
    assert len(present) >= 8
    for core, planted in present.items():
        assert rows[core]["status"] == "ok", core
        assert rows[core]["patient_id"] == planted["patient_id"]


def test_arrays_carry_their_resolution_and_no_patient(small):
    study, truth = small
    assert len(truth["arrays"]) >= 1
    for name in truth["arrays"]:
        with open_slide(study.root / "slides" / f"{name}.svs") as slide:
            assert slide.info.mpp == pytest.approx(0.5)
    with study.paths.slides.open(newline="") as handle:
        assert {(row["kind"], row["patient_id"]) for row in csv.DictReader(handle)} == {("tma", "")}


def test_the_laboratory_map_and_the_map_of_the_study_agree(small):
    study, _ = small
    book = openpyxl.load_workbook(study.root / "laboratory_map.xlsx")
    with study.paths.tma_map.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) >= 10
    for row in rows:
        sheet = book[row["tma"]]
        assert sheet.merged_cells.ranges
        assert sheet.cell(int(row["row"]) + 3, int(row["column"]) + 1).value == row["patient_id"]


def test_the_same_seed_paints_the_same_bytes(small, tmp_path):
    study, truth = small
    simulate(tmp_path / "again", SMALL, execution=Execution(workers=1))
    for name in truth["arrays"]:
        assert (tmp_path / "again/slides" / f"{name}.svs").read_bytes() == (
            study.root / "slides" / f"{name}.svs"
        ).read_bytes()


def test_heterogeneous_patients_differ_between_cores_and_others_do_not():
    spec = SMALL.replace(n_discovery=60)
    patients = draw_patients(spec)
    arrays, heterogeneous = plan_arrays(patients, draw_shares(spec, len(patients)), spec)
    cores = {}
    for array in arrays:
        for core in array.cores:
            cores.setdefault(core.patient_id, []).append(core.proportions[0])
    assert 0.2 < len(heterogeneous) / 60 < 0.6
    assert {p for p, v in cores.items() if np.ptp(v) > 1e-9} == heterogeneous
    assert {len(v) for v in cores.values()} == {2, 3}


def clinic(n=3000, **settings):
    spec = SimulateSpec(n_discovery=n, n_validation=0, types=6, seed=5, **settings)
    patients = draw_patients(spec)
    proportions = draw_shares(spec, n)
    risk, _ = linear_predictor(proportions, spec, np.ones(n, bool))
    return draw_clinic(patients, proportions, risk, spec), proportions, risk


def test_subtypes_follow_the_tissue_they_are_tied_to():
    table, proportions, _ = clinic()
    subtypes = np.array([row["subtype"] for row in table.rows])
    assert len(table.subtype_type) == 4
    for subtype, kind in table.subtype_type.items():
        inside = subtypes == subtype
        assert proportions[inside, kind].mean() > proportions[~inside, kind].mean() + 0.02


def test_dates_and_times_tell_one_story():
    table, _, _ = clinic(400)
    days = datetime.date.fromisoformat
    treated = [row for row in table.rows if row["adjuvant_crt"]]
    assert len(treated) > 50
    for row in table.rows:
        surgery, last = days(row["surgery_date"]), days(row["last_contact"])
        assert abs((last - surgery).days / 30.4375 - row["os_time"]) < 0.1
        assert row["dfs_time"] <= row["os_time"]
        assert (row["recurrence_site"] == "no recurrence") == (not row["recurrence"])
        assert (row["cause_of_death"] == "alive") == (not row["os_event"])
    for row in treated:
        assert days(row["adjuvant_start"]) > days(row["surgery_date"])
        assert row["adjuvant_months"] <= row["os_time"] + 0.05


def test_adjuvant_treatment_helps_high_risk_patients_from_its_start_and_no_others():
    from pathosig.survival import cox

    table, _, risk = clinic(6000, treatment_benefit=-0.8, harm=0.5, protect=-0.5)
    rows, landmark = table.rows, 3.0
    high = risk > np.median(risk)
    time = np.array([row["os_time"] for row in rows])
    event = np.array([row["os_event"] for row in rows], bool)
    treated = np.array([row["adjuvant_crt"] for row in rows], float)
    nodes = np.array([row["nodes"] == "N+" for row in rows], float)
    for group, planted in ((high, -0.8), (~high, 0.0)):
        keep = group & (time > landmark)
        fit_ = cox(np.column_stack([treated, risk, nodes])[keep], time[keep] - landmark, event[keep])
        assert abs(fit_.coef[0] - planted) < 3 * fit_.se[0] + 0.05


@pytest.mark.parametrize("array", ["0x4", "6", "6x8x2", "2x2", "sixxeight"])
def test_an_array_that_is_none_is_refused(array):
    with pytest.raises(ConfigError, match="array"):
        SimulateSpec(array=array)


def test_a_bent_array_of_few_rows_keeps_its_last_row():
    r, c = np.mgrid[:3, :8].astype(float)
    x = c * 100 + 25 * np.sin(np.pi * r / 2)
    y = r * 100 + 25 * np.sin(np.pi * c / 7)
    turn = np.deg2rad(3)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=2)
    askew = (np.array([100.0, 3.0]), np.array([22.0, 100.0]))
    grid = fit(points.reshape(-1, 2), askew)
    assert (grid.rows, grid.columns) == (3, 8)
    assert len(grid.places_of) == 24


def test_a_whole_core_alone_in_the_last_row_is_no_debris():
    side = 40
    image = np.full((6 * 60, 9 * 60, 3), 243, np.uint8)
    yy, xx = np.mgrid[:side, :side] - side / 2
    disc = np.hypot(yy, xx) < side / 2 - 1
    places = [(row, column) for row in range(3) for column in range(7)] + [(3, 0)]
    for row, column in places:
        image[40 + 60 * row : 40 + 60 * row + side, 40 + 60 * column : 40 + 60 * column + side][disc] = (
            190,
            120,
            170,
        )
    cores = dearray(image)
    assert {(c.row - 1, c.column - 1) for c in cores if c.status == "ok"} == set(places)


def test_nobody_is_followed_for_longer_than_the_follow_up():
    longest = []
    for months in (24.0, 96.0):
        table, _, _ = clinic(400, follow_up=months)
        longest.append(max(float(row["os_time"]) for row in table.rows))
    assert longest[0] <= 24 < longest[1] <= 96

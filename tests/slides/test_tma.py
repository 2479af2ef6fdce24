"""Cores of generated microarrays are assigned to the right rows, columns and patients."""

import csv
import json

import numpy as np
import pytest
import simplejpeg
import tifffile
from arrays import microarray, share_right
from PIL import Image

from pathosig.core.errors import InputError, SlideError
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.slides import open_slide
from pathosig.tma.dearray import TmaSpec, dearray
from pathosig.tma.stage import find_cores


@pytest.mark.parametrize(
    ("rows", "columns", "angle", "bend"),
    [(6, 8, -10, 0.0), (6, 8, 3, 0.5), (8, 14, 10, 0.25), (10, 12, -4, 0.5), (15, 20, 7, 0.25)],
)
def test_cores_are_found_and_labelled_on_turned_bent_and_incomplete_arrays(rows, columns, angle, bend):
    rgb, centres, present = microarray(rows, columns, angle=angle, bend=bend, seed=rows + columns)
    assert share_right(dearray(rgb), centres, present) >= 0.98


def test_missing_cores_are_listed_at_their_places():
    rgb, centres, present = microarray(6, 8, missing=0.15, seed=5)
    missing = {(c.row - 1, c.column - 1) for c in dearray(rgb) if c.status == "missing"}
    assert missing == {(int(r), int(c)) for r, c in zip(*np.nonzero(~present), strict=True)}


def test_a_slide_that_is_no_array_is_refused():
    blank = np.full((400, 500, 3), 240, np.uint8)
    with pytest.raises(SlideError, match="TMA") as caught:
        dearray(blank)
    assert caught.value.code == "E_TMA"


@pytest.fixture
def tma_study(tmp_path):
    rgb, _, present = microarray(6, 8, angle=4, seed=3)
    Image.fromarray(rgb).save(tmp_path / "array.png")
    (tmp_path / "slides.csv").write_text("slide_id,patient_id,path,mpp,kind\nT1,,array.png,20,tma\n")
    (tmp_path / "patients.csv").write_text(
        "patient_id,cohort,os_time,os_event\n" + "".join(f"P{i},discovery,{i + 1},1\n" for i in range(6))
    )
    lines = [f"T1,{chr(65 + r)},{c + 1},P{r}\n" for r in range(6) for c in range(8)]
    (tmp_path / "tma_map.csv").write_text("tma,row,column,patient_id\n" + "".join(lines))
    return Study.create(tmp_path), present


def test_cores_become_specimens_of_their_patients(tma_study):
    study, present = tma_study
    report = find_cores(study, execution=Execution(workers=1))
    assert report.done == ("T1",)
    with (study.root / "cores.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {"slide_id", "parent", "x", "y", "width", "height", "row", "column", "status"} <= set(rows[0])
    assert len(rows) == 48
    specimens = study.specimens()
    assert len(specimens) == int(present.sum())
    assert all(
        s.kind == "core" and s.patient_id == f"P{int(s.id.split('#')[1].split('-')[0]) - 1}"
        for s in specimens
    )
    record = json.loads(study.record_path("tma", "T1").read_text())
    assert len(record["summary"]["missing"]) + len(record["summary"]["poor"]) == int((~present).sum())
    before = (study.root / "cores.csv").read_bytes()
    assert find_cores(study, execution=Execution(workers=1)).fresh == ("T1",)
    assert (study.root / "cores.csv").read_bytes() == before


def test_a_map_that_names_an_unknown_slide_or_a_place_twice_is_refused(tma_study):
    study, _ = tma_study
    (study.root / "tma_map.csv").write_text("tma,row,column,patient_id\nT9,1,1,P0\n")
    with pytest.raises(InputError, match="T9"):
        find_cores(study)
    (study.root / "tma_map.csv").write_text("tma,row,column,patient_id\nT1,1,1,P0\nT1,A,1,P1\n")
    with pytest.raises(InputError, match="twice"):
        find_cores(study)


def test_known_rows_and_columns_are_kept_when_an_outer_line_is_empty():
    rgb, _, _ = microarray(6, 8, missing=0.0, seed=2)
    cores = dearray(rgb, TmaSpec(rows=6, columns=9))
    assert max(c.column for c in cores) == 9
    assert sum(c.status == "missing" for c in cores) == 6


def test_cores_changed_by_hand_are_kept_until_forced(tma_study, caplog):
    study, _ = tma_study
    find_cores(study)
    path = study.root / "cores.csv"
    ours = path.read_bytes()
    find_cores(study)
    assert path.read_bytes() == ours
    path.write_bytes(ours.replace(b",ok,", b",poor,", 1))
    theirs = path.read_bytes()
    for _ in range(2):
        caplog.clear()
        find_cores(study)
        assert path.read_bytes() == theirs
        assert "--force" in caplog.text
    (study.root / "second.png").write_bytes((study.root / "array.png").read_bytes())
    with (study.root / "slides.csv").open("a") as handle:
        handle.write("T2,,second.png,20,tma\n")
    find_cores(Study.open(study.root))
    assert path.read_bytes().startswith(theirs)
    assert path.read_text().count("T2#") == 48
    find_cores(Study.open(study.root), execution=Execution(force=True))
    assert path.read_bytes().startswith(ours)


def test_a_new_map_is_taken_over_where_nothing_was_changed_by_hand(tma_study):
    study, _ = tma_study
    find_cores(study)
    (study.root / "tma_map.csv").write_text("tma,row,column,patient_id\nT1,1,1,P5\n")
    find_cores(study)
    with (study.root / "cores.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [r["patient_id"] for r in rows if r["patient_id"]] == ["P5"]


def test_a_margin_widens_the_box_of_a_core(tma_study):
    study, _ = tma_study
    widths = []
    for settings in ({"margin": 0.0}, {"margin": 0.5}):
        find_cores(study, TmaSpec(**settings), execution=Execution(workers=1))
        with (study.root / "cores.csv").open(newline="") as handle:
            widths.append(
                np.median([float(row["width"]) for row in csv.DictReader(handle) if row["row"] == "3"])
            )
    assert widths[1] > 1.4 * widths[0]


def test_cores_are_placed_more_exactly_in_a_larger_picture(tmp_path):
    rgb, centres, present = microarray(6, 8, angle=4, seed=3)
    Image.fromarray(rgb).save(tmp_path / "array.png")
    (tmp_path / "slides.csv").write_text("slide_id,patient_id,path,mpp,kind\nT1,,array.png,20,tma\n")
    (tmp_path / "patients.csv").write_text("patient_id,cohort\nP1,discovery\n")
    study = Study.create(tmp_path, {"endpoints": {}})
    errors = []
    for side in (200, 2400):
        find_cores(study, TmaSpec(max_side_px=side), execution=Execution(workers=1))
        with (tmp_path / "cores.csv").open(newline="") as handle:
            rows = [
                {k: float(row[k]) for k in ("x", "y", "width", "height")} for row in csv.DictReader(handle)
            ]
        middle = np.array([(r["x"] + r["width"] / 2, r["y"] + r["height"] / 2) for r in rows])
        off = np.hypot(*(middle - centres.reshape(-1, 2)).T)
        errors.append(np.median(off[present.ravel()]))
    assert errors[1] < errors[0] < 10


def test_opening_the_file_of_an_array_again_decodes_nothing_until_the_file_changes(tmp_path, monkeypatch):
    """Each core opens the file of its slide."""
    rgb, _, _ = microarray(3, 4)
    path = tmp_path / "array.tif"

    def write(smaller):
        with tifffile.TiffWriter(path) as file:
            options = {"photometric": "rgb", "compression": "jpeg", "tile": (64, 64), "metadata": None}
            file.write(rgb, resolution=(20000, 20000), resolutionunit="CENTIMETER", **options)
            file.write(smaller, subfiletype=1, **options)

    decoded = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    write(rgb[::4, ::4].copy())
    for opening in range(3):
        with open_slide(path, region=(0, 0, 64, 64)) as core:
            assert len(core.info.level_sizes) == 2
        if not opening:
            assert decoded  # telling levels from other images decodes pixels
            decoded.clear()
    assert not decoded
    write(np.ascontiguousarray(np.roll(rgb, rgb.shape[1] // 2, axis=1)[::-4, ::4]) // 2)  # another image
    with open_slide(path, region=(0, 0, 64, 64)) as core:
        assert len(core.info.level_sizes) == 1

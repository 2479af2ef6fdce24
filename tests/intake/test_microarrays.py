"""`init` for microarrays: single core images, and the map as a laboratory sends it."""

import csv

import numpy as np
import openpyxl
import pytest
from PIL import Image

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.study import Study
from pathosig.intake import check, init
from pathosig.tma.maps import read_tma_map

ARRAYS = ("TMA-D-1", "TMA-V-1")
PATIENTS = ("P001", "P002", "P003")


def clinical(tmp_path):
    path = tmp_path / "clinical.csv"
    lines = ["patient_id,cohort,os_months,os_event"]
    lines += [
        f"{p},{'discovery' if i < 2 else 'validation'},{10 + i},{i % 2}" for i, p in enumerate(PATIENTS)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def laboratory_map(tmp_path, *, first="A", gap=False):
    """A sheet per array: a title over merged cells, 'column' over numbers, letters, a control core and a note."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, name in enumerate(ARRAYS):
        sheet = book.create_sheet(name)
        sheet["A1"] = "Block, 0.6 mm cores"
        sheet.merge_cells("A1:D1")
        sheet["B2"] = "column"
        sheet.merge_cells("B2:D2")
        for column in (1, 2, 3):
            sheet.cell(row=3, column=column + 1, value=column)
        for row in (1, 2):
            label = chr(ord(first) + row - 1) if first.isalpha() else int(first) + row - 1
            sheet.cell(row=row + 3, column=1, value=label)
        sheet["B4"], sheet["C4"], sheet["D5"] = PATIENTS[number], PATIENTS[number + 1], "liver"
        if gap:
            sheet["A7"] = "cut on a Monday"
    path = tmp_path / "map.xlsx"
    book.save(path)
    return path


@pytest.mark.parametrize("options", [{}, {"first": "1"}, {"gap": True}])
def test_a_sheet_laid_out_like_its_array_is_read_with_letters_or_numbers(tmp_path, options):
    reading = read_tma_map(laboratory_map(tmp_path, **options), ARRAYS, PATIENTS)
    assert [tuple(r.values()) for r in reading.rows] == [
        ("TMA-D-1", 1, 1, "P001"),
        ("TMA-D-1", 1, 2, "P002"),
        ("TMA-V-1", 1, 1, "P002"),
        ("TMA-V-1", 1, 2, "P003"),
    ]
    assert reading.strangers == {"liver": ("TMA-D-1 2-3", "TMA-V-1 2-3")}
    assert "liver (2)" in reading.sentence


def test_a_long_table_is_read_too(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("TMA,Row,Column,Patient ID\nTMA-D-1,B,12,P001\nTMA-D-1,3,1,\n")
    assert [tuple(r.values()) for r in read_tma_map(path, ARRAYS, PATIENTS).rows] == [
        ("TMA-D-1", 2, 12, "P001")
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a,b\nc,d\n", "E_UNMATCHED"),
        ("tma,row,column,patient_id\nTMA-X-9,1,1,P001\n", "E_UNMATCHED"),
        ("tma,row,column,patient_id\nTMA-D-1,1,1,control\n", "E_NO_OVERLAP"),
    ],
)
def test_a_map_that_fits_nothing_is_refused_with_what_was_found(tmp_path, text, code):
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_tma_map(path, ARRAYS, PATIENTS)
    assert error.value.code == code
    path.write_text("a,b\nc,d\n")
    with pytest.raises(InputError, match="column numbers"):
        read_tma_map(path, ARRAYS[:1], PATIENTS)


def image(path):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(path)


def slides_csv(root):
    with (root / "slides.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_init_takes_the_map_of_a_laboratory(tmp_path):
    for name in ARRAYS:
        image(tmp_path / "slides" / f"{name}.png")
    report = init(
        tmp_path / "study",
        clinical=clinical(tmp_path),
        slides=str(tmp_path / "slides" / "*.png"),
        tma_map=laboratory_map(tmp_path),
        mpp=0.5,
    )
    assert {
        (r["slide_id"], r["patient_id"], r["kind"], r["mpp"]) for r in slides_csv(tmp_path / "study")
    } == {(name, "", "tma", "0.5") for name in ARRAYS}
    assert (tmp_path / "study" / "tma_map.csv").read_text().splitlines()[1] == "TMA-D-1,1,1,P001"
    assert report.patients_without_slides == ()
    assert "4 cores of 3 patients on 2 arrays" in report.to_text()


def test_check_counts_the_patients_of_the_map_and_names_those_without_a_core(tmp_path):
    for name in ARRAYS:
        image(tmp_path / "slides" / f"{name}.png")
    init(
        tmp_path / "study",
        clinical=clinical(tmp_path),
        slides=str(tmp_path / "slides" / "*.png"),
        tma_map=laboratory_map(tmp_path),
        mpp=0.5,
    )
    report = check(Study.open(tmp_path / "study"), open_slides=False)
    assert report.counts["patients_with_slides"] == 3
    assert not any("W_NO_SLIDE" in w for w in report.warnings)
    path = tmp_path / "study" / "tma_map.csv"
    path.write_text("".join(x for x in path.read_text().splitlines(keepends=True) if "P003" not in x))
    report = check(Study.open(tmp_path / "study"), open_slides=False)
    assert report.counts["patients_with_slides"] == 2
    assert any("W_NO_SLIDE 1 patient has no slide" in w for w in report.warnings)


def test_single_core_images_are_several_specimens_of_a_patient(tmp_path):
    for name in ("P001_1", "P001_2", "P002_1", "P003_1"):
        image(tmp_path / "cores" / f"{name}.png")
    init(
        tmp_path / "study",
        clinical=clinical(tmp_path),
        slides=str(tmp_path / "cores" / "*.png"),
        mpp=0.5,
        kind="core",
    )
    specimens = Study.open(tmp_path / "study").specimens()
    assert [(s.id, s.patient_id, s.kind, s.mpp) for s in specimens] == [
        ("P001_1", "P001", "core", 0.5),
        ("P001_2", "P001", "core", 0.5),
        ("P002_1", "P002", "core", 0.5),
        ("P003_1", "P003", "core", 0.5),
    ]


def test_a_map_without_slides_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--slides"):
        init(tmp_path / "study", clinical=clinical(tmp_path), tma_map=laboratory_map(tmp_path))

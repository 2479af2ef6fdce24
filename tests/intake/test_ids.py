"""Slides and their patients."""

import time
from pathlib import PurePath

import pytest

from pathosig.core.ids import IdIndex, match_slides, nearest, tcga_kind, tcga_patient
from pathosig.intake.ids import match_all, pattern_for, slide_names


def test_slides_belong_to_the_longest_patient_id_that_ends_at_a_boundary():
    found = match_slides(["P1-A", "P10", "P1", "X9", "p2_b"], ["P1", "P10", "P2"])
    assert found == {"P1-A": "P1", "P10": "P10", "P1": "P1", "X9": None, "p2_b": "P2"}


def test_an_id_that_looks_like_a_number_is_not_a_slide_of_its_first_digit():
    assert match_slides(["1E5", "1A", "1e5-2"], ["1", "1E5"]) == {"1E5": "1E5", "1A": "1", "1e5-2": "1E5"}
    assert match_slides(["1E5"], ["1"]) == {"1E5": None}


@pytest.mark.parametrize(
    ("name", "candidates", "meant"),
    [
        ("PAT-001", ["PAT001", "PAT002"], "PAT001"),
        ("slide7", ["CASE-007", "CASE-008"], "CASE-007"),
        ("P-3_HE", ["P3", "P33"], "P3"),
        ("001", ["100", "010"], None),
        ("cmu-1-small-region", ["P-001"], None),
        ("SMITH_J", ["SMYTH_J", "JONES"], "SMYTH_J"),
        ("Q7", ["P1", "P2"], None),
    ],
)
def test_the_id_a_person_would_mean_is_suggested_and_never_another_number(name, candidates, meant):
    assert nearest(name, candidates) == meant


def matched(names, patients, **options):
    return match_all({n: PurePath(f"/data/{n}.svs") for n in names}, patients, **options)


def test_numbers_match_whatever_their_leading_zeros_where_one_patient_has_them():
    found = matched(["001_HE", "0002", "10"], ["1", "2", "10", "010"])
    assert found.patients == {"001_HE": "1", "0002": "2", "10": "10"}
    assert "leading zeros aside" in found.how
    assert matched(["0010"], ["10", "010"]).patients == {"0010": None}


def test_slides_are_found_by_pattern_column_and_folder():
    assert matched(["HE_P01_a"], ["P01"], pattern=r"(P\d+)").patients == {"HE_P01_a": "P01"}
    assert pattern_for(["P01", "P02"], ["HE_P01_a", "HE_P02_a"]) == r"(P\d+)"
    cells = [("scans/S21-1.svs; S21-2", "P1"), ("S21-3", "P2")]
    found = matched(
        ["S21-1", "S21-2", "S21-3_HE", "x"], ["P1", "P2"], slide_cells=cells, slide_column="Slide"
    )
    assert found.patients == {"S21-1": "P1", "S21-2": "P1", "S21-3_HE": "P2", "x": None}
    assert match_all({"a": PurePath("/data/P1/a.svs")}, ["P1"]).patients == {"a": "P1"}
    assert slide_names("a.ome.tiff") == ["a"]


def test_tcga_barcodes_of_any_length_tell_patient_sample_and_section():
    assert {tcga_patient(f"TCGA-05-4244{end}") for end in ("", "-01", "-01A-11R-1", "-01Z-00-DX1.UUID")} == {
        "TCGA-05-4244"
    }
    assert tcga_patient("TCGA-05-42445") is None
    slides = [
        "TCGA-05-4244-01Z-00-DX1",
        "TCGA-05-4244-01A-01-TS1",
        "TCGA-05-4244-11A-01-BS1",
        "TCGA-05-4244-06A-00-DX1",
    ]
    assert [tcga_kind(s) for s in slides] == [None, "frozen", "normal", None]
    found = matched(slides, ["TCGA-05-4244"])
    assert {k: len(v) for k, v in found.left_out.items()} == {"frozen": 1, "normal": 1}
    assert matched(slides, ["TCGA-05-4244"], include=("frozen", "normal")).left_out == {}


def test_ten_thousand_slides_and_patients_are_matched_in_under_two_seconds():
    patients = [f"PAT-{i:05d}" for i in range(10_000)]
    began = time.process_time()
    found = match_slides([f"{p}_HE" for p in patients] + [f"stray {i}" for i in range(2_000)], patients)
    index = IdIndex(patients)
    assert [index.nearest(f"PAT{i}") for i in range(50)] == patients[:50]
    assert time.process_time() - began < 2
    assert sum(v is not None for v in found.values()) == 10_000

"""Slides that are scored belong to the patients that a table names, and it is said which do not."""

from __future__ import annotations

import pytest

from pathosig.core.errors import InputError
from pathosig.scoring.card import training_cores
from pathosig.scoring.owners import owners_of, warnings_of

CORES = ("P1_core1", "P1_core2", "P10_core1", "control")


def table(tmp_path, text):
    path = tmp_path / "patients.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "slide,patient_id\nP1_core1,P1\nP1_core2,P1\nP10_core1,P10\n",
        "slide,patient_id\nP1_core1.png,P1\nscans/P1_core2.tif,P1\nP10_core1,P10\n",
        "patient_id,age\nP1,60\nP10,70\nP7,80\n",
    ],
)
def test_names_files_and_ids_alone_lead_to_the_same_patients(tmp_path, text):
    assert owners_of(table(tmp_path, text), CORES) == {"P1_core1": "P1", "P1_core2": "P1", "P10_core1": "P10"}


@pytest.mark.parametrize(
    ("text", "code"), [("slide,id\nP1_core1,P1\n", "E_INPUT"), ("patient_id\nX1\n", "E_NO_OVERLAP")]
)
def test_a_table_that_tells_nothing_is_refused(tmp_path, text, code):
    with pytest.raises(InputError) as caught:
        owners_of(table(tmp_path, text), CORES)
    assert caught.value.code == code


def test_slides_taken_as_patients_of_their_own_are_named(tmp_path):
    owners = owners_of(table(tmp_path, "patient_id\nP1\nP10\n"), CORES)
    (warning,) = warnings_of(CORES, owners, training_cores=0)
    assert "1 of 4 slides: control" in warning
    (warning,) = warnings_of(CORES, {}, training_cores=180)
    assert "4 images" in warning and "--patients" in warning
    assert not warnings_of(CORES, {}, training_cores=0)  # whole slides: one of each patient is usual
    assert not warnings_of(CORES[:1], {}, training_cores=180)


def test_a_strangers_card_cannot_break_the_warning():
    assert [training_cores({"training_cores": v}) for v in (3, "x", None, True, 1.5)] == [3, 0, 0, 0, 0]

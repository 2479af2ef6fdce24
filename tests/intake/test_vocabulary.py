"""Words of headers, values, missing cells and levels."""

import pytest

from pathosig.core import vocabulary
from pathosig.core.words import (
    endpoint_of,
    is_discovery,
    is_missing,
    listed,
    meaning_of_event,
    ordered_levels,
    senses,
    unit_of,
)
from pathosig.intake.choices import Question
from pathosig.intake.coding import Coding, read_coding


@pytest.mark.parametrize(
    ("header", "endpoint", "unit"),
    [
        ("OS (months)", "os", "months"),
        ("os_survival_days", "os", "days"),
        ("Overall Survival Status", "os", None),
        ("Progression-free survival [weeks]", "pfs", "weeks"),
        ("Disease Free (Months)", "dfs", "months"),
        ("PFI.time", "pfi", None),
        ("DSS.time", "dss", None),
        ("RFS_YEARS", "rfs", "years"),
        ("Event-free survival (d)", "efs", "days"),
        ("DMFS months", "dmfs", "months"),
        ("LRFS (mo)", "lrfs", "months"),
        ("time to recurrence, months", "ttr", "months"),
        ("ostime", "os", None),
        ("OSMonths", "os", "months"),
        ("Gesamtüberleben (Monate)", "os", "months"),
        ("Rezidivfreies Überleben (Tage)", "rfs", "days"),
        ("Survie globale (mois)", "os", "months"),
        ("Supervivencia global (meses)", "os", "months"),
        ("总生存期（月）", "os", "months"),
        ("Vital status", None, None),
        ("OS_m", "os", None),
    ],
)
def test_headers_say_their_endpoint_and_unit(header, endpoint, unit):
    assert (endpoint_of(header), unit_of(header)) == (endpoint, unit)


def test_every_phrase_of_the_table_is_found_by_what_it_says():
    for name, text in vocabulary.ENDPOINTS.items():
        for phrase in listed(text):
            assert name in senses(phrase), phrase


def test_phrases_stand_folded_and_no_event_value_means_two_things():
    seen = {}
    for meaning, text in vocabulary.EVENT_VALUES.items():
        for phrase in listed(text):
            assert phrase == phrase.lower()
            assert seen.setdefault(phrase, meaning) == meaning, phrase
            assert meaning_of_event(phrase) == meaning, phrase


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "NA",
        "#N/A",
        "[Not Available]",
        "'--",
        "unknown",
        ".",
        "n.a.",
        "k.A.",
        "[Discrepancy]",
        "未知",
        "not reported",
    ],
)
def test_a_missing_value_is_missing_however_it_is_written(cell):
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", "no", "-9", "999", "NX", "negative", "1E5"])
def test_answers_are_not_missing(cell):
    assert not is_missing(cell)
    assert is_missing(cell, {cell})


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        (["IV", "IIB", "I", "IIA"], ["I", "IIA", "IIB", "IV"]),
        (["Stage III", "Stage I"], ["Stage I", "Stage III"]),
        (["G3", "G1", "G2"], ["G1", "G2", "G3"]),
        (["pT10", "pT2", "pTis"], ["pTis", "pT2", "pT10"]),
        (["high", "low", "intermediate"], ["low", "intermediate", "high"]),
        ([">70", "<50", "50-70"], ["<50", "50-70", ">70"]),
        (["red", "blue"], ["blue", "red"]),
    ],
)
def test_stages_grades_and_scales_stand_in_their_order(levels, order):
    assert ordered_levels(levels) == order


def test_only_unmistakable_words_name_a_discovery_cohort():
    assert all(map(is_discovery, ["Discovery", "train", "Training set", "derivation cohort"]))
    assert not any(map(is_discovery, ["A", "internal", "General", "cohort 1", "validation"]))


def coding(header, values, endpoint="os", **options):
    return read_coding(header, values, endpoint=endpoint, senses=senses(header), **options)


@pytest.mark.parametrize(
    ("header", "values", "endpoint", "expected"),
    [
        ("Vital status", ["Alive", "Dead"], "os", [0, 1]),
        ("OS_STATUS", ["0:LIVING", "1:DECEASED"], "os", [0, 1]),
        ("DFS_STATUS", ["0:DiseaseFree", "1:Recurred/Progressed"], "dfs", [0, 1]),
        ("Progression Free Status", ["0:CENSORED", "1:PROGRESSION"], "pfs", [0, 1]),
        ("Disease Free Status", ["0:DiseaseFree", "1:Recurred/Progressed"], "dfs", [0, 1]),
        ("DSS_STATUS", ["0:ALIVE OR DEAD TUMOR FREE", "1:DEAD WITH TUMOR"], "dss", [0, 1]),
        ("Status", ["DOD", "AWD", "NED", "Dead of other causes"], "os", [1, 0, 0, 1]),
        ("DSS event", ["Dead of disease", "Dead of other causes", "Alive"], "dss", [1, 0, 0]),
        ("Vitalstatus", ["Lebend", "Tot"], "os", [0, 1]),
        ("Décès", ["oui", "non"], "os", [1, 0]),
        ("os_event", ["TRUE", "FALSE"], "os", [1, 0]),
        ("os_event", ["1", "0"], "os", [1, 0]),
        ("status (1 = alive, 2 = dead)", ["1", "2"], "os", [0, 1]),
        ("os_censor", ["censored", "dead"], "os", [0, 1]),
    ],
)
def test_values_that_speak_for_themselves_are_understood(header, values, endpoint, expected):
    read = coding(header, values, endpoint)
    assert isinstance(read, Coding)
    assert [read.values[v] for v in values] == expected


@pytest.mark.parametrize(
    ("header", "values", "endpoint"),
    [
        ("os_censorship", ["0", "1"], "os"),
        ("OS censored", ["yes", "no"], "os"),
        ("alive", ["0", "1"], "os"),
        ("disease_free", ["0", "1"], "dfs"),
        ("Event free", ["yes", "no"], "efs"),
        ("Survived", ["Y", "N"], "os"),
        ("vital_status", ["0", "1"], "os"),
        ("os_status", ["1", "2"], "os"),
        ("os_status", ["0", "1", "2"], "os"),
        ("os_status", ["yes", "no"], "os"),
        ("os_status", ["0:DECEASED", "1:LIVING"], "os"),
        ("os_status", ["Alive", "Dead", "moved away"], "os"),
        ("os_status", ["Alive", "Dead", "Lost to follow-up"], "os"),
        ("DSS status", ["Alive", "Dead"], "dss"),
        ("dfs_status", ["Alive with disease", "NED"], "dfs"),
    ],
)
def test_what_has_two_readings_is_asked_with_flags_for_all_its_values(header, values, endpoint):
    question = coding(header, values, endpoint)
    assert isinstance(question, Question)
    assert header in question.text
    for option in question.options:
        assert all(f"{v}=" in option.flags[-1] for v in values)
    assert question.options

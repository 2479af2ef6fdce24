"""What `init` makes of a table: outcomes that come in right, and everything else asked or refused."""

import datetime as dt
import io
import os
import pty
import shlex
import subprocess
import sys
import tomllib

import pytest

from pathosig.core.errors import ConfigError, InputError
from pathosig.intake import asking, check, init

from .made import DAYS, DEAD, IDS, MONTHS, N, made_study, outcome, text_table, truth, workbook, write

BASE = {"patient": IDS, "os_days": DAYS, "os_event": [int(d) for d in DEAD]}
WORDS = ["Dead" if d else "Alive" for d in DEAD]
START = [dt.date(2012, 1, 1) + dt.timedelta(days=37 * k) for k in range(N)]
END = [s + dt.timedelta(days=d) for s, d in zip(START, DAYS, strict=True)]


def comments(study):
    """The text of study.toml on one line."""
    return " ".join((study.root / "study.toml").read_text().replace("#", " ").split())


def german(day):
    return day.strftime("%d.%m.%Y")


@pytest.mark.parametrize(
    ("columns", "separator", "encoding"),
    [
        ({"Patient ID": IDS, "OS (months)": MONTHS, "Vital status": WORDS}, ",", "utf-8"),
        ({"Patient": IDS, "Survival months": MONTHS, "Status": WORDS}, ",", "utf-8"),
        ({"Case no.": IDS, "Follow-up (months)": MONTHS, "Outcome": WORDS}, ",", "utf-8"),
        (
            {
                "Pat.-Nr.": IDS,
                "Überleben (Monate)": [f"{m}".replace(".", ",") for m in MONTHS],
                "verstorben": ["ja" if d else "nein" for d in DEAD],
            },
            ";",
            "cp1252",
        ),
        (
            {
                "N° patient": IDS,
                "Survie globale (mois)": MONTHS,
                "Décès": ["oui" if d else "non" for d in DEAD],
            },
            ";",
            "cp1252",
        ),
        (
            {
                "Paziente": IDS,
                "Sopravvivenza globale (mesi)": MONTHS,
                "Stato vitale": ["Deceduto" if d else "Vivo" for d in DEAD],
            },
            ",",
            "utf-8",
        ),
        (
            {"患者": IDS, "总生存期（月）": MONTHS, "生存状态": ["死亡" if d else "存活" for d in DEAD]},
            ",",
            "utf-8",
        ),
        (
            {
                "PATIENT_ID": IDS,
                "OS_STATUS": [f"{d:d}:{'DECEASED' if d else 'LIVING'}" for d in DEAD],
                "OS_MONTHS": MONTHS,
                "DSS_STATUS": ["0:x"] * N,
                "DSS_MONTHS": [1] * N,
            },
            "\t",
            "utf-8",
        ),
    ],
)
def test_overall_survival_in_months_comes_in_right(tmp_path, columns, separator, encoding):
    study = made_study(tmp_path, text_table(columns, separator).encode(encoding))
    assert outcome(study, "os") == truth(MONTHS)
    assert study.endpoints()["os"].unit == "months"
    assert check(study).usable


@pytest.mark.parametrize(
    "columns",
    [
        {
            "patient": IDS,
            "days_to_death": [d if x else "'--" for d, x in zip(DAYS, DEAD, strict=True)],
            "days_to_last_follow_up": ["'--" if x else d for d, x in zip(DAYS, DEAD, strict=True)],
            "vital_status": WORDS,
        },
        {
            "patient": IDS,
            "Date of diagnosis": list(map(german, START)),
            "Date of death": [german(e) if d else "" for e, d in zip(END, DEAD, strict=True)],
            "Last contact date": list(map(german, END)),
        },
        {"patient": IDS, "Surgery date": START, "Last follow-up date": END, "Vital status": WORDS},
        {
            "Pat.-Nr.": IDS,
            "OP-Datum": list(map(german, START)),
            "Datum letzter Kontakt": list(map(german, END)),
            "verstorben": ["ja" if d else "nein" for d in DEAD],
        },
    ],
)
def test_time_and_event_are_made_of_dates_and_of_days_to_death(tmp_path, columns):
    study = made_study(tmp_path, columns)
    assert outcome(study) == truth(DAYS)
    assert study.endpoints()["os"].unit == "days"
    assert "written as 'os_time' and 'os_event'" in comments(study)


def test_each_endpoint_pairs_its_own_columns(tmp_path):
    columns = {"patient": IDS}
    for name in ("os", "dfs", "pfs", "dss", "pfi", "dfi", "efs", "mfs", "ttr", "lrfs"):
        columns |= {f"{name.upper()}.time.days": DAYS, f"{name.upper()}.event": [int(d) for d in DEAD]}
    endpoints = made_study(tmp_path, columns).endpoints()
    assert len(endpoints) == 10
    assert all(
        e.time == f"{n.upper()}.time.days" and e.event == f"{n.upper()}.event" for n, e in endpoints.items()
    )


def test_a_time_never_takes_the_event_of_another_endpoint(tmp_path):
    with pytest.raises(InputError, match="DFS_MONTHS"):
        made_study(tmp_path, {"patient": IDS, "DFS_MONTHS": MONTHS, "OS_STATUS": [int(d) for d in DEAD]})


@pytest.mark.parametrize(
    ("columns", "code", "named"),
    [
        ({**BASE, "os_event": None, "os_censorship": [int(not d) for d in DEAD]}, "E_EVENT", "os_censorship"),
        ({**BASE, "os_event": [1 + d for d in DEAD]}, "E_EVENT", "os_event"),
        (
            {**BASE, "os_event": [int(not d) for d in DEAD], "Vital status": WORDS},
            "E_CONTRADICTION",
            "Vital status",
        ),
        ({**BASE, "OS_status": [int(not d) for d in DEAD]}, "E_EVENT", "OS_status"),
        ({**BASE, "os_days": [-9, *DAYS[1:]]}, "E_TIME", "--missing=-9"),
        ({**BASE, "os_days": ["inf", *DAYS[1:]]}, "E_TIME", "infinite"),
        ({**BASE, "os_days": END}, "E_TIME", "dates"),
        ({**BASE, "os_days": [40_000 + d for d in DAYS]}, "E_TIME_RANGE", "serial numbers"),
        ({**BASE, "os_days": [12] * N}, "E_TIME_EQUAL", "all 24"),
        ({**BASE, "os_days": None, "os_months": DAYS}, "E_TIME_RANGE", "is the unit days?"),
        (
            {**BASE, "os_days": None, "os_months": [2005 + k % 9 for k in range(N)]},
            "E_TIME_RANGE",
            "calendar years",
        ),
        ({**BASE, "os_days": None, "os_time": DAYS}, "E_UNIT", "--unit os=months"),
        ({**BASE, "os_days": [f"{1000 + d:,}" for d in DAYS]}, "E_NUMBER", "--decimal point"),
        (
            {**BASE, "os_days": ["" if d else t for t, d in zip(DAYS, DEAD, strict=True)]},
            "E_TIME",
            "is empty for 8 of 8",
        ),
        ({**BASE, "cohort": ["A", "B"] * 12}, "E_COHORT", "A (12 patients, 4 events)"),
        (
            {"patient": IDS, "time": DAYS, "status": [int(d) for d in DEAD]},
            "E_ENDPOINT",
            "--time os=time --event os=status",
        ),
        (
            {
                "patient": IDS,
                "diagnosis date": START,
                "surgery date": START,
                "last contact date": END,
                "dead": [int(d) for d in DEAD],
            },
            "E_START",
            "--start 'os=surgery date'",
        ),
        (
            {"patient": [*IDS[:-1], IDS[0]], **{k: v for k, v in BASE.items() if k != "patient"}},
            "E_CONFLICT",
            "P001",
        ),
    ],
)
def test_what_cannot_be_known_is_asked_or_refused_and_nothing_is_written(tmp_path, columns, code, named):
    columns = {k: v for k, v in columns.items() if v is not None}
    with pytest.raises(InputError) as caught:
        made_study(tmp_path, columns)
    assert caught.value.code == code
    assert named in str(caught.value)
    assert not (tmp_path / "study").exists()


def test_the_flags_of_a_question_answer_it(tmp_path):
    columns = {**BASE, "os_censorship": [int(not d) for d in DEAD]}
    del columns["os_event"]
    study = made_study(tmp_path, columns, event=["os=os_censorship"], event_values=["os:0=1,1=0"])
    assert outcome(study) == truth(DAYS)
    assert study.endpoints()["os"].event_values == {"1": 0, "0": 1} or study.endpoints()[
        "os"
    ].event_values == {"0": 1, "1": 0}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"unit": ["os=months"]}, "says days"),
        ({"unit": ["fortnights"]}, "fortnights"),
        ({"time": ["os=OS days"]}, None),
        ({"time": ["os=os_dayz"]}, "did you mean 'os_days'"),
        ({"event_values": ["os:1=1"]}, "also has '0'"),
        ({"event_values": ["os:1=yes"]}, "VALUE=1"),
        ({"discovery": "A"}, "no cohorts"),
        ({"cohort_column": "hospital"}, "no such column"),
        ({"covariates": ["agee"]}, "no such column"),
        ({"decimal": "dot"}, "point or comma"),
        ({"include": ["controls"]}, "normal, frozen"),
    ],
)
def test_flags_that_are_wrong_or_contradict_the_table_are_usage_errors(tmp_path, flags, named):
    if named is None:  # case and punctuation of a column's name do not matter
        assert outcome(made_study(tmp_path, BASE, **flags)) == truth(DAYS)
        return
    with pytest.raises(ConfigError, match=named):
        made_study(tmp_path, BASE, **flags)


def test_covariates_have_their_type_levels_and_order_and_missing_words_change_nothing(tmp_path):
    columns = {
        **BASE,
        "Age at diagnosis": [*range(40, 61), "[Not Available]", "unknown", "."],
        "Sex": ["m", "M ", "F", "male"] * 6,
        "UICC": ["IIA", "IB", "IIIA", "IIA"] * 6,
        "Chemo": ["Y", "N", "n/a", "Y"] * 6,
    }
    study = made_study(tmp_path, columns)
    text = comments(study)
    assert "number, 40 to 60; 3 missing" in text
    assert "IB (6) < IIA (12) < IIIA (6)" in text
    assert study.columns.covariates == ("Age at diagnosis", "Sex", "UICC")
    assert study.columns.treatments == ("Chemo",)
    frame = study.patients()
    assert frame["Age at diagnosis"].dtype == float
    assert frame["Age at diagnosis"].isna().sum() == 3
    assert set(frame["Sex"]) == {"F", "m"} or len(set(frame["Sex"])) == 2
    assert check(study).usable


def test_columns_of_a_surgical_series_are_recognised_by_kind_and_the_others_are_listed(tmp_path):
    columns = {
        **BASE,
        "ajcc": ["I-II", "III-IV"] * 12,
        "Nodes": ["N+", "N0", "N0"] * 8,
        "subtype": ["SCLC-A", "SCLC-N", "SCLC-P", "SCLC-Y"] * 6,
        "NE status": ["high", "high", "low"] * 8,
        "adjuvant_crt": [1, 0] * 12,
        "Postop. radiotherapy (y/n)": ["y", "n", "n", "y"] * 6,
        "chemo_response": ["CR", "PR", "SD"] * 8,
        "ki67": [*range(N)],
    }
    study = made_study(tmp_path, columns)
    assert study.columns.covariates == ("ajcc", "Nodes")
    assert study.columns.treatments == ("adjuvant_crt", "Postop. radiotherapy (y/n)")
    assert study.columns.subgroups == ("subtype", "NE status")
    text = comments(study)
    assert "Nodes: ordered levels: N0 (16) < N+ (8)" in text
    assert "1 column with an unknown name: 'ki67'" in text
    assert "chemo_response: an outcome" in text
    assert "[treatment.adjuvant_crt]" in text
    assert check(study).usable


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (["61"] * N, "constant"),
        ([*range(N - 1), "don't know"], "don't know"),
        ([f"v{k}" for k in range(N)], "24 levels"),
        ([""] * N, "no value"),
    ],
)
def test_a_declared_covariate_that_cannot_be_used_is_an_error(tmp_path, cells, named):
    with pytest.raises(InputError, match=named) as caught:
        made_study(tmp_path, {**BASE, "marker": cells}, covariates=["marker"])
    assert caught.value.code == "E_COVARIATE"


def test_stages_with_too_many_letters_are_grouped_and_said(tmp_path):
    stages = ["IA", "IB", "IIA", "IIB", "IIIA", "IIIB", "IV", "I"] * 3
    study = made_study(tmp_path, {**BASE, "stage": stages})
    assert study.columns.covariates == ("stage_group",)
    assert sorted(set(study.patients()["stage_group"])) == ["I", "II", "III", "IV"]
    assert "without their letters" in comments(study)


def test_rows_of_a_patient_are_one_row_where_they_agree(tmp_path):
    columns = {k: [*v, v[0]] for k, v in BASE.items()} | {"Sample ID": [f"{i}-T1" for i in IDS] + ["P001-T2"]}
    columns["os_days"][-1] = ""
    study = made_study(tmp_path, columns)
    assert outcome(study) == truth(DAYS)
    assert "Sample ID" not in study.patients()
    assert "Sample ID" in (study.root / "study.toml").read_text()


def test_the_discovery_cohort_is_named_with_its_events(tmp_path):
    columns = {**BASE, "split": ["Train", "test", "train "] * 8}
    study = made_study(tmp_path, columns)
    assert study.primary.discovery in ("Train", "train")
    assert len(study.cohorts()) == 2
    report = check(study)
    assert f"discovery cohort: {study.primary.discovery}" in report.to_text()
    other = (
        made_study(tmp_path / "b", {**BASE, "cohort": ["A", "B"] * 12}, discovery="B")
        if (tmp_path / "b").mkdir() is None
        else None
    )
    assert other.primary.discovery == "B"


def test_hospitals_as_cohorts_are_no_site_too(tmp_path):
    study = made_study(
        tmp_path, {**BASE, "Hospital": ["X", "Y"] * 12}, cohort_column="Hospital", discovery="Y"
    )
    assert study.columns.site is None
    assert check(study).usable


def test_a_trial_writes_nothing_and_study_toml_is_the_proposal(tmp_path):
    path = write(tmp_path, BASE)
    report = init(tmp_path / "study", clinical=path, dry_run=True)
    assert not (tmp_path / "study").exists()
    assert "nothing was written" in report.to_text()
    init(tmp_path / "study", clinical=path)
    text = (tmp_path / "study" / "study.toml").read_text()
    assert tomllib.loads(text)["endpoints"]["os"] == {"time": "os_days", "event": "os_event", "unit": "days"}
    assert "24 patients, 8 events" in text


def test_names_cannot_break_out_of_the_comments_or_strings_of_study_toml(tmp_path):
    name = 'sex"\n[primary]\n#'
    rows = [["patient", "os_days", "os_event", name]] + [
        [i, d, int(x), "ab"[k % 2]] for k, (i, d, x) in enumerate(zip(IDS, DAYS, DEAD, strict=True))
    ]
    study = made_study(tmp_path, workbook(tmp_path, rows), covariates=[name.strip()])
    assert study.columns.covariates == (name.strip(),)
    assert check(study).usable


def test_times_of_few_events_that_lack_are_left_out_by_rule_and_not_by_hand(tmp_path):
    study = made_study(tmp_path, {**BASE, "os_days": ["", *DAYS[1:]]})
    assert study.endpoints()["os"].without_time == "left out"
    report = check(study)
    assert report.usable
    assert any(w.startswith("W_TIME") and "P001" in w for w in report.warnings)


def test_on_a_terminal_the_question_is_asked(tmp_path):
    path = write(tmp_path, {**BASE, "cohort": ["A", "B"] * 12})
    main, other = pty.openpty()
    command = [sys.executable, "-m", "pathosig", "init", str(tmp_path / "study"), "--clinical", str(path)]
    with subprocess.Popen(command, stdin=other, stderr=other, stdout=subprocess.PIPE, text=True) as process:
        os.write(main, b"7\n2\n")
        out, _ = process.communicate(timeout=120)
    os.close(other)
    os.close(main)
    assert process.returncode == 0
    assert "--discovery B" in out
    assert tomllib.loads((tmp_path / "study" / "study.toml").read_text())["primary"]["discovery"] == "B"


def test_flags_that_repeat_the_answers_are_quoted_for_a_shell(tmp_path, monkeypatch):
    path = write(tmp_path, {**BASE, "study's cohort;": ["A", "B"] * 12})
    monkeypatch.setattr(asking, "is_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\n"))
    report = init(tmp_path / "study", clinical=path)
    line = next(text for text in report.to_text().splitlines() if text.startswith("flags that give"))
    flags = ["--cohort", "study's cohort;", "--discovery", "B"]
    assert shlex.split(line.partition(": ")[2], posix=True) == flags
    assert shlex.quote("study's cohort;") in line

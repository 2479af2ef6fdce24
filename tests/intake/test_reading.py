"""Files into tables: text of every kind, Excel of every kind, and files that are none."""

import datetime as dt
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.numbers import read_numbers
from pathosig.core.table_files import read_table
from pathosig.core.tables import quote_formula, read_csv_rows, unquote_formula, write_csv_rows
from pathosig.intake import init

from .made import cells, text_table, workbook, write

PLAIN = {"id": ["P1", "P2"], "os_days": ["3", "4"]}


@pytest.mark.parametrize(
    "content",
    [
        "id,os_days\nP1,3\nP2,4\n",
        "id;os_days\nP1;3\nP2;4\n",
        "id\tos_days\r\nP1\t3\r\nP2\t4\r\n",
        "id|os_days\nP1|3\nP2|4\n",
        "sep=;\nid;os_days\nP1;3\nP2;4\n",
        '"id","os_days"\n"P1","3"\n"P2","4"\n',
        "\ufeffid,os_days\nP1,3\nP2,4\n",
        "# made by a registry\n# on Monday\nid,os_days\nP1,3\nP2,4\n",
        "#id,os_days\nP1,3\nP2,4\n",
        "Our cohort\n\nid,os_days\nP1,3\nP2,4\n",
        "id,os_days\n P1 ,3\n\nP2, 4\n,\n",
        "id,os_days,\nP1,3,\nP2,4,\n",
        "id,os_days\nP1,3\nid,os_days\nP2,4\n",
        "id,os_days\nP1,3\nP2,4\n".encode("utf-16"),
        "id,os_days\nP1,3\nP2,4\n".encode("utf-16-le"),
    ],
)
def test_text_tables_of_every_kind_give_the_same_cells(tmp_path, content):
    assert cells(write(tmp_path, content)) == PLAIN


def test_latin_letters_and_chinese_ones_come_in_right(tmp_path):
    assert list(cells(write(tmp_path, "Größe;Alter\n1;2\n".encode("cp1252")))) == ["Größe", "Alter"]
    chinese = "患者,总生存期（月）,生存状态\nP1,3,死亡\n".encode("gb18030")
    assert list(cells(write(tmp_path, chinese))) == ["患者", "总生存期（月）", "生存状态"]


def test_row_names_of_r_and_stray_quotes_do_not_shift_cells(tmp_path):
    assert cells(write(tmp_path, '"a" "b"\n"x" 1 2\n"y" 3 4\n')) == {
        "unnamed 1": ["x", "y"],
        "a": ["1", "3"],
        "b": ["2", "4"],
    }
    assert cells(write(tmp_path, 'id\tnote\nP1\t5" long\nP2\t3" long\n'))["note"] == ['5" long', '3" long']


def test_notes_and_sums_at_the_end_are_no_patients(tmp_path):
    table = read_table(
        write(tmp_path, "id,os_days,age\nP1,3,60\nP2,4,70\nMean,3.5,65\n,,\nSource: the registry of 2020,,\n")
    )
    assert table.cells["id"] == ["P1", "P2"]
    assert any("notes or sums" in n for n in table.notes)


@pytest.mark.parametrize(
    ("content", "name", "what"),
    [
        (b"", "t.csv", "empty"),
        (b"", "t.xlsx", "empty"),
        (b"PK\x03\x04 cut", "t.xlsx", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "t.xlsx", "old Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "t.xlsx", "password"),
        (b"<html><table><tr><td>a", "t.xls", "web page"),
        (b"%PDF-1.4", "t.csv", "PDF"),
        (b"PAR1", "t.csv", "Parquet"),
        (bytes(range(256)) * 20, "t.csv", "not a text table"),
        (b"id,os\nP1," + b"a" * 1_000_000 + b"\n", "t.csv", "never closed"),
        (b"id,os\nP1,1,2\nP2\n", "t.csv", "cells"),
        (b"id,os,os\nP1,1,2\n", "t.csv", "appear twice"),
        (b"id,os\n", "t.csv", "no rows"),
    ],
)
def test_files_that_are_no_tables_are_refused_in_one_coded_sentence(tmp_path, content, name, what):
    with pytest.raises(InputError, match=what) as caught:
        read_table(write(tmp_path, content, name))
    assert caught.value.code.startswith("E_")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_csv_with_the_name_of_a_workbook_is_read_and_said(tmp_path):
    table = read_table(write(tmp_path, "id,os_days\nP1,3\nP2,4\n", "t.xlsx"))
    assert table.cells == PLAIN
    assert "not a workbook" in table.notes[0]


def test_excel_shows_ids_with_zeros_dates_and_merged_headers(tmp_path):
    def change(book, sheet):
        for area in ("A1:D1", "A3:A4", "B3:C3", "D3:D4"):
            sheet.merge_cells(area)
        sheet["A5"].number_format = "000"
        sheet["A6"].number_format = '"P"00'

    rows = [
        ["Lung, 2015"],
        [],
        ["Patient", "Overall survival", None, "Diagnosis"],
        [None, "months", "status", None],
    ]
    rows += [[7, 3.5, "Dead", dt.datetime(2015, 3, 1)], [8, 4, True, dt.date(2015, 3, 2)]]
    assert cells(workbook(tmp_path, rows, change)) == {
        "Patient": ["007", "P08"],
        "Overall survival months": ["3.5", "4"],
        "Overall survival status": ["Dead", "TRUE"],
        "Diagnosis": ["2015-03-01", "2015-03-02"],
    }


def test_a_merged_group_is_added_only_to_names_that_need_it(tmp_path):
    def change(book, sheet):
        for area in ("A1:B1", "C1:E1", "F1:G1", "H1:I1", "J1:K1"):
            sheet.merge_cells(area)

    groups = ["Patient", None, "Klinik", None, None, "OS", None, "DFS", None, "Follow-up", None]
    names = [
        "Pat.-Nr.",
        "Standort",
        "Alter",
        "Geschlecht",
        "LDH (U/l)",
        "months",
        "status",
        "months",
        "status",
        "date",
        "CRP",
    ]
    path = workbook(
        tmp_path,
        [groups, names, ["01", "Nord", 61, "m", 250.5, 3.5, 1, 2, 1, dt.datetime(2015, 3, 1), 4]],
        change,
    )
    assert list(cells(path)) == [
        *names[:5], "OS months", "OS status", "DFS months", "DFS status", "Follow-up date", "CRP",
    ]  # fmt: skip


def test_of_several_sheets_the_one_with_data_is_read_or_the_user_is_asked(tmp_path):
    def charts(book, sheet):
        book.create_chartsheet("chart")
        book.create_sheet("empty")

    assert cells(workbook(tmp_path, [["id", "os_days"], ["P1", 3], ["P2", 4]], charts)) == PLAIN

    def two(book, sheet):
        sheet.title = "Data"
        other = book.create_sheet("Genes")
        other.append(["gene", "value"])
        other.append(["TP53", 1])

    path = workbook(tmp_path, [["patient", "os_days", "os_event"], ["P1", 3, 1], ["P2", 4, 0]], two)
    with pytest.raises(InputError, match="--sheet Data") as caught:
        init(tmp_path / "study", clinical=path)
    assert caught.value.code == "E_SHEET"
    assert init(tmp_path / "study", clinical=path, sheet="data").n_patients == 2


def test_formulas_without_values_and_bombs_are_refused(tmp_path):
    with pytest.raises(InputError, match="B2") as caught:
        read_table(workbook(tmp_path, [["id", "x"], ["P1", "=1+1"]]))
    assert caught.value.code == "E_FORMULA"
    path = workbook(tmp_path, [["id", "x"], ["P1", 1]], name="bomb.xlsx")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/blanks.xml", b" " * (2**28 + 1))
    with pytest.raises(InputError, match="unpacked") as caught:
        read_table(path)
    assert caught.value.code == "E_TOO_LARGE"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["580", "2,361"], [580, 2361]),
        (["61,5", "70"], [61.5, 70]),
        (["1.234,5", "3"], [1234.5, 3]),
        (["1,234.5"], [1234.5]),
        (["1 234", "12"], [1234, 12]),
        (["1'234"], [1234]),
        (["1.234.567"], [1234567]),
        (["61 years", "70 years"], [61, 70]),
        (["2.361", "0.5"], [2.361, 0.5]),
        (["10", "2,361", "61.5"], [10, 2361, 61.5]),
    ],
)
def test_numbers_are_read_for_the_column_as_a_whole(cells, values):
    assert list(read_numbers(cells).values) == values


def test_numbers_with_two_readings_are_ambiguous_and_a_choice_settles_them():
    assert read_numbers(["2,361", "1,204"]).ambiguous == "2,361"
    assert read_numbers(["2.361", "580"], commas_elsewhere=True).ambiguous == "2.361"
    assert read_numbers(["2,361", "1,204"], decimal="point").values == (2361, 1204)
    assert read_numbers(["2,361", "1,204"], decimal="comma").values == (2.361, 1.204)


@given(st.text(max_size=12))
def test_formulas_are_quoted_and_come_back_the_same(text):
    quoted = quote_formula(text)
    assert unquote_formula(quoted) == text
    bare = quoted.lstrip()
    if bare[:1] in ("=", "+", "-", "@"):
        float(bare)  # only numbers stay as they are


def test_formulas_after_blanks_line_ends_and_in_headers_are_quoted(tmp_path):
    path = tmp_path / "t.csv"
    write_csv_rows(path, [{"=h": "\n=x"}, {"=h": "'=x"}], ["=h"])
    assert "\n=" not in path.read_text().replace("'=", "").replace("'\n=", "")
    assert [r["=h"] for r in read_csv_rows(path)] == ["\n=x", "'=x"]


def trial(folder, path):
    """Exit code of a dry run; anything but an orderly refusal is raised."""
    try:
        init(folder / "study", clinical=path, dry_run=True)
    except PathosigError as error:
        return error.exit_code
    return 0


_CELL = st.one_of(
    st.sampled_from(
        [
            "",
            "NA",
            "1",
            "0",
            "2,361",
            "12.5",
            "Dead",
            "Alive",
            "2015-03-01",
            "P1",
            "=1",
            '"',
            "'--",
            "1e400",
            "-9",
            "\ufeff",
            "#",
        ]
    ),
    st.text(max_size=8),
)
_HEADER = st.one_of(
    st.sampled_from(
        [
            "patient",
            "OS (months)",
            "os_event",
            "Vital status",
            "cohort",
            "Date of death",
            "OS censored",
            "age",
            "",
            "os_days",
            "time",
        ]
    ),
    st.text(max_size=10),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.lists(_HEADER, min_size=1, max_size=6),
    rows=st.lists(st.lists(_CELL, min_size=1, max_size=6), max_size=8),
    separator=st.sampled_from(",;\t|"),
)
def test_no_table_ends_in_a_traceback(tmp_path, header, rows, separator):
    columns = {f"{i}": [r[i] if i < len(r) else "" for r in rows] for i in range(len(header))}
    body = text_table(columns, separator).split("\n", 1)[1]
    head = text_table({}, separator).replace("\r\n", "") + separator.join(
        f'"{h.replace(chr(34), "")}"' for h in header
    )
    path = write(tmp_path, (head + "\r\n" + body).encode("utf-8", "surrogatepass"))
    assert trial(tmp_path, path) in (0, 2, 3)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_end_in_a_traceback(tmp_path, raw):
    for name in ("t.csv", "t.xlsx"):
        assert trial(tmp_path, write(tmp_path, raw, name)) in (0, 2, 3)

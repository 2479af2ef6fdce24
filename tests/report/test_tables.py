"""Tables of the report for a manuscript: CSV, LaTeX and Word say what the page says."""

import csv
import dataclasses
import io

import pytest

from pathosig.report.page import Chapter, Folded, Page, Section, Table
from pathosig.report.tables import paper_tables, table_csv, table_tex

NUMBERS = Table(
    caption="High & low, 50%",
    columns=["Cohort", "n", "HR (95% CI)"],
    rows=[["=A_1", 1234, "1.42 (1.10–1.83)"], ["B", None, "−0.5"]],
    note="p < 0.05",
)


def page_of(*sections):
    return Page(
        title="T", subtitle="", chapters=[Chapter(id="c", title="C", question="?", sections=sections)]
    )


@pytest.fixture
def tables():
    twice = Section(id="survival", title="S", blocks=[NUMBERS, Folded(title="more", blocks=[NUMBERS])])
    settings = Section(id="provenance", title="P", blocks=[NUMBERS])
    return list(paper_tables(page_of(twice, settings)))


def test_every_table_of_results_has_a_name_of_its_own_and_settings_are_left_out(tables):
    assert [t.name for t in tables] == ["survival_high_low_50", "survival_high_low_50_2"]


def test_a_caption_that_ends_in_a_number_takes_no_other_tables_name():
    named = [NUMBERS, dataclasses.replace(NUMBERS, caption="High & low, 50% 3"), NUMBERS]
    tables = paper_tables(page_of(Section(id="survival", title="S", blocks=named)))
    assert [t.name for t in tables] == [
        "survival_high_low_50",
        "survival_high_low_50_3",
        "survival_high_low_50_2",
    ]


def test_csv_reads_back_as_printed_and_no_cell_runs_in_a_spreadsheet(tables):
    rows = list(csv.reader(io.StringIO(table_csv(tables[0]))))
    assert rows == [
        ["Cohort", "n", "HR (95% CI)"],
        ["'=A_1", "1,234", "1.42 (1.10–1.83)"],
        ["B", "–", "−0.5"],
    ]


def test_latex_escapes_every_sign_that_is_a_command(tables):
    text = table_tex(tables[0])
    assert r"\caption{High \& low, 50\%}\label{tab:survival_high_low_50}" in text
    assert r"\begin{tabular}{lrl}" in text
    assert r"=A\_1 & 1,234 & 1.42 (1.10--1.83) \\" in text
    assert r"B & -- & $-$0.5 \\" in text
    assert r"p $<$ 0.05" in text


def test_a_word_document_holds_every_table_and_is_the_same_bytes_twice(tables):
    docx = pytest.importorskip("docx")
    from pathosig.report.word import tables_docx

    data = tables_docx(tables, title="Study")
    assert tables_docx(tables, title="Study") == data
    document = docx.Document(io.BytesIO(data))
    assert len(document.tables) == 2
    assert [c.text for c in document.tables[0].rows[1].cells] == ["=A_1", "1,234", "1.42 (1.10–1.83)"]
    assert "Table 2. High & low, 50%" in [p.text for p in document.paragraphs]

"""Tables of the report for a manuscript: CSV, LaTeX and Word say what the page says."""

import csv
import dataclasses
import io

import pytest

from pathosig.report.page import Chapter, Folded, Number, Page, Section, Table
from pathosig.report.rendering import render
from pathosig.report.tables import paper_tables, table_csv, table_tex

NUMBERS = Table(
    caption="High & low, 50%",
    columns=["Cohort", "n", "HR (95% CI)"],
    rows=[["=A_1", 1234, "1.42 (1.10–1.83)"], ["B", None, "−0.5"]],
    note="p < 0.05",
)


WHY = "the confidence interval does not tell a slope of 0 from one of 2"
WIDE = Table(
    caption="Slopes",
    columns=["Cohort", "Slope"],
    rows=[["A", Number(value="3.1 (−40.0 to 46.0)", uncertain=WHY)], ["B", "0.9 (0.5–1.3)"]],
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


def test_an_estimate_that_means_nothing_is_small_and_grey_with_its_reason_in_every_format():
    (table,) = paper_tables(page_of(Section(id="survival", title="S", blocks=[WIDE])))
    assert f"A,3.1 (−40.0 to 46.0) [{WHY}]" in table_csv(table)
    latex = table_tex(table)
    assert r"A & {\scriptsize\color{gray}3.1 ($-$40.0 to 46.0)\textsuperscript{a}} \\" in latex
    assert r"B & 0.9 (0.5--1.3) \\" in latex
    assert rf"\textsuperscript{{a}} {WHY}." in latex
    shown = render(page_of(Section(id="survival", title="S", blocks=[WIDE])))
    assert f'<span class="nb">(−40.0 to 46.0)</span></span><span class="why">{WHY}</span></td>' in shown
    assert shown.count('<td class="uncertain">') == 1
    docx = pytest.importorskip("docx")
    from pathosig.report.word import tables_docx

    document = docx.Document(io.BytesIO(tables_docx([table], title="Study")))
    sizes = [[run.font.size.pt for run in row.cells[1].paragraphs[0].runs] for row in document.tables[0].rows]
    assert sizes == [[8], [6.5, 6.5], [8]]
    assert document.tables[0].rows[1].cells[1].text == "3.1 (−40.0 to 46.0)a"
    assert document.paragraphs[-1].text.strip() == f"a {WHY}."

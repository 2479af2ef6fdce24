"""The report stage: draws the figures and writes one HTML file."""

from __future__ import annotations

from dataclasses import replace

from pathosig.core.errors import InputError
from pathosig.core.execution import run_once
from pathosig.core.layout import Layout
from pathosig.core.records import write_bytes, write_text
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.report.page import Page
from pathosig.report.reading import inputs_of, read_material, upstream_of
from pathosig.report.spec import ReportSpec
from pathosig.report.tables import paper_tables, table_csv, table_tex

STAGE_VERSION = 17
STAGE = Stage(name="report", version=STAGE_VERSION)
UNIT = "_report"


def build_report(
    study: Study, spec: ReportSpec | None = None, *, execution: Execution = Execution()
) -> StageReport:
    """Write report/index.html, figures/*.svg and report/tables/*.csv and *.tex from whatever the study holds.

    Parameters
    ----------
    study
        An open study; stages that have not run are reported as not available.
    spec
        What to show; from study.toml by default.
    execution
        Only ``force`` matters here.

    Returns
    -------
    StageReport
        Its finding is where the page lies.

    Raises
    ------
    InputError
        E_MISSING if no stage has left a record.
    """
    spec = spec or study.spec(ReportSpec)
    upstream = upstream_of(study)
    if not upstream:
        raise InputError(
            "there is nothing to report: no stage has run on this study. Run `pathosig run` first.",
            code="E_MISSING",
        )
    unit = Unit(id=UNIT, inputs=inputs_of(study), upstream=upstream)
    report = run_once(study, STAGE, spec, unit, _write_report, execution=execution)
    return replace(report, findings=(str(study.paths.report),))


def _write_report(job: Job) -> Outcome:
    from pathosig.figures.style import pdf_bytes
    from pathosig.report.compose import compose
    from pathosig.report.page import Picture, every_block
    from pathosig.report.rendering import render

    study = Study.open(job.root)
    spec: ReportSpec = job.spec
    page = compose(read_material(study, spec), spec)
    outputs = []
    pictures = [b for s in page.sections for b in every_block(s.blocks) if isinstance(b, Picture)]
    for block in pictures:
        outputs.append(f"figures/{block.name}.svg")
        write_bytes(study.root / outputs[-1], block.data)
        if spec.pdf and block.figure is not None:
            outputs.append(f"figures/{block.name}.pdf")
            write_bytes(study.root / outputs[-1], pdf_bytes(block.figure))
    outputs += _write_tables(study, page, docx=spec.docx)
    _remove_old(study, keep=set(outputs))
    html = render(page)
    write_text(study.paths.report, html)
    outputs.append(Layout.report)
    summary = {"figures": len(pictures), "sections": len(page.sections), "bytes": len(html.encode())}
    return Outcome(outputs=tuple(outputs), summary=summary)


def _write_tables(study: Study, page: Page, *, docx: bool) -> list[str]:
    """Every table of results for a manuscript; the names of the files."""
    tables = list(paper_tables(page))
    outputs = []
    for table in tables:
        for suffix, text in (("csv", table_csv(table)), ("tex", table_tex(table))):
            outputs.append(f"report/tables/{table.name}.{suffix}")
            write_text(study.root / outputs[-1], text)
    if docx and tables:
        from pathosig.report.word import tables_docx

        outputs.append("report/tables/tables.docx")
        write_bytes(study.root / outputs[-1], tables_docx(tables, title=page.title))
    return outputs


def _remove_old(study: Study, *, keep: set[str]) -> None:
    """Delete figures and tables that the previous report wrote and this one does not."""
    before = study.record(STAGE.name, UNIT)
    for name in before.outputs if before is not None else ():
        path = study.root / name
        if name.startswith(("figures/", "report/tables/")) and name not in keep and path.is_file():
            path.unlink()

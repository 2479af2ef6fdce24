"""The report as people see it: in a browser at three widths, light and dark, and on paper."""

from __future__ import annotations

import re

import pytest
from tests.accessibility import grave_findings
from tests.browsing import chromium

from pathosig.report import build_report
from pathosig.report.page import Chapter, Page, Section, TileImage, TissueRow, TissueRows
from pathosig.report.rendering import render

OPEN = "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
CLIPPED = """() => [...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1)
    .map((e) => e.getAttribute('aria-label'))"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(validated):
    build_report(validated)
    return validated.paths.report.as_uri()


def _opened(browser, address, width, scheme="light"):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(address)
    page.evaluate(OPEN)
    return page


@pytest.mark.parametrize("width", [1280, 1920])
def test_every_table_fits_a_laptop_and_a_desktop(browser, address, width):
    page = _opened(browser, address, width)
    assert page.locator(".scroll").count() > 20
    assert page.evaluate(CLIPPED) == []
    page.close()


def test_on_a_phone_only_tables_and_figures_scroll_sideways(browser, address):
    page = _opened(browser, address, 380)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert page.evaluate(CLIPPED)  # these scroll, with a shadow where they go on
    page.close()


@pytest.mark.parametrize("width", [380, 800, 1280, 3840])
def test_groups_of_tissue_with_their_bars_fit_every_screen(browser, tmp_path, width):
    tile = TileImage(uri="data:image/gif;base64,R0lGODlhAQABAAAAACw=", alt="Tile", bar=40.0)
    rows = [
        TissueRow(
            name=f"node {i}", small="17% of the tissue", direction=direction, colour=colour, effect=effect,
            length=length, swatches=["#aa3355"] * 12, tiles=[tile] * 4,
        )
        for i, (direction, colour, effect, length) in enumerate(
            [("higher risk", "#d55e00", "+0.65 SD", 100.0), ("lower risk", "#0072b2", "−0.60 SD", -95.0)]
        )
    ]  # fmt: skip
    block = TissueRows(title="What raises and lowers the score", lead="Tissue.", rows=rows, note="Note.")
    section = Section(id="summary", title="Summary", blocks=[block])
    chapter = Chapter(id="answer", title="Answer", question="What?", sections=[section])
    (tmp_path / "page.html").write_text(
        render(Page(title="T", subtitle="", chapters=[chapter])), encoding="utf-8"
    )
    page = _opened(browser, (tmp_path / "page.html").as_uri(), width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ends = page.evaluate(
        "[...document.querySelectorAll('.tissue-rows .number')].map(e => e.getBoundingClientRect().right)"
    )
    assert len([e for e in ends if 0 < e <= width]) == len(ends) == 2
    bars = page.evaluate(
        "[...document.querySelectorAll('.track span')].map(e => [e.getBoundingClientRect().left, e.getBoundingClientRect().right])"
    )
    assert bars[0][0] == pytest.approx(bars[1][1], abs=1)  # both start at the same line
    assert bars[0][1] - bars[0][0] == pytest.approx((bars[1][1] - bars[1][0]) / 0.95, rel=0.02)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, address, scheme):
    page = _opened(browser, address, 1280, scheme)
    assert grave_findings(page) == []
    page.close()


def test_on_paper_the_report_is_short_and_what_is_folded_stays_out(browser, address):
    page = browser.new_page()
    page.goto(address)
    folded = len(re.findall(rb"/Type /Page\b", page.pdf(prefer_css_page_size=True)))
    page.evaluate(OPEN)
    everything = len(re.findall(rb"/Type /Page\b", page.pdf(prefer_css_page_size=True)))
    assert 5 < folded <= 17 < everything
    page.close()

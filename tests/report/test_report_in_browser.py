"""The report as people see it: in a browser at three widths, light and dark, and on paper."""

from __future__ import annotations

import re

import pytest
from tests.accessibility import grave_findings
from tests.browsing import chromium

from pathosig.report import build_report

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

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

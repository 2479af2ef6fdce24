"""The viewer in a real browser: it shows slides, overlays and exemplars, and asks no other host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pathosig.viewer import start_viewer

CHROMIUM = next((p for p in (shutil.which("chromium"), shutil.which("chromium-browser"), "/usr/bin/chromium")
                 if p and Path(p).exists()), None)  # fmt: skip
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")


@pytest.fixture(scope="module")
def viewer(study):
    with start_viewer(study) as running:
        yield running


@pytest.fixture
def page(viewer):
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1300, "height": 800})
        page.seen = {"errors": [], "hosts": set()}
        page.on("console", lambda m: page.seen["errors"].append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.seen["errors"].append(str(e)))
        page.on(
            "request",
            lambda r: page.seen["hosts"].add(r.url.split("/")[2]) if r.url.startswith("http") else None,
        )
        page.goto(viewer.url)
        page.wait_for_selector("#slides button")
        yield page
        browser.close()


def _painted(page):
    """Pixels of the overlay canvas that are not transparent."""
    return page.evaluate(
        """() => { const c = document.getElementById('overlay');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; }"""
    )


def _wait_until(page, condition, seconds=30.0):
    """Ask the page until it says yes.

    Playwright's own wait_for_function evaluates a string inside the page, which the viewer's content
    security policy rightly forbids.
    """
    for _ in range(int(seconds / 0.1)):
        if page.evaluate(f"!!({condition})"):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"not seen within {seconds:.0f} s: {condition}")


def _wait_painted(page):
    _wait_until(
        page,
        "document.querySelector('#legend .count') && state.tiles !== null && osd.world.getItemAt(0)",
    )
    page.wait_for_timeout(300)


def test_a_slide_opens_with_its_overlay_and_no_other_host_is_asked(page, viewer):
    _wait_painted(page)
    assert page.inner_text("#name")
    assert _painted(page) > 10_000
    assert page.seen["hosts"] == {f"127.0.0.1:{viewer.port}"}
    assert page.seen["errors"] == []
    assert "token" not in page.url


def test_names_are_text_and_never_markup(page):
    assert page.locator("#slides b").count() == 0
    assert "S3 <b>Müller, Anna</b>" in page.inner_text("#slides")


def test_the_overlay_follows_its_switches(page):
    _wait_painted(page)
    page.uncheck("#show-tissue")
    everything = _painted(page)
    page.uncheck("[aria-label='Show HPC 01']")
    fewer = _painted(page)
    assert 0 < fewer < everything
    page.click("#none")
    assert _painted(page) == 0
    page.click("#all")
    assert _painted(page) == everything
    page.uncheck("#show-hpc")
    assert _painted(page) == 0


def test_an_exemplar_of_the_atlas_jumps_to_its_place(page):
    _wait_painted(page)
    before = page.evaluate("osd.viewport.getZoom()")
    page.click("#legend [data-hpc='1']")
    page.click("#atlas button >> nth=0")
    _wait_until(page, "state.mark !== null")
    page.wait_for_timeout(800)
    assert page.inner_text("#name") == "S1"
    assert page.evaluate("osd.viewport.getZoom()") > before


def test_a_click_on_a_tile_says_its_hpc_and_shows_its_kin(page):
    _wait_painted(page)
    tile = page.evaluate(
        """() => { const t = state.tiles, i = 0, p = osd.world.getItemAt(0).imageToViewerElementCoordinates(
        new OpenSeadragon.Point(t.x[i] + t.width / 2, t.y[i] + t.width / 2));
        return { x: p.x, y: p.y, hpc: t.hpc[i] }; }"""
    )
    page.click("#view", position={"x": tile["x"], "y": tile["y"]})
    _wait_until(page, "state.mark !== null")
    assert page.inner_text("#tile").startswith(f"HPC {tile['hpc']:02d}, confidence")
    assert page.get_attribute(f"#legend [data-hpc='{tile['hpc']}']", "aria-pressed") == "true"


def test_the_legend_starts_with_the_most_common_hpc_of_the_slide(page):
    _wait_painted(page)
    counts = [int(text or 0) for text in page.locator("#legend .count").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0


def test_a_damaged_slide_gives_a_sentence(page):
    page.click("#slides button:has-text('S2')")
    _wait_until(page, "document.getElementById('message').textContent.includes('S2')")


def test_the_search_finds_patients(page):
    page.fill("#search", "P3")
    assert page.locator("#slides button").count() == 1

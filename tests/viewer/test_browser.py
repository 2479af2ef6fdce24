"""The viewer in a real browser: it shows slides, overlays and exemplars, and asks no other host."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from tests.accessibility import grave_findings
from tests.browsing import chromium, wait_until

from pathosig.viewer import start_viewer


@pytest.fixture(scope="module")
def viewer(study):
    with start_viewer(study) as running:
        yield running


@pytest.fixture
def page(viewer):
    with chromium() as browser:
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


def _painted(page):
    """Pixels of the overlay canvas that are not transparent."""
    return page.evaluate(
        """() => { const c = document.getElementById('overlay');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; }"""
    )


def _listed(page):
    """Names in the list of slides, whether the browser has painted them yet or not."""
    return page.locator("#slides .slide-name").all_text_contents()


def _wait_painted(page):
    """Until the slide's tiles are listed and painted, and the view has come to rest."""
    wait_until(
        page,
        """document.querySelector('#legend .count') && state.tiles !== null && osd.world.getItemAt(0)
        && osd.viewport.getZoom(true) === osd.viewport.getZoom()
        && osd.viewport.getCenter(true).equals(osd.viewport.getCenter())
        && (() => { const c = document.getElementById('overlay');
          return c.width > 0 && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 === 3 && v); })()""",
    )


def test_a_slide_opens_with_its_overlay_and_no_other_host_is_asked(page, viewer):
    _wait_painted(page)
    assert page.inner_text("#name")
    assert _painted(page) > 10_000
    assert page.seen["hosts"] == {f"127.0.0.1:{viewer.port}"}
    assert page.seen["errors"] == []
    assert "token" not in page.url


def test_names_are_text_and_never_markup(page):
    assert page.locator("#slides b").count() == 0
    assert "S3 <b>Müller, Anna</b>" in page.text_content("#slides")


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
    page.click("#legend [data-unit='1']")
    page.click("#atlas button >> nth=0")
    wait_until(page, "state.mark !== null")
    wait_until(page, f"osd.viewport.getZoom() > {before}")
    assert page.inner_text("#name") == "S1"


def test_a_click_on_a_tile_says_its_hpc_and_shows_its_kin(page):
    _wait_painted(page)
    tile = page.evaluate(
        """() => { const t = state.tiles, i = 0, p = osd.world.getItemAt(0).imageToViewerElementCoordinates(
        new OpenSeadragon.Point(t.x[i] + t.width / 2, t.y[i] + t.width / 2));
        return { x: p.x, y: p.y, hpc: t.hpc[i] }; }"""
    )
    page.click("#view", position={"x": tile["x"], "y": tile["y"]})
    wait_until(page, "state.mark !== null")
    assert page.inner_text("#tile").startswith(
        f"HPC {tile['hpc']:02d}, Coarse {tile['hpc'] // 2}, confidence"
    )
    assert page.get_attribute(f"#legend [data-unit='{tile['hpc']}']", "aria-pressed") == "true"


def test_the_legend_starts_with_the_most_common_hpc_of_the_slide(page):
    _wait_painted(page)
    counts = [int(text or 0) for text in page.locator("#legend .count").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0


def test_a_damaged_slide_gives_a_sentence(page):
    page.click("#slides button:has-text('S2')")
    wait_until(page, "document.getElementById('message').textContent.includes('S2')")


def test_the_search_finds_patients(page):
    page.fill("#search", "P3")
    assert page.locator("#slides button").count() == 1


def test_keys_walk_the_slides_and_switch_the_overlay(page):
    _wait_painted(page)
    first = page.inner_text("#name")
    page.keyboard.press("j")
    wait_until(page, f"document.getElementById('name').textContent !== {first!r}")
    page.keyboard.press("k")
    wait_until(page, f"document.getElementById('name').textContent === {first!r} && state.tiles !== null")
    assert page.is_checked("#show-hpc")
    page.keyboard.press("o")
    assert not page.is_checked("#show-hpc")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    assert page.locator("#keys dt").count() >= 15
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("j")
    assert page.input_value("#search") == "j"


def test_hovering_reads_a_tile_and_solo_shows_one_hpc(page):
    _wait_painted(page)
    page.uncheck("#show-tissue")
    everything = _painted(page)
    place = page.evaluate(
        """() => { const t = state.tiles, p = osd.world.getItemAt(0).imageToViewerElementCoordinates(
        new OpenSeadragon.Point(t.x[4] + 100, t.y[4] + 100)), b = document.getElementById('view').getBoundingClientRect();
        return { x: b.x + p.x, y: b.y + p.y, hpc: t.hpc[4] }; }"""
    )
    page.mouse.move(place["x"], place["y"])
    wait_until(page, "!document.getElementById('readout').hidden")
    assert page.inner_text("#readout").startswith(
        f"HPC {place['hpc']:02d}, Coarse {place['hpc'] // 2}, confidence"
    )
    page.keyboard.press("s")
    one = _painted(page)
    assert 0 < one < everything
    page.keyboard.press("s")
    assert _painted(page) == everything


def test_a_link_restores_slide_colours_and_place(page, viewer):
    _wait_painted(page)
    page.select_option("#colour", "confidence")
    page.keyboard.press("+")
    wait_until(
        page,
        "location.hash.includes('colour=confidence') && Number(new URLSearchParams(location.hash.slice(1)).get('zoom')) > 1.3",
    )
    link = page.url.split("#")[1]
    zoom = float(parse_qs(link)["zoom"][0])
    page.goto(f"{viewer.url}#{link}")
    page.reload()
    _wait_painted(page)
    wait_until(page, f"Math.abs(osd.viewport.getZoom(true) - {zoom}) < 0.05")
    assert page.input_value("#colour") == "confidence"
    assert page.inner_text("#name") == link.split("slide=")[1].split("&")[0]


def _colour_at(page, x, y):
    """Red, green, blue and opacity of the overlay at a level-0 pixel of the slide."""
    return page.evaluate(
        """([x, y]) => { const p = osd.world.getItemAt(0).imageToViewerElementCoordinates(new OpenSeadragon.Point(x, y));
        const r = window.devicePixelRatio || 1, c = document.getElementById('overlay');
        return [...c.getContext('2d').getImageData(Math.round(p.x * r), Math.round(p.y * r), 1, 1).data]; }""",
        [x, y],
    )


@pytest.mark.parametrize(
    ("colour", "words"),
    [("distance", ["like training", "unlike"]), ("quality", ["clean", "artefact"])],
)
def test_tiles_are_coloured_by_distance_and_quality_where_these_were_measured(page, colour, words):
    _wait_painted(page)
    assert page.inner_text("#name") == "S1"
    page.uncheck("#show-tissue")
    page.fill("#opacity", "100")
    page.select_option("#colour", colour)
    assert [page.inner_text(f"#colour-{end}") for end in ("low", "high")] == words
    first, last = _colour_at(page, 100, 100), _colour_at(page, 900, 500)
    assert first[3] == last[3] == 255
    assert sum(first[:3]) > sum(last[:3]) + 150  # the ramp runs from light to dark
    page.click("#slides button:has-text('S3')")
    wait_until(page, "state.slide.name.startsWith('S3') && state.tiles !== null")
    assert page.input_value("#colour") == "hpc"
    assert page.evaluate(f"[...$('colour').options].find((o) => o.value === '{colour}').disabled")


def test_a_tile_is_outlined_when_one_looks_closely(page):
    _wait_painted(page)
    page.uncheck("#show-tissue")
    assert _colour_at(page, 500, 300)[3] > 0
    page.evaluate(
        """() => { osd.viewport.zoomTo(3, null, true);
        osd.viewport.panTo(osd.world.getItemAt(0).imageToViewportCoordinates(500, 300), true); draw(); }"""
    )
    assert _colour_at(page, 500, 300)[3] == 0
    width = page.evaluate(
        """() => { const item = osd.world.getItemAt(0), at = (x) => item.imageToViewerElementCoordinates(new OpenSeadragon.Point(x, 300)).x;
        return 3 * 1000 / (at(1000) - at(0)); }"""
    )
    assert _colour_at(page, 400 + width, 300)[3] > 0


def test_slides_are_filtered_by_cohort_and_by_risk_group(page):
    page.select_option("#cohort", "discovery")
    assert _listed(page) == ["S1", "S2"]
    page.select_option("#group", "high")
    assert _listed(page) == ["S1"]
    assert page.text_content("#listed") == "1 of 3 slides"
    page.select_option("#cohort", "v1")
    assert _listed(page) == []
    page.select_option("#group", "low")
    assert _listed(page) == ["S3 <b>Müller, Anna</b>"]


def test_a_link_restores_filters_shown_hpcs_switches_and_mark(page, viewer):
    _wait_painted(page)
    page.select_option("#cohort", "discovery")
    page.select_option("#order", "score")
    page.fill("#search", "S")
    page.uncheck("[aria-label='Show HPC 01']")
    page.uncheck("#show-tissue")
    page.fill("#opacity", "80")
    page.evaluate("jump({ x: 400, y: 200, width: 200 })")
    wait_until(
        page,
        "location.hash.includes('shown=0%2C2') && location.hash.includes('mark=400%2C200%2C200') && "
        "Number(new URLSearchParams(location.hash.slice(1)).get('zoom')) > 1.4",
    )
    link = page.url.split("#")[1]
    zoom = float(parse_qs(link)["zoom"][0])
    page.goto("about:blank")
    page.goto(f"{viewer.url}#{link}")
    _wait_painted(page)
    wait_until(page, f"Math.abs(osd.viewport.getZoom(true) - {zoom}) < 0.05")
    assert [page.input_value(f"#{i}") for i in ("cohort", "order", "search")] == ["discovery", "score", "S"]
    assert _listed(page) == ["S1", "S2"]
    assert page.evaluate("[visible(0), visible(1), visible(2)]") == [True, False, True]
    assert not page.is_checked("#show-tissue")
    assert page.is_checked("#show-hpc")
    assert page.input_value("#opacity") == "80"
    assert page.evaluate("state.mark") == {"x": 400, "y": 200, "width": 200}


def test_a_link_to_a_place_is_followed_while_the_page_is_open(page):
    _wait_painted(page)
    page.evaluate("location.hash = '#slide=S1&mark=600,400,200'")
    wait_until(page, "state.mark !== null")
    wait_until(page, "osd.viewport.getZoom(true) > 1.4")
    assert page.evaluate("state.mark") == {"x": 600, "y": 400, "width": 200}
    assert page.seen["errors"] == []


def test_an_hpc_is_named_in_the_legend(page, study):
    _wait_painted(page)
    try:
        page.hover("#legend li:has([data-unit='1'])")
        page.click("[aria-label='Name HPC 01']")
        page.keyboard.type("<i>Stroma")
        page.keyboard.press("Enter")
        wait_until(
            page, "document.querySelector(\"#legend [data-unit='1']\")?.textContent === 'HPC 01 <i>Stroma'"
        )
        assert (study.root / "hpc_names.csv").read_text() == "hpc,name\n1,<i>Stroma\n"
    finally:
        (study.root / "hpc_names.csv").unlink(missing_ok=True)


def test_coarse_groups_are_listed_and_named_when_tiles_are_coloured_by_them(page, study):
    _wait_painted(page)
    try:
        page.select_option("#colour", "coarse")
        assert page.locator("#legend .name").all_inner_texts() == ["Coarse 0", "Coarse 1"]
        page.hover("#legend li:has([data-unit='0'])")
        page.click("[aria-label='Name Coarse 0']")
        page.keyboard.type("Tumour")
        page.keyboard.press("Enter")
        wait_until(
            page, "document.querySelector(\"#legend [data-unit='0']\")?.textContent === 'Coarse 0 Tumour'"
        )
        assert (study.root / "hpc_names.csv").read_text() == "hpc,name\ncoarse_0,Tumour\n"
        page.click("[aria-label='Only Coarse 0 Tumour']")
        assert page.evaluate("visible(0) && !visible(1)")
        page.select_option("#colour", "hpc")
        assert page.evaluate("state.solo === null && [0, 1, 2].every(visible)")
        assert page.locator("#legend .name").count() == 3
    finally:
        (study.root / "hpc_names.csv").unlink(missing_ok=True)


@pytest.mark.parametrize("width", [380, 800, 3840])
def test_nothing_is_wider_than_the_window_and_the_slide_is_seen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    _wait_painted(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.getElementById('view').clientWidth") > 0.4 * width
    assert _painted(page) > 5_000
    if width == 380:
        page.click("#panes [data-pane=slides]")
        assert page.is_visible("#slides button >> nth=0")
        page.click("#slides button >> nth=0")
        assert page.evaluate("document.body.dataset.pane") == "view"


def test_a_million_tiles_are_hidden_and_shown_at_once(page):
    _wait_painted(page)
    milliseconds = page.evaluate(
        """() => { const n = 1000000, side = 1000, width = 200;
        const make = (kind, of) => kind.from({ length: n }, (_, i) => of(i));
        state.tiles = { n, width, has: {}, x: make(Int32Array, (i) => width * (i % side)), y: make(Int32Array, (i) => width * Math.floor(i / side)),
          hpc: make(Int16Array, (i) => i % 3), confidence: new Float32Array(n), distance: new Float32Array(n), quality: new Float32Array(n) };
        paint();
        const times = [];
        for (let k = 0; k < 6; k++) { const start = performance.now(); document.getElementById('show-hpc').click(); times.push(performance.now() - start); }
        return [state.grid !== null, Math.max(...times.slice(1))]; }"""
    )
    assert milliseconds[0]
    assert milliseconds[1] < 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, scheme):
    page.emulate_media(color_scheme=scheme)
    _wait_painted(page)
    page.click("#legend [data-unit='1']")  # the atlas is open
    assert grave_findings(page) == []
    page.click("#help-button")
    assert grave_findings(page) == []

"""The form in a real browser: it is answered, saved, loaded again and imported, and asks no host."""

from __future__ import annotations

import json

import pytest
from tests.browsing import chromium

from pathosig.annotation import annotate
from pathosig.annotation.command import Keys
from pathosig.core.records import read_json
from pathosig.core.typed_json import from_plain

READERS = ("Ada", "Bo <img src=x onerror=alert(1)>")


@pytest.fixture
def browser():
    with chromium() as running:
        yield running


def _open(browser, path):
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.seen = {"errors": [], "requests": []}
    page.on("console", lambda m: page.seen["errors"].append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.seen["errors"].append(str(e)))
    page.on("request", lambda r: page.seen["requests"].append(r.url.split(":")[0]))
    page.goto(path.as_uri())
    return page


def test_a_form_is_answered_saved_loaded_again_and_imported(study, browser, tmp_path):
    made = annotate(study, readers=READERS, tiles=4)
    keys = from_plain(Keys, read_json(study.paths.annotation_key), where="key.json").readers
    files = []
    for reader, name in zip(READERS, made.forms, strict=True):
        page = _open(browser, study.root / name)
        assert reader in page.inner_text("header")
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth === 224)")
        assert page.locator(".panel").count() == page.locator(".odd").count() == 3
        for i, test in enumerate(keys[reader].odd):
            page.check(f"[name='odd-{i}'][value='{test.place}']")
        for i, panel in enumerate(keys[reader].panels):
            box = page.locator(".panel").nth(i)
            box.locator("[data-answer=tissue]").select_option("stroma")
            box.locator("[data-answer=pattern]").select_option("fibrous")
            page.check(f"[name='artefact-{i}'][value='no']")
            box.locator("[data-answer=name]").fill(f'scar {panel.hpc} "</script>')
        assert page.inner_text("#state") == "All questions are answered."
        with page.expect_download() as download:
            page.click("#save")
        files.append(tmp_path / f"{len(files)}.json")
        download.value.save_as(files[-1])
        assert page.seen["errors"] == []
        assert set(page.seen["requests"]) <= {"file", "data", "blob"}
        page.close()
    page = _open(browser, study.root / made.forms[0])
    page.set_input_files("#load", files[0])
    page.wait_for_selector("#state:has-text('Loaded. All questions are answered.')")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(files[0].read_text())
    page.set_input_files("#load", files[1])
    page.wait_for_selector("#state:has-text('does not contain answers to this form')")
    reading = annotate(study, answers=files)
    assert reading.names == {f"hpc_{h:02d}": f'scar {h} "</script>' for h in range(3)}
    assert reading.agreement.odd_one_out.accuracy.estimate == 1

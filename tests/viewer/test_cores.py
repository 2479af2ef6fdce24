"""Core pages: arrays with their cores, and corrections that only the viewer's own page can make."""

from __future__ import annotations

import csv
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pathosig.core.records import write_json
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.tma.stage import COLUMNS, find_cores
from pathosig.viewer import start_viewer
from pathosig.viewer.app import create_app

CHROMIUM = next((p for p in (shutil.which("chromium"), "/usr/bin/chromium") if p and Path(p).exists()), None)


@pytest.fixture
def study(tmp_path):
    """A microarray of 2 x 3 places of 300 px; A2 is missing, the cores of P1 disagree."""
    root = tmp_path / "arrays"
    root.mkdir()
    pixels = np.full((800, 1200, 3), 244, np.uint8)
    rows = []
    yy, xx = np.mgrid[:800, :1200]
    for row in (1, 2):
        for column in (1, 2, 3):
            x, y, there = 60 + 380 * (column - 1), 60 + 380 * (row - 1), (row, column) != (1, 2)
            if there:
                pixels[np.hypot(xx - x - 150, yy - y - 150) < 130] = (170, 90, 150)
            rows.append({"slide_id": f"T#{row}-{column}", "parent": "T", "x": x, "y": y, "width": 300, "height": 300,
                         "row": row, "column": column, "status": "ok" if there else "missing",
                         "tissue": 1.0 if there else 0.0, "patient_id": f"P{row}"})  # fmt: skip
    tifffile.imwrite(root / "t.tif", pixels, tile=(256, 256), photometric="rgb", compression="deflate",
                     resolution=(20000, 20000), resolutionunit="CENTIMETER")  # fmt: skip
    (root / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,1,1\nP2,v1,2,0\n")
    (root / "slides.csv").write_text("slide_id,patient_id,path,kind\nT,,t.tif,tma\n")
    write_csv_rows(root / "cores.csv", rows, COLUMNS)
    write_csv_rows(root / "tma" / "T.csv", rows, COLUMNS[:-1])
    write_csv_rows(
        root / "signature" / "core_scores.csv",
        [
            {
                "patient_id": "P1",
                "slide_id": "T#1-1",
                "n_tiles": 40,
                "score": 0.8,
                "variance": 0.1,
                "group": "high",
            }
        ],
        ("patient_id", "slide_id", "n_tiles", "score", "variance", "group"),
    )
    write_csv_rows(
        root / "signature" / "scores.csv",
        [
            {
                "patient_id": "P1",
                "cohort": "discovery",
                "score": 0.4,
                "group": "high",
                "core_agreement": "heterogeneous",
            }
        ],
        ("patient_id", "cohort", "score", "group", "core_agreement"),
    )
    write_json(root / "phenotypes" / "tree.json", {"k": 2, "nodes": [], "artefact_hpcs": []})
    return Study.create(root)


@pytest.fixture
def client():
    """Makes clients of a study's viewer; its slides are closed at the end."""
    from starlette.testclient import TestClient

    with ExitStack() as stack:

        def of(study, **options):
            app = create_app(study, **options)
            token = {
                "Authorization": f"Bearer {app.state.token}",
                "Host": "127.0.0.1:80",
                "Origin": "http://127.0.0.1:80",
            }
            return stack.enter_context(TestClient(app, base_url="http://127.0.0.1:80", headers=token))

        yield of


def core_row(study, name):
    with (study.root / "cores.csv").open(newline="") as handle:
        return next(r for r in csv.DictReader(handle) if r["slide_id"] == name)


def test_an_array_lists_every_place_with_its_patient_score_and_agreement(client, study):
    web = client(study)
    (array,) = web.get("/api/arrays").json()["arrays"]
    assert (array["name"], array["places"], array["missing"]) == ("T", 6, 1)
    cores = web.get(f"/api/arrays/{array['id']}").json()["cores"]
    first = next(c for c in cores if (c["row"], c["column"]) == (1, 1))
    assert (first["patient"], first["group"], first["agreement"], first["tiles"]) == (
        "P1",
        "high",
        "heterogeneous",
        "40",
    )
    assert first["slide"] in {s["id"] for s in web.get("/api/study").json()["slides"]}
    assert web.get(f"/api/arrays/{array['id']}/overview.jpg").content[:2] == b"\xff\xd8"
    assert web.get(f"/api/arrays/{array['id']}/core/60/60/300.jpg").content[:2] == b"\xff\xd8"
    for odd in ("core/60/60/0.jpg", "core/60/60/x.jpg", "core/5000/0/300.jpg"):
        assert web.get(f"/api/arrays/{array['id']}/{odd}").status_code == 404
    assert web.get("/api/arrays/0123456789abcdef0123").status_code == 404


def test_a_core_is_moved_inside_the_slide_and_put_back(client, study):
    web = client(study)
    key = web.get("/api/arrays").json()["arrays"][0]["id"]
    assert (
        web.post(f"/api/arrays/{key}/cores", json={"row": 1, "column": 1, "x": 80, "y": -50}).status_code
        == 200
    )
    assert (core_row(study, "T#1-1")["x"], core_row(study, "T#1-1")["y"]) == ("80", "0")
    web.post(f"/api/arrays/{key}/cores", json={"row": 2, "column": 3, "x": 5000, "y": 440})
    assert core_row(study, "T#2-3")["x"] == "900"
    web.post(f"/api/arrays/{key}/cores", json={"row": 1, "column": 1, "status": "missing"})
    assert core_row(study, "T#1-1")["status"] == "missing"
    assert "T#1-1" not in {s.id for s in Study.open(study.root).specimens()}
    web.post(f"/api/arrays/{key}/cores", json={"row": 1, "column": 1, "restore": True})
    assert [core_row(study, "T#1-1")[k] for k in ("x", "y", "status")] == ["60", "60", "ok"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"row": 1, "column": 1},
        {"row": 9, "column": 1, "status": "ok"},
        {"row": "1", "column": 1, "status": "ok"},
        {"row": 1, "column": 1, "status": "gone"},
        {"row": 1, "column": 1, "x": "4", "y": 4},
        {"row": 1, "column": 1, "x": 4},
        {"row": 1, "column": 1, "status": "ok", "patient_id": "P2"},
        [1],
    ],
)
def test_other_changes_are_refused_and_write_nothing(client, study, change):
    web = client(study)
    before = (study.root / "cores.csv").read_bytes()
    key = web.get("/api/arrays").json()["arrays"][0]["id"]
    answer = web.post(f"/api/arrays/{key}/cores", json=change)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert (study.root / "cores.csv").read_bytes() == before


def test_corrections_need_the_viewers_own_page_and_a_viewer_that_may_write(client, study):
    web = client(study)
    key = web.get("/api/arrays").json()["arrays"][0]["id"]
    change = {"row": 1, "column": 1, "status": "poor"}
    assert (
        web.post(
            f"/api/arrays/{key}/cores", json=change, headers={"Origin": "http://evil.example"}
        ).status_code
        == 403
    )
    assert web.put(f"/api/arrays/{key}/cores", json=change).status_code == 405
    closed = client(study, read_only=True)
    key = closed.get("/api/arrays").json()["arrays"][0]["id"]
    assert closed.post(f"/api/arrays/{key}/cores", json=change).status_code == 403
    assert core_row(study, "T#1-1")["status"] == "ok"


def test_the_stage_keeps_what_the_viewer_corrected(client, study):
    shutil.rmtree(study.root / "tma")
    (study.root / "cores.csv").unlink()
    rows = [f"T,{r},{c},P{r}" for r in (1, 2) for c in (1, 2, 3)]
    (study.root / "tma_map.csv").write_text("\n".join(["tma,row,column,patient_id", *rows, ""]))
    find_cores(study)
    found = core_row(study, "T#1-1")
    web = client(study)
    key = web.get("/api/arrays").json()["arrays"][0]["id"]
    moved = {"row": 1, "column": 1, "x": int(found["x"]) + 15, "y": int(found["y"])}
    assert web.post(f"/api/arrays/{key}/cores", json=moved).status_code == 200
    find_cores(Study.open(study.root))
    assert core_row(study, "T#1-1")["x"] == str(int(found["x"]) + 15)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
def test_a_core_is_chosen_dragged_and_saved_in_a_browser(study):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with start_viewer(study) as running, sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1300, "height": 800})
        errors: list[str] = []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(running.url)
        page.click(".pages a:has-text('Cores')")
        place = page.wait_for_selector('[data-core="2-1"]')
        assert page.locator("#map .place").count() == 6
        assert page.locator("#lacking li").inner_text() == "A2: missing, patient P1"
        box = place.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_selector("#core-title:has-text('row 2 (B), column 1')")
        assert "P2" in page.locator("#core-facts").inner_text()
        box = page.locator('[data-core="2-1"]').bounding_box()
        centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*centre)
        page.mouse.down()
        page.mouse.move(centre[0] + box["width"] / 3, centre[1], steps=4)
        page.mouse.up()
        page.wait_for_selector("#facts:has-text('saved in cores.csv')")
        assert int(core_row(study, "T#2-1")["x"]) == pytest.approx(160, abs=6)
        page.keyboard.press("ArrowUp")
        page.wait_for_selector("#core-title:has-text('row 1 (A), column 1')")
        assert "heterogeneous" in page.locator("#core-facts").inner_text()
        page.evaluate("() => { state.array = null; $('colour').dispatchEvent(new Event('change')); }")
        assert errors == []  # also where somebody is quicker than the array
        browser.close()

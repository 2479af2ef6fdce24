"""The viewer's application: what it serves, and everything it must refuse."""

from __future__ import annotations

import io
import random
import string

import pytest
from PIL import Image

pytest.importorskip("httpx")

from pathosig.viewer import create_app

BASE = "http://127.0.0.1:8123"


@pytest.fixture(scope="module")
def app(study):
    return create_app(study, token="right-token")


@pytest.fixture
def client(app):
    from starlette.testclient import TestClient

    with TestClient(app, base_url=BASE, headers={"Authorization": "Bearer right-token"}) as client:
        yield client


@pytest.fixture
def stranger(app):
    from starlette.testclient import TestClient

    with TestClient(app, base_url=BASE) as client:
        yield client


def _slides(client):
    return {s["name"]: s for s in client.get("/api/study").json()["slides"]}


def _paths(client):
    key = next(iter(_slides(client).values()))["id"]
    base = f"/api/slides/{key}"
    return [
        "/",
        "/static/viewer.js",
        "/static/openseadragon/openseadragon.min.js",
        "/api/study",
        base,
        f"{base}/overlay",
        f"{base}/tissue",
        f"{base}/tiles/10/0/0.jpg",
        "/api/exemplars/0.jpg",
    ]


def test_every_route_needs_the_token(client, stranger):
    for path in [*_paths(client), "/docs", "/openapi.json", "/nothing"]:
        assert stranger.get(path).status_code == 401, path
        assert stranger.get(path, params={"token": "wrong"}).status_code == 401, path
        assert stranger.get(path, headers={"Authorization": "Bearer "}).status_code == 401, path


def test_the_first_page_sets_a_cookie_that_then_carries_the_token(stranger):
    answer = stranger.get("/", params={"token": "right-token"})
    assert answer.status_code == 200
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert stranger.get("/api/study").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.4:80", "", "[", "10.0.0.1"]
)
def test_foreign_hosts_are_refused_even_with_the_token(client, host):
    assert client.get("/api/study", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "file://", "http://["]
)
def test_foreign_origins_are_refused_even_with_the_token(client, origin):
    assert client.get("/api/study", headers={"Origin": origin}).status_code == 403


def test_its_own_origin_passes_and_cross_site_requests_do_not(client):
    assert client.get("/api/study", headers={"Origin": BASE}).status_code == 200
    assert client.get("/api/study", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_is_read_only(client, method):
    assert client.request(method, "/api/study").status_code == 405


def test_every_answer_carries_the_policy_headers(client, stranger):
    for answer in (client.get("/"), client.get("/nothing"), stranger.get("/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers


def test_the_documentation_pages_of_the_framework_are_off(client):
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_slide_ids_are_opaque_and_differ_between_runs(client, study):
    ids = {s["id"] for s in _slides(client).values()}
    assert len(ids) == 3
    assert all(len(i) == 20 and set(i) <= set(string.hexdigits) for i in ids)
    from starlette.testclient import TestClient

    other = TestClient(create_app(study, token="t"), base_url=BASE, headers={"Authorization": "Bearer t"})
    assert not ids & {s["id"] for s in _slides(other).values()}


def test_the_list_has_patient_cohort_score_and_group(client):
    slide = _slides(client)["S1"]
    assert (slide["patient"], slide["cohort"], slide["score"], slide["group"]) == (
        "P1",
        "discovery",
        0.5,
        "high",
    )


def test_the_overlay_gives_level_0_pixels_and_hpcs(client):
    found = client.get(f"/api/slides/{_slides(client)['S1']['id']}/overlay").json()
    assert found["width"] == 200
    assert found["x"][:3] == [0, 200, 400]
    assert found["hpc"][:4] == [0, 1, 2, 0]
    rings = client.get(f"/api/slides/{_slides(client)['S1']['id']}/tissue").json()["rings"]
    assert rings[0][1] == [1000, 0]


def test_tiles_are_jpegs_of_the_right_size_and_place(client):
    import numpy as np
    import tifffile

    base = f"/api/slides/{_slides(client)['S1']['id']}"
    facts = client.get(base).json()
    assert (facts["width"], facts["height"], facts["max_level"]) == (1300, 900, 11)
    full = client.get(f"{base}/tiles/11/1/0.jpg")
    assert full.headers["content-type"] == "image/jpeg"
    shown = np.asarray(Image.open(io.BytesIO(full.content)).convert("RGB")).astype(float)
    assert shown.shape == (512, 512, 3)
    assert Image.open(io.BytesIO(client.get(f"{base}/tiles/11/2/1.jpg").content)).size == (276, 388)
    assert Image.open(io.BytesIO(client.get(f"{base}/tiles/0/0/0.jpg").content)).size == (1, 1)
    thumb = Image.open(io.BytesIO(client.get("/api/exemplars/0.jpg").content))
    assert thumb.size == (128, 128)
    source = tifffile.imread(_path(client)).astype(float)[:512, 512:1024]
    assert np.corrcoef(shown.mean(2).ravel(), source.mean(2).ravel())[0, 1] > 0.7


def _path(client):
    return client.app.state.study_root / "a.tif"


def test_fuzzed_addresses_are_404_and_never_an_error(client):
    key = _slides(client)["S1"]["id"]
    dice = random.Random(0)
    odd = [
        "-1",
        "1e3",
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "999999999999",
        "NaN",
        "٣",
        "a" * 300,
        "0.jpg.exe",
        " ",
    ]
    paths = [
        f"/api/slides/{key}/tiles/{a}/{b}/{c}.jpg" for a in odd for b in ("0", odd[2]) for c in ("0", odd[0])
    ]
    paths += [f"/api/slides/{o}" for o in odd] + [f"/api/exemplars/{o}.jpg" for o in odd]
    paths += [
        f"/static/{o}"
        for o in ("../app.py", "..%2fapp.py", "index.html", "%2e%2e/guard.py", "openseadragon/")
    ]
    paths += [
        f"/api/slides/{key}/tiles/99/0/0.jpg",
        f"/api/slides/{key}/tiles/11/9/0.jpg",
        f"/api/slides/{key}/tiles/11/0/0",
    ]
    for _ in range(100):
        text = "".join(dice.choices(string.ascii_letters + string.digits + "-_.", k=dice.randint(1, 30)))
        paths.append(f"/api/slides/{text}/tiles/{text[:2]}/{text[-2:]}/{text}.jpg")
    for path in paths:
        assert client.get(path).status_code == 404, path


def test_a_damaged_slide_is_404_with_words_and_without_the_folder(client, study):
    answer = client.get(f"/api/slides/{_slides(client)['S2']['id']}")
    assert answer.status_code == 404
    assert "S2" in answer.json()["error"]
    assert str(study.root) not in answer.text


def test_a_study_without_slides_is_shown_as_such(tmp_path):
    from starlette.testclient import TestClient

    from pathosig.core.study import Study

    (tmp_path / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
    client = TestClient(create_app(Study.create(tmp_path), token="t"), base_url=BASE)
    found = client.get("/api/study", params={"token": "t"}).json()
    assert found["slides"] == []
    assert found["hpcs"] == []

"""The viewer's application: what it serves, and everything it must refuse."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import string
import struct
import threading

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("httpx")

from pathosig.core.labels import read_names
from pathosig.slides import open_slide
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
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.4:80",
        "",
        "[",
        "10.0.0.1",
        "localhost#evil.com",
        "localhost/evil",
        "evil.com@127.0.0.1",
        "localhost:80:80",
        "localhost:999999",
    ],
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
def test_nothing_but_a_name_is_ever_written(client, method):
    assert client.request(method, "/api/study").status_code == 405
    assert client.request(method, "/api/hpcs/").status_code == 405
    if method != "POST":
        assert client.request(method, "/api/hpcs/1").status_code == 405


def test_head_is_answered_like_get(client):
    for path in _paths(client):
        assert client.head(path).status_code == 200, path
    assert client.head("/nothing").status_code == 404


def _rename(client, hpc, body, **headers):
    return client.post(
        f"/api/hpcs/{hpc}",
        content=body,
        headers={"Origin": BASE, "Content-Type": "application/json"} | headers,
    )


def test_a_name_is_written_to_the_study_and_kept(study):
    from starlette.testclient import TestClient

    root = study.root
    with TestClient(
        create_app(study, token="t"), base_url=BASE, headers={"Authorization": "Bearer t"}
    ) as client:
        try:
            assert _rename(client, 1, json.dumps({"name": " Tumour, =1+1 "})).json() == {
                "hpc": 1,
                "given": "Tumour, =1+1",
            }
            assert (root / "hpc_names.csv").read_text().splitlines()[0] == "hpc,name"
            assert client.get("/api/study").json()["hpcs"][1]["given"] == "Tumour, =1+1"
            assert read_names(study).hpcs == {1: "Tumour, =1+1"}
            assert _rename(client, 0, json.dumps({"name": "Stroma"})).status_code == 200
            assert read_names(study).hpcs == {0: "Stroma", 1: "Tumour, =1+1"}
            assert _rename(client, 1, json.dumps({"name": ""})).json()["given"] == ""
            assert read_names(study).hpcs == {0: "Stroma"}
        finally:
            (root / "hpc_names.csv").unlink(missing_ok=True)


def test_a_coarse_group_is_named_likewise(study):
    from starlette.testclient import TestClient

    with TestClient(
        create_app(study, token="t"), base_url=BASE, headers={"Authorization": "Bearer t"}
    ) as client:
        try:
            headers = {"Origin": BASE, "Content-Type": "application/json"}
            answer = client.post("/api/groups/0", content='{"name": "Tumour"}', headers=headers)
            assert answer.json() == {"coarse": 0, "given": "Tumour"}
            first, second = client.get("/api/study").json()["groups"]
            assert (first["label"], first["given"], first["steadiness"]) == ("Coarse 0", "Tumour", 0.75)
            assert (second["given"], second["colour"]) == ("", "#BDBDBD")  # nothing but an artefact
            assert read_names(study).coarse == {0: "Tumour"}
            for path in ("/api/groups/2", "/api/nodes/0", "/api/hpcs/3"):
                assert client.post(path, content='{"name": "x"}', headers=headers).status_code in (
                    403,
                    404,
                    405,
                )
        finally:
            (study.root / "hpc_names.csv").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("hpc", "body", "headers", "status"),
    [
        (1, '{"name": "x"}', {"Origin": "http://evil.example"}, 403),
        (1, '{"name": "x"}', {"Sec-Fetch-Site": "cross-site"}, 403),
        (1, '{"name": "x"}', {"Content-Type": "text/plain"}, 415),
        (1, '{"name": "' + "x" * 5000 + '"}', {}, 413),
        (1, '{"name": "' + "x" * 90 + '"}', {}, 422),
        (1, '{"name": "a\\nb"}', {}, 422),
        (1, '{"name": 3}', {}, 422),
        (1, "[1]", {}, 422),
        (1, "{", {}, 422),
        (99, '{"name": "x"}', {}, 404),
    ],
)
def test_other_changes_are_refused_and_write_nothing(client, study, hpc, body, headers, status):
    assert _rename(client, hpc, body, **headers).status_code == status
    assert not (study.root / "hpc_names.csv").exists()


def test_a_change_needs_the_token_an_origin_and_a_viewer_that_is_not_read_only(client, stranger, study):
    from starlette.testclient import TestClient

    assert _rename(stranger, 1, '{"name": "x"}').status_code == 401
    assert client.post("/api/hpcs/1", json={"name": "x"}).status_code == 403
    app = create_app(study, token="t", read_only=True)
    with TestClient(app, base_url=BASE, headers={"Authorization": "Bearer t"}) as reader:
        assert _rename(reader, 1, '{"name": "x"}').status_code == 403
        assert reader.get("/api/study").json()["writable"] is False
    assert not (study.root / "hpc_names.csv").exists()


def test_every_answer_carries_the_policy_headers(client, stranger):
    for answer in (client.get("/"), client.get("/nothing"), stranger.get("/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
    own = client.get("/report").headers["content-security-policy"]  # its styles and pictures are inside
    assert own.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


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


def _unpacked(block):
    """The block as the page reads it: a header, then one padded array per column."""
    (length,) = struct.unpack_from("<I", block)
    head = json.loads(block[4 : 4 + length])
    at = 4 + length
    assert at % 8 == 0
    for name, kind in head["columns"]:
        values = np.frombuffer(block, f"<{kind}", head["n"], at)
        head[name] = values
        at += -(-values.nbytes // 8) * 8
    assert at == len(block)
    return head


def test_the_overlay_gives_level_0_pixels_and_hpcs(client):
    tiles = _unpacked(client.get(f"/api/slides/{_slides(client)['S1']['id']}/overlay").content)
    assert (tiles["n"], tiles["width"]) == (15, 200)
    assert tiles["x"][:3].tolist() == [0, 200, 400]
    assert tiles["hpc"][:4].tolist() == [0, 1, 2, 0]
    assert tiles["confidence"].tolist() == [1.0] * 15
    assert tiles["has"] == {"confidence": True, "distance": True, "quality": True}
    assert tiles["distance"] == pytest.approx([max(i / 7, 0.25) for i in range(15)])
    assert tiles["quality"] == pytest.approx(np.linspace(0, 1, 15))
    bare = _unpacked(client.get(f"/api/slides/{_slides(client)['S2']['id']}/overlay").content)
    assert bare["has"] == {"confidence": True, "distance": False, "quality": False}
    assert not bare["distance"].any()
    rings = client.get(f"/api/slides/{_slides(client)['S1']['id']}/tissue").json()["rings"]
    assert rings[0][1] == [1000, 0]


def test_tiles_are_jpegs_of_the_right_size_and_place(client):
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


def test_no_slide_is_closed_while_somebody_reads_it(study, monkeypatch):
    """Many threads over more slides than stay open: a closed reader would raise (``I/O operation on closed file``)."""
    from pathosig.viewer import pixels
    from pathosig.viewer.deepzoom import Region

    monkeypatch.setattr(pixels, "OPEN_SLIDES", 2)
    shelf = pixels.SlideShelf()
    one = study.specimens()[0]
    specimens = [dataclasses.replace(one, id=f"S{i}") for i in range(6)]
    region = Region(x=0, y=0, width=256, height=256, out=(64, 64), downsample=4)
    sizes, errors, counts, opened = [], [], [0], [0]
    counting = threading.Lock()

    def open_and_count(*arguments, **options):
        with counting:
            opened[0] += 1
            counts.append(counts[-1] + 1)
        reader = open_slide(*arguments, **options)
        close = reader.close

        def close_and_count():
            with counting:
                counts.append(counts[-1] - 1)
            close()

        reader.close = close_and_count
        return reader

    monkeypatch.setattr(pixels, "open_slide", open_and_count)

    def read(k):
        try:
            sizes.append(len(shelf.jpeg(specimens[k % 6], region)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(k,)) for k in range(120)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(sizes) == 120
    assert opened[0] >= 6
    assert max(counts) == 2
    shelf.close()
    assert not shelf._open
    assert counts[-1] == 0


def test_any_error_of_a_decoder_is_a_code_and_no_traceback(client, monkeypatch, caplog):
    from pathosig.viewer import pixels

    def broken(*_, **__):
        raise ZeroDivisionError("/secret/folder/slide.svs")

    monkeypatch.setattr(pixels.SlideShelf, "jpeg", broken)
    answer = client.get(f"/api/slides/{_slides(client)['S1']['id']}/tiles/11/0/0.jpg")
    assert (answer.status_code, answer.json()["code"]) == (422, "E_PIXELS")
    assert "secret" not in answer.text + caplog.text


def test_the_report_served_by_the_viewer_links_back_to_its_slides(client, study):
    from pathosig.viewer.app import with_links

    assert client.get("/report").status_code == 404
    page = with_links("<p>D 1 <!--slide:D%201--></p><!--slide:<b>--><!-- other -->").decode()
    assert '<a href="/#slide=D%201">Open in the viewer</a>' in page
    assert "<!--slide:<b>-->" in page
    place = with_links("<img><!--place:D%201|300,-4,9--><!--place:D%201|300,400,200-->").decode()
    assert place.startswith("<img><!--place:D%201|300,-4,9--><a ")
    assert 'href="/#slide=D%201&amp;mark=300,400,200"' in place


def test_a_thumbnail_fits_the_list(client):
    key = _slides(client)["S1"]["id"]
    image = Image.open(io.BytesIO(client.get(f"/api/slides/{key}/thumbnail.jpg").content))
    assert max(image.size) <= 96

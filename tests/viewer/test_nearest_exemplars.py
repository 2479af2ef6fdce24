"""Tissue behind a score: the HPCs that move it, and the nearest exemplars of other patients, checked by brute force."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("httpx")

from pathosig.core.schema import ATLAS, write_table
from pathosig.core.study import Study
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.distance import Distance
from pathosig.viewer import create_app
from pathosig.viewer.content import read_content
from pathosig.viewer.nearest import NearestTissue
from pathosig.viewer.patient import PatientFacts

DIM, K = 6, 3
WEIGHTS = (0.1, -2.0, 0.0)


@pytest.fixture
def measured(study, tmp_path):
    """The study of the viewer's tests with embeddings of two slides, a codebook and four exemplars of two patients."""
    root = tmp_path / "study"
    shutil.copytree(study.root, root)
    study = Study.open(root)
    rng = np.random.default_rng(5)
    (root / "embeddings").mkdir()
    for specimen in study.specimens()[:2]:
        np.save(study.paths.embeddings(specimen.id), rng.normal(size=(15, DIM)).astype(np.float16))
    Codebook(
        mean=np.zeros(DIM, np.float32),
        projection=np.eye(DIM, 4, dtype=np.float32),
        centroids=np.eye(K, 4, dtype=np.float32),
        radius=np.ones(K, np.float32),
        temperature=0.05,
        linkage=np.zeros((K - 1, 4)),
        sums=np.eye(K, 4, dtype=np.float32),
        coarse=np.zeros((0, 4), np.float32),
        distance=Distance.uncalibrated(DIM),
        meta={"method": "consensus"},
    ).save(study.paths.codebook)
    tiles, slides = [1, 4, 7, 10], ["S1", *[study.specimens()[1].id] * 3]
    x, y = (a.ravel() for a in np.meshgrid(np.arange(0, 1000, 200), np.arange(0, 600, 200)))
    atlas = {"hpc": pa.array([1] * 4, pa.int16()), "rank": pa.array(range(4), pa.int16())}
    atlas |= {"kind": ["typical"] * 4, "slide_id": slides, "tile_id": pa.array(tiles, pa.int32())}
    atlas |= {"x": pa.array(x[tiles], pa.int32()), "y": pa.array(y[tiles], pa.int32())}
    write_table(study.paths.atlas, pa.table(atlas | {"distance": pa.array([0.1] * 4, pa.float32())}), ATLAS)
    return study


def _nearest(study):
    content = read_content(study, "secret", PatientFacts(study))
    return NearestTissue(study, content.specimens, content.exemplars), content


def test_exemplars_of_other_patients_come_by_their_distance_in_the_codebooks_space(measured):
    nearest, content = _nearest(measured)
    first, second = measured.specimens()[:2]
    rows = nearest.of(first, WEIGHTS)
    assert [(r.hpc, r.count) for r in rows] == [(1, 5), (0, 5)]  # HPC 2 has no weight

    def unit(name, rows):
        x = np.load(measured.paths.embeddings(name)).astype(float)[rows]
        x = (x / np.linalg.norm(x, axis=1, keepdims=True))[:, :4]
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    own, others = np.arange(1, 15, 3), [4, 7, 10]
    distance = 1 - unit(first.id, own) @ unit(second.id, others).T
    order = np.argsort(distance.min(axis=0))
    assert [content.exemplars[e.index].tile_id for e in rows[0].exemplars] == [others[i] for i in order]
    assert [e.distance for e in rows[0].exemplars] == pytest.approx(np.sort(distance.min(axis=0)), abs=1e-3)
    tile = own[distance[:, order[0]].argmin()]
    assert (rows[0].x, rows[0].y) == (200 * (tile % 5), 200 * (tile // 5))
    assert rows[1].exemplars == ()  # the atlas has none of HPC 0


def test_a_patients_own_exemplars_are_left_out(measured):
    nearest, content = _nearest(measured)
    rows = nearest.of(measured.specimens()[1], WEIGHTS)
    assert [content.exemplars[e.index].tile_id for e in rows[0].exemplars] == [1]


def test_without_embeddings_exemplars_keep_the_order_of_the_atlas_and_have_no_distance(study, measured):
    shutil.rmtree(measured.root / "embeddings")
    nearest, content = _nearest(measured)
    row = nearest.of(measured.specimens()[0], WEIGHTS)[0]
    assert [content.exemplars[e.index].tile_id for e in row.exemplars] == [4, 7, 10]
    assert {e.distance for e in row.exemplars} == {None}
    assert nearest.of(measured.specimens()[0], ()) == []


def test_results_of_another_version_are_named_in_the_panel_and_not_hidden(measured):
    from starlette.testclient import TestClient

    measured.paths.results.parent.mkdir(exist_ok=True)
    measured.paths.results.write_text('{"schema": 1}')
    base, headers = "http://127.0.0.1:8123", {"Authorization": "Bearer t"}
    with TestClient(create_app(measured, token="t"), base_url=base, headers=headers) as client:
        key = client.get("/api/study").json()["slides"][0]["id"]
        panel = client.get(f"/api/slides/{key}/patient").json()
        assert "curve" not in panel
        assert panel["unreadable"].startswith("E_RESULTS: results.json: schema 1")
        assert "pathosig validate" in panel["unreadable"]
        assert client.get(f"/api/slides/{key}/nearest").json() == []  # no signature, so no weights

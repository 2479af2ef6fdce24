"""The published rule for tiles: its grid, its threshold, and what it keeps and leaves out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pathosig.core.errors import ConfigError
from pathosig.core.study import Study
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.encoder.reading import opened_tiles, read_tile_table, specimen_facts
from pathosig.slides.otsu import otsu
from pathosig.slides.pyramid import resample
from pathosig.tiles import TileSpec, cut_tiles
from pathosig.tiles.published import darkness, published_grid
from pathosig.tissue import find_tissue

GLASS, STROMA, NUCLEI = (245, 244, 246), (236, 205, 214), (70, 40, 120)


def test_the_grid_has_23_by_23_tiles_and_its_last_ones_overlap_by_152_pixels():
    xy = published_grid((5000, 5000))
    steps = np.diff(np.unique(xy[:, 0]))
    assert len(xy) == 23 * 23
    assert (steps[:-1] == 224).all()
    assert 224 - steps[-1] == 152
    assert np.array_equal(published_grid((10_000, 10_000)), 2 * xy)


@pytest.mark.parametrize("seed", range(2))
def test_darkness_and_threshold_are_those_of_the_published_rule(seed):
    rng = np.random.default_rng(seed)
    coarse = np.where(rng.random((50, 50, 1)) < 0.4, NUCLEI, GLASS).astype(np.uint8)
    picture = np.repeat(np.repeat(coarse, 100, axis=0), 100, axis=1)
    xy = published_grid((5000, 5000))
    threshold = otsu(np.bincount((255 - picture).ravel(), minlength=256).astype(float), np.arange(256.0))
    sums = np.array([(255 - picture[y : y + 224, x : x + 224]).sum(dtype=np.int64) for x, y in xy])
    values, limit = darkness(resample(picture, (1250, 1250)), xy, 224, 4.0)
    assert limit == threshold - 15
    np.testing.assert_allclose(values, sums / (224**2 * 3), atol=0.05)
    assert np.array_equal(values > limit, sums > (threshold - 15) * 224**2 * 3)


@pytest.fixture
def study(tmp_path):
    """One core of 2,500 pixels: the left half pale stroma, the right half glass with a few dark nuclei."""
    pixels = np.full((2500, 2500, 3), GLASS, np.uint8)
    pixels[200:2300, 200:1250] = STROMA
    yy, xx = np.mgrid[:2500, :2500]
    nuclei = ((xx % 40 < 22) & (yy % 40 < 22)) & (xx >= 1250) & (xx < 2300) & (yy >= 200) & (yy < 2300)
    pixels[nuclei] = NUCLEI
    noise = np.random.default_rng(0).normal(0, 5, pixels.shape)
    pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "core.png")
    (tmp_path / "slides.csv").write_text("slide_id,patient_id,path,mpp,kind\nC1,P1,core.png,0.5,core\n")
    (tmp_path / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
    study = Study.create(tmp_path)
    find_tissue(study)
    return study, pixels


def test_the_rule_keeps_nuclei_on_glass_and_leaves_pale_stroma_out(study):
    study, _ = study
    report = cut_tiles(study, TileSpec(preset="paper"))
    assert report.done == ("C1",)
    tiles = read_slide_tiles(study.paths.tiles("C1"))
    assert tiles.facts.level0_px == 112
    assert len(tiles.xy) > 100
    assert (tiles.xy[:, 0] + 112 > 1250).all()  # every one touches the nuclei
    record = json.loads(study.record_path("tiles", "C1").read_text())
    assert record["summary"]["n_grid"] == 529
    assert record["summary"]["excluded"]["darkness"] == 529 - len(tiles.xy)
    assert any("W_ENLARGED" in w for w in record["warnings"])
    cut_tiles(study, TileSpec(size_px=112, min_tissue=0.6))
    ours = read_slide_tiles(study.paths.tiles("C1")).xy
    assert (ours[:, 0] < 1100).sum() > 50  # the recommended rule keeps the stroma


def test_its_tiles_are_read_as_the_scaled_picture_shows_them(study):
    study, pixels = study
    cut_tiles(study, TileSpec(preset="paper"))
    table = read_tile_table(study.paths.tiles("C1"))
    (specimen,) = study.specimens()
    with opened_tiles(specimen_facts(specimen), table, rows=np.arange(3)) as blocks:
        tiles = np.concatenate(list(blocks))
    assert tiles.shape == (3, 224, 224, 3)
    for (x, y), tile in zip(table.xy[:3], tiles, strict=True):
        source = pixels[y : y + 112, x : x + 112].mean(axis=(0, 1))
        np.testing.assert_allclose(tile.mean(axis=(0, 1)), source, atol=2)


def test_a_size_of_tiles_beside_the_preset_is_refused():
    with pytest.raises(ConfigError, match="224"):
        TileSpec(preset="paper", size_px=112)

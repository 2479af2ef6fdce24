import subprocess
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.toy import work

from pathosig.core.errors import ConfigError
from pathosig.core.execution import run_each
from pathosig.core.study import Study
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.core.units import Execution, Stage, Unit
from pathosig.tiles import TileSpec, cut_tiles, grid, quality, tissue_fraction
from pathosig.tiles.grid import bands
from pathosig.tiles.quality import _box_mean, excluded
from pathosig.tissue import find_tissue


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.floats(16, 300),
    st.sampled_from(["drop", "pad"]),
    st.sampled_from([1, 2, 4]),
)
def test_tiles_never_overlap_and_stay_inside_or_cover_all(width, height, tile, edge, multiple):
    xy = grid((width, height), tile, edge=edge, multiple=multiple)
    for axis, length in ((0, width), (1, height)):
        corners = np.unique(xy[:, axis])
        assert (np.diff(corners) >= tile - multiple - 1e-6).all()
        assert (corners % multiple == 0).all()
        if edge == "drop":
            assert (corners + tile <= length + 1e-6).all()
        elif len(corners):
            assert corners[-1] + tile >= length - multiple


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(4, 30), st.sampled_from([1.0, 2.0, 8.0]))
def test_the_integral_image_gives_the_mean_of_the_mask(seed, side, downsample):
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 50)) < 0.5
    xy = np.array([[0, 0], [5, 7], [10, 3]]) * int(downsample)
    tile = float(int(side)) * downsample
    found = tissue_fraction(mask, xy, tile, downsample)
    n = int(side)
    for share, (x, y) in zip(found, xy / downsample, strict=True):
        x, y = int(x), int(y)
        assert share == pytest.approx(mask[y : y + n, x : x + n].sum() / n**2, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(3, 30))
def test_means_of_several_maps_are_those_of_each_interpolated_along_its_integral(seed, side):
    rng = np.random.default_rng(seed)
    maps = rng.random((3, 40, 50), dtype=np.float32)
    xy = np.array([[0, 0], [5, 0], [50 - int(side), 0], [10, 3], [44, 3]])
    for band in bands(xy, side, 1.0, height=40):
        part = maps[:, band.top : band.bottom, band.first : band.last]
        for found, rows in zip(band.means(part), part, strict=True):
            sums = np.concatenate([[0], np.cumsum(band.weights @ rows, dtype=np.float64)])
            ends = [np.interp(x, np.arange(len(sums)), sums) for x in (band.left, band.left + band.side)]
            assert np.array_equal(found, (ends[1] - ends[0]) / band.side**2)


def test_means_over_five_pixels_repeat_the_edge():
    values = np.random.default_rng(0).random((2, 4, 9), dtype=np.float32)
    wide = np.pad(values, ((0, 0), (2, 2), (2, 2)), mode="edge").astype(float)
    parts = [wide[:, i : i + 4, j : j + 9] for i in range(5) for j in range(5)]
    np.testing.assert_allclose(_box_mean(values), np.mean(parts, axis=0), rtol=1e-6)
    assert np.array_equal(_box_mean(values)[1], _box_mean(values[1]))


def test_bad_settings_are_refused():
    for bad in ({"size_px": 4}, {"mpp": 0.0}, {"min_tissue": 1.5}, {"edge": "keep"}):
        with pytest.raises(ConfigError):
            TileSpec.from_mapping(bad)


def artefact_scene():
    """An overview at 4 um per pixel, 28 px tiles: sharp tissue, blurred tissue, pen, fold, glass."""
    rng = np.random.default_rng(0)
    tiles = {}

    def noise():
        return rng.normal(0, 1, (28, 28))

    base = np.array([200, 140, 185.0])
    sharp = base + (noise() * 28)[..., None]
    from scipy import ndimage

    tiles["good"] = sharp
    tiles["blur"] = ndimage.gaussian_filter(base + (noise() * 28)[..., None], (2.5, 2.5, 0), mode="wrap")
    tiles["pen"] = np.where(rng.random((28, 28, 1)) < 0.9, (30.0, 60, 190), sharp)
    tiles["fold"] = np.array([52, 12, 44.0]) + (noise() * 5)[..., None]
    tiles["background"] = np.full((28, 28, 3), 244.0) + rng.normal(0, 1, (28, 28, 3))
    kinds = list(tiles) * 12
    image = np.concatenate(
        [np.concatenate([tiles[k] for k in kinds[r : r + 10]], axis=1) for r in range(0, 60, 10)], axis=0
    )
    xy = np.array([((c * 28 + 4) * 8, (r * 28 + 4) * 8) for r in range(6) for c in range(10)])
    return np.clip(image, 0, 255).astype(np.uint8), xy, np.array(kinds)


def test_artefact_tiles_are_found_and_good_ones_kept():
    image, xy, kinds = artefact_scene()
    columns = quality(image, xy, 20 * 8.0, 8.0)  # away from the cells' borders
    reasons = excluded(columns, TileSpec())
    for kind in ("blur", "pen", "fold", "background"):
        found, truth = reasons[kind], kinds == kind
        assert found[truth].mean() >= 0.9, kind
    out = np.any(list(reasons.values()), axis=0)
    assert out[kinds == "good"].mean() <= 0.1


@pytest.fixture
def study(tmp_path, tissue_slide):
    made = Study.create(tmp_path / "study", {"endpoints": {}})
    (made.root / "slides.csv").write_text(f"slide_id,patient_id,path\npainted,P1,{tissue_slide}\n")
    (made.root / "patients.csv").write_text("patient_id,cohort\nP1,discovery\n")
    find_tissue(made)
    return made


def test_a_real_slide_is_cut_into_tiles_of_a_physical_size(study):
    assert cut_tiles(study).done == ("painted",)
    tiles = read_slide_tiles(study.paths.tiles("painted"))
    assert len(tiles) == study.record("tiles", "painted").summary["n_tiles"] > 30
    assert tiles.facts.level0_px == pytest.approx(224 * 0.5 / 0.499, rel=0.01)
    assert tiles.column("tissue").min() >= 0.6
    assert cut_tiles(study).fresh == ("painted",)


def test_a_slide_too_coarse_is_refused_with_the_numbers(study):
    report = cut_tiles(study, TileSpec(mpp=0.25))
    assert report.failed == ("painted",)
    error = study.record("tiles", "painted").error
    assert error["code"] == "E_RESOLUTION"
    assert "0.499" in error["message"]
    assert "0.25" in error["message"]


def test_no_tile_left_is_empty_with_the_reasons_counted(study):
    report = cut_tiles(study, TileSpec(min_saturation=1.0))
    assert report.empty == ("painted",)
    assert "saturation" in study.record("tiles", "painted").summary["reason"]


def test_the_dicom_overview_is_refused_at_half_a_micron_and_cut_at_its_own(tmp_path, pathosig_data):
    made = Study.create(tmp_path / "study", {"endpoints": {}})
    (made.root / "slides.csv").write_text(
        f"slide_id,patient_id,path\ncam,P1,{pathosig_data}/slides/camelyon-overview.dcm\n"
    )
    (made.root / "patients.csv").write_text("patient_id,cohort\nP1,discovery\n")
    assert find_tissue(made).done == ("cam",)
    assert cut_tiles(made).failed == ("cam",)
    assert cut_tiles(made, TileSpec(mpp=28.9685, size_px=32)).done == ("cam",)


def test_grid_and_quality_are_functions_whatever_was_imported_first():
    code = (
        "import pathosig.tiles.quality, pathosig.tiles.grid\n"
        "from pathosig.tiles import grid, quality\n"
        "assert callable(grid) and callable(quality) and pathosig.tiles.grid is grid\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tiles_far_apart_in_a_row_are_measured_as_if_they_were_alone():
    rng = np.random.default_rng(3)
    rgb = rng.integers(60, 256, (80, 400, 3), dtype=np.uint8)
    xy = np.array([[0, 12], [30, 12], [330, 12], [380, 12], [100, 40]]) * 4
    together = quality(rgb, xy, 112.0, 4.0)
    for number in range(len(xy)):
        alone = quality(rgb, xy[number : number + 1], 112.0, 4.0)
        for name, values in together.items():
            assert values[number] == pytest.approx(alone[name][0], abs=1e-6)
    whole = np.zeros((80, 400), bool)
    whole[20:60, 90:340] = True
    share = tissue_fraction(whole, xy[::-1], 112.0, 4.0)
    expected = [whole[y : y + 28, x : x + 28].sum() / 28**2 for x, y in xy[::-1] // 4]
    assert share == pytest.approx(expected, abs=1e-6)


def test_the_worker_of_tissue_and_tiles_never_imports_what_is_heavy(study):
    report = run_each(
        study,
        Stage(name="toy", version=1),
        TileSpec(),
        [Unit(id="first", payload={"what": "pid"})],
        work,
        execution=Execution(),
    )
    find_tissue(study)
    cut_tiles(study)
    unit = Unit(id="last", payload={"what": "modules"})
    run_each(study, Stage(name="toy", version=1), TileSpec(), [unit], work, execution=Execution())
    first, last = (study.record("toy", name).summary for name in ("first", "last"))
    assert report.done and first["pid"] == last["pid"]
    heavy = {
        "importlib.metadata",
        "numpy.ma",
        "torch",
        "pandas",
        "matplotlib",
        "sklearn",
        "scipy.ndimage",
        "pyarrow.compute",
        "cyclopts",
        "tomllib",
        "pathosig.core.study",
    }
    assert heavy & set(last["modules"]) == set()
    assert {"numpy", "pyarrow"} <= set(last["modules"])


def test_tiles_of_a_slide_of_0_265_micrometres_are_112_micrometres_wide_as_those_of_any_other(tmp_path):
    from pathosig.slides import open_slide, plan_read, read_all_tiles

    rng = np.random.default_rng(0)
    pattern = np.repeat(np.repeat(rng.integers(60, 200, (70, 70, 3), np.uint8), 40, axis=0), 40, axis=1)
    text = "Aperio Image Library v11\r\n|AppMag = 40|MPP = 0.265"
    path = tmp_path / "s.svs"
    tifffile.imwrite(
        path,
        pattern,
        tile=(256, 256),
        photometric="rgb",
        compression="deflate",
        description=text,
        metadata=None,
    )
    with open_slide(path) as reader:
        plan = plan_read(reader.info, 0.5)
        side = 224 * plan.level0_per_px
        assert side * 0.265 == pytest.approx(112.0)
        xy = grid(reader.info.level_sizes[0], side, side, edge="drop", multiple=1)
        tiles = read_all_tiles(reader, plan, xy, 224)
    step = 0.5 / 0.265
    centres = (np.arange(224) + 0.5) * step
    for (x, y), tile in zip(xy, tiles, strict=True):
        # away from the borders of the pattern's fields a target pixel is its field's colour
        rows, columns = y + centres, x + centres
        plain = [np.abs((at % 40) - 20) < 18 for at in (rows, columns)]
        expected = pattern[rows.astype(int)[:, None], columns.astype(int)[None]]
        inside = plain[0][:, None] & plain[1][None]
        assert inside.mean() > 0.7
        assert np.abs(tile.astype(int) - expected)[inside].max() <= 1


@pytest.mark.parametrize(
    ("kind", "strict", "lenient"),
    [
        ("blur", {"max_blur": 0.2}, {"max_blur": 1.0}),
        ("pen", {"max_pen": 0.1}, {"max_pen": 1.0}),
        ("fold", {"max_fold": 0.2}, {"max_fold": 1.0}),
        ("background", {"max_background": 0.5}, {"max_background": 1.0}),
    ],
)
def test_each_quality_limit_leaves_out_its_own_kind_of_tile_and_at_1_none(kind, strict, lenient):
    image, xy, kinds = artefact_scene()
    columns = quality(image, xy, 20 * 8.0, 8.0)
    assert excluded(columns, TileSpec(**strict))[kind][kinds == kind].mean() >= 0.9
    assert not excluded(columns, TileSpec(**lenient))[kind].any()


def test_tiles_overlap_by_the_stride_that_is_asked_for(study):
    apart, overlapping = (
        _tiles_of(study, TileSpec(mpp=1.0, stride_px=stride, max_blur=1.0)) for stride in (224, 112)
    )
    gaps = [np.diff(np.unique(t.column("x"))).min() for t in (apart, overlapping)]
    assert gaps == pytest.approx([224 / 0.499, 112 / 0.499], rel=0.02)
    assert len(overlapping) > 3 * len(apart) > 0


def test_a_tolerance_takes_a_slide_that_is_coarser_than_its_tiles_by_less(study):
    assert cut_tiles(study, TileSpec(mpp=0.42, mpp_tolerance=0.05)).failed == ("painted",)
    assert cut_tiles(study, TileSpec(mpp=0.42, mpp_tolerance=0.25)).done == ("painted",)


def test_quality_is_measured_at_the_resolution_that_is_asked_for(study):
    fine, coarse = (_tiles_of(study, TileSpec(mpp=1.0, quality_mpp=mpp, max_blur=1.0)) for mpp in (2.0, 16.0))
    assert np.array_equal(fine.column("x"), coarse.column("x"))
    assert not np.allclose(fine.column("blur"), coarse.column("blur"))


def _tiles_of(study, spec):
    assert cut_tiles(study, spec).done == ("painted",)
    return read_slide_tiles(study.paths.tiles("painted"))

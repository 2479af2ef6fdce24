import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathosig.core.errors import SlideError
from pathosig.core.study import Study
from pathosig.tissue import (
    TissueSpec,
    find_tissue,
    mask_to_polygons,
    polygons_to_mask,
    read_polygons,
    tissue_mask,
)
from pathosig.tissue.artefacts import is_ink
from pathosig.tissue.mask import background_colour, optical_density, threshold
from pathosig.tissue.polygons import area_px, to_geojson


def scene(*, glass=(244, 243, 245), tissue=(205, 150, 190), seed=0, size=300):
    """A slide at 8 um per pixel with two pieces of tissue, and the truth."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size]
    truth = ((xx - 100) / 60) ** 2 + ((yy - 130) / 80) ** 2 < 1
    truth |= ((xx - 220) / 35) ** 2 + ((yy - 200) / 35) ** 2 < 1
    image = np.where(truth[..., None], np.array(tissue), np.array(glass)).astype(float)
    grain = rng.normal(0, 12, (size, size, 1)) * truth[..., None] + rng.normal(0, 1.5, (size, size, 3))
    return np.clip(image + grain, 0, 255).astype(np.uint8), truth


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("tissue", [(205, 150, 190), (232, 214, 228), (170, 100, 160), (225, 195, 215)])
@pytest.mark.parametrize("glass", [(244, 243, 245), (225, 225, 225), (240, 236, 226), (236, 228, 240)])
def test_tissue_is_found_pale_or_dark_on_white_grey_or_tinted_glass(tissue, glass):
    if max(np.subtract(glass, tissue)) < 15:
        pytest.skip("no contrast was planted")
    image, truth = scene(glass=glass, tissue=tissue)
    assert dice(tissue_mask(image), truth) > 0.95


@pytest.mark.parametrize("ink", [(30, 60, 200), (20, 150, 60), (20, 20, 22)])
def test_pen_is_not_tissue(ink):
    image, truth = scene()
    image[20:40, 20:280] = ink
    found = tissue_mask(image)
    assert dice(found, truth) > 0.95
    assert found[22:38, 22:278].mean() < 0.02


def test_dust_and_a_coverslip_edge_are_not_tissue():
    image, truth = scene()
    rng = np.random.default_rng(1)
    for x, y in rng.integers(5, 290, (40, 2)):
        image[y : y + 2, x : x + 2] = (120, 115, 120)
    image[:, 285:287] = (190, 190, 195)
    assert dice(tissue_mask(image), truth) > 0.95


@pytest.mark.parametrize("value", [255, 244, 0])
def test_white_and_black_slides_have_no_tissue(value):
    image = np.full((200, 200, 3), value, np.uint8)
    assert not tissue_mask(image).any()


def test_touching_cores_are_cut_apart():
    from scipy import ndimage

    yy, xx = np.mgrid[:200, :200]
    truth = ((xx - 60) ** 2 + (yy - 100) ** 2 < 42**2) | ((xx - 140) ** 2 + (yy - 100) ** 2 < 42**2)
    image = np.where(truth[..., None], (190, 130, 180), (244, 244, 244)).astype(np.uint8)
    assert ndimage.label(tissue_mask(image))[1] == 1
    assert ndimage.label(tissue_mask(image, TissueSpec(split=True)))[1] == 2


def otsu(score, spec):
    """Otsu's threshold computed from the histogram of single pixels."""
    noise = 2 * spec.min_density
    counts, edges = np.histogram(np.log10(np.clip(score, noise / 4, 2.0)), bins=128)
    if np.count_nonzero(counts) < 2:
        return noise
    centres = (edges[1:] + edges[:-1]) / 2
    weight, total = np.cumsum(counts), np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * weight / weight[-1] - total) ** 2 / (weight * (weight[-1] - weight))
    return np.clip(10 ** edges[1:][np.nanargmax(between[:-1])], noise, 8 * noise)


@pytest.mark.parametrize("glass", [0, 1, 30_000])
def test_the_threshold_is_that_of_all_pixels_though_glass_is_only_counted(glass):
    rng = np.random.default_rng(glass)
    tissue = rng.gamma(3, 0.05, 4000).astype(np.float32) + np.float32(0.012)
    score = np.concatenate([tissue, rng.uniform(0, 0.01, glass).astype(np.float32)])
    assert threshold(score, TissueSpec()) == otsu(score, TissueSpec())


def test_glass_alone_has_the_least_threshold():
    assert threshold(np.zeros((9, 9), np.float32), TissueSpec()) == pytest.approx(
        2 * TissueSpec().min_density
    )


@pytest.mark.parametrize("n", [999, 1000])
def test_the_colour_of_glass_is_the_median_of_its_brightest_pixels(n):
    rng = np.random.default_rng(n)
    rgb = np.repeat(rng.integers(236, 240, (1, n, 1), dtype=np.uint8), 3, axis=2)
    rgb[..., 2] += rng.integers(0, 2, n, dtype=np.uint8)
    level = rgb.sum(axis=2, dtype=int) // 3
    found = background_colour(rgb)
    near = [rgb[(level >= mode) & (level <= mode + 4)] for mode in range(230, 242)]
    assert any(len(pixels) and np.array_equal(found, np.median(pixels, axis=0)) for pixels in near)


def test_ink_is_told_pixel_by_pixel():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
    density = optical_density(rgb, np.array([245.0, 244.0, 246.0]))
    ink = is_ink(density)
    assert 0 < ink.sum() < ink.size
    assert np.array_equal(ink[7:8, 9:10], is_ink(density[7:8, 9:10]))
    assert np.array_equal(ink.T, is_ink(np.ascontiguousarray(density.transpose(1, 0, 2))))
    assert not is_ink(density[:0]).size


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 7.5, 32.0]))
def test_polygons_and_masks_agree(seed, downsample):
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 80)), 4)
    mask = noise > 0
    polygons = mask_to_polygons(mask, downsample)
    again = polygons_to_mask(polygons, (80, 60), downsample)
    assert (again != mask).mean() < 0.08
    assert abs(sum(map(area_px, polygons)) / downsample**2 - mask.sum()) < 0.08 * mask.size


def test_holes_stay_holes(tmp_path):
    mask = np.zeros((50, 50), bool)
    mask[5:45, 5:45] = True
    mask[20:30, 20:30] = False
    polygons = mask_to_polygons(mask, 10.0)
    assert [len(p) for p in polygons] == [2]
    (tmp_path / "a.geojson").write_text(to_geojson(polygons, 0.5))
    assert len(read_polygons(tmp_path / "a.geojson")[0]) == 2


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"type":"FeatureCollection","features":[{"geometry":{"type":"Nonsense"}}]}']
)
def test_broken_geojson_is_refused(tmp_path, text):
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(SlideError):
        read_polygons(tmp_path / "a.geojson")


@pytest.fixture
def study(tmp_path, tissue_slide):
    made = Study.create(tmp_path / "study")
    (made.root / "slides.csv").write_text(
        f"slide_id,patient_id,path\npainted,P1,{tissue_slide}\ngone,P1,nowhere.svs\n"
    )
    (made.root / "patients.csv").write_text("patient_id,cohort\nP1,discovery\n")
    return made


def test_a_real_slide_gets_polygons_and_a_missing_one_a_reason(study):
    report = find_tissue(study)
    assert (report.done, report.failed) == (("painted",), ("gone",))
    record = study.record("tissue", "painted")
    assert 0.3 < record.summary["share"] < 0.5
    data = json.loads(study.file("tissue", "painted", ".geojson").read_text())
    assert data["features"][0]["properties"]["classification"]["name"] == "Tissue"
    assert study.record("tissue", "gone").error["code"] == "E_NOT_FILE"


def test_an_edit_in_its_folder_is_taken_and_one_in_place_stops_the_slide(study):
    find_tissue(study)
    path = study.file("tissue", "painted", ".geojson")
    box = [[[0, 0], [500, 0], [500, 500], [0, 500], [0, 0]]]
    mine = to_geojson([[[tuple(p) for p in box[0]]]], 0.5)
    path.write_text(mine)
    report = find_tissue(study)
    assert "painted" in report.failed
    assert study.record("tissue", "painted").error["code"] == "E_EDITED"
    assert path.read_text() == mine
    edited = study.file("tissue/edited", "painted", ".geojson")
    edited.parent.mkdir()
    path.rename(edited)
    assert "painted" in find_tissue(study).done
    assert study.record("tissue", "painted").summary["edited"] is True
    assert study.record("tissue", "painted").summary["area_um2"] == pytest.approx(
        500 * 500 * 0.499**2, rel=0.01
    )
    assert "painted" in find_tissue(study).fresh


def test_a_slide_that_changes_while_it_is_read_is_refused(study, monkeypatch):
    from pathosig.core.units import Execution, Job
    from pathosig.tissue import of_slide

    payload = {
        "path": str(study.specimens()[-1].path), "mpp": None, "region": None, "output": "tissue/x.geojson",
        "edited": None, "in_place": False, "icc": "off",
    }  # fmt: skip
    stamps = iter([(1, 1), (1, 2)])
    monkeypatch.setattr(of_slide, "_stamp", lambda path: next(stamps))
    with pytest.raises(SlideError, match="changed while") as caught:
        of_slide.find_on_slide(
            Job(root=study.root, unit="painted", spec=TissueSpec(), payload=payload, execution=Execution())
        )
    assert caught.value.code == "E_CHANGED"
    assert not (study.root / "tissue/x.geojson").exists()


@pytest.mark.parametrize("gap", [1, 2, 3])
@pytest.mark.parametrize("side", range(4))
def test_the_border_of_the_slide_changes_nothing_of_tissue_near_it(gap, side):
    rng = np.random.default_rng(gap)
    y, x = np.mgrid[:360, :520]
    truth = np.hypot(x - 260, y - 150 - gap) < 90
    image = np.where(truth[..., None], (205, 140, 180), (244, 243, 245)) + rng.normal(0, 2, (360, 520, 1))
    whole = np.rot90(np.clip(image, 0, 255).astype(np.uint8), side)
    inside = np.zeros(truth.shape, bool)
    inside[60:, 60:-60] = True  # the slide ends `gap` pixels above the tissue
    rows, columns = np.nonzero(np.rot90(inside, side))
    part = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    found, expected = tissue_mask(whole[part], mpp=8.0), tissue_mask(whole, mpp=8.0)[part]
    assert expected.sum() > 25_000
    assert (found & ~expected).sum() <= 12
    assert (expected & ~found).sum() <= 12


def disc(x, y, radius, size=300):
    yy, xx = np.mgrid[:size, :size]
    return (xx - x) ** 2 + (yy - y) ** 2 < radius**2


def test_pieces_smaller_than_the_least_area_are_dropped():
    image, _ = scene()
    small = disc(250, 60, 12)  # 29,000 um2 at 8 um per pixel
    image[small] = (205, 150, 190)
    shares = [tissue_mask(image, TissueSpec(min_area_um2=area))[small].mean() for area in (10_000, 60_000)]
    assert shares[0] > 0.9
    assert shares[1] == 0


def test_holes_smaller_than_the_least_hole_are_filled():
    image, _ = scene()
    hole = disc(100, 130, 18)  # 65,000 um2
    image[hole] = (244, 243, 245)
    inner = disc(100, 130, 10)
    shares = [tissue_mask(image, TissueSpec(min_hole_um2=area))[inner].mean() for area in (10_000, 200_000)]
    assert shares == [0, 1]


@pytest.mark.parametrize(
    ("keeps", "loses"),
    [({"min_density": 0.005}, {"min_density": 0.1}), ({"sensitivity": 0.5}, {"sensitivity": 4.0})],
)
def test_pale_tissue_is_kept_or_lost_by_the_threshold_that_is_set(keeps, loses):
    image, truth = scene(tissue=(232, 214, 228))
    assert tissue_mask(image, TissueSpec(**keeps))[truth].mean() > 0.95
    assert tissue_mask(image, TissueSpec(**loses))[truth].mean() < 0.5


def test_smoothing_keeps_scattered_specks_from_becoming_tissue():
    image, truth = scene()
    specks = ~truth & (np.random.default_rng(1).random(truth.shape) < 0.1)
    image[specks] = (205, 150, 190)
    shares = [tissue_mask(image, TissueSpec(smooth_um=um))[~truth].mean() for um in (0.0, 24.0)]
    assert shares[0] > 0.9
    assert shares[1] < 0.05


def test_pen_stays_where_it_is_not_to_be_removed():
    image, _ = scene()
    image[20:40, 20:280] = (30, 60, 200)
    shares = [
        tissue_mask(image, TissueSpec(remove_pen=remove))[22:38, 22:278].mean() for remove in (True, False)
    ]
    assert shares[0] < 0.02
    assert shares[1] > 0.9


def test_the_core_of_a_microarray_is_looked_at_without_its_full_resolution(tmp_path):
    """Level 0 is bare glass here, so any tissue must come from the stored level with a downsample of 4."""
    import tifffile

    coarse, truth = scene(size=360)
    with tifffile.TiffWriter(tmp_path / "core.svs") as tiff:
        for said, pixels in {
            "1440x1440": np.full((1440, 1440, 3), 244, np.uint8),
            "1440x1440 -> 360x360": coarse,
        }.items():
            tiff.write(
                pixels, tile=(240, 240), photometric="rgb", compression="jpeg", subfiletype=int(">" in said),
                metadata=None, description=f"Aperio Image Library v12.0.15\n{said} JPEG/RGB Q=80|AppMag = 20|MPP = 0.5",
            )  # fmt: skip
    (tmp_path / "slides.csv").write_text("slide_id,patient_id,path\nS1,P1,core.svs\n")
    (tmp_path / "patients.csv").write_text(
        "patient_id,cohort,os_time,os_event\nP1,discovery,1,1\nP2,discovery,2,0\n"
    )
    study = Study.create(tmp_path)
    report = find_tissue(study)
    assert report.done == ("S1",)
    mask = polygons_to_mask(read_polygons(study.paths.tissue("S1")), (360, 360), 4.0)
    assert dice(mask, truth) > 0.8


def test_the_mask_of_a_large_slide_takes_memory_where_there_is_tissue():
    code = (
        "import resource\n"
        "from pathosig.tissue import polygons_to_mask\n"
        "box = lambda x, y, side: [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]\n"
        "polygons = [[box(30_000, 20_000, 3000), box(31_000, 21_000, 500)], [box(36_000, 20_000, 2000)]]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "mask = polygons_to_mask(polygons, (20_000, 15_000), 3.0)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000, int(mask.sum()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    megabytes, pixels = map(int, done.stdout.split())
    assert megabytes < 450  # of 300 for one canvas
    assert pixels == pytest.approx((3000**2 - 500**2 + 2000**2) / 9, rel=0.01)

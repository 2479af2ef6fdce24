"""ICC profiles: pixels converted to sRGB equal those of ImageCms in every reader, before any resampling."""

import io
import struct

import numpy as np
import pytest
import tifffile
from files import aperio, texture
from PIL import Image, ImageCms

from pathosig.core.errors import PathosigWarning, SlideError
from pathosig.core.study import Study
from pathosig.slides import icc, open_slide, plan_read, read_all_tiles
from pathosig.slides.icc import profile_name
from pathosig.slides.pyramid import resample
from pathosig.tissue.stage import find_tissue

RGB = texture(480, 600, seed=8)


def wide_profile(gamma=1.8, name="scanner"):
    """An RGB profile with wide primaries and a gamma that differs from that of sRGB."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    def xyz(values):
        return b"XYZ \0\0\0\0" + fixed(values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    described += bytes(-len(described) % 4)
    tags = {
        b"desc": described, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": xyz((0.6097, 0.3111, 0.0195)), b"gXYZ": xyz((0.2053, 0.6257, 0.0609)), b"bXYZ": xyz((0.1492, 0.0632, 0.7445)),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    at, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for code, value in tags.items():
        table += code + struct.pack(">II", at + len(data), len(value))
        data += value
    size = at + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += (
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
        + b"acsp"
        + bytes(28)
        + fixed((0.9642, 1.0, 0.8249))
        + bytes(48)
    )
    return head + struct.pack(">I", len(tags)) + table + data


def write(path, profile, **options):
    how = {"compression": "jpeg", "compressionargs": {"level": 95}} | options
    tifffile.imwrite(
        path,
        RGB,
        tile=(240, 240),
        photometric="rgb",
        description=aperio(),
        metadata=None,
        iccprofile=profile,
        **how,
    )
    return path


def by_pillow(pixels, profile):
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(
        ImageCms.profileToProfile(Image.fromarray(pixels), source, ImageCms.createProfile("sRGB"))
    )


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_pixels_in_srgb_are_those_of_imagecms(tmp_path, reader):
    profile = wide_profile()
    path = write(tmp_path / "s.svs", profile)
    with open_slide(path, reader=reader) as plain, open_slide(path, reader=reader, icc="srgb") as managed:
        stored = plain.read_level(0, 0, 0, 600, 480)
        expected = by_pillow(stored, profile)
        assert np.abs(expected.astype(int) - stored).mean() > 3
        assert np.abs(managed.read_level(0, 0, 0, 600, 480).astype(int) - expected).max() <= 1
        plan, xy = plan_read(plain.info, 0.25), np.array([(0, 0), (130, 90)])
        tiles = read_all_tiles(managed, plan, xy, 200)
        assert np.abs(tiles[1].astype(int) - expected[90:290, 130:330]).max() <= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_colours_are_turned_before_tiles_are_resampled(tmp_path, threads):
    profile = wide_profile()
    path = write(tmp_path / "s.svs", profile, compression="deflate", compressionargs=None)
    expected = resample(by_pillow(RGB, profile), (150, 120), box=(0.0, 0.0, 150 * 2.44, 120 * 2.44))
    with open_slide(path, icc="srgb") as reader:
        tiles = read_all_tiles(reader, plan_read(reader.info, 0.61), np.array([(0, 0)]), 120, threads=threads)
    assert np.abs(tiles[0].astype(int) - expected[:120, :120]).max() <= 1


def test_slides_without_a_profile_stay_as_they_are_and_damaged_ones_are_refused(tmp_path):
    path = write(tmp_path / "s.svs", None)
    with open_slide(path) as plain, open_slide(path, icc="srgb") as managed:
        assert np.array_equal(plain.read_level(0, 0, 0, 300, 300), managed.read_level(0, 0, 0, 300, 300))
    path = write(tmp_path / "d.svs", b"no profile at all" * 10)
    with open_slide(path) as reader:
        assert reader.read_level(0, 0, 0, 10, 10).shape == (10, 10, 3)
    with pytest.raises(SlideError, match=r"d\.svs") as caught:
        open_slide(path, icc="srgb")
    assert caught.value.code == "E_ICC"


def test_a_study_of_several_profiles_is_warned_and_records_them(tmp_path):
    study = Study.create(tmp_path / "study")
    for i, name in enumerate(("scanner one", "scanner one", "scanner two")):
        write(study.root / f"S{i}.svs", wide_profile(name=name))
    (study.root / "slides.csv").write_text(
        "slide_id,patient_id,path\n" + "".join(f"S{i},P{i},S{i}.svs\n" for i in range(3))
    )
    (study.root / "patients.csv").write_text(
        "patient_id,cohort\n" + "".join(f"P{i},discovery\n" for i in range(3))
    )
    with pytest.warns(PathosigWarning, match=r"scanner one \(2\), scanner two \(1\)"):
        find_tissue(Study.open(study.root))
    assert study.record("tissue", "S2").summary["icc"] == "scanner two"
    assert profile_name(wide_profile(name="x")) == "x"
    assert profile_name(b"anything") == "unreadable"


def kinked(pixels):
    """A conversion that is nowhere linear, as a profile with a lookup table may define."""
    return (pixels.astype(int) * 7 % 256 ^ pixels[..., ::-1] >> 3).astype(np.uint8)


@pytest.mark.parametrize("compiled", [True, False])
def test_every_colour_is_within_one_gray_level_of_imagecms(monkeypatch, compiled):
    monkeypatch.setattr(icc, "COMPILED", compiled and icc.COMPILED)
    profile = wide_profile()
    convert = icc.Remembered(lambda pixels: by_pillow(pixels, profile))
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (300, 20, 3), dtype=np.uint8)
    colours[:100] //= 16  # dark colours, where gamma is most curved
    colours[100:200] = 255 - colours[100:200] // 32
    managed = convert(colours.copy())
    assert np.abs(managed.astype(int) - by_pillow(colours, profile)).max() <= 1
    assert np.array_equal(convert(colours.copy()), managed)


@pytest.mark.parametrize("compiled", [True, False])
def test_conversions_that_bend_everywhere_are_followed_to_the_byte(monkeypatch, compiled):
    monkeypatch.setattr(icc, "COMPILED", compiled and icc.COMPILED)
    colours = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    convert = icc.Remembered(kinked)
    assert np.array_equal(convert(colours.copy()), kinked(colours))
    colours.flags.writeable = False
    assert np.array_equal(convert(colours), kinked(colours))
    assert convert(colours[:0]).shape == (0, 30, 3)


@pytest.mark.skipif(not icc.COMPILED, reason="no compiler")
def test_the_compiled_loop_gives_the_bytes_of_numpy():
    profile = wide_profile(gamma=2.6)
    colours = np.random.default_rng(2).integers(0, 72, (100, 300, 3), dtype=np.uint8)
    fast = icc.Remembered(lambda pixels: by_pillow(pixels, profile))
    slow = icc.Remembered(lambda pixels: by_pillow(pixels, profile))
    one, other = colours.copy(), colours.reshape(-1, 3).copy()
    fast(one)
    slow._learn(other)
    assert icc._recolour(other, slow._cells, slow._listed) == len(other)
    assert np.array_equal(one.reshape(-1, 3), other)
    assert 0 < len(fast._listed) < 1024 * (fast._cells["mark"] > 0).sum()  # both methods are used


@pytest.mark.skipif(not icc.COMPILED, reason="no compiler")
@pytest.mark.parametrize("darkest", [0, 190])
def test_runs_of_any_length_are_converted_up_to_the_first_colour_that_is_new(darkest):
    """Eight pixels are looked up at once: some are listed, and some have no cell yet. The last few are looked up one by one."""
    profile = wide_profile(gamma=2.6)
    convert = icc.Remembered(lambda pixels: by_pillow(pixels, profile))
    colours = np.random.default_rng(3).integers(darkest, darkest + 60, (48, 3), dtype=np.uint8)
    convert(colours.copy())
    expected = colours.copy()
    assert icc._recolour(expected, convert._cells, convert._listed) == 48
    for n in range(49):
        run = np.full((50, 3), 77, np.uint8)
        run[:n] = colours[:n]
        assert icc._resample.recolour(run[:n], convert._cells, convert._listed) == n
        assert np.array_equal(run[:n], expected[:n])
        assert (run[n:] == 77).all()
    for place in (0, 5, 17, 46, 47):
        run = colours.copy()
        run[place] = (255, 0, 255)
        done = icc._resample.recolour(run, convert._cells, convert._listed)
        assert place - 8 < done <= place
        assert np.array_equal(run[:done], expected[:done])
        assert np.array_equal(run[place + 1 :], colours[place + 1 :])


def test_clipped_colours_are_no_reason_to_list_a_cell():
    """Bare glass is clipped in some channels; if these are linear below the clipping, a list would only be slower."""
    profile = wide_profile()
    convert = icc.Remembered(lambda pixels: by_pillow(pixels, profile))
    glass = np.random.default_rng(4).integers((244, 236, 240), 256, (200, 100, 3), dtype=np.uint8)
    assert (by_pillow(glass, profile)[..., 0] == 255).mean() > 0.3
    assert np.abs(convert(glass.copy()).astype(int) - by_pillow(glass, profile)).max() <= 1
    assert not len(convert._listed)


def test_tissue_is_looked_for_in_the_colours_that_tiles_have(tmp_path):
    study = Study.create(tmp_path / "study")
    write(study.root / "S0.svs", wide_profile())
    (study.root / "slides.csv").write_text("slide_id,patient_id,path\nS0,P0,S0.svs\n")
    (study.root / "patients.csv").write_text("patient_id,cohort\nP0,discovery\n")
    find_tissue(Study.open(study.root))
    stored = study.record("tissue", "S0").summary["glass"]
    study.update("tiles", icc="srgb")
    find_tissue(Study.open(study.root))
    managed = study.record("tissue", "S0").summary["glass"]
    expected = by_pillow(np.array([[stored]], np.uint8), wide_profile())[0, 0]
    assert np.abs(np.array(managed) - expected).max() <= 3
    assert managed != stored

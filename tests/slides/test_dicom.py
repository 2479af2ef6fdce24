"""A folder of DICOM files is one slide; damaged and mixed folders are refused with a message."""

import io
import os
import shutil
import signal
import warnings

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicoms import write_series
from files import texture
from PIL import Image
from pydicom.encaps import encapsulate, encapsulate_extended

from pathosig.core.errors import SlideError
from pathosig.core.study import Study
from pathosig.intake import check, init
from pathosig.slides import open_slide, plan_read, read_all_tiles, read_tiles
from pathosig.slides.backends.dicom import read_instance
from pathosig.slides.backends.openslide import OpenSlideReader
from pathosig.slides.listing import slides_among
from pathosig.tiles.stage import cut_tiles
from pathosig.tissue.stage import find_tissue

RGB = texture(1000, 1210)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("dicom") / "P1", RGB)


@pytest.fixture
def copy(series, tmp_path):
    return shutil.copytree(series, tmp_path / "P1")


def refused(path):
    with pytest.raises(SlideError, match=path.name) as caught:
        open_slide(path)
    assert caught.value.code == "E_FORMAT"
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


def test_a_folder_opens_as_a_slide_of_all_its_levels(series):
    with open_slide(series) as reader:
        assert isinstance(reader.source, OpenSlideReader)
        assert reader.info.level_sizes == ((1210, 1000), (605, 500), (303, 250))
        assert (reader.info.mpp, reader.info.mpp_source, reader.info.vendor) == (0.25, "header", "dicom")
        assert (reader.info.objective_power, reader.info.warnings) == (40.0, ())
        pixels = reader.read_level(0, 100, 200, 500, 400)
        assert np.abs(pixels.astype(int) - RGB[200:600, 100:600]).mean() < 2.5
        tiles = read_all_tiles(reader, plan_read(reader.info, 0.5), [(400, 200)], 200)
        assert np.abs(tiles[0].astype(int) - RGB[::2, ::2][100:300, 200:400]).mean() < 3


def test_the_header_is_read_past_nested_sequences(series):
    found = read_instance(series / "level-1.dcm")
    truth = pydicom.dcmread(series / "level-1.dcm", stop_before_pixels=True)
    assert found.series == truth.SeriesInstanceUID != "1.2.3.4.5"
    assert (found.volume, found.resampled) == (True, True)
    assert not read_instance(series / "label.dcm").volume


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_headers_of_either_encoding_are_read(series, tmp_path, implicit, undefined):
    found = pydicom.dcmread(series / "level-0.dcm")
    found.ReferencedSeriesSequence.is_undefined_length = undefined
    for item in found.ReferencedSeriesSequence:
        item.is_undefined_length_sequence_item = undefined
    uid = found.SeriesInstanceUID
    found.NumberOfFrames, found.Rows, found.Columns = 1, 2, 2
    found.PixelData = bytes(12)
    syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
    found.file_meta.TransferSyntaxUID = syntax
    found["PixelData"].is_undefined_length = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.save_as(tmp_path / "x.dcm", implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    assert read_instance(tmp_path / "x.dcm").series == uid


@pytest.mark.parametrize("pattern", ["*", "**", "*/*.dcm"])
def test_any_glob_lists_the_folder_as_one_slide(tmp_path, pattern):
    write_series(tmp_path / "P1", RGB[:200, :200])
    write_series(tmp_path / "P2", RGB[:200, :200])
    assert [
        p.name for p in slides_among(tmp_path.rglob("*") if pattern == "**" else tmp_path.glob(pattern))
    ] == [
        "P1",
        "P2",
    ]


def test_slides_beside_one_another_in_a_folder_are_listed_once_each(tmp_path):
    write_series(tmp_path / "a", RGB[:200, :200])
    write_series(tmp_path / "b", RGB[:200, :200])
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in "ab":
        for path in (tmp_path / name).glob("*.dcm"):
            shutil.move(path, flat / f"{name}-{path.name}")
    found = slides_among(flat.glob("*.dcm"))
    assert [p.name for p in found] == ["a-label.dcm", "b-label.dcm"]
    with open_slide(found[0]) as reader:
        assert reader.info.level_sizes[0] == (200, 200)
    assert "2 slides" in refused(flat)


def test_a_folder_with_other_slides_in_it_is_no_dicom_slide(copy):
    (copy / "other.svs").write_bytes(b"x")
    assert copy not in slides_among([copy, copy / "other.svs"])


@pytest.mark.parametrize("size", [0, 100, 400])
def test_a_level_without_its_header_is_never_passed_over(copy, size):
    # OpenSlide would open the other files, as a slide of half the resolution
    path = copy / "level-0.dcm"
    path.write_bytes(path.read_bytes()[:size])
    assert "level-0.dcm" in refused(copy)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_level_is_refused(copy, share):
    path = copy / "level-0.dcm"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "level-0.dcm" in refused(copy)


def test_a_few_lost_bytes_are_a_warning_and_cost_one_frame(copy):
    path = copy / "level-0.dcm"
    path.write_bytes(path.read_bytes()[:-60])
    with open_slide(copy) as reader:
        assert reader.info.warnings == ("1 of 80 frames of level-0.dcm are lost",)
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, 1160, 960, 20, 20)
        assert caught.value.code == "E_PIXELS"
        assert reader.read_level(0, 0, 0, 20, 20).shape == (20, 20, 3)


def test_a_missing_finest_level_is_a_warning(copy):
    (copy / "level-0.dcm").unlink()
    with open_slide(copy) as reader:
        assert reader.info.mpp == 0.5
        assert "may be missing" in reader.info.warnings[-1]


def test_a_folder_without_slides_and_an_empty_one_are_refused(tmp_path, copy):
    for path in copy.glob("level*"):
        path.unlink()
    refused(copy)  # the label alone is not a slide
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none")


def test_other_files_in_the_folder_do_not_matter(copy):
    (copy / "notes.txt").write_text("scanned on Monday")
    (copy / ".DS_Store").write_bytes(b"\0")
    with open_slide(copy) as reader:
        assert len(reader.info.level_sizes) == 3


def test_from_init_to_tiles_a_folder_is_one_slide(tmp_path, tissue_slide):
    with open_slide(tissue_slide) as real:
        write_series(tmp_path / "slides" / "P1", real.read_level(0, 0, 0, 1500, 1500), mpp=0.499)
    (tmp_path / "clinical.csv").write_text("patient,OS_months,OS_event\nP1,10,1\n")
    slides = str(tmp_path / "slides" / "**" / "*")
    report = init(tmp_path / "study", slides=slides, clinical=tmp_path / "clinical.csv")
    assert (report.n_slides, report.unmatched_slides) == (1, ())
    study = Study.open(tmp_path / "study")
    assert [(s.id, s.path.name) for s in study.specimens()] == [("P1", "P1")]
    assert check(study).counts["slides_readable"] == 1
    assert find_tissue(study).done == ("P1",)
    assert cut_tiles(study).done == ("P1",)
    assert study.record("tiles", "P1").summary["n_tiles"] > 5


def test_a_library_that_dies_costs_what_was_being_read_and_no_more(copy):
    with open_slide(copy) as reader:
        expected = reader.read_level(0, 0, 0, 50, 50)
        os.kill(reader.source._slide._process.pid, signal.SIGKILL)
        with pytest.raises(SlideError, match="ended") as caught:
            reader.read_level(0, 0, 0, 50, 50)
        assert caught.value.code == "E_PIXELS"
        assert np.array_equal(reader.read_level(0, 0, 0, 50, 50), expected)


def test_a_library_that_never_answers_is_ended(copy, monkeypatch):
    from pathosig.slides.backends import aside

    with open_slide(copy) as reader:
        monkeypatch.setattr(aside, "_LIMIT_S", 5)
        os.kill(reader.source._slide._process.pid, signal.SIGSTOP)
        with pytest.raises(SlideError) as caught:
            reader.read_level(0, 0, 0, 50, 50)
        assert caught.value.code == "E_PIXELS"


def test_the_process_that_reads_ends_with_the_slide(copy):
    with open_slide(copy) as reader:
        process = reader.source._slide._process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_file_that_ends_its_reader_again_and_again_is_given_up(copy):
    with open_slide(copy) as reader:
        for _ in range(5):
            os.kill(reader.source._slide._process.pid, signal.SIGKILL)
            with pytest.raises(SlideError):
                reader.read_level(0, 0, 0, 50, 50)
        with pytest.raises(SlideError, match="5 times") as caught:
            reader.read_level(0, 0, 0, 50, 50)
    assert caught.value.code == "E_PIXELS"


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [(42, b"\x0b", "E_BITDEPTH"), (42, b"\x87", "E_BITDEPTH"), (16, b"\0\0\0\x06", "E_FORMAT")],
)
def test_codestreams_that_declare_another_depth_or_size_are_refused(tmp_path, at, value, code):
    folder = write_series(tmp_path / "S01", RGB[:256, :256], levels=(1,), label=False)
    file = folder / "level-0.dcm"
    good = bytes(imagecodecs.jpeg2k_encode(RGB[:256, :256].copy(), level=0, codecformat="j2k"))
    changed = good[:at] + value + good[at + len(value) :]
    for frames, refused in (([good], False), ([changed], True), ([changed, good], False)):
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
        dataset.PhotometricInterpretation = "RGB"
        dataset.Rows = dataset.Columns = dataset.TotalPixelMatrixRows = 256
        dataset.TotalPixelMatrixColumns = 256 * len(frames)
        dataset.NumberOfFrames = len(frames)
        dataset.PixelData = encapsulate(frames)
        dataset.save_as(file)
        if refused:
            with pytest.raises(SlideError) as caught:
                open_slide(folder, mpp=0.5)
            assert caught.value.code == code
        else:
            with open_slide(folder, mpp=0.5) as reader:
                x = 256 * (len(frames) - 1)
                assert np.array_equal(reader.read_level(0, x, 0, 256, 256), RGB[:256, :256])


PART = RGB[:64, :64].copy()
CODESTREAM = bytes(imagecodecs.jpeg2k_encode(PART, level=0, codecformat="j2k"))


def changed(at, value):
    return CODESTREAM[:at] + value + CODESTREAM[at + len(value) :]


def j2k(image):
    return bytes(
        imagecodecs.jpeg2k_encode(np.ascontiguousarray(image), level=0, codecformat="j2k", mct=False)
    )


def subsampled(*steps):
    data = bytearray(j2k(PART))
    data[40 + 7 : 40 + 12] = b"".join(bytes([7, *step]) for step in steps)[1:]
    return bytes(data)


def jpeg(image, mode="RGB", **options):
    coded = io.BytesIO()
    Image.fromarray(image).convert(mode).save(coded, "JPEG", quality=95, **options)
    return coded.getvalue()


DEVIATING_CODESTREAMS = {
    "smaller": j2k(PART[:32]),
    "larger": j2k(RGB[:64, :65]),
    "12 bits": changed(42, b"\x0b"),
    "12 bits in its last channel": changed(48, b"\x0b"),
    "signed": changed(42, b"\x87"),
    "16 bits": j2k(PART.astype(np.uint16) * 100),
    "gray": j2k(PART[..., 0]),
    "four channels": j2k(np.dstack([PART, PART[..., :1]])),
    "with an offset": changed(16, b"\0\0\0\x06"),
    "with an offset of its tiles": changed(32, b"\0\0\0\x06"),
    "half of the colours": subsampled((1, 1), (2, 1), (2, 1)),
    "a third of the colours": subsampled((1, 1), (3, 1), (3, 1)),
    "in a JP2 file": bytes(imagecodecs.jpeg2k_encode(PART, level=0, codecformat="jp2")),
    "in JPEG": jpeg(PART),
}
DEVIATING_JPEGS = {
    "smaller": jpeg(PART[:32]),
    "larger": jpeg(RGB[:64, :65].copy()),
    "gray": jpeg(PART, "L"),
    "four channels": jpeg(PART, "CMYK"),
    "12 bits": bytes(imagecodecs.jpeg_encode(PART.astype(np.uint16) * 16, bitspersample=12)),
    "in JPEG 2000": CODESTREAM,
}


def write_row(folder, frames, *, syntax, colours, table="basic"):
    """A slide of one row of frames of 64 x 64 pixels."""
    file = write_series(folder, RGB[:256, :256], levels=(1,), label=False) / "level-0.dcm"
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PhotometricInterpretation = colours
    dataset.Rows = dataset.Columns = dataset.TotalPixelMatrixRows = 64
    dataset.TotalPixelMatrixColumns, dataset.NumberOfFrames = 64 * len(frames), len(frames)
    if table == "extended":
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = (
            encapsulate_extended(frames)
        )
    else:
        dataset.PixelData = encapsulate(frames, has_bot=table == "basic")
    if table == "sparse":
        dataset.DimensionOrganizationType = "TILED_SPARSE"
        dataset.PerFrameFunctionalGroupsSequence = [position(64 * n) for n in range(len(frames))]
    dataset.save_as(file)
    return folder


def position(x):
    place, group = pydicom.Dataset(), pydicom.Dataset()
    place.ColumnPositionInTotalImagePixelMatrix, place.RowPositionInTotalImagePixelMatrix = x + 1, 1
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = "0"
    place.ZOffsetInSlideCoordinateSystem = "0"
    group.PlanePositionSlideSequence = [place]
    return group


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_a_codestream_later_in_the_file_that_deviates_costs_itself(tmp_path, table):
    frames = [CODESTREAM]
    for deviating in DEVIATING_CODESTREAMS.values():
        frames += [deviating, CODESTREAM]
    folder = write_row(tmp_path / "S01", frames, syntax="1.2.840.10008.1.2.4.90", colours="RGB", table=table)
    costs_itself(folder, list(DEVIATING_CODESTREAMS), PART)


def test_a_jpeg_later_in_the_file_that_deviates_costs_itself(tmp_path):
    good = jpeg(PART, subsampling=0)
    frames = [good]
    for deviating in DEVIATING_JPEGS.values():
        frames += [deviating, good]
    folder = write_row(tmp_path / "S01", frames, syntax="1.2.840.10008.1.2.4.50", colours="YBR_FULL_422")
    with Image.open(io.BytesIO(good)) as image:
        costs_itself(folder, list(DEVIATING_JPEGS), np.asarray(image))


def costs_itself(folder, names, good):
    with open_slide(folder, mpp=0.5) as reader:
        for number, name in enumerate(names):
            with pytest.raises(SlideError) as caught:
                print(name, reader.read_level(0, 64 + 128 * number, 0, 64, 64)[0, 0])
            assert caught.value.code == "E_PIXELS", name
            assert np.abs(reader.read_level(0, 128 * number, 0, 64, 64).astype(int) - good).max() <= 1
        points = np.array([(64 * n, 0) for n in range(2 * len(names) + 1)])
        blocks = list(read_tiles(reader, plan_read(reader.info, 0.5), points, 64))
        failed = np.concatenate([block.failed for block in blocks])
        assert np.flatnonzero(failed).tolist() == list(range(1, len(points), 2))


def test_where_frames_may_lie_anywhere_one_that_deviates_costs_its_level(tmp_path):
    frames = [CODESTREAM, CODESTREAM, DEVIATING_CODESTREAMS["12 bits"]]
    for name, kept in (("S01", frames[:2]), ("S02", frames)):
        folder = write_row(
            tmp_path / name, kept, syntax="1.2.840.10008.1.2.4.90", colours="RGB", table="sparse"
        )
        with open_slide(folder, mpp=0.5) as reader:
            if kept is not frames:
                assert np.array_equal(reader.read_level(0, 64, 0, 64, 64), PART)
                continue
            with pytest.raises(SlideError, match="12") as caught:
                reader.read_level(0, 64, 0, 64, 64)
            assert caught.value.code == "E_PIXELS"


def test_the_other_levels_of_a_single_file_are_checked_too(copy):
    file = copy / "level-0.dcm"
    dataset = pydicom.dcmread(file)
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 3_000_000
    dataset.save_as(file)
    with pytest.raises(SlideError) as caught:
        open_slide(copy / "level-2.dcm", reader="openslide")
    assert caught.value.code == "E_TOO_LARGE"

"""The slide is the right page of a TIFF, found by content and tags, for any order of pages and any shape of labels."""

import numpy as np
import pytest
import tifffile
from files import texture

from pathosig.core.errors import SlideError
from pathosig.core.study import Study
from pathosig.slides import open_slide
from pathosig.tissue.stage import find_tissue

RGB = texture(1024, 1024, seed=9)
LABEL = np.full((256, 256, 3), 255, np.uint8)
LABEL[40:200, 30:230] = (30, 90, 60)
TILED = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate", "metadata": None}


def small(step, image=RGB):
    h, w = image.shape[:2]
    return image.reshape(h // step, step, w // step, step, -1).mean((1, 3)).round().astype(np.uint8)


def write(path, *pages, **options):
    with tifffile.TiffWriter(path, **options) as file:
        for image, more in pages:
            file.write(image, **{**TILED, **more})
    return path


def sizes(path, **options):
    with open_slide(path, mpp=0.5, **options) as reader:
        return reader.info.level_sizes


ORDERS = {
    "label last": [(RGB, {}), (small(4), {}), (LABEL, {})],
    "label first": [(LABEL, {}), (RGB, {}), (small(4), {})],
    "label between": [(RGB, {}), (LABEL, {}), (small(8), {})],
    "label said to be reduced": [(RGB, {}), (small(4), {"subfiletype": 1}), (LABEL, {"subfiletype": 1})],
    "label larger than the smallest level": [(RGB, {}), (small(2), {}), (LABEL, {}), (small(8), {})],
    "thumbnail first": [
        (small(8), {"tile": None, "rowsperstrip": 16}),
        (RGB, {}),
        (LABEL, {}),
        (small(2), {}),
    ],
    "called label": [(RGB, {}), (LABEL, {"description": "Label"}), (small(4), {})],
}


def test_a_page_that_its_xml_calls_a_label_is_no_scan_even_in_the_size_of_the_slide(tmp_path):
    text = "<?xml version='1.0'?><PerkinElmer-QPI-ImageDescription><ImageType>{}</ImageType></PerkinElmer-QPI-ImageDescription>"
    pages = [
        (RGB, {"description": text.format("FullResolution")}),
        (RGB[::-1, ::-1], {"description": text.format("Label")}),
    ]
    with open_slide(write(tmp_path / "s.qptiff.tif", *pages), mpp=0.5) as reader:
        assert reader.info.level_sizes == ((1024, 1024),)
        assert not any("#2" in warning for warning in reader.info.warnings)
        assert np.array_equal(reader.read_level(0, 0, 0, 1024, 1024), RGB)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("big", [False, True])
def test_a_page_of_the_right_shape_that_does_not_look_like_the_slide_is_no_level(tmp_path, order, big):
    path = write(tmp_path / "s.tif", *ORDERS[order], bigtiff=big)
    with open_slide(path, mpp=0.5) as reader:
        assert reader.info.level_sizes[0] == (1024, 1024)
        assert not reader.info.warnings
        expected = {
            (image.shape[1], image.shape[0])
            for image, more in ORDERS[order]
            if image is not LABEL and more.get("tile", 1)
        }
        assert set(reader.info.level_sizes) == expected
        for level, (width, height) in enumerate(reader.info.level_sizes):
            pixels = reader.read_level(level, 0, 0, width, height)
            assert np.array_equal(pixels, small(1024 // width))


def test_sub_images_are_levels_of_their_own_page(tmp_path):
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(LABEL, **TILED)
        file.write(RGB, subifds=2, **TILED)
        file.write(small(2), subfiletype=1, **TILED)
        file.write(small(4), subfiletype=1, **TILED)
    assert sizes(path) == ((1024, 1024), (512, 512), (256, 256))


def test_several_scans_are_named_and_each_can_be_opened(tmp_path):
    other = texture(768, 896, seed=10)
    path = write(tmp_path / "two.tif", (other, {}), (RGB, {}), (small(4), {}), (LABEL, {}))
    with open_slide(path, mpp=0.5) as reader:
        assert reader.info.level_sizes == ((1024, 1024), (256, 256))
        assert any("2 scans" in w and "#2 is read" in w and "#1 896 x 768" in w for w in reader.info.warnings)
    with open_slide(f"{path}#1", mpp=0.5) as reader:
        assert reader.info.level_sizes == ((896, 768),)
        assert np.array_equal(reader.read_level(0, 0, 0, 896, 768), other)
        assert not reader.info.warnings
    assert sizes(f"{path}#2") == ((1024, 1024), (256, 256))
    for number in (0, 3):
        with pytest.raises(SlideError, match="2 scan") as caught:
            open_slide(f"{path}#{number}", mpp=0.5)
        assert caught.value.code == "E_NOT_FILE"


def test_a_study_takes_the_scan_that_its_table_names(tmp_path):
    study = Study.create(tmp_path / "study")
    glass = np.full((1024, 1280, 3), 243, np.uint8)
    glass[200:800, 300:900] = (205, 140, 180)
    write(study.root / "two.tif", (glass, {}), (glass[:900, :1100], {}))
    (study.root / "slides.csv").write_text("slide_id,patient_id,path,mpp\nA,P1,two.tif,2\nB,P1,two.tif#2,2\n")
    (study.root / "patients.csv").write_text("patient_id,cohort\nP1,discovery\n")
    assert find_tissue(Study.open(study.root)).done == ("A", "B")
    assert [study.record("tissue", unit).summary["size"] for unit in "AB"] == [[1280, 1024], [1100, 900]]
    assert find_tissue(Study.open(study.root)).fresh == ("A", "B")


@pytest.mark.parametrize("ome", [True, False])
def test_of_focal_planes_the_middle_one_is_read_and_said(tmp_path, ome):
    planes = np.stack([RGB, 255 - RGB, RGB[::-1]])
    path = tmp_path / ("z.ome.tif" if ome else "z.tif")
    more = {"metadata": {"axes": "ZYXS"} if ome else None, "ome": ome}
    tifffile.imwrite(path, planes, tile=(128, 128), photometric="rgb", **more)
    with open_slide(path, mpp=0.5) as reader:
        assert np.array_equal(reader.read_level(0, 0, 0, 1024, 1024), planes[1])
        assert any("focal planes" in w for w in reader.info.warnings)


@pytest.mark.parametrize("form", ["pages", "planes", "ome"])
def test_red_green_and_blue_in_gray_pages_are_composed(tmp_path, form):
    path = tmp_path / ("s.ome.tif" if form == "ome" else "s.tif")
    bands = np.moveaxis(RGB, 2, 0).copy()
    options = {
        "pages": {"photometric": "minisblack", "metadata": None},
        "planes": {"photometric": "rgb", "planarconfig": "separate", "metadata": None},
        "ome": {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}},
    }[form]
    tifffile.imwrite(path, bands, tile=(128, 128), compression="deflate", **options)
    with open_slide(path, mpp=0.5) as reader:
        assert np.array_equal(reader.read_level(0, 10, 20, 900, 800), RGB[20:820, 10:910])


FLUORESCENT = np.clip(texture(512, 512, seed=11).astype(int) // 4 - 20, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("ome", [True, False])
@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_channels_of_fluorescence_are_refused(tmp_path, ome, channels):
    path = tmp_path / ("f.ome.tif" if ome else "f.tif")
    bands = np.stack([FLUORESCENT[..., k % 3] for k in range(channels)])
    more = {"ome": True, "metadata": {"axes": "CYX"}} if ome else {"metadata": None}
    tifffile.imwrite(path, bands, tile=(128, 128), photometric="minisblack", **more)
    with pytest.raises(SlideError, match=r"fluorescence") as caught:
        open_slide(path, mpp=0.5)
    assert caught.value.code == "E_PHOTOMETRIC"


def test_dyes_in_the_header_are_believed_even_on_a_bright_ground(tmp_path):
    path = tmp_path / "f.ome.tif"
    bands = np.moveaxis(RGB, 2, 0).copy()
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "Cy5"]}}
    tifffile.imwrite(path, bands, tile=(128, 128), photometric="minisblack", ome=True, metadata=names)
    with pytest.raises(SlideError) as caught:
        open_slide(path, mpp=0.5)
    assert caught.value.code == "E_PHOTOMETRIC"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("0.25", "µm", 0.25), ("0.25", "&#181;m", 0.25), ("0.25", "&#xB5;m", 0.25), ("0.25", "um", 0.25), ("250", "nm", 0.25),
        ("2.5e-4", "mm", 0.25), ("2.5E-7", "m", 0.25), ("0,25", "µm", 0.25), ("2500", "Å", 0.25), ("0.25", "pixel", None),
        ("abc", "µm", None), ("-1", "µm", None), ("nan", "µm", None), ("2.5e-5", "cm", 0.25), ("7.0866141732e-4", "pt", 0.25),
    ],
)  # fmt: skip
def test_the_physical_size_of_ome_in_any_unit(tmp_path, value, unit, expected):
    path = tmp_path / "s.ome.tif"
    sizes = "".join(f'PhysicalSize{a}="{value}" PhysicalSize{a}Unit="{unit}" ' for a in "XY")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="1024" SizeY="1024" SizeC="3" SizeZ="1" SizeT="1" {sizes}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, RGB, description=text.encode(), metadata=None, photometric="rgb", tile=(256, 256))
    with open_slide(path) as reader:
        assert reader.info.mpp == (pytest.approx(expected) if expected else None)
        assert any("unit" in w for w in reader.info.warnings) == (unit == "pixel")
        assert reader.info.vendor == "ome"


@pytest.mark.parametrize(
    ("text", "mpp"),
    [
        ("MPP = 0.2527", 0.2527),
        ("MPP = 0,5", 0.5),
        ("MPP = 2.5e-1", 0.25),
        ("MPP=0.25 um", 0.25),
        ("Filtered = 5|MPP = 0.5", 0.5),
        ("mpp = n/a", None),
    ],
)
def test_fields_of_aperio_with_commas_and_exponents(tmp_path, text, mpp):
    path = write(
        tmp_path / "s.svs",
        (RGB, {"description": f"Aperio Image Library v12\r\n1024x1024|AppMag = 20|{text}"}),
    )
    with open_slide(path) as reader:
        assert reader.info.mpp == (pytest.approx(mpp) if mpp else None)
        assert any("not a number" in w for w in reader.info.warnings) == (mpp is None)


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600])
@pytest.mark.parametrize("unit", [2, 3])
def test_the_resolution_of_a_printer_is_no_scale_and_a_given_one_wins(tmp_path, dpi, unit):
    value = dpi if unit == 2 else dpi / 2.54
    path = write(tmp_path / "s.tif", (RGB, {"resolution": (value, value), "resolutionunit": unit}))
    with pytest.raises(SlideError, match="dots per inch.*mpp column") as caught:
        open_slide(path)
    assert caught.value.code == "E_MPP_RANGE"
    with open_slide(path, mpp=0.5) as reader:
        assert (reader.info.mpp, reader.info.mpp_source) == (0.5, "given")


def parts_of_ome(own, files):
    """OME-XML of an image whose three channels lie in these files."""
    data = "".join(
        f'<TiffData FirstC="{c}" IFD="{0 if len(set(files)) > 1 else c}" PlaneCount="1"><UUID FileName="{f}.tif">urn:{f}</UUID></TiffData>'
        for c, f in enumerate(files)
    )
    return (
        f'<?xml version="1.0"?><OME UUID="urn:{own}"><Image><Pixels DimensionOrder="XYCZT" SizeX="300" SizeY="200" SizeC="3" SizeZ="1" '
        f'SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">{"<Channel/>" * 3}{data}</Pixels></Image></OME>'
    )


def test_an_ome_tiff_in_several_files_is_refused_and_one_that_was_renamed_is_read(tmp_path):
    rgb = texture(200, 300)
    path = tmp_path / "s.ome.tif"

    def write(text, planes):
        with tifffile.TiffWriter(path) as file:
            for number, plane in enumerate(planes):
                described = {"description": text} if not number else {}
                file.write(plane.copy(), photometric="minisblack", tile=(64, 64), metadata=None, **described)

    planes = [rgb[..., c] for c in range(3)]
    only = '<?xml version="1.0"?><OME UUID="urn:a"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:b"/></OME>'
    for text in (parts_of_ome("a", "abc"), parts_of_ome("z", "abc"), only):
        write(text, planes[:1])
        with pytest.raises(SlideError, match="one of several files") as caught:
            open_slide(path)
        assert caught.value.code == "E_FORMAT"
    for own in "az":
        write(parts_of_ome(own, "aaa"), planes)
        with open_slide(path) as reader:
            assert np.array_equal(reader.read_level(0, 0, 0, 300, 200), rgb)


def test_a_second_scan_that_is_large_is_no_level_of_the_first(tmp_path):
    path = write(
        tmp_path / "s.tif", (np.tile(RGB, (5, 5, 1)), {}), (255 - np.tile(RGB, (2, 2, 1))[:2040, :2040], {})
    )
    with open_slide(path, mpp=0.5) as reader:
        assert reader.info.level_sizes == ((5120, 5120),)
    path = write(tmp_path / "t.tif", (np.tile(RGB, (5, 5, 1)), {}), (255 - np.tile(RGB, (4, 4, 1)), {}))
    with open_slide(path, mpp=0.5) as reader:
        assert reader.info.level_sizes == ((5120, 5120),)
        assert "2 scans" in reader.info.warnings[0]
    path = write(tmp_path / "u.tif", (np.tile(RGB, (5, 5, 1)), {}), (small(2, np.tile(RGB, (5, 5, 1))), {}))
    assert sizes(path) == ((5120, 5120), (2560, 2560))


def test_a_tiled_label_of_aperio_is_no_level_although_no_word_says_so(tmp_path):
    levels = [
        (RGB, {"description": "Aperio Image Library v12\r\n1024x1024 (128x128)|MPP = 0.5"}),
        (LABEL, {"description": "Aperio Image Library v12\r\n256x256"}),
        (
            small(4),
            {
                "description": "Aperio Image Library v12\r\n1024x1024 [0,0 1024x1024] (128x128) -> 256x256 JPEG"
            },
        ),
    ]
    path = write(tmp_path / "s.svs", *levels)
    assert sizes(path) == ((1024, 1024), (256, 256))
    with open_slide(path) as reader:
        assert np.abs(reader.read_level(1, 0, 0, 256, 256).astype(int) - small(4)).max() <= 1


@pytest.mark.parametrize("writer", ["tifffile", "ImageJ"])
def test_planes_without_a_page_of_their_own_are_refused(tmp_path, writer):
    planes = np.moveaxis(RGB, 2, 0).copy()
    path = tmp_path / "s.tif"
    if writer == "tifffile":
        tifffile.imwrite(path, planes, photometric="minisblack", truncate=True)
    else:
        with tifffile.TiffWriter(path) as file:
            file.write(planes[0], description="ImageJ=1.53t\nimages=3\nchannels=3\n", metadata=None)
    with pytest.raises(SlideError, match="3 planes in 1 page") as caught:
        open_slide(path, mpp=0.5)
    assert caught.value.code == "E_FORMAT"


@pytest.mark.parametrize("smallest", ["lost", "white", "black", "another image"])
def test_a_smallest_sub_image_that_does_not_look_like_the_slide_is_not_used(tmp_path, smallest):
    image = {
        "lost": small(4),
        "white": np.full((256, 256, 3), 255, np.uint8),
        "black": np.zeros((256, 256, 3), np.uint8),
        "another image": 255 - small(4),
    }[smallest]
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, subifds=2, **TILED)
        file.write(small(2), subfiletype=1, **TILED)
        file.write(image, subfiletype=1, **TILED)
    if smallest == "lost":
        with tifffile.TiffFile(path) as file:
            tag = file.pages[0].pages[1].tags[325]
        data = bytearray(path.read_bytes())
        data[tag.valueoffset : tag.valueoffset + 16] = bytes(16)  # no bytes are stored
        path.write_bytes(data)
    assert sizes(path) == ((1024, 1024), (512, 512))

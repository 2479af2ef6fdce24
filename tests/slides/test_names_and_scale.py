"""The names and scales in headers are understood in the spellings of many writers."""

import numpy as np
import pytest
import tifffile
from files import aperio, texture

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide

RGB = texture(512, 512, seed=9)
LARGER = np.tile(texture(448, 400, seed=10), (2, 2, 1))
LABEL = np.full((128, 128, 3), 255, np.uint8)
LABEL[20:100, 15:115] = (30, 90, 60)
TILED = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate", "metadata": None}
STRIPS = {"rowsperstrip": 16, "photometric": "rgb", "metadata": None}
GRAY = TILED | {"photometric": "minisblack"}
BANDS = np.moveaxis(RGB, 2, 0).copy()


def small(step, image=RGB):
    h, w = image.shape[:2]
    return image.reshape(h // step, step, w // step, step, -1).mean((1, 3)).round().astype(np.uint8)


def write(path, *pages):
    with tifffile.TiffWriter(path) as file:
        for image, options in pages:
            file.write(image, **options)
    return path


def ome(path, images, *pages):
    """An OME-TIFF of images (name, size, attributes), one page each."""
    text = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    for i, (name, (width, height), more) in enumerate(images):
        text += (
            f'<Image ID="Image:{i}" Name="{name}"><Pixels ID="Pixels:{i}" DimensionOrder="XYCZT" Type="uint8" SizeX="{width}" '
            f'SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1" {more}><Channel ID="c" SamplesPerPixel="3"/>'
            f'<TiffData IFD="{i}" PlaneCount="1"/></Pixels></Image>'
        )
    first = {"description": (text + "</OME>").encode()}
    return write(path, *[(image, TILED | (first if i == 0 else {})) for i, image in enumerate(pages)])


def is_the_slide(path, **options):
    with open_slide(path, **options) as reader:
        assert reader.info.level_sizes[0] == (512, 512)
        assert np.array_equal(reader.read_level(0, 0, 0, 512, 512), RGB)
        return reader.info


@pytest.mark.parametrize(
    "name",
    ["macro_image", "LabelImage", "SlideLabel", "thumbnail 2", "macro 800x896", "label-image"],
)
@pytest.mark.parametrize("where", ["description", "page name", "ome"])
def test_labels_and_macro_images_however_they_are_spelt(tmp_path, name, where):
    if where == "ome":
        images = [(name, (800, 896), ""), ("scan", (512, 512), "")]
        path = ome(tmp_path / "s.ome.tif", images, LARGER, RGB)
    else:
        tag = {"description": name} if where == "description" else {"extratags": [(285, "s", 0, name, True)]}
        path = write(tmp_path / "s.tif", (RGB, TILED), (LARGER, TILED | tag))
    assert not is_the_slide(path, mpp=0.5).warnings


@pytest.mark.parametrize(
    "text", ["Slide label: S12-345", "label=S1;mpp=0.5", "Scanned again, first label unreadable"]
)
def test_a_slide_whose_description_mentions_its_label_stays_the_slide(tmp_path, text):
    """Otherwise its first reduced level would be read with the scale of level 0, and everything would have twice its size."""
    path = write(
        tmp_path / "s.tif",
        (RGB, TILED | {"description": text}),
        (small(2), TILED),
        (LABEL, TILED | {"description": "label"}),
    )
    assert is_the_slide(path, mpp=0.5).level_sizes == ((512, 512), (256, 256))


def test_an_ome_image_is_the_slide_where_no_other_is_whatever_it_is_called(tmp_path):
    path = ome(tmp_path / "s.ome.tif", [("label 12", (512, 512), 'PhysicalSizeX="0.5"')], RGB)
    assert is_the_slide(path).mpp == 0.5


@pytest.mark.parametrize(("image", "levels"), [(LABEL, 1), (small(4), 2)])
def test_a_slide_in_strips_is_not_given_up_for_a_small_image_in_tiles(tmp_path, image, levels):
    path = write(tmp_path / "s.tif", (RGB, STRIPS), (image, TILED))
    assert len(is_the_slide(path, mpp=0.5).level_sizes) == levels


def test_a_larger_image_in_strips_is_offered_beside_the_slide_in_tiles(tmp_path):
    path = write(tmp_path / "s.tif", (LARGER, STRIPS), (RGB, TILED))
    assert "#1 800 x 896, #2 512 x 512); #2 is read" in is_the_slide(path, mpp=0.5).warnings[0]


def test_a_slide_that_is_the_sub_image_of_its_label_is_the_slide(tmp_path):
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        file.write(LABEL, subifds=1, **TILED)
        file.write(RGB, **TILED)
    is_the_slide(tmp_path / "s.tif", mpp=0.5)


def test_a_page_without_the_words_of_aperio_is_a_level_only_if_it_looks_like_one(tmp_path):
    said = TILED | {"description": aperio("0.25")}
    path = write(tmp_path / "s.svs", (RGB, said), (small(4), said), (LABEL[:64, :64].copy(), TILED))
    assert is_the_slide(path).level_sizes == ((512, 512), (128, 128))


ORDERS = [
    ("Blue", "Green", "Red"),
    ("G", "R", "B"),
    ("red channel", "green channel", "blue channel"),
    ("Ch_Green", "Ch_Blue", "Ch_Red"),
]


@pytest.mark.parametrize("names", ORDERS)
@pytest.mark.parametrize("where", ["description", "page name", "ome"])
def test_gray_pages_that_are_named_by_colour_are_put_in_order(tmp_path, names, where):
    order = ["rgb".index(name.removeprefix("Ch_")[0].lower()) for name in names]
    path = tmp_path / ("s.ome.tif" if where == "ome" else "s.tif")
    if where == "ome":
        more = {"axes": "CYX", "Channel": {"Name": list(names)}}
        tifffile.imwrite(path, BANDS[order].copy(), photometric="minisblack", ome=True, metadata=more)
    else:
        tags = [
            {"description": n} if where == "description" else {"extratags": [(285, "s", 0, n, True)]}
            for n in names
        ]
        write(path, *[(BANDS[k], GRAY | tag) for k, tag in zip(order, tags, strict=True)])
    is_the_slide(path, mpp=0.5)


@pytest.mark.parametrize(
    "names", [["CD3", "CD8", "PanCK"], ["hematoxylin", "eosin", "residual"], ["Red", "Green", "Red"]]
)
def test_channels_that_are_named_otherwise_are_no_colours(tmp_path, names):
    path = tmp_path / "s.ome.tif"
    more = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite(path, BANDS, photometric="minisblack", ome=True, metadata=more)
    with pytest.raises(SlideError, match=names[0]) as caught:
        open_slide(path, mpp=0.5)
    assert caught.value.code == "E_PHOTOMETRIC"


def test_gray_pages_may_be_white_is_zero(tmp_path):
    path = write(tmp_path / "s.tif", *[(255 - band, GRAY | {"photometric": "miniswhite"}) for band in BANDS])
    is_the_slide(path, mpp=0.5)


@pytest.mark.parametrize(
    ("axes", "place", "word"), [("ZYX", 1, "focal planes"), ("TYX", 0, "points in time")]
)
def test_gray_planes_of_imagej_are_no_colours_where_it_says_what_they_are(tmp_path, axes, place, word):
    tifffile.imwrite(tmp_path / "s.tif", BANDS, imagej=True, metadata={"axes": axes})
    with open_slide(tmp_path / "s.tif", mpp=0.5) as reader:
        assert np.array_equal(
            reader.read_level(0, 0, 0, 512, 512), np.repeat(BANDS[place][..., None], 3, axis=2)
        )
        assert any(word in warning for warning in reader.info.warnings)


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [("um", 4), ("micron", 4), ("\\u00B5m", 4), ("mm", 4000), ("nm", 0.004), ("inch", 101_600), ("cm", 40_000), ("pixel", None)],
)  # fmt: skip
def test_the_unit_of_imagej(tmp_path, unit, per_unit):
    tags = {"resolution": (per_unit or 1, per_unit or 1), "metadata": {"unit": unit, "axes": "YXS"}}
    tifffile.imwrite(tmp_path / "s.tif", RGB, imagej=True, **tags)
    assert is_the_slide(tmp_path / "s.tif").mpp == (pytest.approx(0.25) if per_unit else None)


@pytest.mark.parametrize(
    ("text", "mpp", "warned"),
    [
        ("MPP = 500 nm", 0.5, False), ("MPP=0.0005 mm", 0.5, False), ('MPP = "0.5"', 0.5, False), ("MPP = .5", 0.5, False),
        ("MPP = 0.5um|AppMag = 20x", 0.5, False), ("MPP = 1/2", None, True), ("MPP = 2.5 e-1", None, True), ("MPP = half", None, True), ("MPP = 500nm/px", 0.5, False),
        ("MPP = 2 pixels per micron", None, True), ("MPP = 0.5 x 0.25", None, True), ("MPP = 0.5 Filename = 1", 0.5, False),
    ],
)  # fmt: skip
def test_a_unit_behind_the_field_counts_and_a_number_that_goes_on_is_none(tmp_path, text, mpp, warned):
    info = is_the_slide(write(tmp_path / "s.tif", (RGB, TILED | {"description": text})))
    assert info.mpp == mpp
    assert any("MPP" in warning for warning in info.warnings) == warned


@pytest.mark.parametrize(
    ("attributes", "mpp"),
    [
        ('PhysicalSizeX="0.5"', 0.5),
        ('PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.0005" PhysicalSizeYUnit="mm"', 0.5),
        (
            'PhysicalSizeX="0.5" PhysicalSizeXUnit="Âµm" PhysicalSizeY="0.5" PhysicalSizeYUnit="&#xC2;&#xB5;m"',
            0.5,
        ),
        ('PhysicalSizeX="0.5" PhysicalSizeXUnit=" Micrometers " PhysicalSizeY="0.5"', 0.5),
        ('PhysicalSizeX="0.5 µm" PhysicalSizeY="500 nm"', 0.5),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="reference frame" PhysicalSizeY="1"', None),
        ('PhysicalSizeX="0" PhysicalSizeY="0"', None),
    ],
)
def test_physical_sizes_as_writers_get_them_wrong(tmp_path, attributes, mpp):
    path = ome(tmp_path / "s.ome.tif", [("", (512, 512), attributes)], RGB)
    assert is_the_slide(path).mpp == (pytest.approx(mpp) if mpp else None)


@pytest.mark.parametrize("order", [0, 1])
def test_the_scale_of_philips_is_that_of_the_slide_not_of_its_macro_image(tmp_path, order):
    image = (
        '<DataObject ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE">{}</Attribute>'
        '<Attribute Name="DICOM_PIXEL_SPACING">"{}" "{}"</Attribute></DataObject>'
    )
    images = [image.format("MACROIMAGE", 0.0315, 0.0315), image.format("WSI", 0.0005, 0.0005)]
    text = f'<DataObject ObjectType="DPUfsImport">{"".join(images[:: 1 - 2 * order])}</DataObject>'
    path = write(tmp_path / "s.tiff", (RGB, {**TILED, "description": text}))
    with open_slide(path) as reader:
        assert reader.info.mpp == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "mpp"),
    [
        ("500nm/px", 0.5),
        ("0.0005 mm/px", 0.5),
        ("0.5 um per pixel", 0.5),
        ("2 px/um", None),
        ("2 pixels per micron", None),
    ],
)
def test_a_unit_per_pixel_is_understood_and_pixels_per_unit_are_not_taken_for_one(tmp_path, text, mpp):
    path = write(tmp_path / "s.svs", (RGB, {**TILED, "description": aperio(mpp=text, power="")}))
    with open_slide(path) as reader:
        assert reader.info.mpp == (None if mpp is None else pytest.approx(mpp))
        assert bool(reader.info.warnings) == (mpp is None)


def test_a_macro_image_that_names_its_slide_is_no_slide(tmp_path):
    scale = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
    images = [("Macro Image of S12", (800, 896), scale), ("S12.svs", (512, 512), scale)]
    path = ome(tmp_path / "s.ome.tif", images, LARGER, RGB)
    with open_slide(path) as reader:
        assert reader.info.level_sizes == ((512, 512),)

"""Round trips: slides of the usual writers are read with their pixels, levels and scale."""

import numpy as np
import pytest
import tifffile
from files import texture
from PIL import Image

from pathosig.slides import open_slide

pyvips = pytest.importorskip("pyvips")
wsidicom = pytest.importorskip("wsidicom")

RGB = texture(700, 900, seed=3)


def agrees(path, levels, *, most=0, mean=0.0, mpp=0.25, image=RGB):
    """Check that the slide has `levels` levels and these pixels."""
    with open_slide(path, mpp=None if mpp else 0.5) as reader:
        info = reader.info
        assert len(info.level_sizes) == levels
        assert info.level_sizes[0] == (image.shape[1], image.shape[0])
        assert mpp is None or info.mpp == pytest.approx(mpp, rel=1e-3)
        read = reader.read_level(0, 0, 0, image.shape[1], image.shape[0])
        difference = np.abs(read.astype(int) - image)
        assert difference.mean() <= mean
        assert difference.max() <= most
        for level in range(1, levels):
            width, height = info.level_sizes[level]
            small = reader.read_level(level, 0, 0, width, height)
            if width < 50:  # each level rounds its size down to whole pixels
                continue
            step = round(info.downsamples[level])
            whole = image[: height * step, : width * step].reshape(height, step, width, step, 3)
            assert np.abs(small - whole.mean(axis=(1, 3))).mean() < 2.5


def vips(path, image=RGB, **options):
    """A TIFF of libvips at 0.25 micrometres per pixel (its resolution is in pixels per millimetre)."""
    source = pyvips.Image.new_from_array(image).copy(interpretation="srgb", xres=4000, yres=4000)
    source.tiffsave(str(path), **options)
    return path


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        ("none", "none"),
        ("packbits", "none"),
        *((c, p) for c in ("deflate", "lzw") for p in ("none", "horizontal")),
    ],
)
def test_lossless_pyramids_of_libvips(tmp_path, compression, predictor):
    path = vips(
        tmp_path / "s.tif", tile=True, pyramid=True, tile_width=128, tile_height=128,
        compression=compression, predictor=predictor,
    )  # fmt: skip
    agrees(path, 4)


@pytest.mark.parametrize(
    "options", [{}, {"subifd": True}, {"bigtiff": True}, {"depth": "onepixel"}, {"resunit": "inch"}], ids=str
)
def test_layouts_of_pyramids_of_libvips(tmp_path, options):
    path = vips(tmp_path / "s.tif", tile=True, pyramid=True, compression="deflate", **options)
    agrees(path, 10 if "depth" in options else 4)


@pytest.mark.parametrize("subsampling", ["on", "off"])
@pytest.mark.parametrize("tile", [True, False])
def test_jpeg_of_libvips(tmp_path, subsampling, tile):
    path = vips(
        tmp_path / "s.tif", tile=tile, pyramid=tile, compression="jpeg", Q=95, **({"rgbjpeg": True} if subsampling == "off" else {}),
    )  # fmt: skip
    expected = pyvips.Image.new_from_file(str(path)).numpy()
    agrees(path, 4 if tile else 1, most=2, mean=0.6, image=expected)


def test_webp_of_libvips(tmp_path):
    agrees(vips(tmp_path / "s.tif", tile=True, pyramid=True, compression="webp", lossless=True), 4)


def test_other_layouts_of_libvips(tmp_path):
    with_alpha = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    agrees(vips(tmp_path / "a.tif", with_alpha, tile=True, compression="deflate"), 1)
    gray = RGB[..., 1]
    agrees(
        vips(tmp_path / "g.tif", gray, tile=True, compression="deflate"),
        1,
        image=np.repeat(gray[..., None], 3, axis=2),
    )
    agrees(vips(tmp_path / "strips.tif", compression="lzw"), 1)
    bits = np.where(gray > 128, 255, 0).astype(np.uint8)
    image = pyvips.Image.new_from_array(bits).copy(xres=4000, yres=4000)
    image.tiffsave(str(tmp_path / "b.tif"), tile=True, bitdepth=1, predictor="none", compression="deflate")
    agrees(tmp_path / "b.tif", 1, image=np.repeat(bits[..., None], 3, axis=2))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("subifds", [0, 2])
def test_ome_tiff_of_tifffile(tmp_path, planar, subifds):
    path = tmp_path / "s.ome.tif"
    how = {
        "tile": (128, 128),
        "compression": "deflate",
        "predictor": True,
        "photometric": "rgb",
        "planarconfig": planar,
    }
    scale = {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}
    axes = "YXS" if planar == "contig" else "SYX"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, step in enumerate((1, 2, 4)[: subifds + 1]):
            small = np.asarray(Image.fromarray(RGB).resize((900 // step, 700 // step), Image.Resampling.BOX))
            stored = small if planar == "contig" else np.moveaxis(small, 2, 0)
            first = {"subifds": subifds, "metadata": {"axes": axes, **scale}}
            file.write(
                np.ascontiguousarray(stored),
                **how,
                **(first if not number else {"subfiletype": 1, "metadata": None}),
            )
    agrees(path, subifds + 1)


def test_a_cloud_optimised_tiff(tmp_path):
    """A TIFF in GDAL's layout: directories first, overviews by NewSubfileType, tiles in increasing order, with a mask."""
    path = tmp_path / "cog.tif"
    how = {
        "tile": (256, 256),
        "compression": "deflate",
        "predictor": True,
        "photometric": "rgb",
        "metadata": None,
    }
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for step in (1, 2, 4):
            small = Image.fromarray(RGB).resize((900 // step, 700 // step), Image.Resampling.BOX)
            file.write(
                np.asarray(small),
                subfiletype=int(step > 1),
                resolution=(40_000, 40_000),
                resolutionunit=3,
                **how,
            )
            mask = np.ones((700 // step, 900 // step), bool)
            file.write(mask, subfiletype=4 | int(step > 1), photometric=4, tile=(256, 256), metadata=None)
    agrees(path, 3)


def test_a_series_of_wsidicom(tmp_path):
    """wsidicom writes one series from another; lossless frames are copied unchanged."""
    from dicoms import write_series

    write_series(tmp_path / "one", RGB)
    with wsidicom.WsiDicom.open(tmp_path / "one") as slide:
        slide.save(tmp_path / "two")
    with open_slide(tmp_path / "one") as one, open_slide(tmp_path / "two") as two:
        assert two.info.mpp == pytest.approx(one.info.mpp)
        assert two.info.level_sizes == one.info.level_sizes
        assert np.array_equal(one.read_level(0, 0, 0, 900, 700), two.read_level(0, 0, 0, 900, 700))


@pytest.mark.filterwarnings("ignore::UserWarning")  # warnings of the writer
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx"])
def test_ome_zarr_of_its_own_package(tmp_path, version, axes):
    """Run by hand, because the package needs s3fs, which needs older releases of packages than the other tests."""
    writer = pytest.importorskip("ome_zarr.writer")
    import zarr
    from ome_zarr.format import FormatV04, FormatV05

    form, zarr_format = (FormatV04(), 2) if version == "0.4" else (FormatV05(), 3)
    array = np.moveaxis(RGB, 2, 0)
    array = array[None, :, None] if axes == "tczyx" else array
    group = zarr.open_group(str(tmp_path / "s.zarr"), mode="w", zarr_format=zarr_format)
    writer.write_image(
        np.ascontiguousarray(array), group, scale_factors=[2, 4], fmt=form, axes=axes,
        scale={"y": 0.25, "x": 0.25}, axes_units={"y": "micrometer", "x": "micrometer"},
    )  # fmt: skip
    agrees(tmp_path / "s.zarr", 3)

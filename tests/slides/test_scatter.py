"""Blocks of tiles are filled from compressed tiles, for any order and position of the tiles."""

import numpy as np
import pytest
import tifffile
from files import texture, write_svs

from pathosig.core.errors import SlideError
from pathosig.slides import open_slide, plan_read, read_tiles
from pathosig.slides.backends import tiff, tiled
from pathosig.slides.backends.scatter import parts

RGB = texture(1180, 1300)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return write_svs(tmp_path_factory.mktemp("scatter") / "s.svs", RGB, levels=(1,))


def corners(step=60, low=-120):
    at = [np.arange(low, side, step) for side in (RGB.shape[1], RGB.shape[0])]
    return np.stack(np.meshgrid(*at), -1).reshape(-1, 2)


def read(path, xy, *, mpp=0.25, block=16, **options):
    with open_slide(path, **options) as reader:
        blocks = list(read_tiles(reader, plan_read(reader.info, mpp), xy, 100, block=block))
    return np.concatenate([b.tiles for b in blocks]), np.concatenate([b.failed for b in blocks])


@pytest.mark.parametrize("limit", [0, 200_000, 48_000_000])
@pytest.mark.parametrize("order", ["rows", "columns", "none"])
def test_tiles_in_any_order_and_over_every_edge_are_the_pixels_of_the_level(slide, monkeypatch, order, limit):
    monkeypatch.setattr(tiled, "CACHE_BYTES", limit)
    xy = corners()
    if order == "columns":
        xy = xy[np.lexsort((xy[:, 1], xy[:, 0]))]
    elif order == "none":
        xy = np.random.default_rng(0).permutation(xy)
    tiles, failed = read(slide, xy)
    assert not failed.any()
    with open_slide(slide) as reader:
        for (x, y), tile in zip(xy.tolist(), tiles, strict=True):
            assert np.array_equal(tile, reader.read_level(0, x, y, 100, 100))


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_rows_of_tiles_decode_every_compressed_tile_once(slide, monkeypatch, mpp):
    decoded = []
    decode = tiff.TiffReader._decode
    monkeypatch.setattr(tiff.TiffReader, "_decode", lambda *a, **k: decoded.append(a[2]) or decode(*a, **k))
    read(slide, corners(step=200, low=0), mpp=mpp, block=4)
    assert len(decoded) == len(set(decoded)) == 30


def test_memory_of_what_is_kept_stays_under_its_limit(slide):
    kept = []
    with open_slide(slide) as reader:
        fill = reader.source.block_source(plan_read(reader.info, 0.25), corners(), 100, 1)
        fill._limit = 400_000
        for start in range(0, len(corners()), 16):
            n = len(corners()[start : start + 16])
            fill(start, np.empty((n, 100, 100, 3), np.uint8), np.zeros(n, bool))
            kept.append(sum(pixels.nbytes for pixels in fill._kept.values()))
            assert kept[-1] == fill._kept_bytes
    assert 0 < max(kept) <= 400_000
    assert kept[-1] == 0


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.57])
def test_threads_change_no_pixel_and_decode_nothing_twice(slide, monkeypatch, mpp):
    decoded = []
    decode = tiff.TiffReader._decode
    xy = corners(step=200, low=0)
    alone, _ = read(slide, xy, mpp=mpp, block=4)
    monkeypatch.setattr(tiff.TiffReader, "_decode", lambda *a, **k: decoded.append(a[2]) or decode(*a, **k))
    with open_slide(slide) as reader:
        blocks = list(read_tiles(reader, plan_read(reader.info, mpp), xy, 100, threads=3, block=4))
    assert np.array_equal(np.concatenate([b.tiles for b in blocks]), alone)
    assert len(decoded) == len(set(decoded)) == 30


def test_a_region_of_a_slide_is_filled_the_same_way(slide):
    xy = corners(step=50, low=0)[:200]
    tiles, _ = read(slide, xy, region=(120, 240, 700, 600))
    whole, _ = read(slide, xy + np.array([120, 240]))
    assert np.array_equal(tiles, whole)


def test_a_lost_compressed_tile_whitens_the_tiles_it_touches_and_no_other(slide, tmp_path):
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        start = file.pages[0].dataoffsets[7]  # second row, second column of 6 x 5
    data[start : start + 64] = bytes(64)
    path = tmp_path / "hole.svs"
    path.write_bytes(data)
    xy = np.random.default_rng(1).permutation(corners())
    tiles, failed = read(path, xy)
    good, _ = read(slide, xy)
    x, y = xy.T
    touches = (x < 480) & (x + 100 > 240) & (y < 480) & (y + 100 > 240)
    assert failed.tolist() == touches.tolist()
    assert (tiles[failed] == 255).all()
    assert np.array_equal(tiles[~failed], good[~failed])


def test_a_failing_disk_is_an_error_and_no_lost_tile(slide, monkeypatch):
    def fails(self, offset, count):
        raise SlideError("s.svs: reading failed", code="E_READ")

    with open_slide(slide) as reader:
        monkeypatch.setattr(type(reader._source), "read", fails)
        with pytest.raises(SlideError, match="reading failed"):
            list(read_tiles(reader, plan_read(reader.info, 0.25), corners(), 100))


def test_parts_of_an_axis_cover_what_lies_within_it_once():
    for start, length, tile, end in [
        (-30, 100, 64, 500),
        (470, 100, 64, 500),
        (0, 64, 64, 64),
        (505, 9, 64, 500),
    ]:
        found = parts(start, length, tile, end)
        to = [i for _, where, _ in found for i in range(where.start, where.stop)]
        source = [n * tile + i for n, _, where in found for i in range(where.start, where.stop)]
        inside = [i for i in range(start, start + length) if 0 <= i < end]
        assert source == inside
        assert to == [i - start for i in inside]


def test_a_piece_that_is_larger_than_the_cache_is_decoded_once(tmp_path, monkeypatch):
    import tifffile

    from pathosig.slides import open_slide, plan_read, read_tiles
    from pathosig.slides.backends.tiff import TiffReader

    rgb = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, rgb, rowsperstrip=512, photometric="rgb", compression="deflate", metadata=None)
    monkeypatch.setattr(tiled, "CACHE_BYTES", 1_000)
    calls = []
    decode = TiffReader._decode
    monkeypatch.setattr(TiffReader, "_decode", lambda *a: calls.append(a) or decode(*a))
    points = np.array([(x, y) for y in range(0, 512, 64) for x in range(0, 512, 64)])
    with open_slide(path, mpp=0.5) as reader:
        blocks = list(read_tiles(reader, plan_read(reader.info, 0.5), points, 64, block=8))
    assert len(blocks) > 4
    assert len(calls) == 1

"""The compiled and the NumPy resampler give the same bytes, which are area means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathosig.slides import pyramid
from pathosig.slides.pyramid import resample

needs_compiler = pytest.mark.skipif(not pyramid.COMPILED, reason="installed where there was no compiler")


def image(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


sides = st.integers(1, 60)
places = st.floats(-4, 60, allow_nan=False)
lengths = st.floats(0.5, 70, allow_nan=False)


@needs_compiler
@given(
    sides,
    sides,
    st.sampled_from([1, 3, 4]),
    sides,
    sides,
    st.none() | st.tuples(places, places, lengths, lengths),
)
def test_compiled_loops_give_the_bytes_of_numpy(height, width, channels, rows, columns, box):
    source = image(height, width, channels)
    compiled = resample(source, (columns, rows), box=box)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "COMPILED", False)
        assert np.array_equal(compiled, resample(source, (columns, rows), box=box))


@needs_compiler
@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]))
def test_compiled_block_means_give_the_bytes_of_numpy(factor, rows, columns, channels):
    source = image(rows * factor, columns * factor, channels, seed=factor)
    compiled = resample(source, (columns, rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "COMPILED", False)
        assert np.array_equal(compiled, resample(source, (columns, rows)))


def test_every_pixel_is_the_mean_of_the_area_it_covers():
    source = image(40, 50, 3)
    fine = source.repeat(10, axis=0).repeat(10, axis=1).astype(float)  # tenths of a pixel
    got = resample(source, (20, 16), box=(1.0, 2.0, 20 * 1.7, 16 * 1.7))
    for row in range(16):
        for column in range(20):
            y, x = 20 + 17 * row, 10 + 17 * column
            wanted = fine[y : y + 17, x : x + 17].mean(axis=(0, 1))
            assert np.abs(got[row, column] - wanted).max() <= 0.51


def test_an_image_that_is_not_contiguous_is_read_as_it_looks():
    source = image(30, 40, 3)
    mirrored = source[:, ::-1]
    box = (0.0, 0.0, 40.0, 30.0)
    assert np.array_equal(resample(mirrored, (17, 13), box=box), resample(mirrored.copy(), (17, 13), box=box))


@needs_compiler
def test_indices_outside_the_image_are_refused():
    index, weight = np.full((1, 5), 9, np.int32), np.ones((1, 5), np.float32)
    good = np.zeros((1, 5), np.int32)
    out = np.zeros((5, 5, 3), np.uint8)
    for bad in (index, -index, index.astype(np.int64)):
        with pytest.raises(ValueError, match="axis"):
            pyramid._resample.resample(image(9, 9, 3), bad, weight, good, weight, out)
        with pytest.raises(ValueError, match="axis"):
            pyramid._resample.resample(image(9, 9, 3), good, weight, bad, weight, out)
    with pytest.raises(ValueError, match="size"):
        pyramid._resample.resample(image(9, 9, 3), good, weight, good, weight, np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="not empty"):  # its width times 12 overflows to 0
        empty = np.zeros((0, (2**62 - 4) // 3, 3), np.uint8)
        pyramid._resample.resample(
            empty, np.zeros((0, 5), np.int32), np.zeros((0, 5), np.float32), good, weight, out
        )
    with pytest.raises(ValueError, match="uint8"):
        pyramid._resample.block_means(image(10, 10, 3).view(np.int8), 2, np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="blocks"):
        pyramid._resample.block_means(image(9, 9, 3), 2, np.zeros((5, 4, 3), np.uint8))

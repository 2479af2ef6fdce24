import numpy as np
import pytest
from scipy import ndimage

from pathosig.tissue.morphology import dilated, eroded, pieces, smoothed


def masks():
    rng = np.random.default_rng(0)
    for number in range(40):
        size = rng.integers(1, 120, 2)
        grain = ndimage.gaussian_filter(rng.normal(size=size), (0, 0.7, 2, 5)[number % 4])
        yield grain > (-0.2, 0, 0.01, 0.1)[number // 4 % 4]
    for value in (False, True):
        yield np.full((7, 9), value)


def test_pieces_are_scipys_to_the_number():
    for mask in masks():
        found = pieces(mask)
        labels, n = ndimage.label(mask)
        each = np.eye(n, dtype=bool)
        assert all(np.array_equal(found.chosen(each[i]), labels == i + 1) for i in range(n))
        assert np.array_equal(found.chosen(each.any(axis=0)), mask)
        assert np.array_equal(found.areas, np.bincount(labels.ravel(), minlength=n + 1)[1:])
        boxes = [(y.start, x.start, y.stop, x.stop) for y, x in ndimage.find_objects(labels)]
        assert np.array_equal(found.boxes, np.array(boxes, int).reshape(-1, 4))


def test_a_spiral_is_one_piece():
    mask = np.zeros((41, 41), bool)
    for k in range(0, 20, 4):
        mask[k, k : -k or None] = mask[k : -k or None, 40 - k] = mask[40 - k, k + 2 : -k or None] = True
        mask[k + 4 : 41 - k, k + 2] = True
        mask[k + 4, k + 2 : k + 5] = True
    assert len(pieces(mask).areas) == ndimage.label(mask)[1]


def test_chosen_keeps_whole_pieces():
    mask = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1]], bool)
    assert np.array_equal(
        pieces(mask).chosen(np.array([True, False, True])), [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    )


def octagon(radius):
    """The shape that a pixel is dilated to by alternating a cross and a square."""
    shape = np.zeros((2 * radius + 1, 2 * radius + 1), bool)
    shape[radius, radius] = True
    for step in range(radius):
        shape = ndimage.binary_dilation(shape, ndimage.generate_binary_structure(2, 1 + step % 2))
    return shape


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_growing_and_shrinking_are_scipys_at_the_edges_too(radius):
    for mask in masks():
        if radius == 0:
            assert np.array_equal(dilated(mask, 0), mask)
            assert np.array_equal(eroded(mask, 0), mask)
            continue
        assert np.array_equal(dilated(mask, radius), ndimage.binary_dilation(mask, octagon(radius)))
        assert np.array_equal(
            eroded(mask, radius), ndimage.binary_erosion(mask, octagon(radius), border_value=True)
        )


@pytest.mark.parametrize("sigma", [0.3, 0.75, 2.1])
def test_smoothing_is_scipys_to_the_bit(sigma):
    rng = np.random.default_rng(1)
    for size in ((1, 1), (3, 200), (200, 3), (64, 65)):
        values = rng.random(size, dtype=np.float32)
        assert np.array_equal(smoothed(values, sigma), ndimage.gaussian_filter(values, sigma))

"""Deep-zoom geometry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathosig.viewer.deepzoom import TILE, max_level, parse_index, source_level, tile_region


@given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(0, 18))
def test_tiles_of_a_level_cover_the_slide_once(width, height, level):
    size = (width, height)
    if level > max_level(*size):
        assert tile_region(size, level, 0, 0) is None
        return
    step = TILE << (max_level(*size) - level)
    columns = -(-width // step)
    row = [tile_region(size, level, c, 0) for c in range(min(columns, 40))]
    assert all(r is not None for r in row)
    assert [r.x for r in row] == [c * step for c in range(len(row))]
    if columns <= 40:
        assert sum(r.width for r in row) == width
        assert tile_region(size, level, columns, 0) is None


@pytest.mark.parametrize("address", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (99, 0, 0), (12, 10**8, 0)])
def test_addresses_outside_the_slide_give_none(address):
    assert tile_region((3000, 2000), *address) is None


def test_the_coarsest_level_that_is_fine_enough_is_read():
    assert source_level([1, 4.0001, 16], 4) == 1
    assert source_level([1, 4, 16], 3) == 0
    assert source_level([1, 4, 16], 1000) == 2


@pytest.mark.parametrize("text", ["-1", "1e3", "٣", "0x1", "", " 1", "1" * 10, "..", "nan"])
def test_only_plain_digits_are_numbers(text):
    assert parse_index(text) is None

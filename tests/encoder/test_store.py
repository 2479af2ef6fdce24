"""The packed tile store."""

import numpy as np
import pytest

from pathosig.core.errors import InputError
from pathosig.encoder.training.store import open_store, write_store


def _slides(seed=0):
    rng = np.random.default_rng(seed)
    return [(f"S{i}", [rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in sizes])
            for i, sizes in enumerate([(3, 4), (), (13,), (1, 1)])]  # fmt: skip


@pytest.mark.parametrize("shard", [4, 5, 100])
def test_rows_come_back_in_the_order_asked_for(tmp_path, shard):
    slides = _slides()
    everything = np.concatenate([b for _, blocks in slides for b in blocks])
    write_store(tmp_path, slides, key="k", shard_tiles=shard)
    store = open_store(tmp_path, key="k")
    assert len(store) == 22
    assert store.size_px == 8
    assert store.slides == ("S0", "S1", "S2", "S3")
    assert np.bincount(store.slide, minlength=4).tolist() == [7, 0, 13, 2]
    index = np.random.default_rng(1).permutation(22)[:9]
    assert np.array_equal(store.rows(index), everything[index])
    assert all(len(s) == shard for s in store.shards[:-1])


def test_store_of_other_tiles_or_half_written_is_not_opened(tmp_path):
    write_store(tmp_path, _slides(), key="k", shard_tiles=5)
    assert open_store(tmp_path, key="other") is None
    (tmp_path / "tiles-001.npy").unlink()
    assert open_store(tmp_path, key="k") is None
    assert open_store(tmp_path / "none", key="k") is None


def test_same_tiles_same_bytes(tmp_path):
    for name in "ab":
        write_store(tmp_path / name, _slides(), key="k", shard_tiles=5)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_no_tiles_and_mixed_sizes_are_errors(tmp_path):
    with pytest.raises(InputError, match="no tiles"):
        write_store(tmp_path, [("S0", [])], key="k")
    mixed = [("S0", [np.zeros((2, 8, 8, 3), np.uint8)]), ("S1", [np.zeros((2, 9, 9, 3), np.uint8)])]
    with pytest.raises(InputError, match="slide S1"):
        write_store(tmp_path, mixed, key="k")

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from pathosig.core.errors import InputError, SlideError, StorageError
from pathosig.core.fingerprints import fingerprint, identity
from pathosig.core.names import file_stem
from pathosig.core.records import (
    Record,
    atomic_path,
    parquet_metadata,
    read_json,
    read_parquet,
    remove_stale,
    sha256_file,
    to_json,
    write_json,
    write_npy,
    write_parquet,
)


def test_an_atomic_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_atomic_write_replaces_the_old_file_only_when_whole(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert target.read_text() == "old"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_json_is_stable_and_writes_missing_numbers_as_null():
    text = to_json({"b": float("nan"), "a": np.float64(1.5), "c": np.arange(2)})
    assert json.loads(text) == {"a": 1.5, "b": None, "c": [0, 1]}
    assert text.index('"a"') < text.index('"b"')


def test_parquet_bytes_repeat_and_metadata_come_back(tmp_path):
    table = pa.table({"x": [1, 2, 3]})
    for name in ("a", "b"):
        write_parquet(tmp_path / name, table, {"pathosig": {"mpp": 0.5}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert parquet_metadata(tmp_path / "a") == {"pathosig": {"mpp": 0.5}}
    assert read_parquet(tmp_path / "a").column("x").to_pylist() == [1, 2, 3]


def test_a_damaged_table_is_an_input_error(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError):
        read_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError):
        read_json(tmp_path / "missing.json")


def test_identity_depends_on_content_not_on_place(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "s.svs").write_bytes(b"pixels")
    (tmp_path / "t.svs").write_bytes(b"pixels")
    assert identity(tmp_path / "a" / "s.svs") == identity(tmp_path / "t.svs")
    (tmp_path / "t.svs").write_bytes(b"pixelz")
    assert identity(tmp_path / "a" / "s.svs") != identity(tmp_path / "t.svs")


def test_every_part_of_a_fingerprint_counts():
    base = {"stage": "tiles", "version": 1, "spec": {"mpp": 0.5}, "upstream": {"tissue": "x"}, "inputs": 1}
    changes = (
        {"stage": "t"},
        {"version": 2},
        {"spec": {"mpp": 1.0}},
        {"upstream": {"tissue": "y"}},
        {"inputs": 2},
    )
    prints = {fingerprint(**{**base, **change}) for change in ({}, *changes)}
    assert len(prints) == 6


def test_a_flipped_byte_is_seen(tmp_path):
    write_npy(tmp_path / "e.npy", np.arange(10))
    record = Record(
        stage="embed",
        unit="a",
        status="ok",
        fingerprint="f",
        outputs={"e.npy": sha256_file(tmp_path / "e.npy")},
    )
    assert record.damaged_outputs(tmp_path) == []
    data = bytearray((tmp_path / "e.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "e.npy").write_bytes(data)
    assert record.damaged_outputs(tmp_path) == ["e.npy"]


def test_a_damaged_record_counts_as_none(tmp_path):
    (tmp_path / "r.json").write_text("{")
    assert Record.read(tmp_path / "r.json") is None
    write_json(tmp_path / "r.json", {"stage": "x"})
    assert Record.read(tmp_path / "r.json") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("x")


def test_a_rename_that_fails_is_exit_6_and_names_the_file_that_was_meant(tmp_path):
    (tmp_path / "result.json" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"result\.json") as raised:
        write_json(tmp_path / "result.json", {})
    assert raised.value.exit_code == 6
    assert ".tmp" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT])
def test_a_disk_that_cannot_sync_is_exit_6_and_leaves_the_old_file(tmp_path, monkeypatch, number):
    write_json(tmp_path / "result.json", {"a": 1})

    def fails(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)  # no disk of a test machine fails on demand
    with pytest.raises(StorageError, match=r"result\.json") as raised:
        write_json(tmp_path / "result.json", {"a": 2})
    assert raised.value.exit_code == 6
    assert read_json(tmp_path / "result.json") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_full_disk_is_a_storage_error_with_exit_6(tmp_path):
    import errno

    with pytest.raises(StorageError) as caught, atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == 6
    assert "resumes" in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "plain"),
    [
        ("S1", True),
        ("TCGA-05.a_b", True),
        ("-rf", False),
        ("ä b", False),
        ("CON", False),
        ("a/b", False),
        ("x" * 101, False),
        ("😀", False),
        ("a\nb", False),
        (".hidden", False),
    ],
)
def test_only_safe_ids_are_file_names_as_they_are(unit, plain):
    stem = file_stem(unit)
    assert (stem == unit) == plain
    assert file_stem(stem) == stem


def test_ids_that_differ_in_case_only_get_different_names():
    twins = frozenset({"s1"})
    assert file_stem("S1", twins).lower() != file_stem("s1", twins).lower()


def test_errors_survive_the_trip_between_processes():
    import multiprocessing.reduction as reduction

    error = SlideError("slide S: broken", code="E_FORMAT")
    again = reduction.ForkingPickler.loads(reduction.ForkingPickler.dumps(error))
    assert (type(again), str(again), again.code) == (SlideError, "slide S: broken", "E_FORMAT")


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from pathosig.core.errors import StorageError
from pathosig.core.records import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the disk takes no more than this
target = Path(sys.argv[1])
try:
    with atomic_path(target) as temporary:
        save_file({"x": np.zeros(100_000)}, temporary)
except StorageError as error:
    print(error.exit_code, error)
print(sorted(p.name for p in target.parent.iterdir()))
"""


def test_a_disk_that_takes_no_more_of_a_safetensors_file_is_exit_6(tmp_path):
    """The library wraps the system's error in one of its own."""
    out = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "codebook.safetensors"],
        capture_output=True,
        text=True,
        check=True,
    )
    first, last = out.stdout.splitlines()
    assert first.startswith("6 codebook.safetensors: cannot be written")
    assert last == "[]"


@pytest.mark.parametrize("year", [2001, 2040])  # of a clock that was wrong when the file was written
def test_a_temporary_file_of_another_machine_goes_whatever_its_clock_said(tmp_path, year):
    old, fresh = (tmp_path / f".tmp-0123abcd.1-{name}-table.csv" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_text("half")
    seconds = (year - 1970) * 31_557_600
    os.utime(old, (seconds, seconds))
    assert remove_stale(tmp_path) == 1
    assert not old.exists()
    assert fresh.exists()

import os

import numpy as np
import pytest
from files import texture, write_ome, write_philips, write_svs
from ndpis import write_ndpi
from server import Server

from pathosig.core.errors import InputError, SlideError, StorageError
from pathosig.core.fingerprints import identity, input_key
from pathosig.core.remote import path_of, shown, url_of
from pathosig.slides import open_slide, plan_read, read_tiles
from pathosig.slides.opening import _scan_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # aiohttp keeps a connection for the next request


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATHOSIG_STAGE", str(tmp_path / "stage"))
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


@pytest.fixture
def server(folder):
    server = Server(folder)
    yield server
    server.close()


def pixels(path):
    with open_slide(path) as reader:
        plan = plan_read(reader.info, 0.5)
        return next(iter(read_tiles(reader, plan, np.array([(0, 0), (300, 200)]), 64))).tiles


@pytest.mark.parametrize("write", [write_svs, write_ome, write_philips, write_ndpi])
def test_a_slide_on_a_server_has_the_pixels_of_the_file(folder, server, write):
    local = folder / {"write_ndpi": "s.ndpi", "write_svs": "s.svs"}.get(write.__name__, "s.ome.tif")
    write(local, texture(640, 1024), **({"levels": (1, 4)} if write is write_ndpi else {}))
    assert np.array_equal(pixels(path_of(f"{server.url}/{local.name}", folder)), pixels(local))


def test_of_a_large_tiff_only_parts_are_read_and_nothing_is_copied(folder, server, tmp_path):
    write_svs(folder / "s.svs", np.random.default_rng(0).integers(0, 255, (4096, 4096, 3)).astype(np.uint8))
    size = (folder / "s.svs").stat().st_size
    there = path_of(f"{server.url}/s.svs", folder)
    assert size > 8 << 20
    assert np.array_equal(pixels(there), pixels(folder / "s.svs"))
    assert server.bytes_given < size / 2
    assert not (tmp_path / "stage").exists()


def test_a_server_without_ranges_has_its_slides_copied_and_the_copies_are_bounded(
    folder, tmp_path, monkeypatch
):
    server = Server(folder, has_ranges=False)
    for name in ("a", "b", "c"):
        write_svs(
            folder / f"{name}.svs",
            np.random.default_rng(ord(name)).integers(0, 255, (1000, 1000, 3)).astype(np.uint8),
        )
    size = max(path.stat().st_size for path in folder.iterdir())
    assert size > 1 << 20  # more than one block; otherwise the last block would be the whole file
    monkeypatch.setenv("PATHOSIG_STAGE_GB", str(2.5 * size / 1e9))
    addresses = [path_of(f"{server.url}/{name}.svs", folder) for name in "abc"]
    with open_slide(addresses[0]):
        for address in addresses[1:]:
            assert np.array_equal(pixels(address), pixels(folder / address.name))
        copies = sorted(path.name for path in (tmp_path / "stage").rglob("*.svs"))
        assert copies == ["a.svs", "c.svs"]  # the open file is kept, and b is removed
    monkeypatch.setenv("PATHOSIG_STAGE_GB", str(0.5 * size / 1e9))
    with pytest.raises(StorageError, match="PATHOSIG_STAGE_GB"):
        open_slide(addresses[1])
    server.close()


@pytest.mark.parametrize(
    ("name", "code"), [("none.svs", "E_NOT_FILE"), ("secret.svs", "E_NOT_FILE"), ("text.svs", "E_FORMAT")]
)
def test_what_cannot_be_read_has_a_code(folder, server, name, code):
    (folder / "secret.svs").write_bytes(b"x")
    (folder / "text.svs").write_bytes(b"no slide at all")
    with pytest.raises(SlideError) as error:
        open_slide(path_of(f"{server.url}/{name}", folder))
    assert error.value.code == code


def test_an_identity_follows_the_content_and_needs_no_whole_file(folder, server):
    path = folder / "s.svs"
    path.write_bytes(os.urandom(8 << 20))
    there = path_of(f"{server.url}/s.svs", folder)
    before, key = identity(there), input_key(there)
    assert identity(there) == before
    assert input_key(there) == key
    assert server.bytes_given < 2 * 4 << 20
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert input_key(there) != key
    assert identity(there)["xxh3"] != before["xxh3"]
    assert identity(there)["size"] == before["size"]


def test_addresses_are_paths_and_come_back(tmp_path):
    path = path_of("s3://bucket/a b/slide.ome.tif", tmp_path)
    assert url_of(path) == shown(path) == "s3://bucket/a b/slide.ome.tif"
    assert (path.name, path.stem) == ("slide.ome.tif", "slide.ome")
    assert _scan_of(path_of("s3://bucket/slide.ome.tif#2", tmp_path)) == (
        path_of("s3://bucket/slide.ome.tif", tmp_path),
        2,
    )
    assert url_of(path_of("slides/a.svs", tmp_path)) is None
    assert url_of(path_of("s3:a.svs", tmp_path)) is None


@pytest.mark.parametrize("text", ["https://user:word@host/a.svs", "https://host/a.svs?X-Amz-Signature=1"])
def test_credentials_do_not_belong_into_a_table(tmp_path, text):
    with pytest.raises(InputError, match="environment"):
        path_of(text, tmp_path)

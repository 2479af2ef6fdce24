"""Readers in other packages: the names that they may use, and when they are imported."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from files import texture
from kfbs import write_kfb

from pathosig.commands.doctor import doctor
from pathosig.slides import open_slide, opening
from pathosig.slides.reader import ContextClose, SlideInfo


class Other(ContextClose):
    """A reader of another package."""

    info = SlideInfo(
        level_sizes=((9, 9),), downsamples=(1.0,), mpp=None, mpp_source="missing", vendor="other"
    )

    def __init__(self, path, *, mpp=None):
        self.path, self.mpp = path, mpp


@pytest.fixture
def other_package(monkeypatch):
    """Another package that registers readers under names of built-in ones."""
    ours = [EntryPoint(name, value, "pathosig.readers") for name, value in opening.BUILT_IN.items()]
    theirs = [EntryPoint(name, f"{__name__}:Other", "pathosig.readers") for name in ("kfb", "czi", "tiff")]
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(
        "importlib.metadata.entry_points",
        lambda *, group, name: [p for p in theirs + ours if p.name == name],
    )
    opening._registered_by_others.cache_clear()
    yield
    opening._registered_by_others.cache_clear()


def test_another_package_may_take_the_names_of_closed_formats_and_no_others(tmp_path, other_package):
    path = tmp_path / "s.kfb"
    write_kfb(path, texture(300, 300))
    for options in ({}, {"reader": "kfb"}):
        found = open_slide(path, mpp=0.5, **options)
        assert isinstance(found.source, Other)
        assert (found.path, found.mpp) == (path, 0.5)
    (tmp_path / "s.czi").write_bytes(b"anything")
    assert isinstance(open_slide(tmp_path / "s.czi").source, Other)
    from pathosig.slides.backends.isyntax import ISyntaxReader
    from pathosig.slides.backends.tiff import TiffReader

    assert opening._opener("tiff") is TiffReader
    assert opening._opener("isyntax") is ISyntaxReader


def test_readers_of_closed_formats_are_imported_only_for_such_slides():
    code = (
        "import sys, pathosig.slides, pathosig.tiles.stage, pathosig.tissue.stage; "
        "print([m for m in ('isyntax', '_pylibCZIrw', 'kfbslide', 'pathosig.slides.backends.czi', "
        "'pathosig.slides.backends.kfb', 'pathosig.slides.backends.isyntax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_doctor_says_how_to_get_what_is_missing(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "isyntax" else real(name))
    found = doctor()
    assert found.missing["isyntax"] == 'iSyntax slides: pip install "pathosig[isyntax]"'
    assert "embed" not in found.missing and "cpu" in found.devices
    assert {"czi", "kfb", "isyntax"} <= set(found.readers)


def test_doctor_works_where_only_the_base_package_is_installed(monkeypatch):
    import builtins
    import importlib.util

    absent = ("torch", "openslide", "tifffile", "fastapi", "dask")
    real, found_spec = builtins.__import__, importlib.util.find_spec

    def no_extra(name, *rest, **options):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", no_extra)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else found_spec(name)
    )
    found = doctor()
    assert {"slides", "embed", "viewer", "dask"} <= set(found.missing)
    assert "devices        unknown without torch (extra embed)" in found.to_text()

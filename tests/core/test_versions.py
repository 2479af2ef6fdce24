import importlib.metadata
import sys

from pathosig.core import versions as module
from pathosig.core.versions import versions


def test_versions_are_those_that_importlib_knows():
    found = versions()
    assert found.pop("python") == ".".join(map(str, sys.version_info[:3]))
    assert "pathosig" in found
    assert "openslide-bin" in found
    assert found == {name: importlib.metadata.version(name) for name in found}
    absent = set(module._NAMES) - set(found)
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    assert not absent & installed


def test_where_installers_leave_no_folders_importlib_is_asked(monkeypatch):
    expected = versions()
    monkeypatch.setattr(module, "_listed", dict)
    module._versions.cache_clear()
    assert versions() == expected
    module._versions.cache_clear()


def test_callers_cannot_change_what_is_kept():
    versions()["python"] = "2"
    assert versions()["python"] != "2"

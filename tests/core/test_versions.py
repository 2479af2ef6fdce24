import importlib.metadata
import sys

from pathosig.core import versions as module
from pathosig.core.versions import versions


def test_versions_are_those_that_importlib_knows():
    listed = versions()
    assert listed.pop("python") == ".".join(map(str, sys.version_info[:3]))
    assert {"pathosig", "openslide-bin"} <= set(listed)
    assert listed == {name: importlib.metadata.version(name) for name in listed}
    absent = set(module._NAMES) - set(listed)
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    assert not absent & installed


def test_callers_cannot_change_what_is_kept():
    versions()["python"] = "2"
    assert versions()["python"] != "2"

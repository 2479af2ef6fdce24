"""Fixtures that several areas share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def pathosig_data() -> Path:
    """The folder of real data named by PATHOSIG_DATA; tests that need it are skipped without it."""
    folder = os.environ.get("PATHOSIG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PATHOSIG_DATA does not name a folder of real data")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def golden_folder(pathosig_data: Path) -> Path:
    """Results of R that lie beside the real data."""
    folder = pathosig_data.parent / "golden"
    if not folder.is_dir():
        pytest.skip("no golden folder beside PATHOSIG_DATA")
    return folder


@pytest.fixture(scope="session")
def cmu_slide() -> Path:
    """A real Aperio slide (CC0)."""
    return HERE / "data" / "cmu-1-small-region.svs"

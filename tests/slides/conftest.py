"""Helpers of these tests lie beside them; data that is not part of the project is optional."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def pathosig_data():
    """The folder of extra data, where the variable PATHOSIG_DATA names it."""
    folder = os.environ.get("PATHOSIG_DATA")
    if not folder:
        pytest.skip("PATHOSIG_DATA does not name the folder of extra data")
    return Path(folder)

"""Fixtures that several areas share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


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
def tissue_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated Aperio slide of one level, 2220 x 2967 px at 0.499 um: stained tissue on a third of its glass."""
    from scipy import ndimage

    from pathosig.synthetic.svs import write_svs

    rng = np.random.default_rng(7)
    width, height = 2220, 2967
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ragged = ndimage.zoom(rng.normal(size=(30, 23)), (height / 30, width / 23), order=1)[:height, :width]
    inside = np.hypot((x - 950) / 780, (y - 1300) / 1050) + 0.04 * ragged < 1
    detail = ndimage.gaussian_filter(rng.normal(size=(height, width)).astype(np.float32), 1.5)
    nuclei = np.clip(detail / detail.std(), 0, 3)
    pixels = np.where(
        inside[..., None], np.array([215, 160, 200]) - nuclei[..., None] * [45, 45, 22], [243, 243, 244]
    )
    path = tmp_path_factory.mktemp("slide") / "tissue.svs"
    write_svs(
        path,
        np.clip(pixels + rng.normal(0, 1.0, (height, width, 1)), 0, 255).astype(np.uint8),
        mpp=0.499,
        levels=0,
    )
    return path

"""A study painted in a moment, at 2 um per pixel: two microarrays, slides, several slides of a patient, and a folder of DICOM."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from pathosig.core.study import Study
from tests.slides.arrays import microarray
from tests.slides.dicoms import write_series

SETTINGS = """
[endpoints]
os = { time = "os_time", event = "os_event", unit = "months" }
[primary]
endpoint = "os"
discovery = "discovery"
[tiles]
size_px = 64
mpp = 2.0
[encoder]
engine = "fp32"
[phenotypes]
k = 6
runs = 3
[signature]
min_tiles = 8
selection = "ridge"
bootstraps = 0
"""


def cores(rows: int, columns: int, seed: int) -> np.ndarray:
    """Round pieces of tissue of many colours on glass."""
    small, _, _ = microarray(rows, columns, seed=seed, missing=0.1)
    big = np.repeat(np.repeat(small, 8, 0), 8, 1).astype(int)
    return np.clip(big + np.random.default_rng(seed).integers(-12, 12, big.shape), 0, 255).astype(np.uint8)


def write_tiff(path: Path, rgb: np.ndarray) -> Path:
    """A tiled TIFF of one level at 2 um per pixel."""
    tifffile.imwrite(
        path, rgb, tile=(256, 256), photometric="rgb", compression="jpeg", compressionargs={"level": 92},
        resolution=(5000, 5000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


def paint(folder: Path) -> Study:
    """Discovery: 14 patients on two microarrays. New: 6 others on the second, W01 of three slides, and W02 in DICOM."""
    folder.mkdir()
    rng, slides, cells, owners = random.Random(5), [], [], []
    for k in range(2):
        path = write_tiff(folder / f"T{k}.tif", cores(4, 5, k))
        slides.append((path.stem, "", path.name, "tma"))
        for place in range(20):
            patient = f"P{(k * 20 + place) // 2:02d}"
            cells.append((f"T{k}", place // 5 + 1, place % 5 + 1, patient))
            owners.append(patient)
    for name in "ABC":
        path = write_tiff(folder / f"W01{name}.tif", cores(2, 3, ord(name)))
        slides.append((path.stem, "W01", path.name, "wsi"))
    write_series(folder / "W02", cores(2, 3, 9), mpp=2.0, levels=(1, 2))
    slides.append(("W02", "W02", "W02", "wsi"))
    outcome = []
    for i, patient in enumerate(sorted({*owners, "W01", "W02"})):
        death, end = rng.expovariate(0.03), rng.uniform(5, 60)
        cohort = "discovery" if i < 14 else "validation"
        outcome.append((patient, cohort, round(min(death, end) + 0.01, 2), int(death <= end)))
    for name, columns, rows in (
        ("slides.csv", "slide_id patient_id path kind", slides),
        ("tma_map.csv", "tma row column patient_id", cells),
        ("patients.csv", "patient_id cohort os_time os_event", outcome),
    ):
        pd.DataFrame(rows, columns=columns.split()).to_csv(folder / name, index=False)
    (folder / "study.toml").write_text(SETTINGS)
    return Study.open(folder)

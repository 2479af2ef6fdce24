"""The tiles stage: one table of tiles per slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.core.execution import run_each
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.tiles.spec import TileSpec

if TYPE_CHECKING:
    from pathosig.core.study import Study

STAGE = Stage(name="tiles", version=5)


def cut_tiles(
    study: Study,
    spec: TileSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Cut tiles of a physical size from the tissue of every slide.

    Parameters
    ----------
    study
        An open study whose tissue stage has run.
    spec
        Size of tiles and bounds on their quality; from study.toml by default.
    execution
        Number of workers, and what to do with slides that are already done or that fail.

    Returns
    -------
    StageReport
        Slides of which no tile is kept are ``empty``, with a count for each reason.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from pathosig.core.study import Study
    >>> from pathosig.core.tables import write_csv_rows
    >>> from pathosig.tissue import find_tissue
    >>> study = Study.create(Path(tempfile.mkdtemp()))
    >>> slide = np.full((600, 800, 3), 243, np.uint8)
    >>> slide[100:500, 100:700] = np.random.default_rng(0).normal((190, 120, 170), 20, (400, 600, 3)).clip(0, 255)
    >>> Image.fromarray(slide).save(study.root / "S01.png")
    >>> row = {"slide_id": "S01", "patient_id": "P01", "path": "S01.png", "mpp": 0.5}
    >>> write_csv_rows(study.root / "slides.csv", [row], list(row))
    >>> patient = {"patient_id": "P01", "cohort": "discovery"}
    >>> write_csv_rows(study.root / "patients.csv", [patient], list(patient))
    >>> _ = find_tissue(study)
    >>> cut_tiles(study, TileSpec(size_px=100, mpp=0.5)).done
    ('S01',)
    >>> study.record("tiles", "S01").summary["n_tiles"]
    9
    """
    spec = spec or study.spec(TileSpec)
    units = []
    for specimen in study.specimens():
        tissue = study.paths.tissue(specimen.id)
        payload = {
            "path": str(specimen.path),
            "mpp": specimen.mpp,
            "region": specimen.region,
            "tissue": str(tissue.relative_to(study.root)),
            "output": study.paths.relative(study.paths.tiles(specimen.id)),
            "intact": _intact(study, specimen.id),
        }
        # The fingerprint of the tissue stage covers what it read; its output must also be unchanged.
        inputs = {"tissue_intact": payload["intact"]}
        units.append(
            Unit(
                id=specimen.id,
                inputs=inputs,
                upstream={"tissue": study.upstream("tissue", specimen.id)},
                payload=payload,
                slide=specimen.as_input(read_by="tissue"),
            )
        )
    return run_each(study, STAGE, spec, units, _one, execution=execution)


def _intact(study: Study, unit: str) -> bool:
    record = study.record("tissue", unit)
    return record is None or not record.damaged_outputs(study.root)


def _one(job: Job) -> Outcome:
    from pathosig.tiles.of_slide import (
        cut_slide,  # imports NumPy, which the process that hands out slides does not need
    )

    return cut_slide(job)

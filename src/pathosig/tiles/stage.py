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

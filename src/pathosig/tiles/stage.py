"""The tiles stage: one table of tiles per slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.core.execution import run_each
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.tiles.spec import TileSpec

if TYPE_CHECKING:
    from pathosig.core.study import Study

STAGE = Stage(name="tiles", version=4)


def cut_tiles(
    study: Study,
    spec: TileSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Lay tiles of a physical size over the tissue of every slide.

    Parameters
    ----------
    study
        An open study whose tissue stage has run.
    spec
        Size of tiles and limits of quality; from study.toml by default.
    execution
        Workers, and what happens to slides that are done or fail.

    Returns
    -------
    StageReport
        Slides whose tissue holds no whole tile are ``empty``, with the reasons counted.
    """
    spec = spec or study.spec(TileSpec)
    units = []
    for specimen in study.specimens():
        tissue = study.paths.tissue(specimen.id)
        edited = study.paths.edited_tissue(specimen.id)
        payload = {
            "path": str(specimen.path),
            "mpp": specimen.mpp,
            "region": specimen.region,
            "tissue": str(tissue.relative_to(study.root)),
            "output": study.paths.relative(study.paths.tiles(specimen.id)),
            "intact": _intact(study, specimen.id),
            "edited": edited.is_file(),
        }
        # what the tissue stage read is in its fingerprint; its output must still be what it wrote
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
        cut_slide,  # with NumPy; the process that hands out slides does without
    )

    return cut_slide(job)

"""Somebody's frozen phenotypes on my slides, or on features made elsewhere; no signature needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.remote import url_of
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution
from pathosig.phenotypes.codebook import Codebook
from pathosig.scoring.contents import read_phenotypes
from pathosig.scoring.work import NewSlides, run_stages, work_study


@dataclass(frozen=True, kw_only=True)
class AssignReport(Shown):
    """Slides whose tiles have phenotypes now.

    Attributes
    ----------
    out
        The folder.
    slides, unlike
        Slides assigned, and those unlike the slides the phenotypes were made from.
    failed
        A message per slide that failed.
    """

    out: str
    slides: tuple[str, ...]
    unlike: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """4 when slides failed, else 0."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def to_text(self) -> str:
        """For people."""
        lines = [f"{len(self.slides)} slides assigned"]
        if self.unlike:
            lines.append(f"W_SHIFT unlike the slides of the bundle: {', '.join(self.unlike)}")
        return "\n".join([*lines, *(f"failed: {f}" for f in self.failed), f"written: {self.out}"])


def assign_phenotypes(
    bundle: Path,
    *slides: Path,
    out: Path = Path("phenotypes"),
    features: Path | None = None,
    mpp: float | None = None,
    weights: Path | None = None,
    execution: Execution = Execution(),
) -> AssignReport:
    """Assign the phenotypes of a bundle to new slides: the same labels, byte for byte, from slides and from their features.

    Writes tiles/<slide>.parquet and phenotypes/<slide>.parquet of every slide, and slides.csv with the proportion of each
    HPC, of far tiles, and whether the slide is unlike those of the bundle.

    Parameters
    ----------
    bundle
        A .psig file, with or without a signature.
    slides
        Slide files or DICOM folders.
    out
        The folder to write.
    features
        Folder of <slide>.h5 files of TRIDENT, CLAM or STAMP, in place of slides.
    mpp
        Micrometres per pixel of slides (of tiles, with features) where neither header nor file says.
    weights
        Local weights of the encoder, where the bundle does not carry them.

    Raises
    ------
    ConfigError
        If neither slides nor features are given, or both.
    InputError
        E_BUNDLE if the bundle is refused. E_MIXED if the features are of another encoder or magnification. E_NOT_FILE if a
        slide is not there.
    """
    if bool(slides) == (features is not None):
        raise ConfigError("assign: expected slides or --features FOLDER, one of them.")
    missing = [str(p) for p in (*slides, *([features] if features else [])) if not (url_of(p) or p.exists())]
    if missing:
        raise InputError(f"assign: not there: {', '.join(missing[:5])}.", code="E_NOT_FILE")
    with tempfile.TemporaryDirectory(prefix="pathosig-assign-") as folder:
        root = Path(folder)
        frozen = read_phenotypes(bundle, root)
        new = NewSlides(
            slides=slides,
            owners={},
            mpp=None if features else mpp,
            features=features,
            weights=weights,
            tile_mpp=mpp if features else None,
        )
        study = work_study(frozen, new)
        reports = run_stages(study, frozen, new, execution, strict=False)
        return _collect(study, out, [e for r in reports for e in r.errors])


def _collect(study: Study, out: Path, failed: Sequence[str]) -> AssignReport:
    """Copy the tables of every slide that has phenotypes and write slides.csv."""
    k = Codebook.load(study.paths.codebook).k
    columns = [f"hpc_{hpc:02d}" for hpc in range(k)]
    rows: list[dict[str, object]] = []
    for specimen in study.specimens():
        record = study.record("phenotypes", specimen.id)
        if record is None or record.status != "ok":
            continue
        for path in (study.paths.tiles(specimen.id), study.paths.assignments(specimen.id)):
            target = out / path.relative_to(study.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        hpc = read_table(study.paths.assignments(specimen.id), ASSIGNMENTS).column("hpc").to_numpy()
        proportions = np.bincount(hpc, minlength=k) / max(len(hpc), 1)
        row: dict[str, object] = {
            "slide_id": specimen.id,
            "n_tiles": len(hpc),
            "far": record.summary["far"],
            "unlike": int(record.summary["unlike"]),
        }
        rows.append(row | dict(zip(columns, proportions.round(6).tolist(), strict=True)))
    out.mkdir(parents=True, exist_ok=True)
    write_csv_rows(out / "slides.csv", rows, ("slide_id", "n_tiles", "far", "unlike", *columns))
    return AssignReport(
        out=str(out),
        slides=tuple(str(r["slide_id"]) for r in rows),
        unlike=tuple(str(r["slide_id"]) for r in rows if r["unlike"]),
        failed=tuple(failed),
    )

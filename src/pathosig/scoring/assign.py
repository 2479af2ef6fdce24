"""Assigns the frozen phenotypes of a bundle to new slides, or to features that another program made."""

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
from pathosig.core.words import counted
from pathosig.phenotypes.codebook import Codebook
from pathosig.scoring.contents import read_phenotypes
from pathosig.scoring.work import NewSlides, run_stages, work_study


@dataclass(frozen=True, kw_only=True)
class AssignReport(Shown):
    """The slides whose tiles were assigned to phenotypes.

    Attributes
    ----------
    out
        The folder that was written.
    slides, unlike
        Slides that were assigned, and those of them that are unlike the slides behind the phenotypes.
    failed
        One message per slide that failed.
    """

    out: str
    slides: tuple[str, ...]
    unlike: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """4 if slides failed, else 0."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def to_text(self) -> str:
        """The report as text for a terminal."""
        lines = [f"{counted(len(self.slides), 'slide')} assigned"]
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
    """Assign the phenotypes of a bundle to new slides, or to features of their tiles.

    A slide and its features give the same labels, byte for byte. The command writes tiles/<slide>.parquet and
    phenotypes/<slide>.parquet for every slide, and slides.csv with the proportion of each HPC, the proportion of far tiles, and
    whether the slide is unlike those of the bundle.

    Parameters
    ----------
    bundle
        A .psig file, with or without a signature.
    slides
        Slide files or DICOM folders.
    out
        The folder to write.
    features
        Folder of <slide>.h5 files from TRIDENT, CLAM or STAMP, to use instead of slides.
    mpp
        Micrometres per pixel of the slides (with features: of the tiles), if the files do not state it.
    weights
        Local weights of the encoder, if the bundle does not contain them.
    execution
        Workers, device and other settings that do not change results.

    Returns
    -------
    AssignReport
        The slides that were assigned, and those that failed.

    Raises
    ------
    ConfigError
        If neither slides nor features are given, or both are.
    InputError
        E_BUNDLE if the bundle is refused, E_MIXED if the features come from another encoder or magnification, E_NOT_FILE if a
        slide does not exist.
    """
    if bool(slides) == (features is not None):
        raise ConfigError("assign: expected either slides or --features FOLDER.")
    missing = [str(p) for p in (*slides, *([features] if features else [])) if not (url_of(p) or p.exists())]
    if missing:
        raise InputError(f"assign: no such file or folder: {', '.join(missing[:5])}.", code="E_NOT_FILE")
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
    """Copy the tables of every slide that has phenotypes, and write slides.csv."""
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

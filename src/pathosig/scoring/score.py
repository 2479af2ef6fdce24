"""Scoring new slides with a frozen bundle: the same stages, nothing refitted."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.execution import run_each, run_once
from pathosig.core.layout import Layout
from pathosig.core.records import read_json
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution, Job, Outcome, Unit
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.distance import Shift
from pathosig.scoring.bundle import read_bundle
from pathosig.slides.listing import slide_name

_COLUMNS = ("patient_id", "n_slides", "n_tiles", "score", "group", "unlike_training", "remark")


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """Scores of new patients."""

    out: str
    rows: tuple[dict[str, Any], ...]
    failed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """4 when slides failed, else 0."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"out": self.out, "scores": list(self.rows), "failed": list(self.failed)}

    def to_text(self) -> str:
        """A line per patient."""
        lines = []
        for row in self.rows:
            score = "-" if row["score"] is None else f"{row['score']:.4f}"
            lines.append(f"{row['patient_id']:<24} {score:>10}  {row['group']:<15} {row['remark']}")
        return "\n".join([*lines, *(f"failed: {f}" for f in self.failed), f"written: {self.out}"])


def score_slides(
    bundle: Path,
    *slides: Path,
    out: Path = Path("scores.csv"),
    patients: Path | None = None,
    mpp: float | None = None,
    weights: Path | None = None,
    execution: Execution = Execution(),
) -> ScoreReport:
    """Score new slides with a frozen signature; abstains when a patient is out of distribution.

    Parameters
    ----------
    bundle
        A .psig file.
    slides
        Slide files or DICOM folders.
    out
        The table to write.
    patients
        CSV with columns slide (file name without suffix) and patient_id; without it every slide is a patient.
    mpp
        Micrometres per pixel of slides whose header has none.
    weights
        Local weights of the encoder, where the bundle does not carry them.

    Raises
    ------
    ConfigError
        If no slide is given or two have the same name.
    InputError
        E_BUNDLE if the bundle is refused. E_NOT_FILE, E_MISSING if a slide or table is not there.
    """
    if not slides:
        raise ConfigError("score: no slide given.")
    owners = _owners(patients)
    missing = [str(p) for p in slides if not p.exists()]
    if missing:
        raise InputError(
            f"score: {len(missing)} of {len(slides)} slides are not there: {', '.join(missing[:5])}.",
            code="E_NOT_FILE",
        )
    with tempfile.TemporaryDirectory(prefix="pathosig-score-") as folder:
        root = Path(folder)
        read_bundle(bundle, root)
        refuse_without_pixels(root)
        study = new_study(root, slides, owners=owners, mpp=mpp, weights=weights)
        failed = _run(study, execution)
        rows = _scores(study)
    write_csv_rows(out, rows, _COLUMNS)
    return ScoreReport(out=str(out), rows=tuple(rows), failed=tuple(failed))


def refuse_without_pixels(root: Path) -> None:
    """Raise E_BUNDLE if the bundle in this folder does not know how tissue, tiles and embeddings are made."""
    specs = read_json(root / "specs.json")
    if specs["tissue"] and specs["tiles"]:
        return
    name = read_json(Layout(root).encoder_card).get("name")
    raise InputError(
        f"this bundle comes from a study that started from embeddings ({name}), so it does not know how "
        "tissue, tiles and embeddings of a slide are made. Use a bundle of a study that started from slides.",
        code="E_BUNDLE",
    )


def _owners(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Expected a CSV with columns slide and patient_id.", code="E_MISSING"
        )
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    if rows and not {"slide", "patient_id"} <= set(rows[0]):
        raise InputError(f"{path.name}: expected columns slide and patient_id; found {list(rows[0])}.")
    return {r["slide"]: r["patient_id"] for r in rows}


def new_study(
    root: Path,
    slides: Sequence[Path],
    *,
    owners: Mapping[str, str],
    mpp: float | None,
    weights: Path | None,
) -> Study:
    """A study of new slides in the folder a bundle was unpacked to; none of its patients is a discovery patient.

    Raises
    ------
    ConfigError
        E_DUP_ID if two slides have the same name.
    """
    specs = read_json(root / "specs.json")
    names = [slide_name(p) for p in slides]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ConfigError(f"two slides are called {twice[0]!r}; rename one.", code="E_DUP_ID")
    encoder = {**specs["embed"], "method": "pretrained"}
    if weights is not None:
        encoder["weights"] = str(weights.absolute())
    config = {
        "endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}},
        "primary": {"endpoint": "os", "discovery": "none"},
        "tissue": specs["tissue"],
        "tiles": specs["tiles"],
        "encoder": {k: v for k, v in encoder.items() if v is not None},
        "profiles": specs["profiles"],
    }
    study = Study.create(root, config)
    patients = [owners.get(n, n) for n in names]
    rows = [
        {"slide_id": n, "patient_id": p, "path": str(s.absolute()), "mpp": mpp}
        for n, p, s in zip(names, patients, slides, strict=True)
    ]
    write_csv_rows(Layout(root).slides, rows, ("slide_id", "patient_id", "path", "mpp"))
    unique = [{"patient_id": p, "cohort": "new"} for p in sorted(set(patients))]
    write_csv_rows(Layout(root).patients, unique, ("patient_id", "cohort"))
    return study


def assign_slides(study: Study, *, execution: Execution) -> list[str]:
    """Tissue, tiles, embeddings and phenotypes of the slides of `new_study`; messages of slides that failed."""
    from pathosig.encoder.spec import EncoderSpec
    from pathosig.encoder.stage import STAGE as EMBED
    from pathosig.encoder.stage import embed_units
    from pathosig.tiles.stage import cut_tiles
    from pathosig.tissue.stage import find_tissue

    reports = [find_tissue(study, execution=execution), cut_tiles(study, execution=execution)]
    run_once(study, EMBED, study.spec(EncoderSpec), Unit(id="_encoder"), _as_it_is, execution=execution)
    units, task = embed_units(study)
    reports.append(run_each(study, EMBED, study.spec(EncoderSpec), units, task, execution=execution))
    errors = [e for report in reports for e in report.errors]
    return errors + assign_embedded(study, execution=execution)


def assign_embedded(study: Study, *, execution: Execution) -> list[str]:
    """Phenotypes of slides that have embeddings, with the codebook that is there; messages of slides that failed."""
    from pathosig.phenotypes.spec import PhenotypeSpec
    from pathosig.phenotypes.stage import STAGE as PHENOTYPES
    from pathosig.phenotypes.stage import assign_units

    run_once(study, PHENOTYPES, PhenotypeSpec(), Unit(id="_codebook"), _as_it_is, execution=execution)
    units, task = assign_units(study)
    return list(run_each(study, PHENOTYPES, PhenotypeSpec(), units, task, execution=execution).errors)


def _run(study: Study, execution: Execution) -> list[str]:
    """All stages up to the profiles; messages of slides that failed."""
    from pathosig.profiles.stage import build_profiles

    errors = assign_slides(study, execution=execution)
    if any(r.status == "ok" for r in study.records("phenotypes") if not r.unit.startswith("_")):
        build_profiles(study, execution=execution)
    return errors


def _as_it_is(job: Job) -> Outcome:
    """The fit of a bundle is never made again."""
    return Outcome(summary={"from": "bundle"})


def _scores(study: Study) -> list[dict[str, Any]]:
    import numpy as np

    from pathosig.profiles.reading import read_profiles
    from pathosig.signature.model import Signature
    from pathosig.signature.scores import patient_scores

    signature = Signature.load(study.paths.signature)
    if study.record("profiles", "_profiles") is None:
        return [_unscored(study, patient) for patient in study.patients()["patient_id"]]
    profiles = read_profiles(study)
    rows = profiles.patients
    scores = patient_scores(signature, rows, profiles.slides)
    shifts = _shifts(study)
    distance = Codebook.load(study.paths.codebook).distance
    by_patient: dict[str, dict[str, Any]] = {}
    for (_, row), score in zip(rows.iterrows(), scores, strict=True):
        patient = str(row["patient_id"])
        shift = shifts.get(patient, Shift.pooled([]))
        remark = ""
        if not np.isfinite(score):
            remark = f"only {int(row['n_tiles'])} tiles"
        elif distance.unlike(shift):
            remark = f"unlike the slides of the training ({shift.far:.0%} of the tiles far); other tissue, stain or scale?"
            score = float("nan")
        by_patient[patient] = {
            "patient_id": patient,
            "n_slides": int(row["n_slides"]),
            "n_tiles": int(row["n_tiles"]),
            "score": float(score) if np.isfinite(score) else None,
            "group": str(signature.group(np.array([score]))[0]),
            "unlike_training": round(shift.far, 4),
            "remark": remark,
        }
    return [by_patient.get(p) or _unscored(study, p) for p in study.patients()["patient_id"]]


def _unscored(study: Study, patient: str) -> dict[str, Any]:
    """The row of a patient of whom nothing could be measured, with the reason."""
    own = [s.id for s in study.specimens() if s.patient_id == patient]
    stages = ("tissue", "tiles", "embed", "phenotypes")
    errors = [r.error for s in stages for unit in own if (r := study.record(s, unit)) is not None and r.error]
    remark = f"{errors[0]['code']} {errors[0]['message']}" if errors else "no tissue found"
    nothing = {"n_slides": 0, "n_tiles": 0, "score": None, "group": "not assessable", "unlike_training": None}
    return {"patient_id": patient, **nothing, "remark": remark}


def _shifts(study: Study) -> dict[str, Shift]:
    """How far the tiles of each patient lie from those of the training."""
    slides: dict[str, list[Shift]] = {}
    for specimen in study.specimens():
        record = study.record("phenotypes", specimen.id)
        if record is not None and record.status == "ok":
            slides.setdefault(specimen.patient_id, []).append(Shift(**record.summary["shift"]))
    return {patient: Shift.pooled(shifts) for patient, shifts in slides.items()}

"""Scores new slides with a frozen bundle: they pass through the stages of a study, but nothing is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import ConfigError
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution
from pathosig.core.words import counted
from pathosig.phenotypes.distance import Shift
from pathosig.profiles.reading import read_profiles
from pathosig.profiles.stage import build_profiles
from pathosig.scoring.card import training_cores
from pathosig.scoring.clinical import clinical_reading, read_clinical
from pathosig.scoring.contents import Bundle
from pathosig.scoring.owners import owners_of, slide_paths, warnings_of
from pathosig.scoring.readings import Reading, read_patients, unscored
from pathosig.scoring.work import NewSlides, open_work, run_stages, work_beside, work_study
from pathosig.signature.reading import tile_places

if TYPE_CHECKING:
    import pandas as pd

    from pathosig.validation.clinical_model import ClinicalModel

_FIRST = ("patient_id", "n_slides", "n_tiles", "score", "lower", "upper", "group", "percentile")
_LAST = ("similarity", "unlike_training", "nearest", "core_agreement")
_ENDS = ("", "_lower", "_upper")


@dataclass(frozen=True, kw_only=True)
class ScoreReport(Shown):
    """Scores of new patients.

    Attributes
    ----------
    out
        The table that was written.
    header
        Bundle, digest and signer, as text.
    bundle_sha256
        Digest of the bundle.
    readings
        One result per patient.
    failed
        One message per slide that failed.
    warnings
        Remarks on all slides, such as that cores were not joined to patients.
    waiting
        Number of slides that other shards have still to do; the table is written once there are none.
    report
        Folder of the pages, or "".
    """

    out: str
    header: str
    bundle_sha256: str
    readings: tuple[Reading, ...]
    failed: tuple[str, ...]
    waiting: int = 0
    report: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """4 if slides failed, else 0."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "out": self.out,
            "bundle_sha256": self.bundle_sha256,
            "scores": [asdict(r) for r in self.readings],
            "failed": list(self.failed),
            "warnings": list(self.warnings),
            "waiting": self.waiting,
            "report": self.report,
        }

    def to_text(self) -> str:
        """The bundle, and one line per patient."""
        if self.waiting:
            return f"{self.header}\nwaiting for {counted(self.waiting, 'slide')} of other shards; run once more without --shard"
        lines = [self.header, f"{'patient':<24} {'score':>10}  {'95 % interval':<20} {'group':<15} remark"]
        for r in self.readings:
            score = "-" if r.score is None else f"{r.score:.4f}"
            interval = "" if r.lower is None or r.upper is None else f"{r.lower:.3f} to {r.upper:.3f}"
            lines.append(f"{r.patient_id:<24} {score:>10}  {interval:<20} {r.group:<15} {r.remark}".rstrip())
        lines += [f"failed: {f}" for f in self.failed] + [f"warning: {w}" for w in self.warnings]
        lines.append(f"written: {self.out}")
        return "\n".join([*lines, *([f"pages: {self.report}"] if self.report else [])])


def score_slides(
    bundle: Path,
    *slides: Path,
    out: Path = Path("scores.csv"),
    patients: Path | None = None,
    mpp: float | None = None,
    weights: Path | None = None,
    features: Path | None = None,
    tma_map: Path | None = None,
    clinical: Path | None = None,
    report: Path | None = None,
    work: Path | None = None,
    trust: Path | None = None,
    execution: Execution = Execution(),
) -> ScoreReport:
    """Score new slides with a frozen signature, and withhold the score of patients whose slides are unlike the training.

    Parameters
    ----------
    bundle
        A .psig file.
    slides
        Slide files or DICOM folders.
    out
        The table to write.
    patients
        CSV with the columns slide (its file name) and patient_id, or with patient_id alone if names of slides begin with it.
        Without it, every slide, and every core that is an image of its own, counts as a patient.
    mpp
        Micrometres per pixel of slides whose header has no value.
    weights
        Local weights of the encoder, if the bundle does not contain them.
    features
        Folder of tile features (<slide>.h5 from `export --to h5`, TRIDENT, CLAM or STAMP) to score instead of slides.
    tma_map
        Map of the cores, if the slides are tissue microarrays, in the same form as for `init`: a CSV or Excel file with the
        columns tma, row, column and patient_id, or one sheet per array that is laid out like it. Every cell that is not empty is
        a patient.
    clinical
        CSV with patient_id and the covariates of the bundle's clinical + histology model, which is then used too.
    report
        Folder for one page per patient (HTML and JSON, readable offline) with the map of the risk as GeoJSON.
    work
        Folder for intermediate files, so that an interrupted run resumes; beside `out` by default.
    trust
        Public key (PEM) that must have signed the bundle.
    execution
        Workers, device, shard and other settings that do not change results.

    Returns
    -------
    ScoreReport
        One result per patient, and the slides that failed.

    Raises
    ------
    ConfigError
        If no slide is given or two have the same name; E_WORK if the work folder belongs to another bundle.
    InputError
        E_BUNDLE if the bundle is refused, E_UNTRUSTED if it is unsigned or signed with another key, E_NOT_FILE or E_MISSING if
        a slide or table is missing, E_MIXED if features come from another encoder or other tiles, E_INPUT if a table lacks
        columns.
    """
    if not slides and features is None:
        raise ConfigError(
            "score: no slide given. Name slide files, or a folder of tile features with --features."
        )
    names = slide_paths(slides, features)
    owners = owners_of(patients, names)
    new = NewSlides(
        slides=slides,
        owners=owners,
        mpp=mpp,
        features=features,
        tma_map=tma_map,
        weights=weights,
    )
    contents = open_work(bundle, work if work is not None else work_beside(out, bundle), trust=trust)
    covariates = None if clinical is None else read_clinical(clinical, contents.clinical)
    study = work_study(contents, new)
    reports = run_stages(study, contents, new, execution)
    failed = tuple(e for r in reports for e in r.errors)
    common: dict[str, Any] = {
        "out": str(out),
        "header": contents.header(),
        "bundle_sha256": contents.sha256,
        "failed": failed,
        "warnings": ()
        if tma_map
        else warnings_of(names, owners, training_cores=training_cores(contents.card)),
    }
    waiting = sum(not _done(study, s.id) for s in study.specimens())
    if execution.shard is not None and waiting:
        return ScoreReport(readings=(), waiting=waiting, **common)
    readings = read_new(study, contents, execution)
    if contents.clinical is not None and covariates is not None:
        readings = [_with_clinical(contents.clinical, covariates, r) for r in readings]
    years = [f"{at.years:g}" for at in contents.signature.baseline.at]
    clinical_years = (
        [f"{at.years:g}" for at in contents.clinical.horizons]
        if contents.clinical is not None and covariates is not None
        else []
    )
    write_csv_rows(out, [_row(r, years, clinical_years) for r in readings], columns_of(years, clinical_years))
    if report is not None:
        from pathosig.scoring.pages import write_pages  # draws pictures

        write_pages(study, contents, readings, report)
    return ScoreReport(readings=tuple(readings), report=str(report) if report else "", **common)


def _with_clinical(model: ClinicalModel, covariates: pd.DataFrame, reading: Reading) -> Reading:
    clinical = clinical_reading(model, covariates, reading.patient_id, reading.score)
    remark = "; ".join(r for r in (reading.remark, clinical.remark) if r)
    return replace(reading, clinical=clinical, remark=remark)


def _other_scanners(study: Study, bundle: Bundle) -> dict[str, str]:
    """patient_id -> a remark on scanners that no training slide came from."""
    scanners = {str(s) for s in bundle.card.get("scanners") or ()}
    other: dict[str, set[str]] = {}
    for specimen in study.specimens():
        record = study.record("tissue", specimen.id)
        vendor = str((record.summary if record is not None else {}).get("vendor") or "")
        if scanners and vendor and vendor not in scanners:
            other.setdefault(specimen.patient_id, set()).add(vendor)
    return {p: f"scanner {', '.join(sorted(v))}, which no training slide came from" for p, v in other.items()}


def _done(study: Study, slide: str) -> bool:
    """Whether a slide has phenotypes, or can have none because a stage failed or found nothing."""
    records = [study.record(stage, slide) for stage in ("tissue", "tiles", "embed", "phenotypes")]
    return records[-1] is not None or any(r is not None and r.status in ("failed", "empty") for r in records)


def read_new(study: Study, bundle: Bundle, execution: Execution) -> list[Reading]:
    """A result for every patient of a work folder; patients whose slides have no phenotypes get the reason as a remark.

    Parameters
    ----------
    study
        The work folder with the new slides.
    bundle
        The bundle that scores them.
    execution
        Whether to compute the profiles again even if they are up to date.
    """
    everyone = [str(p) for p in study.patients()["patient_id"]]
    if not any(study.upstream("phenotypes", s.id) for s in study.specimens()):
        return [unscored(p, _reason(study, p)) for p in everyone]
    build_profiles(study, execution=Execution(force=execution.force))
    readings = read_patients(
        bundle.signature,
        read_profiles(study),
        shifts=_shifts(study),
        distance=bundle.codebook.distance,
        places=partial(tile_places, study),
        notes=_other_scanners(study, bundle),
    )
    by_patient = {r.patient_id: r for r in readings}
    return [by_patient.get(p) or unscored(p, _reason(study, p)) for p in everyone]


def _reason(study: Study, patient: str) -> str:
    """Why no tissue of a patient was measured."""
    slides = [s.id for s in study.specimens() if s.patient_id == patient]
    records = [study.record(s, unit) for s in ("tissue", "tiles", "embed", "phenotypes") for unit in slides]
    errors = [r.error for r in records if r is not None and r.error]
    if errors:
        return f"{errors[0]['code']} {errors[0]['message']}"
    return "no tissue found" if slides else "no core of this patient was found"


def _shifts(study: Study) -> dict[str, Shift]:
    """How far the tiles of each patient lie from those of the training."""
    slides: dict[str, list[Shift]] = {}
    for specimen in study.specimens():
        record = study.record("phenotypes", specimen.id)
        if record is not None and record.status == "ok":
            slides.setdefault(specimen.patient_id, []).append(Shift(**record.summary["shift"]))
    return {patient: Shift.pooled(shifts) for patient, shifts in slides.items()}


def columns_of(years: Sequence[str], clinical_years: Sequence[str] = ()) -> list[str]:
    """Columns of scores.csv.

    Parameters
    ----------
    years
        Horizons of the signature, in years, as text.
    clinical_years
        Horizons of the clinical + histology model; empty if the scores are read without covariates.

    Returns
    -------
    list of str

    Examples
    --------
    >>> [c for c in columns_of(["1", "2.5"]) if "survival" in c][3:]
    ['survival_2.5y', 'survival_2.5y_lower', 'survival_2.5y_upper']
    """
    return [
        *_FIRST,
        *(f"survival_{y}y{end}" for y in years for end in _ENDS),
        *_LAST,
        *(f"clinical_survival_{y}y{end}" for y in clinical_years for end in _ENDS),
        "remark",
    ]


def _row(reading: Reading, years: Sequence[str], clinical_years: Sequence[str]) -> dict[str, object]:
    """One row of scores.csv."""
    row: dict[str, object] = {n: getattr(reading, n) for n in (*_FIRST, *_LAST, "remark") if n != "nearest"}
    row["nearest"] = " ".join(f"{name} {share:.0%}" for name, share in reading.nearest)
    for at in years:
        row |= _bounded(f"survival_{at}y", reading.survival.get(at))
    for at in clinical_years:
        row |= _bounded(
            f"clinical_survival_{at}y", reading.clinical.survival.get(at) if reading.clinical else None
        )
    return row


def _bounded(name: str, survival: Sequence[float | None] | None) -> Mapping[str, object]:
    """Columns of an estimate and the ends of its interval; empty if there is no estimate."""
    return {name + end: value for end, value in zip(_ENDS, survival or (None, None, None), strict=True)}

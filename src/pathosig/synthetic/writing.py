"""`pathosig simulate`: writes a complete study folder with a known truth."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathosig.core.errors import ConfigError
from pathosig.core.records import write_json
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution
from pathosig.synthetic.arrays import plan_arrays, write_arrays
from pathosig.synthetic.clinic import SUBTYPE_STRENGTH, clinic_config, draw_clinic
from pathosig.synthetic.embeddings_level import FeatureSource, write_embeddings
from pathosig.synthetic.laboratory_map import map_rows, write_laboratory_map
from pathosig.synthetic.patients import (
    COHORTS,
    Patient,
    draw_outcomes,
    draw_patients,
    draw_shares,
    linear_predictor,
    study_config,
)
from pathosig.synthetic.planted import (
    Planted,
    PlantedArrays,
    PlantedCore,
    planted_patients,
    planted_slides,
)
from pathosig.synthetic.slides_level import PlannedSlide, names_of, plan_slides, write_slides
from pathosig.synthetic.spec import SimulateSpec


@dataclass(frozen=True, kw_only=True)
class SimulateReport(Shown):
    """A summary of what was planted."""

    study: str
    truth: Planted

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {"study": self.study, **self.truth.to_dict()}

    def to_text(self) -> str:
        """Types, cohorts and events."""
        planted = self.truth
        harm, protection = np.exp(planted.scaling.effects)
        events = ", ".join(
            f"{c}: {n['patients']} patients, {n['os_events']} deaths" for c, n in planted.cohorts.items()
        )
        return (
            f"{len(planted.types)} types; {planted.harmful} harms (HR {harm:.2f} per SD), "
            f"{planted.protective} protects (HR {protection:.2f} per SD)\n{events}\n"
            f"truth: {self.study}/truth.json\nnext: pathosig run {self.study}"
        )


def simulate(
    directory: Path,
    spec: SimulateSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> SimulateReport:
    """Write a simulated cohort: slides (or embeddings of tiles), tables, and truth.json with what is planted.

    Parameters
    ----------
    directory
        The study folder to create.
    spec
        What is planted; the defaults of `SimulateSpec` without it.
    execution
        Number of workers that paint slides.

    Returns
    -------
    SimulateReport

    Raises
    ------
    ConfigError
        If there is a study in the folder already, or the folder of tiles or the file of features does not fit.
    """
    spec = spec or SimulateSpec()
    if spec.level == "slides":
        importlib.import_module("tifffile")  # fails before anything is written if the extra is missing
    patients = draw_patients(spec)
    if spec.level == "embeddings":
        if spec.tiles and not spec.features:
            raise ConfigError(
                "--level embeddings has no images and cannot use --tiles. Give real features with --features FILE.npy."
            )
        study = Study.create(directory, study_config("embeddings"))
        shares, slides = write_embeddings(study, patients, spec)
        names: tuple[str, ...] = tuple(f"type_{i}" for i in range(FeatureSource(spec).n_types))
        per_slide = {s["slide_id"]: v for s, v in zip(slides, shares, strict=True)}
    elif spec.kind != "wsi":
        return _simulate_arrays(directory, spec, patients, execution)
    else:
        names = names_of(spec)
        spec = spec.replace(types=len(names))
        size: dict[str, object] = {} if spec.tile_px == SimulateSpec.tile_px else {"size_px": spec.tile_px}
        study = Study.create(directory, study_config("slides", tiles=size))
        plan = plan_slides(patients, spec)
        per_slide = write_slides(study.root, plan, spec, execution)
        shares = _pooled(patients, plan, per_slide)
        site = {p.id: p.site for p in patients}
        slides = [
            {
                "slide_id": s.slide_id,
                "patient_id": s.patient_id,
                "path": s.path,
                "site": site[s.patient_id],
            }
            for s in plan
        ]
    truth = _finish(study, spec, patients, np.array(shares), names, per_slide, slides)
    return SimulateReport(study=str(directory), truth=truth)


def _simulate_arrays(
    directory: Path, spec: SimulateSpec, patients: list[Patient], execution: Execution
) -> SimulateReport:
    """A study of small cell lung cancer on microarrays; for kind `mixed`, the second validation cohort has whole slides."""
    names = names_of(spec)
    spec = spec.replace(types=len(names))
    study = Study.create(directory, clinic_config("slides"))
    wanted = draw_shares(spec, len(patients))
    on_slides = {p.id for p in patients if spec.kind == "mixed" and p.cohort == COHORTS[2]}
    rows = [i for i, p in enumerate(patients) if p.id not in on_slides]
    arrays, heterogeneous = plan_arrays([patients[i] for i in rows], wanted[rows], spec)
    cores = write_arrays(study.root, arrays, spec, execution)
    plan = [s for s in plan_slides(patients, spec) if s.patient_id in on_slides]
    per_slide = write_slides(study.root, plan, spec, execution) if plan else {}
    truth_of_core = {
        f"{a.slide_id}#{c.row}-{c.column}": PlantedCore(
            patient_id=c.patient_id,
            state=c.state,
            proportions=[round(v, 6) for v in cores[a.slide_id].get(f"{c.row}-{c.column}", [])],
        )
        for a in arrays
        for c in a.cores
    }
    proportions = _of_patients(patients, truth_of_core, plan, per_slide, wanted)
    discovery = np.array([p.cohort == COHORTS[0] for p in patients])
    risk, scaling = linear_predictor(proportions, spec, discovery)
    clinic = draw_clinic(patients, proportions, risk, spec)
    slides = [
        {"slide_id": a.slide_id, "patient_id": "", "path": f"slides/{a.slide_id}.svs", "kind": "tma"}
        for a in arrays
    ] + [{"slide_id": s.slide_id, "patient_id": s.patient_id, "path": s.path, "kind": "wsi"} for s in plan]
    write_csv_rows(study.paths.patients, list(clinic.rows), tuple(clinic.rows[0]))
    write_csv_rows(study.paths.slides, slides, ("slide_id", "patient_id", "path", "kind"))
    write_csv_rows(study.paths.tma_map, map_rows(arrays), ("tma", "row", "column", "patient_id"))
    write_laboratory_map(study.root / "laboratory_map.xlsx", arrays)
    truth = Planted(
        spec=spec,
        types=names,
        scaling=scaling,
        treatment={
            "column": "adjuvant_crt",
            "log_hr_high_risk": spec.treatment_benefit,
            "log_hr_low_risk": 0.0,
            "without_effect": "neoadjuvant_crt",
        },
        cohorts=_cohort_counts(clinic.rows),
        patients=planted_patients(patients, proportions, risk),
        slides=planted_slides(per_slide),
        arrays=PlantedArrays(
            kind=spec.kind,
            subtypes={s: names[t] for s, t in clinic.subtype_type.items()},
            subtype_log_odds_per_sd=SUBTYPE_STRENGTH,
            heterogeneous=sorted(heterogeneous),
            arrays={a.slide_id: {"rows": a.rows, "columns": a.columns, "cohort": a.cohort} for a in arrays},
            cores=truth_of_core,
        ),
    )
    write_json(study.paths.truth, truth.to_dict())
    return SimulateReport(study=str(directory), truth=truth)


def _of_patients(
    patients: list[Patient],
    cores: dict[str, PlantedCore],
    plan: list[PlannedSlide],
    per_slide: dict[str, list[float]],
    wanted: np.ndarray,
) -> np.ndarray:
    """True proportions of each patient: the mean over cores or slides, or the intended ones if all cores are missing."""
    pieces: dict[str, list[list[float]]] = {p.id: [] for p in patients}
    for core in cores.values():
        if core.proportions:
            pieces[core.patient_id].append(core.proportions)
    for slide in plan:
        pieces[slide.patient_id].append(per_slide[slide.slide_id])
    return np.array(
        [np.mean(pieces[p.id], axis=0) if pieces[p.id] else wanted[i] for i, p in enumerate(patients)]
    )


def _cohort_counts(rows: Sequence[Mapping[str, object]]) -> dict[str, dict[str, int]]:
    """Patients and events of each cohort."""
    return {
        c: {
            "patients": sum(r["cohort"] == c for r in rows),
            "os_events": sum(r["cohort"] == c and r["os_event"] == 1 for r in rows),
            "dfs_events": sum(r["cohort"] == c and r["dfs_event"] == 1 for r in rows),
        }
        for c in COHORTS
        if any(r["cohort"] == c for r in rows)
    }


def _pooled(
    patients: list[Patient], plan: list[PlannedSlide], per_slide: dict[str, list[float]]
) -> list[list[float]]:
    out = []
    for patient in patients:
        slides = [s for s in plan if s.patient_id == patient.id]
        weight = np.array([s.tiles for s in slides], float)
        out.append(list(np.average([per_slide[s.slide_id] for s in slides], axis=0, weights=weight)))
    return out


def _finish(
    study: Study,
    spec: SimulateSpec,
    patients: list[Patient],
    shares: np.ndarray,
    names: tuple[str, ...],
    per_slide: dict[str, list[float]],
    slides: list[dict[str, str]],
) -> Planted:
    discovery = np.array([p.cohort == COHORTS[0] for p in patients])
    risk, scaling = linear_predictor(shares, spec, discovery)
    rows = draw_outcomes(patients, risk, spec)
    write_csv_rows(study.paths.patients, rows, tuple(rows[0]))
    write_csv_rows(study.paths.slides, slides, ("slide_id", "patient_id", "path", "site"))
    truth = Planted(
        spec=spec,
        types=names,
        scaling=scaling,
        treatment={"column": "chemo", "log_hr_high_risk": spec.treatment_benefit, "log_hr_low_risk": 0.0},
        cohorts=_cohort_counts(rows),
        patients=planted_patients(patients, shares, risk),
        slides=planted_slides(per_slide),
    )
    write_json(study.paths.truth, truth.to_dict())
    return truth

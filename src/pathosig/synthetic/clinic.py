"""The clinical table of a simulated study of small cell lung cancer: covariates, treatments with dates, two outcomes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from pathosig.synthetic.patients import COHORTS, SHAPE, Patient
from pathosig.synthetic.spec import SimulateSpec

SUBTYPES = ("SCLC-A", "SCLC-N", "SCLC-P", "SCLC-Y")
RECURRENCE_SITES = ("brain", "liver", "bone", "lung", "adrenal gland")
SUBTYPE_STRENGTH = 1.2
"""Log odds of a subtype per SD of the proportion of its tissue type."""

_AJCC_EFFECT, _NODE_EFFECT, _AGE_EFFECT = 0.35, 0.30, 0.01
_RECURRENCE_RATIO = 0.75
_MONTH = 30.4375
_FIRST_SURGERY = datetime.date(2008, 1, 7)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalTable:
    """Rows of patients.csv and what is planted in them.

    Attributes
    ----------
    rows
        A dict per patient, in the order given; every row has the same keys.
    subtype_type
        Molecular subtype -> number of the tissue type it is tied to.
    """

    rows: tuple[dict[str, object], ...]
    subtype_type: dict[str, int]


def draw_clinic(
    patients: list[Patient], proportions: np.ndarray, risk: np.ndarray, spec: SimulateSpec
) -> ClinicalTable:
    """Draw covariates, treatments and outcomes of patients whose tissue is known.

    Adjuvant chemoradiotherapy starts one to three months after surgery and only in patients who live until then
    without recurrence, as in real life: an analysis that counts their time from surgery is biased (immortal time).
    From its start it multiplies the hazards of patients above the median risk by ``exp(treatment_benefit)`` and
    leaves the others as they are. Neoadjuvant treatment ends before surgery and has no effect.

    Parameters
    ----------
    patients
        Who they are; their age, sex, stage and nodes are used.
    proportions
        float[n, types]: true proportions of the tissue types, rows summing to 1.
    risk
        float[n]: true log hazard from tissue.
    spec
        ``treatment_benefit``, ``median_survival``, ``follow_up`` and ``seed`` are used.

    Returns
    -------
    ClinicalTable
    """
    rng = np.random.default_rng([spec.seed, 31])
    n = len(patients)
    subtypes, tied = _subtypes(proportions, rng)
    neuroendocrine = np.isin(subtypes, SUBTYPES[:2]) ^ (rng.random(n) < 0.08)
    late = np.array([p.stage == "III-IV" for p in patients])
    nodes = np.array([p.nodes == "N+" for p in patients])
    age = np.array([p.age for p in patients])
    total = risk + _AJCC_EFFECT * (late - 0.45) + _NODE_EFFECT * (nodes - 0.45) + _AGE_EFFECT * (age - 62)
    death, recurrence = (ratio * _weibull(total, spec, rng) for ratio in (1.0, _RECURRENCE_RATIO))
    neoadjuvant = rng.random(n) < np.where(late, 0.35, 0.15)
    start = rng.uniform(1.0, 3.0, n)
    adjuvant = (rng.random(n) < np.where(nodes, 0.6, 0.4)) & (np.minimum(death, recurrence) > start)
    gain = np.where(adjuvant & (risk > np.median(risk)), np.exp(-spec.treatment_benefit / SHAPE), 1.0)
    death = np.where(adjuvant, start + (death - start) * gain, death)
    recurrence = np.where(adjuvant, start + (recurrence - start) * gain, recurrence)
    censoring = rng.uniform(0.15, 1.0, n) * spec.follow_up
    surgery = [_FIRST_SURGERY + datetime.timedelta(days=int(d)) for d in rng.integers(0, 8 * 365, n)]
    smoking = rng.choice(["current", "former", "never"], n, p=[0.62, 0.33, 0.05])
    sites = rng.choice(RECURRENCE_SITES, n, p=[0.34, 0.22, 0.14, 0.22, 0.08])
    other_cause = rng.random(n) < 0.12
    neo_start = rng.uniform(2.0, 4.0, n)
    rows: list[dict[str, object]] = []
    for i, patient in enumerate(patients):
        end = min(death[i], censoring[i])
        died, recurred = bool(death[i] <= censoring[i]), bool(recurrence[i] < end)
        free = min(recurrence[i], end)
        rows.append(
            {
                "patient_id": patient.id,
                "cohort": patient.cohort,
                "site": patient.site,
                "age": patient.age,
                "sex": patient.sex,
                "smoking": str(smoking[i]),
                "ajcc": patient.stage,
                "nodes": patient.nodes,
                "subtype": str(subtypes[i]),
                "ne_status": "high" if neuroendocrine[i] else "low",
                "surgery_date": surgery[i].isoformat(),
                "neoadjuvant_crt": int(neoadjuvant[i]),
                "neoadjuvant_start": _date(surgery[i], -neo_start[i]) if neoadjuvant[i] else "",
                "adjuvant_crt": int(adjuvant[i]),
                "adjuvant_start": _date(surgery[i], start[i]) if adjuvant[i] else "",
                "adjuvant_months": round(float(start[i]), 2) if adjuvant[i] else "",
                "recurrence": int(recurred),
                "recurrence_site": str(sites[i]) if recurred else "no recurrence",
                "recurrence_date": _date(surgery[i], recurrence[i]) if recurred else "",
                "death": int(died),
                "cause_of_death": ("other" if other_cause[i] else "lung cancer") if died else "alive",
                "last_contact": _date(surgery[i], end),
                "os_time": _months(end),
                "os_event": int(died),
                "dfs_time": _months(free),
                "dfs_event": int(recurred or died),
            }
        )
    return ClinicalTable(rows=tuple(rows), subtype_type=dict(zip(SUBTYPES, tied, strict=True)))


def clinic_config(level: str) -> dict[str, object]:
    """Settings of a simulated small cell lung cancer study, as study.toml holds them."""
    covariates = ["age", "sex", "ajcc", "nodes"]
    return {
        "study": {"level": level, "name": "Small cell lung cancer in miniature (simulated)"},
        "endpoints": {
            "os": {"time": "os_time", "event": "os_event", "unit": "months"},
            "dfs": {"time": "dfs_time", "event": "dfs_event", "unit": "months"},
            "recurrence": {"time": "dfs_time", "event": "recurrence", "unit": "months", "competing": "os"},
        },
        "columns": {
            "covariates": covariates,
            "treatments": ["adjuvant_crt", "neoadjuvant_crt"],
            "subgroups": ["ajcc", "nodes", "sex", "subtype", "ne_status"],
            "site": "site",
        },
        "primary": {
            "endpoint": "os",
            "discovery": COHORTS[0],
            "covariates": covariates,
            "treatment": "adjuvant_crt",
        },
        "treatment": {
            "adjuvant_crt": {"start": "adjuvant_months", "unit": "months"},
            "neoadjuvant_crt": {"start": "time zero"},
        },
        # a core of .67 mm holds some 20 tiles of 112 um, too few to tell two cores apart, and some 90 of 56 um
        "tiles": {"size_px": 112},
    }


def _weibull(log_hazard: np.ndarray, spec: SimulateSpec, rng: np.random.Generator) -> np.ndarray:
    """Times with hazard proportional to exp(log_hazard); ``median_survival`` months where it is 0."""
    scale = spec.median_survival / np.log(2) ** (1 / SHAPE)
    return np.asarray(scale * (rng.exponential(size=len(log_hazard)) / np.exp(log_hazard)) ** (1 / SHAPE))


def _subtypes(proportions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """A molecular subtype per patient, likelier where its tissue type is frequent, and the types they are tied to."""
    types = proportions.shape[1]
    tied = [(2 + i) % types for i in range(len(SUBTYPES))]
    spread = np.maximum(proportions.std(axis=0), 1e-9)
    z = ((proportions - proportions.mean(axis=0)) / spread)[:, tied]
    logits = np.log([0.55, 0.22, 0.13, 0.10]) + SUBTYPE_STRENGTH * z
    # Gumbel's trick draws from softmax(logits)
    return np.array(SUBTYPES)[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)], tied


def _date(day: datetime.date, months: float) -> str:
    return (day + datetime.timedelta(days=round(months * _MONTH))).isoformat()


def _months(value: float) -> float:
    return round(float(max(value, 0.03)), 2)

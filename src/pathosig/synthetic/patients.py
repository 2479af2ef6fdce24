"""Simulated patients, whose hazard depends on the shares of two tissue types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathosig.synthetic.spec import SimulateSpec

COHORTS = ("discovery", "validation_1", "validation_2")
HARMFUL, PROTECTIVE = 0, 1
"""Numbers of the two types that act on the hazard."""

_RECURRENCE_RATIO = 0.8
SHAPE = 1.15
_STAGE_EFFECT, _AGE_EFFECT = 0.35, 0.015


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One simulated patient without an outcome: id, cohort and covariates."""

    id: str
    cohort: str
    site: str
    age: int
    sex: str
    stage: str
    nodes: str
    chemo: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """How the log hazard follows from the shares of the two types that act on it.

    Attributes
    ----------
    mean, sd
        Mean and standard deviation of the shares of the harmful and the protective type in discovery.
    effects
        Log hazard ratio per SD of each type.
    """

    mean: list[float]
    sd: list[float]
    effects: list[float]


def draw_patients(spec: SimulateSpec) -> list[Patient]:
    """All patients, discovery first; their ids begin with D, V and W by cohort, such as D001."""
    rng = np.random.default_rng([spec.seed, 11])
    out = []
    sizes = (spec.n_discovery, spec.n_validation, spec.n_validation)
    for letter, cohort, size in zip("DVW", COHORTS, sizes, strict=True):
        for number in range(size):
            late = rng.random() < 0.45
            out.append(
                Patient(
                    id=f"{letter}{number + 1:03d}",
                    cohort=cohort,
                    site=f"{letter}{'ABC'[int(rng.integers(3))]}",
                    age=int(np.clip(rng.normal(62, 9), 30, 89)),
                    sex="F" if rng.random() < 0.4 else "M",
                    stage="III-IV" if late else "I-II",
                    nodes="N+" if rng.random() < (0.7 if late else 0.25) else "N0",
                    chemo=int(rng.random() < 0.5),
                )
            )
    return out


def draw_shares(spec: SimulateSpec, n: int) -> np.ndarray:
    """Intended shares of the types in each patient, float[n, types], from a logistic-normal distribution."""
    rng = np.random.default_rng([spec.seed, 12])
    base = np.linspace(0.5, -0.5, spec.types)
    logits = base + rng.normal(0, 1.0, (n, spec.types))
    weight = np.exp(logits)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def linear_predictor(
    shares: np.ndarray, spec: SimulateSpec, discovery: np.ndarray
) -> tuple[np.ndarray, Scaling]:
    """Log hazard of each patient from the true shares of the types.

    Parameters
    ----------
    shares
        float[n, types].
    spec
        ``harm`` and ``protect`` are used.
    discovery
        bool[n]: patients whose mean and SD scale the shares.

    Returns
    -------
    (float[n], Scaling)
        The log hazard, and how it follows from the shares.
    """
    planted = shares[:, [HARMFUL, PROTECTIVE]]
    mean, sd = planted[discovery].mean(axis=0), planted[discovery].std(axis=0)
    sd = np.maximum(sd, 1e-9)
    z = (planted - mean) / sd
    effects = np.array([spec.harm, spec.protect])
    return z @ effects, Scaling(mean=mean.tolist(), sd=sd.tolist(), effects=effects.tolist())


def draw_outcomes(patients: list[Patient], risk: np.ndarray, spec: SimulateSpec) -> list[dict[str, object]]:
    """Rows of patients.csv: covariates, OS and DFS in months."""
    rng = np.random.default_rng([spec.seed, 13])
    n = len(patients)
    age = np.array([p.age for p in patients])
    late = np.array([p.stage == "III-IV" for p in patients])
    treated = np.array([p.chemo for p in patients], bool)
    high = risk > np.median(risk)
    total = risk + _STAGE_EFFECT * (late - 0.45) + _AGE_EFFECT * (age - 62)
    total = total + spec.treatment_benefit * (treated & high)
    scale = spec.median_survival / np.log(2) ** (1 / SHAPE)

    def weibull(factor: float) -> np.ndarray:
        return np.asarray(factor * scale * (rng.exponential(size=n) / np.exp(total)) ** (1 / SHAPE))

    death, recurrence = weibull(1.0), weibull(_RECURRENCE_RATIO)
    censoring = rng.uniform(0.15, 1.0, n) * spec.follow_up
    progress = np.minimum(death, recurrence)
    rows = []
    for i, patient in enumerate(patients):
        rows.append(
            {
                "patient_id": patient.id,
                "cohort": patient.cohort,
                "site": patient.site,
                "age": patient.age,
                "sex": patient.sex,
                "stage": patient.stage,
                "nodes": patient.nodes,
                "chemo": patient.chemo,
                "os_time": round(float(max(min(death[i], censoring[i]), 0.03)), 2),
                "os_event": int(death[i] <= censoring[i]),
                "dfs_time": round(float(max(min(progress[i], censoring[i]), 0.03)), 2),
                "dfs_event": int(progress[i] <= censoring[i]),
            }
        )
    return rows


def study_config(level: str, tiles: dict[str, object] | None = None) -> dict[str, object]:
    """The content of study.toml for a simulated cohort."""
    config: dict[str, object] = {
        "study": {"level": level},
        "endpoints": {
            "os": {"time": "os_time", "event": "os_event", "unit": "months"},
            "dfs": {"time": "dfs_time", "event": "dfs_event", "unit": "months"},
        },
        "columns": {
            "covariates": ["age", "sex", "stage"],
            "treatments": ["chemo"],
            "subgroups": ["stage", "nodes", "sex"],
            "site": "site",
        },
        "primary": {
            "endpoint": "os",
            "discovery": COHORTS[0],
            "covariates": ["age", "sex", "stage"],
            "treatment": "chemo",
        },
        "treatment": {"chemo": {"randomised": True}},
    }
    return {**config, **({"tiles": tiles} if tiles else {})}

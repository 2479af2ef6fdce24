"""The planted truth of a simulated study, as written to truth.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pathosig.synthetic.patients import HARMFUL, PROTECTIVE, Patient, Scaling
from pathosig.synthetic.spec import SimulateSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantedCore:
    """One core of a microarray: its patient, its state, and its true proportions (empty if the core is missing)."""

    patient_id: str
    state: str
    proportions: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantedArrays:
    """The part of the truth that only studies of microarrays have.

    Attributes
    ----------
    kind
        ``tma`` or ``mixed``.
    subtypes
        Molecular subtype -> the tissue type it is tied to.
    subtype_log_odds_per_sd
        Log odds of a subtype per SD of the proportion of its tissue type.
    heterogeneous
        Patients whose cores differ.
    arrays
        Slide -> its rows, columns and cohort.
    cores
        Core -> what is planted in it.
    """

    kind: str
    subtypes: dict[str, str]
    subtype_log_odds_per_sd: float
    heterogeneous: list[str]
    arrays: dict[str, dict[str, int | str]]
    cores: dict[str, PlantedCore]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """The truth of a simulated study.

    Attributes
    ----------
    spec
        The settings of the simulation.
    types
        Names of the tissue types; two of them act on the outcome.
    scaling
        How the log hazard follows from the proportions of these two.
    treatment
        Column of the treatment, and its log hazard ratios.
    cohorts
        Cohort -> numbers of patients and events.
    patients
        Patient -> true proportions and log hazard.
    slides
        Slide -> true proportions.
    arrays
        What is planted in microarrays, if there are any.
    """

    spec: SimulateSpec
    types: tuple[str, ...]
    scaling: Scaling
    treatment: dict[str, float | str]
    cohorts: dict[str, dict[str, int]]
    patients: dict[str, dict[str, list[float] | float]]
    slides: dict[str, list[float]]
    arrays: PlantedArrays | None = None

    @property
    def harmful(self) -> str:
        """The type that shortens survival."""
        return self.types[HARMFUL]

    @property
    def protective(self) -> str:
        """The type that lengthens it."""
        return self.types[PROTECTIVE]

    def to_dict(self) -> dict[str, object]:
        """The content of truth.json."""
        arrays = asdict(self.arrays) if self.arrays is not None else {}
        settings = {k: v for k, v in self.spec.to_dict().items() if k not in ("tiles", "features")}
        return {
            "level": self.spec.level,
            **({"kind": arrays.pop("kind")} if arrays else {}),
            "settings": settings,
            "types": list(self.types),
            "harmful": self.harmful,
            "protective": self.protective,
            "effects": self.scaling.effects,
            "scaling": {"mean": self.scaling.mean, "sd": self.scaling.sd},
            "treatment": self.treatment,
            **arrays,
            "cohorts": self.cohorts,
            "patients": self.patients,
            "slides": self.slides,
        }


def planted_patients(
    patients: Sequence[Patient], proportions: np.ndarray, risk: np.ndarray
) -> dict[str, dict[str, list[float] | float]]:
    """Patient -> true proportions and log hazard, rounded."""
    return {
        p.id: {"shares": [round(float(v), 6) for v in s], "linear_predictor": round(float(r), 6)}
        for p, s, r in zip(patients, proportions, risk, strict=True)
    }


def planted_slides(per_slide: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Slide -> true proportions, rounded."""
    return {k: [round(float(v), 6) for v in values] for k, values in per_slide.items()}

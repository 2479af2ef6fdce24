"""What a signature is fitted on, as one value: profiles, outcomes and everything declared about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from pathosig.core.clinical import UNITS
from pathosig.core.errors import InputError
from pathosig.profiles.pooling import NOT_FEATURES, Policy, pool_patients
from pathosig.profiles.tables import FeatureRules, feature_names, feature_table
from pathosig.survival.data import outcome_table

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingSet:
    """Patients to fit on, one row each in `profiles` and `outcome`, in the same order, sorted by patient.

    Attributes
    ----------
    profiles
        patient_id, n_tiles and ``hpc_00`` ..., or outside features as they enter the model.
    outcome
        patient_id, time, event, and ``cause`` as `causes_of` gives it if another event competes.
    slides
        Profiles of the slides or cores of these patients, for policies that look at each one; otherwise a patient counts as one slide.
    endpoint, unit
        Name of the endpoint and unit of its time.
    cohort
        Name of the cohort.
    kind
        ``composition`` of HPCs or outside ``features``.
    columns
        Names of outside features; by default, every column that is not an id.
    tree
        Content of tree.json; if it is empty, only leaves are candidates.
    artefacts
        HPCs that are left out.
    rules
        How outside features were filled and scaled.
    raw
        Outside features of the slides before that, for rules fitted on some of the patients.
    max_missing
        Features missing in a larger proportion of the patients are dropped when rules are fitted.
    apply_rules
        Whether the signature itself has to apply `rules` to what it scores.
    groups
        Label of each row; rows with the same label stay in one fold of inner cross-validations (bootstrap repeats).

    Examples
    --------
    >>> ids = pd.DataFrame({"patient_id": ["P1", "P2", "P3"]})
    >>> training = TrainingSet.of(ids.assign(hpc_00=[0.1, 0.9, 0.4]), ids.assign(time=[5.0, 3.0, 8.0], event=[True, True, False]))
    >>> len(training), training.take(training.event).profiles["hpc_00"].tolist()
    (3, [0.1, 0.9])
    """

    profiles: pd.DataFrame
    outcome: pd.DataFrame
    slides: pd.DataFrame | None = None
    endpoint: str = "os"
    unit: str = "months"
    cohort: str = "discovery"
    kind: Literal["composition", "features"] = "composition"
    columns: tuple[str, ...] = ()
    tree: Mapping[str, Any] = field(default_factory=dict)
    artefacts: tuple[int, ...] = ()
    rules: FeatureRules | None = None
    raw: pd.DataFrame | None = None
    max_missing: float = 0.5
    apply_rules: bool = False
    groups: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if list(self.profiles["patient_id"]) != list(self.outcome["patient_id"]):
            message = "signature: profiles and outcomes are not of the same patients in the same order."
            raise InputError(message)
        if self.unit not in UNITS:
            raise InputError(f"signature: unit {self.unit!r}; expected one of {', '.join(UNITS)}.")

    @classmethod
    def of(cls, profiles: pd.DataFrame, outcome: pd.DataFrame, **declared: Any) -> Self:
        """The patients who have both a profile and an outcome.

        Parameters
        ----------
        profiles
            patient_id and profiles.
        outcome
            patient_id, time, event, and ``cause`` if another event competes.
        declared
            Further fields.

        Raises
        ------
        InputError
            E_TIME, E_EVENT if an outcome is missing or of another type.
        """
        ids = set(profiles["patient_id"])
        wanted = [c for c in ("patient_id", "time", "event", "cause") if c != "cause" or c in outcome]
        ends = outcome.loc[outcome["patient_id"].isin(ids), wanted]
        ends = outcome_table(ends.sort_values("patient_id", kind="stable"))
        rows = profiles.drop(columns=[c for c in ("time", "event") if c in profiles])
        rows = rows[rows["patient_id"].isin(set(ends["patient_id"]))].sort_values("patient_id", kind="stable")
        return cls(profiles=rows.reset_index(drop=True), outcome=ends.reset_index(drop=True), **declared)

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def time(self) -> NDArray[np.float64]:
        """Follow-up: float[n]."""
        return self.outcome["time"].to_numpy(float)

    @property
    def event(self) -> NDArray[np.bool_]:
        """Whether the event was observed: bool[n]."""
        return self.outcome["event"].to_numpy(bool)

    @property
    def competing(self) -> NDArray[np.bool_] | None:
        """Whether follow-up ended with a competing event: bool[n]; None where none is declared."""
        return self.outcome["cause"].to_numpy(int) == 2 if "cause" in self.outcome else None

    @property
    def features(self) -> list[str]:
        """Names of outside features."""
        return list(self.columns) or [c for c in self.profiles.columns if c not in NOT_FEATURES]

    @property
    def steadiness(self) -> Mapping[str, float]:
        """HPC or node -> how well codebooks of disjoint halves of the discovery patients agree on it; empty if unknown."""
        return dict(self.tree.get("steadiness", {}))

    def take(self, rows: NDArray[np.int_] | NDArray[np.bool_]) -> Self:
        """Some of the patients, in their order."""
        profiles = self.profiles.iloc[rows].reset_index(drop=True)
        slides = self.slides
        return replace(
            self,
            profiles=profiles,
            outcome=self.outcome.iloc[rows].reset_index(drop=True),
            slides=None if slides is None else slides[slides["patient_id"].isin(set(profiles["patient_id"]))],
            groups=None if self.groups is None else self.groups[rows],
        )

    def without_tiles(self, min_tiles: int) -> str:
        """A sentence on the patients who have too few tiles to be scored, with advice; empty if there are none."""
        tiles = self.profiles["n_tiles"] if "n_tiles" in self.profiles else pd.Series(dtype=float)
        lost = int((tiles < min_tiles).sum())
        if self.kind != "composition" or not lost:
            return ""
        return (
            f" {lost} of {len(tiles)} patients {'has' if lost == 1 else 'have'} fewer than {min_tiles} tiles (median "
            f"{tiles.median():.0f}): lower [signature] min_tiles in study.toml, or use smaller tiles."
        )

    def resampled(self, drawn: NDArray[np.int_]) -> Self:
        """Patients drawn with replacement: each repeat has its own id, and all repeats of a patient have the same label in `groups`."""
        names = [f"{p}#{i}" for i, p in enumerate(self.outcome["patient_id"].to_numpy()[drawn])]
        order = np.argsort(np.array(names, dtype=str), kind="stable")
        ids, picked = [names[i] for i in order], drawn[order]
        slides = self.slides
        if slides is not None:
            repeats = pd.DataFrame(
                {"patient_id": self.outcome["patient_id"].to_numpy()[picked], "repeat": ids}
            )
            slides = repeats.merge(slides, on="patient_id").drop(columns="patient_id")
            slides = slides.rename(columns={"repeat": "patient_id"})
        return replace(
            self,
            profiles=self.profiles.iloc[picked].reset_index(drop=True).assign(patient_id=ids),
            outcome=self.outcome.iloc[picked].reset_index(drop=True).assign(patient_id=ids),
            slides=slides,
            groups=picked,
        )

    def permuted(self, order: NDArray[np.int_]) -> Self:
        """The same profiles with the outcomes, time and event together, in another order."""
        moved = {k: self.outcome[k].to_numpy()[order] for k in self.outcome if k != "patient_id"}
        return replace(self, outcome=self.outcome.assign(**moved))

    def under(self, policy: Policy) -> Self:
        """Profiles as the policy defines them while features are selected: for ``mean``, the mean of a patient's slides."""
        if policy != "mean" or self.slides is None:
            return self
        columns = [c for c in self.slides.columns if c in self.profiles and c not in NOT_FEATURES]
        rows = pool_patients(self.slides, policy="mean", columns=columns).set_index("patient_id", drop=False)
        return replace(self, profiles=rows.loc[self.outcome["patient_id"]].reset_index(drop=True))

    def prepared(self, patients: Collection[str]) -> Self:
        """Outside features filled and scaled by rules of some patients only; a composition is returned as it is."""
        if self.raw is None:
            return self
        names = [c for c in self.raw.columns if c not in NOT_FEATURES]
        pooled = pool_patients(self.raw, columns=names)
        inside = pooled["patient_id"].isin(set(patients))
        rules = FeatureRules.fit(pooled[inside], names, max_missing=self.max_missing)
        ids = ["patient_id", "n_slides", "n_tiles"]
        scaled = pd.concat([pooled[ids], rules.apply(pooled)], axis=1).set_index("patient_id", drop=False)
        slides = None
        if self.slides is not None:
            slides = pd.concat(
                [self.raw[["slide_id", "patient_id", "n_tiles"]], rules.apply(self.raw)], axis=1
            )
        return replace(
            self,
            profiles=scaled.loc[self.outcome["patient_id"]].reset_index(drop=True),
            slides=slides,
            columns=rules.columns,
            rules=rules,
        )


def training_set(
    profiles: Any,
    outcome: pd.DataFrame,
    *,
    endpoint: str = "os",
    unit: str = "months",
    cohort: str = "discovery",
    tree: Mapping[str, Any] | None = None,
    artefacts: Sequence[int] = (),
    columns: Sequence[str] = (),
) -> TrainingSet:
    """Patients to fit on, from any table of profiles.

    A table without HPCs is taken as raw features: its numeric columns are filled and z-scored by rules that are fitted here
    and that the signature applies to whatever it scores.

    Parameters
    ----------
    profiles
        One row per patient: a DataFrame, an ``anndata.AnnData``, or the path of a CSV, Parquet or h5ad file.
    outcome
        time (float >= 0) and event (bool or 0/1), with patient_id; without patient_id, its rows are those of `profiles`.
    endpoint, unit, cohort
        Name of the endpoint, unit of its time and name of the cohort; they are recorded with the signature.
    tree, artefacts
        Content of tree.json, and HPCs that are left out.
    columns
        Raw features to use; by default, every numeric column that is neither an id nor an outcome.

    Returns
    -------
    TrainingSet

    Raises
    ------
    InputError
        E_TIME, E_EVENT if an outcome is missing or of another type; if rows do not correspond or no feature is left.

    Examples
    --------
    >>> table = pd.DataFrame({"grade": [1.0, 2.0, 3.0]})
    >>> training = training_set(table, pd.DataFrame({"time": [9.0, 5.0, 2.0], "event": [0, 1, 1]}))
    >>> training.kind, training.profiles["grade"].round(2).tolist()
    ('features', [-1.0, 0.0, 1.0])
    """
    table = feature_table(profiles).reset_index(drop=True)
    if "patient_id" not in table:
        table = table.assign(patient_id=[str(i) for i in range(len(table))])
    if "patient_id" not in outcome:
        if len(outcome) != len(table):
            message = f"outcome: {len(outcome)} rows without patient_id for {len(table)} rows of profiles."
            raise InputError(message)
        outcome = outcome.assign(patient_id=table["patient_id"].to_numpy())
    declared: dict[str, Any] = {"endpoint": endpoint, "unit": unit, "cohort": cohort}
    if any(str(c).startswith("hpc_") for c in table.columns):
        return TrainingSet.of(table, outcome, tree=tree or {}, artefacts=tuple(artefacts), **declared)
    kept = set(outcome["patient_id"])
    table = table[table["patient_id"].isin(kept)].reset_index(drop=True)
    rules = FeatureRules.fit(table, list(columns) or feature_names(table))
    scaled = rules.apply(table).assign(patient_id=table["patient_id"])
    return TrainingSet.of(
        scaled,
        outcome,
        kind="features",
        columns=rules.columns,
        rules=rules,
        apply_rules=True,
        raw=table[["patient_id", *rules.columns]],
        **declared,
    )

"""The frozen signature: a value that scores one patient exactly as it scores a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.records import to_json, write_text
from pathosig.profiles.tables import FeatureRules, feature_names, feature_table
from pathosig.signature.features import design

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pathosig.signature.spec import SignatureSpec

LOW, HIGH, NOT_ASSESSABLE = "low", "high", "not assessable"


def linear_score(x: np.ndarray, coef: Sequence[float], center: Sequence[float]) -> np.ndarray:
    """Sum of coef x (x - center) by row: float[n].

    Term by term, because a matrix product rounds differently for one row and for many.
    """
    out = np.zeros(len(x))
    for j, (weight, middle) in enumerate(zip(coef, center, strict=True)):
        out = out + weight * (x[:, j] - middle)
    return out


def _by_rules(frame: pd.DataFrame, names: Sequence[str], rules: Mapping[str, Any]) -> pd.DataFrame:
    """Raw features filled, centred and scaled as in discovery.

    Raises
    ------
    InputError
        If a feature is missing from the table.
    """
    absent = [n for n in names if n not in frame]
    if absent:
        message = f"signature: the table lacks features {absent[:5]}; it has {list(frame.columns)[:8]}."
        raise InputError(message)
    return pd.DataFrame(
        {n: (frame[n].fillna(rules[n]["fill"]) - rules[n]["center"]) / rules[n]["scale"] for n in names},
        index=frame.index,
    )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A prognostic score of profiles with its cut-off and baseline, all fixed in discovery.

    Score = sum(coef * (x - center)); a higher score means higher risk.

    Attributes
    ----------
    endpoint
        Endpoint it was fitted on.
    hpcs
        Features: HPCs (``hpc_07``), nodes (``node_12``) or outside features.
    coef, center
        Coefficients and discovery means, on the scale of `transform`.
    transform
        ``scale``; ``leaves`` of every node; ``artefact_hpcs``; ``min_tiles``; ``policy``; ``rules`` of outside features.
    cutoff, cutoff_rule
        Scores above the cut-off are high risk; how it was found.
    baseline
        ``unit``, ``time`` and ``survival`` of a patient with score 0, and ``at`` 1, 3 and 5 years.
    trained_on
        Cohort, patients, events, SD of the score, selection.
    version
        Version of this format.
    """

    endpoint: str
    hpcs: tuple[str, ...]
    coef: tuple[float, ...]
    center: tuple[float, ...]
    transform: Mapping[str, Any]
    cutoff: float
    cutoff_rule: str
    baseline: Mapping[str, Any]
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    def __post_init__(self) -> None:
        if not len(self.hpcs) == len(self.coef) == len(self.center):
            message = f"signature: {len(self.hpcs)} features, {len(self.coef)} coefficients, {len(self.center)} centres."
            raise InputError(message)
        if not np.isfinite([*self.coef, *self.center, self.cutoff]).all():
            message = "signature: a coefficient, centre or cut-off is not finite."
            raise InputError(message)

    @classmethod
    def fit(
        cls,
        profiles: Any,
        time: ArrayLike,
        event: ArrayLike,
        *,
        spec: SignatureSpec | None = None,
        **facts: Any,
    ) -> Self:
        """Fit on discovery patients; see `fit_signature`.

        Columns that are no HPC shares are taken as raw features: their numeric columns are filled and z-scored by
        rules fitted here, which `score` then applies to raw rows.

        Parameters
        ----------
        profiles
            One row a patient: a DataFrame, an ``anndata.AnnData``, or the path of a CSV, Parquet or h5ad file.
        time, event
            Follow-up of the same rows and whether the event was seen: float[n] >= 0, bool[n].
        spec
            Settings; the defaults without it.
        facts
            ``endpoint``, ``unit``, ``columns`` and further arguments of `fit_details`.

        Raises
        ------
        NotEstimableError
            If nothing is selected.
        """
        from pathosig.signature.fit import fit_signature

        frame = feature_table(profiles).reset_index(drop=True)
        if "patient_id" not in frame:
            frame = frame.assign(patient_id=[str(i) for i in range(len(frame))])
        outcome = pd.DataFrame(
            {
                "patient_id": frame["patient_id"],
                "time": np.asarray(time, float),
                "event": np.asarray(event, bool),
            }
        )
        raw = "kind" not in facts and not any(str(c).startswith("hpc_") for c in frame.columns)
        if raw:
            names = facts.pop("columns", None) or feature_names(frame)
            rules = FeatureRules.fit(frame, names)
            frame = rules.apply(frame).assign(patient_id=frame["patient_id"])
            facts |= {"kind": "features", "columns": rules.columns, "rules": rules.to_dict()}
        found = fit_signature(frame, outcome, spec=spec, **facts)
        if raw:
            found = replace(found, transform={**found.transform, "raw": True})
        return cls(**{k: getattr(found, k) for k in cls.__dataclass_fields__})

    def score(self, profiles: Any) -> NDArray[np.float64]:
        """Risk score of every row: float[n]; NaN where fewer than ``min_tiles`` tiles were seen.

        Parameters
        ----------
        profiles
            Leaf shares ``hpc_00`` ... (with n_tiles), or outside features as profiles/patients.parquet holds them: a DataFrame,
            one patient as a mapping, an ``anndata.AnnData``, or the path of a CSV, Parquet or h5ad file.

        Raises
        ------
        InputError
            If a feature of the signature is missing.
        """
        frame = pd.DataFrame([dict(profiles)]) if isinstance(profiles, Mapping) else feature_table(profiles)
        if self.transform.get("raw"):
            frame = _by_rules(frame, self.hpcs, self.transform["rules"])
        x = design(frame, self.hpcs, self.transform)
        out = linear_score(x, self.coef, self.center)
        least = float(self.transform.get("min_tiles", 0))
        if self.transform["scale"] != "feature" and "n_tiles" in frame and least > 0:
            out = np.where(frame["n_tiles"].to_numpy(float) >= least, out, np.nan)
        return np.asarray(out, float)

    predict = score

    def group(self, profiles_or_scores: pd.DataFrame | ArrayLike) -> NDArray[np.object_]:
        """``low``, ``high`` or ``not assessable`` for every row of profiles, or for scores: object[n]."""
        score = self._scores(profiles_or_scores)
        named = np.where(score > self.cutoff, HIGH, LOW).astype(object)
        return np.where(np.isfinite(score), named, NOT_ASSESSABLE)

    def survival_at(
        self, profiles_or_scores: pd.DataFrame | ArrayLike, times: ArrayLike
    ) -> NDArray[np.float64]:
        """Predicted survival, float[n, n_times]; times in the endpoint's unit, NaN beyond the last event time."""
        score = self._scores(profiles_or_scores)
        grid = np.asarray(self.baseline["time"], float)
        level = np.concatenate([[1.0], np.asarray(self.baseline["survival"], float)])
        wanted = np.atleast_1d(np.asarray(times, float))
        base = level[np.searchsorted(grid, wanted, side="right")]
        base = np.where(wanted <= float(self.baseline["until"]), base, np.nan)
        return np.asarray(np.power(base[None, :], np.exp(score)[:, None]))

    def _scores(self, value: pd.DataFrame | ArrayLike) -> NDArray[np.float64]:
        if isinstance(value, pd.DataFrame):
            return self.score(value)
        return np.atleast_1d(np.asarray(value, float))

    @property
    def sd(self) -> float:
        """Standard deviation of the score among discovery patients: the unit of the primary effect."""
        return float(self.trained_on.get("sd", 1.0))

    def equation(self) -> str:
        """The score as a formula that can be computed by hand; outside features in the units of their table."""
        word = {"logodds": "logit ", "logratio": "ln "}.get(str(self.transform["scale"]), "")
        rules = self.transform.get("rules", {}) if self.transform["scale"] == "feature" else {}
        terms = []
        for name, weight, middle in zip(self.hpcs, self.coef, self.center, strict=True):
            rule = rules.get(name, {"center": 0.0, "scale": 1.0})
            b, c = weight / rule["scale"], rule["center"] + middle * rule["scale"]
            terms.append(f"{b:+.6g} x ({word}{name} {'-' if c >= 0 else '+'} {abs(c):.6g})")
        return "score = " + " ".join(terms)

    def to_json(self) -> str:
        """Stable JSON text."""
        names = self.__dataclass_fields__
        return to_json({**{k: getattr(self, k) for k in names}, "equation": self.equation()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Raises
        ------
        InputError
            If the text is no signature of a known version.
        """
        try:
            raw = json.loads(text)
            if raw["version"] != 1:
                message = f"signature: version {raw['version']}; this pathosig reads version 1."
                raise InputError(message)
            values: dict[str, Any] = {k: raw[k] for k in cls.__dataclass_fields__}
            values |= {k: tuple(raw[k]) for k in ("hpcs", "coef", "center")}
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            message = f"signature: not a signature.json ({error})."
            raise InputError(message) from error

    def save(self, path: Path | str) -> None:
        """Write signature.json atomically."""
        write_text(Path(path), self.to_json())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a signature.json."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

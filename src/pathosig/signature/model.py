"""The frozen signature: a value that scores one patient exactly as it scores a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.records import to_json, write_text
from pathosig.core.showing import Shown
from pathosig.profiles.tables import feature_table
from pathosig.signature.features import design
from pathosig.signature.transform import FeatureRule, Transform
from pathosig.survival.baseline import Baseline

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LOW, HIGH, NOT_ASSESSABLE = "low", "high", "not assessable"
_CORE_TILES = 20
"""Tiles from which a single core or slide is scored."""


def _linear_score(x: np.ndarray, coef: Sequence[float], center: Sequence[float]) -> np.ndarray:
    """Sum of coef x (x - center) by row: float[n].

    The terms are added one by one, because a matrix product rounds differently for one row than for many.
    """
    out = np.zeros(len(x))
    for j, (weight, middle) in enumerate(zip(coef, center, strict=True)):
        out = out + weight * (x[:, j] - middle)
    return out


def _by_rules(frame: pd.DataFrame, names: Sequence[str], rules: Mapping[str, FeatureRule]) -> pd.DataFrame:
    """Raw features filled, centred and scaled as in discovery."""
    absent = [n for n in names if n not in frame]
    if absent:
        message = f"signature: the table lacks features {absent[:5]}; it has {list(frame.columns)[:8]}."
        raise InputError(message)
    return pd.DataFrame(
        {n: (frame[n].fillna(rules[n].fill) - rules[n].center) / rules[n].scale for n in names},
        index=frame.index,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedOn:
    """The discovery patients a signature was fitted on.

    Attributes
    ----------
    cohort, n, events
        Name of the cohort, numbers of patients and events.
    sd
        Standard deviation of their scores.
    percentiles
        The 0th to 100th percentile of their scores, among which a new patient is placed. Empty in older files.
    patients_sha256
        Digest of their sorted ids.
    selection, details
        How features were selected: threshold, penalty and other numbers that are reported.
    """

    cohort: str = "discovery"
    n: int = 0
    events: int = 0
    sd: float = 1.0
    percentiles: tuple[float, ...] = ()
    patients_sha256: str = ""
    selection: str = "given"
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """From the plain values of signature.json."""
        return cls(**{**value, "percentiles": tuple(float(v) for v in value.get("percentiles", ()))})


@dataclass(frozen=True, kw_only=True)
class Signature(Shown):
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
        From a profile to the columns of the score.
    cutoff, cutoff_rule
        Scores above the cut-off are high risk; the rule says how it was chosen.
    baseline
        Survival of a patient with score 0; without it, no survival can be predicted.
    trained_on
        Discovery patients.
    version
        Version of this format.

    Examples
    --------
    >>> share = Transform(leaves={"hpc_01": (1,)}, min_tiles=50)
    >>> signature = Signature(endpoint="os", hpcs=("hpc_01",), coef=(2.0,), center=(0.25,), cutoff=0.1, transform=share)
    >>> print(signature.equation())
    score = +2 x (hpc_01 - 0.25)
    >>> patients = pd.DataFrame({"hpc_00": [0.5, 0.9, 0.2], "hpc_01": [0.5, 0.1, 0.8], "n_tiles": [200, 300, 20]})
    >>> signature.score(patients).round(2).tolist(), signature.group(patients).tolist()
    ([0.5, -0.3, nan], ['high', 'low', 'not assessable'])
    """

    endpoint: str
    hpcs: tuple[str, ...]
    coef: tuple[float, ...]
    center: tuple[float, ...]
    transform: Transform
    cutoff: float
    cutoff_rule: str = "given"
    baseline: Baseline = field(default_factory=Baseline)
    trained_on: TrainedOn = TrainedOn()
    version: int = 1

    def __post_init__(self) -> None:
        if not len(self.hpcs) == len(self.coef) == len(self.center):
            message = f"signature: {len(self.hpcs)} features, {len(self.coef)} coefficients, {len(self.center)} centres."
            raise InputError(message)
        if not np.isfinite([*self.coef, *self.center, self.cutoff]).all():
            raise InputError("signature: a coefficient, centre or cut-off is not finite.")

    def columns(self, profiles: Any) -> NDArray[np.float64]:
        """The columns of which the score of `profiles` is a weighted sum, before they are centred: float[n, n_features]."""
        frame = self._frame(profiles)
        if self.transform.raw:
            frame = _by_rules(frame, self.hpcs, self.transform.rules)
        return design(frame, self.hpcs, self.transform)

    def score(self, profiles: Any) -> NDArray[np.float64]:
        """Risk score of every row: float[n]; NaN for rows with fewer than ``min_tiles`` tiles.

        Parameters
        ----------
        profiles
            Proportions of HPCs ``hpc_00`` ... (with n_tiles), or outside features as profiles/patients.parquet holds them: a DataFrame,
            one patient as a mapping, an ``anndata.AnnData``, or the path of a CSV, Parquet or h5ad file.

        Raises
        ------
        InputError
            If a feature of the signature is missing.
        """
        frame = self._frame(profiles)
        out = _linear_score(self.columns(frame), self.coef, self.center)
        least = self.transform.min_tiles
        if self.transform.scale != "feature" and "n_tiles" in frame and least > 0:
            out = np.where(frame["n_tiles"].to_numpy(float) >= least, out, np.nan)
        return np.asarray(out, float)

    def contributions(self, profiles: Any) -> NDArray[np.float64]:
        """Contribution of each feature to the score, ``coef * (x - center)``: float[n, n_features]; they add up to the score."""
        return np.asarray((self.columns(profiles) - np.asarray(self.center)) * np.asarray(self.coef))

    def _frame(self, profiles: Any) -> pd.DataFrame:
        return pd.DataFrame([dict(profiles)]) if isinstance(profiles, Mapping) else feature_table(profiles)

    def group(self, profiles_or_scores: pd.DataFrame | ArrayLike) -> NDArray[np.object_]:
        """``low``, ``high`` or ``not assessable`` for every row of profiles, or for scores: object[n]."""
        score = self._scores(profiles_or_scores)
        named = np.where(score > self.cutoff, HIGH, LOW).astype(object)
        return np.where(np.isfinite(score), named, NOT_ASSESSABLE)

    def survival_at(
        self, profiles_or_scores: pd.DataFrame | ArrayLike, times: ArrayLike
    ) -> NDArray[np.float64]:
        """Predicted survival at `times`: float[n, n_times]; with a competing event, 1 - cumulative incidence. See `Baseline.free_at`."""
        return self.baseline.free_at(self._scores(profiles_or_scores), times)

    def _scores(self, value: pd.DataFrame | ArrayLike) -> NDArray[np.float64]:
        if isinstance(value, pd.DataFrame):
            return self.score(value)
        return np.atleast_1d(np.asarray(value, float))

    @property
    def sd(self) -> float:
        """Standard deviation of the score among discovery patients: the unit of the primary effect."""
        return self.trained_on.sd

    @property
    def lenient(self) -> Self:
        """The same signature with the lower minimum of tiles that applies to a single core or slide."""
        few = min(_CORE_TILES, self.transform.min_tiles)
        return replace(self, transform=replace(self.transform, min_tiles=few))

    def __repr__(self) -> str:
        return f"Signature({self.endpoint}: {self.equation()}; high risk above {self.cutoff:.6g})"

    def equation(self) -> str:
        """The score as a formula for calculation by hand; outside features are in the units of their table."""
        word = {"logodds": "logit ", "logratio": "ln "}.get(self.transform.scale, "")
        rules = self.transform.rules if self.transform.scale == "feature" else {}
        terms = []
        for name, weight, middle in zip(self.hpcs, self.coef, self.center, strict=True):
            rule = rules.get(name, FeatureRule(fill=0.0, center=0.0, scale=1.0))
            b, c = weight / rule.scale, rule.center + middle * rule.scale
            terms.append(f"{b:+.6g} x ({word}{name} {'-' if c >= 0 else '+'} {abs(c):.6g})")
        return "score = " + " ".join(terms)

    def to_json(self) -> str:
        """Stable JSON text."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return to_json({**values, "transform": self.transform.to_dict(), "equation": self.equation()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Raises
        ------
        InputError
            If the text is not a signature of a version that can be read.
        """
        try:
            raw = json.loads(text)
            if raw["version"] != 1:
                raise InputError(f"signature: version {raw['version']}; this pathosig reads version 1.")
            return cls(
                endpoint=str(raw["endpoint"]),
                hpcs=tuple(str(n) for n in raw["hpcs"]),
                coef=tuple(float(b) for b in raw["coef"]),
                center=tuple(float(c) for c in raw["center"]),
                transform=Transform.from_dict(raw["transform"]),
                cutoff=float(raw["cutoff"]),
                cutoff_rule=str(raw["cutoff_rule"]),
                baseline=Baseline.from_dict(raw["baseline"]),
                trained_on=TrainedOn.from_dict(raw["trained_on"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"signature: not a signature.json ({type(error).__name__}: {error})."
            raise InputError(message) from error

    def save(self, path: Path | str) -> None:
        """Write signature.json atomically."""
        write_text(Path(path), self.to_json())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a signature.json."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

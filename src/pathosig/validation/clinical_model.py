"""The clinical + histology model: a Cox model of covariates and score, frozen in discovery, that predicts individual risks.

It stores all that predictions need: coefficients with their covariance, the coding of covariates, and the baseline hazard with
its variance at the horizons.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import InputError
from pathosig.signature.model import Signature
from pathosig.survival.absolute_risk import AbsoluteRisk, BaselineHazard, absolute_risk
from pathosig.survival.baseline import Baseline
from pathosig.survival.covariates import as_level, is_categorical, levels_of
from pathosig.validation.analysis import Fitted
from pathosig.validation.clinical_competing import CompetingCauses
from pathosig.validation.values import Z95

_MOST_LEVELS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalCovariate:
    """The coding of one covariate.

    Attributes
    ----------
    name
        Column of the clinical table.
    levels
        Levels of a category, beginning with the reference; empty for a number, which enters as it is.
    fill
        Means of its model columns among discovery patients who have it: the mean of a number, or the proportion of every level
        except the reference. Callers may use them in place of a missing value.
    lower, upper
        1st and 99th percentile of a number in discovery; None for a category.
    """

    name: str
    levels: tuple[str, ...] = ()
    fill: tuple[float, ...]
    lower: float | None = None
    upper: float | None = None

    @classmethod
    def of(cls, column: pd.Series) -> ClinicalCovariate | None:
        """The coding of a column; None if it is constant or has too many levels."""
        name = str(column.name)
        if not is_categorical(column):
            values = column.dropna().to_numpy(float)
            if not len(values) or not values.std() > 0:
                return None
            low, high = np.percentile(values, [1, 99])
            return cls(name=name, fill=(float(values.mean()),), lower=float(low), upper=float(high))
        levels = tuple(levels_of(column))
        if not 2 <= len(levels) <= _MOST_LEVELS:
            return None
        text = column.dropna().map(as_level)
        return cls(name=name, levels=levels, fill=tuple(float((text == v).mean()) for v in levels[1:]))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the model columns of this covariate."""
        return tuple(f"{self.name}: {v}" for v in self.levels[1:]) if self.levels else (self.name,)

    def columns(self, frame: pd.DataFrame) -> np.ndarray:
        """Model columns of this covariate: float[n, columns]; NaN where the value is missing or an unknown level."""
        if self.name not in frame:
            return np.full((len(frame), len(self.labels)), np.nan)
        column = frame[self.name]
        if not self.levels:
            return pd.to_numeric(column, errors="coerce").to_numpy(float)[:, None]
        text = [None if pd.isna(v) else _level(v, self.levels) for v in column]
        rows = [
            [float(v == level) for level in self.levels[1:]]
            if v is not None
            else [np.nan] * (len(self.levels) - 1)
            for v in text
        ]
        return np.array(rows, float).reshape(len(frame), len(self.levels) - 1)


def _level(value: object, levels: Sequence[str]) -> str | None:
    """A value as one of the levels; None if it is none of them."""
    text = as_level(value).strip()
    if text in levels:
        return text
    try:
        text = as_level(float(text))  # "1.0" in a table of text
    except ValueError:
        return None
    return text if text in levels else None


@dataclass(frozen=True, kw_only=True, slots=True)
class HorizonHazard:
    """Cumulative hazard at one horizon of a patient whose covariates are at their centre.

    `hazard`, `variance` and `gradient` are H0, A and B of `survival.absolute_risk`; `time` is in the unit of the endpoint.
    """

    years: float
    time: float
    hazard: float
    variance: float
    gradient: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClinicalModel:
    """A frozen Cox model: log hazard ratio = sum coef (x - center), with the score as the last column.

    Attributes
    ----------
    endpoint
        Endpoint to which it was fitted.
    covariates
        Covariates in the order of their columns.
    score_scale
        Divisor of the score, which is its standard deviation in discovery; None for a model of covariates alone.
    score_range
        1st and 99th percentile of the scores in discovery, after this division.
    coef, center
        float[p]: log hazard ratios, and the values at which columns are centred.
    covariance
        float[p, p] covariance of the coefficients; with imputed data sets Rubin's total covariance.
    baseline
        Survival of a patient whose columns are at the centre; with a competing event, what it would be without that event.
    horizons
        Cumulative hazard of this patient, with its variance, at the horizons that follow-up reaches.
    competing
        The models of both causes if another event competes; risks are then cumulative incidences.
    trained_on
        Number of discovery patients and of events.
    missing
        Number of discovery patients with a missing covariate; they are included in `trained_on`.
    imputations
        Number of imputed data sets; 0 if nothing was missing.
    signature_sha256
        Digest of the signature that gives the score.
    """

    endpoint: str
    covariates: tuple[ClinicalCovariate, ...]
    score_scale: float | None
    score_range: tuple[float, ...] = ()
    coef: tuple[float, ...]
    center: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    baseline: Baseline
    horizons: tuple[HorizonHazard, ...]
    trained_on: Fitted
    missing: int = 0
    imputations: int = 0
    signature_sha256: str = ""
    competing: CompetingCauses | None = None

    def __post_init__(self) -> None:
        p = len(self.labels)
        shapes = {len(self.coef), len(self.center), len(self.covariance), *map(len, self.covariance)}
        shapes |= {len(h.gradient) for h in self.horizons}
        if self.competing is not None:
            shapes |= {len(self.competing.event.coef), len(self.competing.other.coef)}
        if shapes != {p} or not p:
            raise InputError(f"clinical model: {p} columns, but vectors and matrices of {sorted(shapes)}.")
        scale = 1.0 if self.score_scale is None else self.score_scale
        numbers = [*self.coef, *self.center, *(v for row in self.covariance for v in row), scale]
        numbers += [v for h in self.horizons for v in (h.hazard, h.variance, *h.gradient)]
        if not np.isfinite(numbers).all() or not scale > 0 or any(h.hazard < 0 for h in self.horizons):
            raise InputError(
                "clinical model: a coefficient, covariance, hazard or scale is not finite, a hazard is negative, or the scale is not positive."
            )
        survival = np.asarray(self.baseline.survival)
        if ((survival < 0) | (survival > 1)).any() or any(h.variance < 0 for h in self.horizons):
            raise InputError(
                "clinical model: a survival probability lies outside 0 to 1, or a variance is negative."
            )
        matrix = np.asarray(self.covariance)
        if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] < -1e-9 * np.trace(matrix):
            raise InputError(
                "clinical model: its covariance matrix is not symmetric, or has a negative eigenvalue."
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns, with the score last."""
        names = tuple(label for c in self.covariates for label in c.labels)
        return names if self.score_scale is None else (*names, "score")

    def columns(self, frame: pd.DataFrame, score: np.ndarray | None = None) -> np.ndarray:
        """Centred columns: float[n, p]; NaN where a covariate is missing or has an unknown level.

        Parameters
        ----------
        frame
            Covariates as numbers or text; an absent column counts as missing for all patients.
        score
            float[n]: scores of the signature, unless the model has covariates alone.
        """
        parts = [c.columns(frame) for c in self.covariates]
        if self.score_scale is not None:
            if score is None:
                raise InputError("clinical model: it needs the score of every patient.")
            parts.append(np.asarray(score, float)[:, None] / self.score_scale)
        return np.hstack(parts) - np.asarray(self.center)

    def missing_of(self, frame: pd.DataFrame) -> list[tuple[str, ...]]:
        """Covariates of each patient that are missing or have an unknown level."""
        lost = {c.name: np.isnan(c.columns(frame)).any(axis=1) for c in self.covariates}
        return [tuple(name for name, rows in lost.items() if rows[i]) for i in range(len(frame))]

    def linear_predictor(self, frame: pd.DataFrame, score: np.ndarray | None = None) -> np.ndarray:
        """Log hazard ratio relative to a patient at the centre: float[n]; NaN where a covariate is missing."""
        x = self.columns(frame, score)
        out = np.zeros(len(x))
        for j, weight in enumerate(
            self.coef
        ):  # term by term, so that results do not depend on the size of a batch
            out = out + weight * x[:, j]
        return out

    def predictors(self, frame: pd.DataFrame, score: np.ndarray | None = None) -> np.ndarray:
        """The argument of `survival_at`: the linear predictor, float[n], or with a competing event both, float[n, 2]."""
        first = self.linear_predictor(frame, score)
        if self.competing is None:
            return first
        return np.column_stack([first, self.columns(frame, score) @ np.array(self.competing.other.coef)])

    def survival_at(self, predictor: np.ndarray, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """Predicted survival, with a competing event 1 - cumulative incidence: float[n, m]; NaN beyond the last follow-up.

        Parameters
        ----------
        predictor
            As returned by `predictors`.
        times
            float[m], in the unit of the endpoint.
        """
        if self.competing is not None:
            return self.competing.free_at(np.asarray(predictor, float), times, until=self.baseline.until)
        base = self.baseline.survival_at(times)
        return np.asarray(np.power(base[None, :], np.exp(np.asarray(predictor, float))[:, None]))

    def risks(self, frame: pd.DataFrame, score: np.ndarray | None = None) -> AbsoluteRisk:
        """Absolute risk at each of `horizons` with its 95 % confidence interval, float[n, m]; NaN if a covariate is missing.

        With a competing event it is the cumulative incidence.
        """
        if self.competing is not None:
            return self.competing.risks(self.columns(frame, score), [h.time for h in self.horizons])
        base = BaselineHazard(
            hazard=np.array([h.hazard for h in self.horizons]),
            variance=np.array([h.variance for h in self.horizons]),
            gradient=np.array([h.gradient for h in self.horizons]).reshape(-1, len(self.coef)),
        )
        return absolute_risk(self.columns(frame, score), self.coef, self.covariance, base)


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Hazard ratio of one column with its 95 % confidence interval."""

    variable: str
    level: str
    reference: str
    hr: float
    lower: float
    upper: float
    p: float


def effects(model: ClinicalModel) -> tuple[Effect, ...]:
    """Hazard ratios of the columns of a model, with Wald intervals; that of the score is per standard deviation of discovery.

    Parameters
    ----------
    model
        A frozen clinical model.

    Returns
    -------
    One `Effect` for each column, in their order.

    Examples
    --------
    >>> import pandas as pd
    >>> from pathosig.validation.clinical_fit import fit_clinical_model
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"stage": rng.choice(["I", "II"], 80), "score": rng.normal(size=80)})
    >>> frame = frame.assign(time=rng.exponential(20 * np.exp(-frame["score"])), event=True)
    >>> model = fit_clinical_model(frame, ["stage"], endpoint="os")
    >>> [(effect.variable, effect.level, round(effect.hr, 2)) for effect in effects(model)]
    [('stage', 'II', 1.19), ('score', '', 3.23)]
    """
    heads = [
        (c.name, level, c.levels[0] if c.levels else "")
        for c in model.covariates
        for level in (c.levels[1:] or ("",))
    ]
    if model.score_scale is not None:
        heads.append(("score", "", ""))
    out = []
    for (name, level, reference), b, variance in zip(
        heads, model.coef, np.diag(model.covariance), strict=True
    ):
        se = float(np.sqrt(variance))
        low, high = b - Z95 * se, b + Z95 * se
        p = 2 * float(stats.norm.sf(abs(b) / se)) if se > 0 else float("nan")
        row = Effect(
            variable=name,
            level=level,
            reference=reference,
            hr=float(np.exp(b)),
            lower=float(np.exp(low)),
            upper=float(np.exp(high)),
            p=p,
        )
        out.append(row)
    return tuple(out)


def signature_digest(signature: Signature) -> str:
    """Digest of the content of a signature, by which a clinical model recognises the signature it was fitted with.

    Parameters
    ----------
    signature
        A frozen signature.

    Returns
    -------
    64 hexadecimal digits.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> signature_digest(SimpleNamespace(to_json=lambda: "{}"))[:12]
    '44136fa355b3'
    """
    return hashlib.sha256(signature.to_json().encode()).hexdigest()

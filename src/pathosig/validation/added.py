"""Added value: clinical, score and combined models, all frozen in discovery, judged in another cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.signature.fit import baseline_of
from pathosig.signature.model import Baseline
from pathosig.survival import cox, default_tau, uno_c
from pathosig.survival.covariates import as_level, is_categorical, levels_of
from pathosig.validation.analysis import AddedValue, Fitted
from pathosig.validation.benefit import at_horizon, c_gain
from pathosig.validation.values import FEWEST_EVENTS, NOT_COMPUTED, ChiSquare, Concordance, attempt

_AT_RISK = 10
MODELS = ("clinical", "score", "combined")


@dataclass(frozen=True, kw_only=True)
class ClinicalModels:
    """Cox models of covariates without and with the score, fitted on complete discovery patients.

    Attributes
    ----------
    columns
        (covariate, level or "" for a number), in the order of the coefficients.
    clinical, combined
        Coefficients; `combined` ends with the score's, per unit of the score.
    slope
        Coefficient of the score alone.
    baseline
        Model -> baseline survival of a patient whose predictor is 0 (see `baseline_of`), for predicted risks.
    n, events
        Patients the models were fitted on.
    """

    columns: tuple[tuple[str, str], ...]
    clinical: tuple[float, ...]
    combined: tuple[float, ...]
    slope: float
    baseline: Mapping[str, Baseline]
    n: int
    events: int

    @classmethod
    def fit(cls, frame: pd.DataFrame, covariates: Sequence[str], *, unit: str = "months") -> ClinicalModels:
        """Fit on discovery.

        Parameters
        ----------
        frame
            Covariates, time, event and `score`: out-of-fold scores, so that the combined model does not overrate
            a score that has seen these patients.
        covariates
            Numbers as they are, categories against their first level.

        Raises
        ------
        NotEstimableError
            Without covariates, or with fewer than ten events among complete patients.
        """
        columns: list[tuple[str, str]] = []
        for name in covariates:
            if name in frame and not is_categorical(frame[name]):
                columns.append((name, ""))
            elif name in frame:
                columns += [(name, level) for level in levels_of(frame[name])[1:]]
        if not columns:
            message = "added value: no covariates are declared in study.toml."
            raise NotEstimableError(message)
        x = _matrix(frame, columns)
        score = frame["score"].to_numpy(float)
        complete = np.isfinite(x).all(1) & np.isfinite(score)
        time, event = frame["time"].to_numpy(float)[complete], frame["event"].to_numpy(bool)[complete]
        if event.sum() < FEWEST_EVENTS:
            message = f"added value: {int(event.sum())} events among discovery patients with all covariates; {FEWEST_EVENTS} are needed."
            raise NotEstimableError(message)
        clinical = np.nan_to_num(cox(x[complete], time, event).coef)
        both = np.column_stack([x, score])[complete]
        combined = np.nan_to_num(cox(both, time, event).coef)
        slope = float(np.nan_to_num(cox(score[complete, None], time, event).coef)[0])
        linear = {
            "clinical": x[complete] @ clinical,
            "score": slope * score[complete],
            "combined": both @ combined,
        }
        return cls(
            columns=tuple(columns),
            clinical=tuple(map(float, clinical)),
            combined=tuple(map(float, combined)),
            slope=slope,
            baseline={k: baseline_of(v, time, event, unit) for k, v in linear.items()},
            n=int(complete.sum()),
            events=int(event.sum()),
        )

    def risk_at(self, predictors: Mapping[str, np.ndarray], when: float) -> dict[str, np.ndarray]:
        """Predicted probability of an event by a time: model -> float[n]; empty beyond discovery's follow-up."""
        out = {}
        for name, values in predictors.items():
            level = float(self.baseline[name].survival_at(when)[0])
            if not np.isfinite(level):
                return {}
            linear = self.slope * values if name == "score" else values
            out[name] = np.clip(1 - level ** np.exp(np.clip(linear, -50, 50)), 0.0, 1.0)
        return out

    def predictors(self, frame: pd.DataFrame, score: np.ndarray) -> dict[str, np.ndarray]:
        """Linear predictor of each model; NaN where a covariate is missing."""
        x = _matrix(frame, self.columns)
        both = np.column_stack([x, score]) @ np.asarray(self.combined)
        return {"clinical": x @ np.asarray(self.clinical), "score": score, "combined": both}


def _matrix(frame: pd.DataFrame, columns: Sequence[tuple[str, str]]) -> np.ndarray:
    out = []
    for name, level in columns:
        column = frame[name]
        if not level:
            out.append(column.to_numpy(float))
            continue
        text = column.map(lambda v: None if pd.isna(v) else as_level(v))
        out.append(np.where(text.isna(), np.nan, (text == level).to_numpy(float)))
    return np.column_stack(out)


def added_value(
    models: ClinicalModels,
    frame: pd.DataFrame,
    *,
    scale: float = 1.0,
    per_year: float = 12.0,
    horizons: Sequence[float] = (1.0, 3.0, 5.0),
    bootstraps: int = 200,
    seed: int = 0,
    workers: int = 1,
) -> AddedValue:
    """Added value in one cohort: Uno's C of the frozen models, their paired difference, and the LR test.

    Parameters
    ----------
    models
        Frozen in discovery.
    frame
        A validation cohort: score, time, event, covariates.
    scale
        What the score is divided by before the combined model sees it (the unit of its out-of-fold scores).
    per_year, horizons
        Units of time in a year; years. Brier score and net benefit are given at the last one that ten patients reach.
    bootstraps, seed
        Resamples for the limits of differences, paired over models.
    workers
        Processes; the result does not depend on it.

    Returns
    -------
    `AddedValue`.

    Raises
    ------
    NotEstimableError
        With fewer than ten events among complete patients.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"age": rng.normal(60, 8, 80), "score": rng.normal(size=80), "event": True})
    >>> frame["time"] = rng.exponential(20 * np.exp(-frame["score"]))
    >>> models = ClinicalModels.fit(frame[:40], ["age"])
    >>> result = added_value(models, frame[40:], bootstraps=5)
    >>> {name: round(c.estimate, 2) for name, c in result.uno_c.items()}
    {'clinical': 0.41, 'score': 0.8, 'combined': 0.78}
    """
    predictors = models.predictors(frame, frame["score"].to_numpy(float) / scale)
    complete = np.isfinite(np.column_stack(list(predictors.values()))).all(1)
    time, event = frame["time"].to_numpy(float)[complete], frame["event"].to_numpy(bool)[complete]
    if event.sum() < FEWEST_EVENTS:
        message = f"added value: {int(event.sum())} events among patients with all covariates; {FEWEST_EVENTS} are needed."
        raise NotEstimableError(message)
    values = {k: v[complete] for k, v in predictors.items()}
    tau = default_tau(time)
    uno = partial(uno_c, tau=tau)
    index = {k: uno(values[k], time, event) for k in MODELS}
    draws = np.random.default_rng(seed).integers(0, len(time), (bootstraps, len(time)))
    small = cox(values["clinical"][:, None], time, event)
    large = cox(np.column_stack([values["clinical"], values["score"]]), time, event)
    statistic = max(0.0, 2 * (large.loglik - small.loglik))
    reached = [years * per_year for years in horizons if (time >= years * per_year).sum() >= _AT_RISK]
    risks = models.risk_at(values, reached[-1]) if reached else {}
    return AddedValue(
        models=MODELS,
        n=int(complete.sum()),
        events=int(event.sum()),
        trained_on=Fitted(n=models.n, events=models.events),
        uno_c={k: Concordance.of(v.c, v.lower, v.upper, tau=tau) for k, v in index.items()},
        difference_c=c_gain(
            uno, (values["combined"], values["clinical"]), time, event, draws=draws, workers=workers
        ),
        lr_test=ChiSquare(statistic=statistic, df=1, p=float(stats.chi2.sf(statistic, 1))),
        at_horizon=attempt(at_horizon, risks, time, event, reached[-1], draws, workers=workers)
        if risks
        else NOT_COMPUTED,
    )

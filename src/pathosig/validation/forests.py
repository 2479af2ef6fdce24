"""Uni- and multivariable Cox models of the score beside covariates, as rows of a forest plot; subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.survival import adjust_p, cox
from pathosig.survival.covariates import Term, encode, subgroup_labels
from pathosig.validation.estimates import attempt, finite, hazard_ratio

SCORE = "score"
FEWEST_EVENTS = 5


def forest(
    frame: pd.DataFrame, covariates: Sequence[str], *, sd: float, imputations: int = 0, seed: int = 0
) -> dict[str, Any]:
    """``forest`` of an analysis: every variable alone, and all together with the score.

    Parameters
    ----------
    frame
        score, time, event and covariates of assessable patients.
    covariates
        Their columns.
    sd
        SD of the score in discovery.
    imputations, seed
        Imputed data sets for missing covariates; 0 leaves ``imputed`` out.
    """
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    score = Term(
        variable=SCORE, level="per SD", reference="", values=frame["score"].to_numpy(float) / (sd or 1.0)
    )
    terms = [score, *encode(frame, covariates)]
    alone: list[dict[str, Any]] = []
    for name in dict.fromkeys(t.variable for t in terms):
        own = [t for t in terms if t.variable == name]
        alone += _rows(own, attempt(_joint, own, time, event))
    together = attempt(_joint, terms, time, event)
    complete = int(np.isfinite(np.column_stack([t.values for t in terms])).all(1).sum())
    out: dict[str, Any] = {
        "univariable": alone,
        "multivariable": _rows(terms, together),
        "n": len(frame),
        "n_complete": complete,
    }
    if imputations > 1 and complete < len(frame):
        made = attempt(imputed_model, frame, covariates, sd=sd, m=imputations, seed=seed)
        out |= {"imputation": made} if "not_estimable" in made else {
            "imputed": _rows(terms, made["fit"]), "imputation": made["how"]
        }  # fmt: skip
    return out


def imputed_model(
    frame: pd.DataFrame, covariates: Sequence[str], *, sd: float, m: int, seed: int
) -> dict[str, Any]:
    """The multivariable model over `m` imputed data sets, pooled; ``fit`` reads like one fit, ``how`` says what was done.

    Raises
    ------
    NotEstimableError
        If a covariate cannot be imputed, or the model cannot be fitted in every imputed data set.
    """
    from pathosig.survival.imputation import impute, rubin

    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    scaled = frame["score"].to_numpy(float) / (sd or 1.0)
    coef, se = [], []
    for table in impute(frame, covariates, m=m, seed=seed):
        columns = [scaled, *(t.values for t in encode(table, covariates))]
        fit = cox(np.column_stack(columns), time, event)
        coef.append(fit.coef)
        se.append(fit.se)
    if not (np.isfinite(coef).all() and np.isfinite(se).all()):
        message = "multiple imputation: the model has no estimate of a covariate in some imputed data sets."
        raise NotEstimableError(message)
    pooled = rubin(np.array(coef), np.array(se), n=int(event.sum()) - len(coef[0]))
    with np.errstate(over="ignore"):
        values = {
            k: np.exp(v) for k, v in (("hr", pooled.coef), ("lower", pooled.lower), ("upper", pooled.upper))
        }
    named = SimpleNamespace(**values, p=pooled.p, n=len(frame), n_events=int(event.sum()), warnings=())
    holes = {c: int(frame[c].isna().sum()) for c in covariates if c in frame and frame[c].isna().any()}
    how = {
        "m": m,
        "method": "chained equations with event and Nelson-Aalen hazard; Rubin's rules",
        "missing": holes,
        "missing_information": [finite(v) for v in pooled.missing_information],
    }
    return {"fit": named, "how": how}


def _joint(terms: Sequence[Term], time: np.ndarray, event: np.ndarray) -> Any:
    return cox(np.column_stack([t.values for t in terms]), time, event)


def _rows(terms: Sequence[Term], fit: Any) -> list[dict[str, Any]]:
    """Rows of a forest plot: a heading and a reference for categories, an estimate for each column."""
    rows: list[dict[str, Any]] = []
    for i, term in enumerate(terms):
        if term.reference and (i == 0 or terms[i - 1].variable != term.variable):
            base = {"variable": term.variable, "level_depth": 0, "reference": term.reference}
            rows.append({**base, "level": "", "label": term.variable, "kind": "heading"})
            label = {"level": term.reference, "label": term.reference, "kind": "reference", "level_depth": 1}
            rows.append({**base, **label, "hr": 1.0})
        row: dict[str, Any] = {
            "variable": term.variable,
            "level": term.level,
            "reference": term.reference,
            "label": term.level if term.reference else f"{term.variable} ({term.level})",
            "kind": "estimate",
            "level_depth": 1 if term.reference else 0,
            "remark": "",
        }
        if isinstance(fit, dict):
            rows.append(
                {**row, "hr": None, "lower": None, "upper": None, "p": None, "remark": fit["not_estimable"]}
            )
            continue
        separated = any("separates" in note and f"x{i + 1} " in note for note in fit.warnings)
        values = {k: finite(getattr(fit, k)[i]) for k in ("hr", "lower", "upper", "p")}
        row |= {**values, "n": fit.n, "events": fit.n_events}
        rows.append({**row, "remark": "separation"} if separated else row)
    return rows


def subgroup_effects(frame: pd.DataFrame, variables: Sequence[str], *, sd: float) -> list[dict[str, Any]]:
    """HR per SD in every level of every subgroup variable, interaction p and its BH q over the variables.

    A level with fewer than five events is not estimable: its limits would say nothing.

    Parameters
    ----------
    frame
        score, time, event and the variables.
    variables
        Declared subgroups; numbers are split at their median.
    sd
        SD of the score in discovery.
    """
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    scaled = frame["score"].to_numpy(float) / (sd or 1.0)
    out: list[dict[str, Any]] = []
    for name in variables:
        if name not in frame:
            continue
        labels = subgroup_labels(frame[name])
        levels = sorted({v for v in labels if v is not None})
        if len(levels) < 2:
            continue
        rows = []
        for level in levels:
            inside = labels == level
            row = {"level": level, "n": int(inside.sum()), "events": int(event[inside].sum())}
            if row["events"] < FEWEST_EVENTS:
                effect = {"not_estimable": f"{row['events']} event{'s' * (row['events'] != 1)}"}
            else:
                effect = hazard_ratio(scaled[inside], time[inside], event[inside])
            rows.append({**effect, **row})
        tested = attempt(interaction_p, scaled, time, event, labels, levels)
        p = None if isinstance(tested, dict) else tested
        out.append({"variable": name, "p_interaction": p, "q_interaction": None, "rows": rows})
    known = [row for row in out if row["p_interaction"] is not None]
    if known:
        for row, q in zip(known, adjust_p([r["p_interaction"] for r in known], "BH"), strict=True):
            row["q_interaction"] = float(q)
    return out


def interaction_p(
    scaled: np.ndarray, time: np.ndarray, event: np.ndarray, labels: np.ndarray, levels: Sequence[str]
) -> float:
    """Likelihood-ratio p of score x subgroup."""
    known = np.array([v is not None for v in labels])
    dummies = np.column_stack([(labels == level).astype(float) for level in levels[1:]])[known]
    main = np.column_stack([scaled[known], dummies])
    full = np.column_stack([main, scaled[known, None] * dummies])
    small, large = cox(main, time[known], event[known]), cox(full, time[known], event[known])
    statistic = max(0.0, 2 * (large.loglik - small.loglik))
    return float(stats.chi2.sf(statistic, dummies.shape[1]))

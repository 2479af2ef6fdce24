"""Univariable and multivariable Cox models of score and covariates as rows of a forest plot, and effects in subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.core.words import counted
from pathosig.survival import adjust_p, cox, ph_test
from pathosig.survival.covariates import Term, encode, subgroup_labels
from pathosig.survival.imputation import impute, rubin
from pathosig.validation.analysis import (
    Forest,
    ForestRow,
    Imputation,
    ProportionalModel,
    Subgroup,
    SubgroupLevel,
)
from pathosig.validation.clinical_names import refuse_taken
from pathosig.validation.estimates import entry_of, hazard_ratio, refuse_delayed
from pathosig.validation.values import ChiSquare, HazardRatio, NotEstimable, attempt, finite, numbers

SCORE = "score"
FEWEST_EVENTS = 5


def forest(
    frame: pd.DataFrame, covariates: Sequence[str], *, sd: float, imputations: int = 0, seed: int = 0
) -> Forest:
    """Cox models of every variable alone, and of score and covariates together.

    Parameters
    ----------
    frame
        Assessable patients: score, time, event and covariates.
    covariates
        Names of the covariates.
    sd
        Standard deviation of the score in discovery.
    imputations, seed
        Number of imputed data sets if covariates are missing (0 leaves ``imputed`` out), and the seed.

    Returns
    -------
    Forest

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=80), "age": rng.normal(60, 8, 80), "event": True})
    >>> frame["time"] = rng.exponential(np.exp(-frame["score"]))
    >>> [(row.label, round(row.effect.hr, 2)) for row in forest(frame, ["age"], sd=1.0).multivariable]
    [('score (per SD)', 3.47), ('age (per unit)', 1.0)]
    """
    refuse_taken(covariates)
    time, event, entry = frame["time"].to_numpy(float), frame["event"].to_numpy(bool), entry_of(frame)
    score = Term(
        variable=SCORE, level="per SD", reference="", values=frame["score"].to_numpy(float) / (sd or 1.0)
    )
    terms = [score, *encode(frame, covariates)]
    alone: list[ForestRow] = []
    for name in dict.fromkeys(t.variable for t in terms):
        same = [t for t in terms if t.variable == name]
        alone += _rows(same, attempt(_effects, same, time, event, entry), event)
    complete = int(np.isfinite(np.column_stack([t.values for t in terms])).all(1).sum())
    models = Forest(
        univariable=tuple(alone),
        multivariable=_rows(terms, attempt(_effects, terms, time, event, entry), event),
        n=len(frame),
        n_complete=complete,
        ph=attempt(_proportional_model, terms, time, event, entry),
    )
    if imputations < 2 or complete == len(frame):
        return models
    imputed = attempt(_imputed_model, frame, covariates, sd=sd, m=imputations, seed=seed)
    if isinstance(imputed, NotEstimable):
        return replace(models, imputation=imputed)
    return replace(models, imputed=_rows(terms, imputed.effects), imputation=imputed.imputation)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImputedModel:
    """Effects of a model, pooled over imputed data sets, in the order of its columns."""

    effects: tuple[HazardRatio, ...]
    imputation: Imputation


def _imputed_model(
    frame: pd.DataFrame, covariates: Sequence[str], *, sd: float, m: int, seed: int
) -> ImputedModel:
    """The multivariable model over `m` imputed data sets, pooled by Rubin's rules.

    Raises
    ------
    NotEstimableError
        If a covariate cannot be imputed, or the model cannot be fitted in every imputed data set.
    """
    refuse_delayed(frame, "multiple imputation")
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
        hr, lower, upper = (numbers(np.exp(v)) for v in (pooled.coef, pooled.lower, pooled.upper))
    effects = tuple(
        HazardRatio(
            hr=hr[i],
            lower=lower[i],
            upper=upper[i],
            p=finite(pooled.p[i]),
            n=len(frame),
            events=int(event.sum()),
        )
        for i in range(len(hr))
    )
    how = Imputation(
        m=m,
        method="chained equations with event and Nelson-Aalen hazard; Rubin's rules",
        missing={c: int(frame[c].isna().sum()) for c in covariates if c in frame and frame[c].isna().any()},
        missing_information=numbers(pooled.missing_information),
    )
    return ImputedModel(effects=effects, imputation=how)


def _proportional_model(
    terms: Sequence[Term], time: np.ndarray, event: np.ndarray, entry: np.ndarray | None = None
) -> ProportionalModel:
    """Tests of proportional hazards in the model of all terms, as by R's cox.zph, with the levels of a category together.

    Raises
    ------
    NotEstimableError
        If the model cannot be fitted, or no column has an estimate.
    """
    fit = cox(np.column_stack([t.values for t in terms]), time, event, entry=entry)
    test = ph_test(fit, terms=[t.variable for t in terms])
    if not test.global_df:
        raise NotEstimableError("proportional hazards: no column has an estimate.")
    rows = zip(test.names, test.statistic, test.df, test.p, strict=True)
    return ProportionalModel(
        variables={name: ChiSquare(statistic=finite(s), df=int(df), p=finite(p)) for name, s, df, p in rows},
        whole=ChiSquare(statistic=finite(test.global_statistic), df=test.global_df, p=finite(test.global_p)),
    )


def _effects(
    terms: Sequence[Term], time: np.ndarray, event: np.ndarray, entry: np.ndarray | None = None
) -> tuple[HazardRatio, ...]:
    fit = cox(np.column_stack([t.values for t in terms]), time, event, entry=entry)
    return tuple(
        HazardRatio(
            hr=finite(fit.hr[i]),
            lower=finite(fit.lower[i]),
            upper=finite(fit.upper[i]),
            p=finite(fit.p[i]),
            n=fit.n,
            events=fit.n_events,
            separated=bool(fit.separated[i]),
        )
        for i in range(len(terms))
    )


def _rows(
    terms: Sequence[Term], effects: Sequence[HazardRatio] | NotEstimable, event: np.ndarray | None = None
) -> tuple[ForestRow, ...]:
    """Rows of a forest plot: a heading and a reference for each category, and an estimate for each column.

    Without `event` the rows have no numbers of patients and events.
    """
    rows: list[ForestRow] = []
    complete = np.isfinite(np.column_stack([t.values for t in terms])).all(1)

    def counted(row: ForestRow, members: np.ndarray) -> ForestRow:
        if event is None:
            return row
        return replace(row, n=int(members.sum()), events=int(event[members].sum()))

    for i, term in enumerate(terms):
        members = complete & (term.values == 1) if term.reference else complete
        if term.reference and (i == 0 or terms[i - 1].variable != term.variable):
            heading = ForestRow(
                variable=term.variable,
                level="",
                reference=term.reference,
                label=term.variable,
                kind="heading",
                level_depth=0,
            )
            first = replace(
                heading, level=term.reference, label=term.reference, kind="reference", level_depth=1
            )
            others = np.sum([t.values for t in terms if t.variable == term.variable], axis=0)
            rows += [counted(heading, complete), counted(first, complete & (others == 0))]
        estimate = ForestRow(
            variable=term.variable,
            level=term.level,
            reference=term.reference,
            label=term.level if term.reference else f"{term.variable} ({term.level})",
            kind="estimate",
            level_depth=1 if term.reference else 0,
            effect=effects if isinstance(effects, NotEstimable) else effects[i],
        )
        rows.append(counted(estimate, members))
    return tuple(rows)


def subgroup_effects(frame: pd.DataFrame, variables: Sequence[str], *, sd: float) -> tuple[Subgroup, ...]:
    """Hazard ratio per standard deviation at every level of the subgroup variables, with tests of interaction.

    Parameters
    ----------
    frame
        score, time, event and the variables.
    variables
        Names of the subgroup variables; numbers with many values are split at their median.
    sd
        Standard deviation of the score in discovery.

    Returns
    -------
    One `Subgroup` for each variable with at least two levels; q is Benjamini and Hochberg's over the variables.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"score": rng.normal(size=80), "sex": ["f", "m"] * 40, "event": True})
    >>> frame["time"] = rng.exponential(np.exp(-frame["score"]))
    >>> result = subgroup_effects(frame, ["sex"], sd=1.0)[0]
    >>> [(row.level, row.n, round(row.effect.hr, 2)) for row in result.rows], round(result.p_interaction, 2)
    ([('f', 40, 2.89), ('m', 40, 4.41)], 0.32)
    """
    refuse_taken(variables)
    subgroups = [
        s for name in variables if name in frame and (s := _subgroup(frame, name, sd=sd)) is not None
    ]
    p = [s.p_interaction for s in subgroups if s.p_interaction is not None]
    q = iter(adjust_p(p, "BH") if p else ())
    return tuple(
        s if s.p_interaction is None else replace(s, q_interaction=float(next(q))) for s in subgroups
    )


def _subgroup(frame: pd.DataFrame, name: str, *, sd: float) -> Subgroup | None:
    """Effects at the levels of one variable; None if all patients have the same level."""
    time, event, entry = frame["time"].to_numpy(float), frame["event"].to_numpy(bool), entry_of(frame)
    scaled = frame["score"].to_numpy(float) / (sd or 1.0)
    labels = subgroup_labels(frame[name])
    levels = sorted({v for v in labels if v is not None})
    if len(levels) < 2:
        return None
    rows = []
    for level in levels:
        inside = labels == level
        events = int(event[inside].sum())
        few = NotEstimable(reason=counted(events, "event"))
        late = None if entry is None else entry[inside]
        effect = (
            few
            if events < FEWEST_EVENTS
            else hazard_ratio(scaled[inside], time[inside], event[inside], entry=late)
        )
        rows.append(SubgroupLevel(level=level, n=int(inside.sum()), events=events, effect=effect))
    p = attempt(_interaction_p, scaled, time, event, labels, levels, entry)
    tested = None if isinstance(p, NotEstimable) else p
    return Subgroup(variable=name, p_interaction=tested, q_interaction=None, rows=tuple(rows))


def _interaction_p(
    scaled: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    labels: np.ndarray,
    levels: Sequence[str],
    entry: np.ndarray | None = None,
) -> float:
    """P-value of the likelihood ratio test of score x subgroup."""
    labelled = np.array([v is not None for v in labels])
    dummies = np.column_stack([(labels == level).astype(float) for level in levels[1:]])[labelled]
    main = np.column_stack([scaled[labelled], dummies])
    full = np.column_stack([main, scaled[labelled, None] * dummies])
    late = None if entry is None else entry[labelled]
    small, large = (cox(x, time[labelled], event[labelled], entry=late) for x in (main, full))
    statistic = max(0.0, 2 * (large.loglik - small.loglik))
    return float(stats.chi2.sf(statistic, dummies.shape[1]))

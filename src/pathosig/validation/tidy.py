"""The content of results.json as tidy tables, one for each kind of result."""

from __future__ import annotations

from dataclasses import fields

from pathosig.validation.analysis import (
    AddedValue,
    Analysis,
    Forest,
    IntegratedBrier,
    NetBenefitGain,
)
from pathosig.validation.arms import Treatment, TreatmentEffect
from pathosig.validation.competing_values import CompetingRisks
from pathosig.validation.development import Univariable
from pathosig.validation.performance_table import (
    Row,
    estimable,
    hr_columns,
    interval_columns,
    key_columns,
    performance_rows,
)
from pathosig.validation.results import Association, Results
from pathosig.validation.table1_values import Table1
from pathosig.validation.values import (
    ChiSquare,
    Counts,
    Estimate,
    ExactTest,
    HazardRatio,
    KaplanMeier,
    NotEstimable,
)


def tidy_tables(results: Results) -> dict[str, list[Row]]:
    """The results as tidy tables for validation/tables/*.csv; empty tables are left out.

    Parameters
    ----------
    results
        Content of results.json.

    Returns
    -------
    Rows of each table, by its name.

    Examples
    --------
    >>> from pathosig.validation.results import PrimaryAnalysis, Results
    >>> from pathosig.validation.values import Concordance, NotEstimable
    >>> from pathosig.validation.analysis import Analysis
    >>> a = Analysis(
    ...     cohort="v1", endpoint="os", unit="months", role="validation", primary=True, n=90, events=40,
    ...     harrell_c=Concordance.of(0.65, 0.58, 0.72),
    ... )
    >>> primary = PrimaryAnalysis(endpoint="os", discovery="d", covariates=(), treatment=None, sha256="")
    >>> results = Results(kind="external", primary=primary, signature=NotEstimable(reason="not read"), analyses=(a,))
    >>> [(name, row["measure"], row["estimate"]) for name, rows in tidy_tables(results).items() for row in rows]
    [('performance', 'harrell_c', 0.65)]
    """
    analyses = results.analyses
    tables: dict[str, list[Row]] = {
        "univariate": [_univariable(u) for u in results.univariate],
        "performance": performance_rows(analyses),
        "km": [row for a in analyses for row in _curves(a)],
        "forest": [row for a in analyses for row in _forest(a)],
        "subgroups": [row for a in analyses for row in _subgroups(a)],
        "treatment": [row for t in results.treatment for row in _treatment(t)],
        "associations": [row for a in results.associations for row in _association(a)],
        "outcomes": [row for a in analyses for row in _outcomes(a)],
        "brier": [row for a in analyses for row in _brier(a)],
        "added_value": [row for a in analyses for row in _added(a)],
        "competing": [row for a in analyses for row in _competing(a)],
        "incidence": [row for a in analyses for row in _incidence(a)],
        "absolute_risk": [row for a in analyses for row in _absolute_risk(a)],
        "table1": _table1(results.table1),
        "warnings": [{"code": w.code, "message": w.message, "where": w.where} for w in results.warnings],
    }
    return {name: rows for name, rows in tables.items() if rows}


def _model(value: HazardRatio | NotEstimable) -> tuple[int | None, int | None, str]:
    """Number of patients, number of events and remark of a model."""
    if isinstance(value, NotEstimable):
        return None, None, value.reason
    return value.n, value.events, value.remark


def _univariable(u: Univariable) -> Row:
    values: Row = {f.name: getattr(u, f.name) for f in fields(u)}
    return {**values, "leaves": " ".join(map(str, u.leaves))}


def _curves(a: Analysis) -> list[Row]:
    names = ("time", "estimate", "lower", "upper", "n_risk", "n_event", "n_censor")
    groups = a.km.groups if isinstance(a.km, KaplanMeier) else ()
    return [
        {**key_columns(a), "group": g.label, **dict(zip(names, step, strict=True))}
        for g in groups
        for step in zip(*(getattr(g, n) for n in names), strict=True)
    ]


def _forest(a: Analysis) -> list[Row]:
    if not isinstance(a.forest, Forest):
        return []
    models = {
        "univariable": a.forest.univariable,
        "multivariable": a.forest.multivariable,
        "imputed": a.forest.imputed,
    }
    rows: list[Row] = []
    for model, entries in models.items():
        for entry in entries:
            if entry.kind != "estimate":
                continue
            effect = entry.effect
            n, events, remark = _model(effect)
            rows.append(
                {
                    **key_columns(a),
                    "model": model,
                    "variable": entry.variable,
                    "level": entry.level,
                    "reference": entry.reference,
                    **hr_columns(effect),
                    "n": n,
                    "events": events,
                    "remark": remark,
                }
            )
    return rows


def _subgroups(a: Analysis) -> list[Row]:
    return [
        {
            **key_columns(a),
            "variable": s.variable,
            "p_interaction": s.p_interaction,
            "q_interaction": s.q_interaction,
            "level": level.level,
            **hr_columns(level.effect),
            "n": level.n,
            "events": level.events,
        }
        for s in estimable(a.subgroups)
        for level in s.rows
    ]


def _treatment(t: Treatment) -> list[Row]:
    rows: list[Row] = []
    for cohort in t.cohorts:
        base: Row = {"cohort": cohort.cohort, "endpoint": t.endpoint, "arm": t.arm, "verdict": t.verdict}
        if not isinstance(cohort.result, TreatmentEffect):
            continue
        for group in cohort.result.groups:
            _, events, _ = _model(group.effect)
            count: Row = {"n": group.n, "n_treated": group.n_treated, "events": events}
            rows.append({**base, "label": group.label, **hr_columns(group.effect), **count})
        test = cohort.result.interaction
        n, events, _ = _model(test)
        rows.append(
            {
                **base,
                "label": "score x treatment",
                **hr_columns(test),
                "n": n,
                "n_treated": None,
                "events": events,
            }
        )
    return rows


def _table1(table: Table1) -> list[Row]:
    return [
        {"variable": r.variable, "level": r.level, **r.values, "p": r.p, "test": r.test} for r in table.rows
    ]


def _tests(counts: Counts) -> Row:
    square, exact = counts.chi_square, counts.fisher
    tests: Row = {"chi_square": None, "df": None, "p_chi_square": None, "p_exact": None}
    if isinstance(square, ChiSquare):
        tests |= {"chi_square": square.statistic, "df": square.df, "p_chi_square": square.p}
    if isinstance(exact, ExactTest):
        tests["p_exact"] = exact.p
    return tests


def _association(a: Association) -> list[Row]:
    if isinstance(a.counts, NotEstimable):
        return []
    q = a.counts.fisher.q if isinstance(a.counts.fisher, ExactTest) else None
    base: Row = {"cohort": a.cohort, "variable": a.variable}
    return [{**base, **row, **_tests(a.counts), "q_exact": q} for row in _counts(a.counts)]


def _counts(counts: Counts) -> list[Row]:
    return [{"group": r.group, "level": r.level, "n": r.n, "share": r.share} for r in counts.rows]


def _outcomes(a: Analysis) -> list[Row]:
    counts = a.outcome_counts
    if isinstance(counts, NotEstimable):
        return []
    return [{**key_columns(a), **row, **_tests(counts)} for row in _counts(counts)]


def _brier(a: Analysis) -> list[Row]:
    errors = [("brier", at.years, at) for at in estimable(a.brier)]
    whole = [("ibs", None, a.ibs)] if isinstance(a.ibs, IntegratedBrier) else []
    rows: list[Row] = []
    for name, years, error in [*errors, *whole]:
        values: Row = {"time": error.time, "score": error.score, "null": error.null, "scaled": error.scaled}
        ends: Row = {f"difference_{k}": v for k, v in interval_columns(error.difference).items()}
        rows.append({**key_columns(a), "measure": name, "years": years, **values, **ends})
    return rows


def _added(a: Analysis) -> list[Row]:
    added = a.added_value
    if not isinstance(added, AddedValue):
        return []
    measures: list[tuple[str, float | None, Estimate]] = [
        (f"uno_c {model}", None, value) for model, value in added.uno_c.items()
    ]
    measures.append(("difference_c", None, added.difference_c))
    gains: tuple[NetBenefitGain, ...] = ()
    if not isinstance(added.at_horizon, NotEstimable):
        measures.append(("difference_brier", None, added.at_horizon.difference_brier))
        gains = added.at_horizon.net_benefit.difference
    if not isinstance(added.imputed, NotEstimable):
        measures.append(("difference_c imputed", None, added.imputed.difference_c))
    measures += [("difference_net_benefit", gain.threshold, gain) for gain in gains]
    return [
        {**key_columns(a), "measure": name, "threshold": cut, **interval_columns(value)}
        for name, cut, value in measures
    ]


def _competing(a: Analysis) -> list[Row]:
    if not isinstance(a.competing, CompetingRisks):
        return []
    rows: list[Row] = []
    for m in a.competing.models:
        n, events, _ = _model(m.result)
        base: Row = {"model": m.model, "effect": m.effect, "cause": m.cause}
        rows.append({**key_columns(a), **base, **hr_columns(m.result), "n": n, "events": events})
    return rows


def _absolute_risk(a: Analysis) -> list[Row]:
    at = a.competing.at if isinstance(a.competing, CompetingRisks) else ()
    return [
        {**key_columns(a), "group": r.group, "years": r.years, "cause": cause, **interval_columns(value)}
        for r in at
        for cause, value in ((1, r.event), (2, r.competing))
    ]


def _incidence(a: Analysis) -> list[Row]:
    names = ("time", "estimate", "lower", "upper")
    curves = a.competing.curves if isinstance(a.competing, CompetingRisks) else ()
    return [
        {**key_columns(a), "group": c.group, "cause": c.cause, **dict(zip(names, step, strict=True))}
        for c in curves
        for step in zip(*(getattr(c, n) for n in names), strict=True)
    ]

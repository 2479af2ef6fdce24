"""results.json as tidy tables: one CSV per kind of result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.validation.validate import performance_rows


def tidy_tables(results: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Table name -> rows, for validation/tables/*.csv."""
    analyses = results["analyses"]
    tables = {
        "univariate": [{**r, "leaves": " ".join(map(str, r["leaves"]))} for r in results["univariate"]],
        "performance": performance_rows(analyses),
        "km": [row for a in analyses for row in _km(a)],
        "forest": [row for a in analyses for row in _forest(a)],
        "subgroups": [row for a in analyses for row in _subgroups(a)],
        "treatment": [row for t in results.get("treatment", ()) for row in _treatment(t)],
        "associations": [row for a in results.get("associations", ()) for row in _association(a)],
        "outcomes": [row for a in analyses for row in _outcomes(a)],
        "brier": [row for a in analyses for row in _brier(a)],
        "added_value": [row for a in analyses for row in _added(a)],
        "competing": [row for a in analyses for row in _competing(a)],
        "incidence": [row for a in analyses for row in _incidence(a)],
        "table1": _table1(results["table1"]),
        "guards": list(results["guards"]),
    }
    return {name: rows for name, rows in tables.items() if rows}


def _of(a: Mapping[str, Any]) -> dict[str, Any]:
    return {k: a[k] for k in ("cohort", "endpoint", "role")}


def _km(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("time", "estimate", "lower", "upper", "n_risk", "n_event", "n_censor")
    groups = (a.get("km") or {}).get("groups", ())
    return [
        {**_of(a), "group": g["label"], **dict(zip(names, values, strict=True))}
        for g in groups
        for values in zip(*(g[n] for n in names), strict=True)
    ]


def _forest(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = a.get("forest") or {}
    names = ("variable", "level", "reference", "hr", "lower", "upper", "p", "n", "events", "remark")
    return [
        {**_of(a), "model": model, **{n: row.get(n) for n in names}}
        for model in ("univariable", "multivariable", "imputed")
        for row in made.get(model, ())
        if row["kind"] == "estimate"
    ]


def _subgroups(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = a.get("subgroups") or ()
    names = ("level", "hr", "lower", "upper", "p", "n", "events")
    tests = ("variable", "p_interaction", "q_interaction")
    rows = made if isinstance(made, list) else []
    return [
        {**_of(a), **{n: s[n] for n in tests}, **{n: row.get(n) for n in names}}
        for s in rows
        for row in s["rows"]
    ]


def _treatment(t: Mapping[str, Any]) -> list[dict[str, Any]]:
    base = {k: t.get(k) for k in ("cohort", "endpoint", "arm", "verdict")}
    names = ("label", "hr", "lower", "upper", "p", "n", "n_treated", "events")
    rows = [{**base, **{n: g.get(n) for n in names}} for g in t.get("groups", ())]
    test = t.get("interaction") or {}
    if test:
        rows.append({**base, "label": "score x treatment", **{n: test.get(n) for n in names[1:]}})
    return rows


def _table1(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"variable": r["variable"], "level": r["level"], **r["values"], "p": r["p"], "test": r["test"]}
        for r in table["rows"]
    ]


def _tests(made: Mapping[str, Any]) -> dict[str, Any]:
    square, exact = made.get("chi_square") or {}, made.get("fisher") or {}
    tests = {"chi_square": square.get("statistic"), "df": square.get("df"), "p_chi_square": square.get("p")}
    return {**tests, "p_exact": exact.get("p")}


def _association(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    base = {"cohort": a["cohort"], "variable": a["variable"]}
    tests = {**_tests(a), "q_exact": (a.get("fisher") or {}).get("q")}
    return [{**base, **row, **tests} for row in a.get("rows", ())]


def _outcomes(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = a.get("outcome_counts") or {}
    return [{**_of(a), **row, **_tests(made)} for row in made.get("rows", ())]


def _brier(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    out = []
    for name, found in (("brier", a.get("brier") or ()), ("ibs", [a.get("ibs") or {}])):
        for row in found:
            if "score" in row:
                limits = {f"difference_{k}": row["difference"][k] for k in ("estimate", "lower", "upper")}
                values = {k: row.get(k) for k in ("years", "time", "score", "null", "scaled")}
                out.append({**_of(a), "measure": name, **values, **limits})
    return out


def _added(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = a.get("added_value") or {}
    names = ("estimate", "lower", "upper")
    rows = [
        {**_of(a), "measure": f"uno_c {model}", "threshold": None, **{k: v[k] for k in names}}
        for model, v in (made.get("uno_c") or {}).items()
    ]
    for name in ("difference_c", "difference_brier"):
        if "estimate" in (made.get(name) or {}):
            rows.append({**_of(a), "measure": name, "threshold": None, **{k: made[name][k] for k in names}})
    filled = (made.get("imputed") or {}).get("difference_c")
    if filled:
        rows.append(
            {**_of(a), "measure": "difference_c imputed", "threshold": None, **{k: filled[k] for k in names}}
        )
    for row in (made.get("net_benefit") or {}).get("difference", ()):
        values = {k: row[k] for k in names}
        rows.append({**_of(a), "measure": "difference_net_benefit", "threshold": row["threshold"], **values})
    return rows


def _competing(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("model", "effect", "cause", "hr", "lower", "upper", "p", "n", "events")
    rows = (a.get("competing") or {}).get("models", ())
    return [{**_of(a), **{n: row.get(n) for n in names}} for row in rows]


def _incidence(a: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("time", "estimate", "lower", "upper")
    return [
        {**_of(a), "group": c["group"], "cause": c["cause"], **dict(zip(names, values, strict=True))}
        for c in (a.get("competing") or {}).get("curves", ())
        for values in zip(*(c[n] for n in names), strict=True)
    ]

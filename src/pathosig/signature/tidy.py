"""results.json as tidy tables: one CSV per kind of result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.signature.validation import performance_rows


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

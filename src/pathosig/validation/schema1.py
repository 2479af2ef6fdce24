"""Results in the layout of schema 1, for readers that do not take values yet."""

from __future__ import annotations

from typing import Any

from pathosig.core.typed_json import to_plain
from pathosig.validation.analysis import Analysis


def as_schema_1(results: Any) -> dict[str, Any]:
    """`Results` or a `Validation` as the mapping that results.json held before schema 2."""
    if isinstance(results, Analysis):
        return _analysis(_old(to_plain(results)))
    names = ("cohorts", "analyses", "pooled", "associations", "treatment", "warnings")
    raw = to_plain(results) if hasattr(results, "kind") else {k: to_plain(getattr(results, k)) for k in names}
    raw = _old(raw)
    raw["guards"] = [{"severity": "warning", "where": "", **w} for w in raw.pop("warnings", ())]
    raw["pooled"] = [_lifted(p, "result") for p in raw.get("pooled", ())]
    raw["associations"] = [_lifted(a, "counts") for a in raw.get("associations", ())]
    raw["treatment"] = [_treatment(t, c) for t in raw.get("treatment", ()) for c in t["cohorts"]]
    raw["analyses"] = [_analysis(a) for a in raw.get("analyses", ())]
    for key, empty in (
        ("univariate", []),
        ("table1", {}),
        ("missing", []),
        ("core_agreement", {}),
        ("benchmark", {}),
    ):
        raw.setdefault(key, empty)
    return dict(raw)


def _old(value: Any) -> Any:
    if isinstance(value, list):
        return [_old(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: _old(v) for k, v in value.items()}
    if "hr" in out and (out.pop("separated", False)):
        out["remark"] = "separation; Firth's estimate" if out.pop("firth", False) else "separation"
    return out


def _lifted(row: dict[str, Any], key: str) -> dict[str, Any]:
    rest = {k: v for k, v in row.items() if k != key}
    return {**row.get(key, {}), **rest} if key in row else rest


def _forest_row(row: dict[str, Any]) -> dict[str, Any]:
    effect = row.get("effect", {})
    if row["kind"] == "reference":
        return {**row, "hr": 1.0}
    if "not_estimable" in effect:
        effect = {"hr": None, "lower": None, "upper": None, "p": None, "remark": effect["not_estimable"]}
    return {"remark": "", **effect, **{k: v for k, v in row.items() if k != "effect"}}


def _treatment(treatment: dict[str, Any], cohort: dict[str, Any]) -> dict[str, Any]:
    shared = {k: treatment[k] for k in ("arm", "endpoint", "verdict", "words", "reasons")}
    out = {**shared, "cohort": cohort["cohort"], "role": cohort["role"], **cohort["result"]}
    if "groups" in out:
        out["groups"] = [_lifted(g, "effect") for g in out["groups"]]
    return out


def _analysis(a: dict[str, Any]) -> dict[str, Any]:
    a = {**a, "apparent": a["role"] == "discovery"}
    if isinstance(a.get("forest"), dict):
        models = ("univariable", "multivariable", "imputed")
        a["forest"] |= {m: [_forest_row(r) for r in a["forest"][m]] for m in models if m in a["forest"]}
    if isinstance(a.get("subgroups"), list):
        a["subgroups"] = [{**s, "rows": [_lifted(r, "effect") for r in s["rows"]]} for s in a["subgroups"]]
    if "models" in a.get("competing", {}):
        a["competing"]["models"] = [_lifted(m, "result") for m in a["competing"]["models"]]
    ph = a.get("ph", {})
    if "violated" in ph:
        a["ph"] = {k: v for k, v in ph.items() if not (isinstance(v, dict) and "not_estimable" in v)}
        for name in ("score", "group"):
            if name in a["ph"]:
                a["ph"][name]["chisq"] = a["ph"][name]["statistic"]
        a["ph"]["piecewise"] = [_lifted(p, "effect") for p in ph.get("piecewise", ())]
    added = a.get("added_value", {})
    if "lr_test" in added:
        added["lr_test"]["chisq"] = added["lr_test"]["statistic"]
        at = added.pop("at_horizon", {})
        if "time" in at:
            a["added_value"] = {**added, **at, "horizon": {"time": at["time"]}}
    return a

"""The reporting checklist (REMARK, TRIPOD+AI, CLAIM): where each item is met, or why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MET, MISSING = "met", "not available"


def remark_rows(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """``remark`` of results.json: item, text, where in results.json, status, note."""
    analyses = results.get("analyses", [])
    has = {key: any(_real(a.get(key)) for a in analyses) for key in _ANALYSIS_ITEMS}
    signature = _real(results.get("signature"))
    pooled = any("not_estimable" not in p for p in results.get("pooled", ()))
    facts: list[tuple[str, str, str, bool, str]] = [
        ("flow", "patients, assessable, events per cohort", "cohorts, analyses[].n", bool(results.get("cohorts")), ""),
        ("follow_up", "median follow-up by reverse Kaplan-Meier", "analyses[].follow_up", has["follow_up"], ""),
        ("missing", "missing data of every variable", "missing", "missing" in results, ""),
        ("table1", "characteristics by cohort", "table1", bool(results.get("table1")), ""),
        ("univariable", "all univariable results with q-values", "univariate", bool(results.get("univariate")), ""),
        ("equation", "full equation, baseline survival, locked cut-off", "signature", signature, "nothing was selected"),
        ("km", "Kaplan-Meier and numbers at risk, every cohort and endpoint", "analyses[].km", has["km"], ""),
        ("discrimination", "Harrell's and Uno's C, AUC(t)", "analyses[].harrell_c", has["harrell_c"], ""),
        ("calibration", "observed/expected and slope", "analyses[].calibration", has["calibration"],
         "needs the signature's endpoint and a cohort"),
        ("overall", "Brier score against the null model", "analyses[].brier", has["brier"], "not computed"),
        ("added_value", "clinical, score and combined models", "analyses[].added_value", has["added_value"],
         "needs covariates and a validation cohort"),
        ("external", "validation in other cohorts", "cohorts", results.get("kind") == "external",
         "one cohort only; internal cross-validation instead"),
        ("internal", "internal validation with its optimism", "internal", _real(results.get("internal")),
         "`pathosig audit DIR optimism` gives it"),
        ("ph", "proportional hazards", "analyses[].ph", has["ph"], ""),
        ("subgroups", "subgroups with interaction tests", "analyses[].subgroups", has["subgroups"],
         "no subgroups in [columns]"),
        ("treatment", "treatment by score with verdict", "treatment", bool(results.get("treatment")),
         "no treatments in [columns]"),
        ("pooled", "random-effects pooling", "pooled", pooled, "needs three validation cohorts"),
        ("primary", "what was primary, hashed", "primary", bool(results.get("primary")), ""),
        ("guards", "warnings", "guards", "guards" in results, ""),
    ]  # fmt: skip
    return [
        {
            "item": item,
            "text": text,
            "where": where,
            "status": MET if met else MISSING,
            "note": "" if met else note,
        }
        for item, text, where, met, note in facts
    ]


_ANALYSIS_ITEMS = ("follow_up", "km", "harrell_c", "calibration", "brier", "added_value", "ph", "subgroups")


def _real(value: Any) -> bool:
    """Something was estimated."""
    if not value:
        return False
    return not (isinstance(value, dict) and "not_estimable" in value)

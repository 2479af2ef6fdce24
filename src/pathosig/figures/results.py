"""From validation/results.json to what the figures draw: reading, never computing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathosig.figures.forest import ForestRow
from pathosig.figures.km import KmCurve, KmData, km_figure, km_grid
from pathosig.validation.analysis import Analysis
from pathosig.validation.schema1 import as_schema_1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDPOINTS = {
    "os": "Overall survival",
    "dfs": "Disease-free survival",
    "pfs": "Progression-free survival",
    "pfi": "Progression-free interval",
    "dss": "Disease-specific survival",
    "dfi": "Disease-free interval",
    "rfs": "Recurrence-free survival",
    "mfs": "Metastasis-free survival",
    "css": "Cancer-specific survival",
    "efs": "Event-free survival",
}


def endpoint_title(name: str) -> str:
    """An endpoint as printed: the usual abbreviations in full."""
    return ENDPOINTS.get(name.lower(), name.replace("_", " "))


def cohort_title(name: str) -> str:
    """A cohort as printed: ``validation_1`` becomes ``Validation 1``."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else "No cohort"


def usable(value: Any) -> bool:
    """Whether a value is there and was estimable."""
    return value is not None and not (isinstance(value, Mapping) and (not value or "not_estimable" in value))


def reason(value: Any) -> str:
    """Why a value was not estimable, or an empty text."""
    return str(value["not_estimable"]) if isinstance(value, Mapping) and "not_estimable" in value else ""


def real(value: Any) -> float | None:
    """A finite or infinite number, or None."""
    return float(value) if isinstance(value, (int, float)) and not math.isnan(value) else None


def triple(value: Any, *, key: str = "estimate") -> tuple[float | None, float | None, float | None] | None:
    """Estimate (or hr) with its limits; None when it was not estimable."""
    if not usable(value) or not isinstance(value, Mapping) or real(value.get(key)) is None:
        return None
    return real(value.get(key)), real(value.get("lower")), real(value.get("upper"))


def _floats(values: Any) -> list[float]:
    return [math.nan if v is None else float(v) for v in values or ()]


def km_curve(group: Mapping[str, Any], *, label: str = "") -> KmCurve:
    """One group of ``km.groups``."""
    median = [real(v) for v in (group.get("median") or [None, None, None])]
    return KmCurve(
        label=label or str(group.get("label", "")),
        time=_floats(group.get("time")),
        estimate=_floats(group.get("estimate")),
        lower=_floats(group.get("lower")),
        upper=_floats(group.get("upper")),
        n_risk=_floats(group.get("n_risk")),
        n_event=_floats(group.get("n_event")),
        n_censor=_floats(group.get("n_censor")),
        n=int(group.get("n", 0)),
        events=int(group.get("events", 0)),
        median=(median[0], median[1], median[2]),
    )


def risk_label(label: str) -> str:
    """``low`` becomes ``Low risk``."""
    return f"{label.capitalize()} risk" if label.lower() in ("low", "high", "intermediate") else label


def km_data(analysis: Mapping[str, Any], *, title: str = "") -> KmData:
    """The Kaplan-Meier panel of one analysis."""
    km = analysis.get("km")
    groups = km.get("groups", []) if usable(km) and isinstance(km, Mapping) else []
    logrank = analysis.get("logrank")
    return KmData(
        title=title or analysis_title(analysis),
        unit=str(analysis.get("unit", "")),
        endpoint=endpoint_title(str(analysis.get("endpoint", ""))),
        curves=[km_curve(g, label=risk_label(str(g.get("label", "")))) for g in groups],
        logrank_p=real(logrank.get("p")) if usable(logrank) and isinstance(logrank, Mapping) else None,
        hr=triple(analysis.get("hr_group"), key="hr"),
        hr_label="high vs low",
    )


def analysis_title(analysis: Mapping[str, Any]) -> str:
    """Cohort, and whether it is apparent or cross-validated."""
    text = cohort_title(str(analysis.get("cohort", "")))
    if analysis.get("role") == "cross-validated":
        return f"{text} (cross-validated)"
    return f"{text} (apparent)" if analysis.get("apparent") else text


def analyses_of(results: Mapping[str, Any], primary: str) -> list[Mapping[str, Any]]:
    """The analyses, those of the primary endpoint first."""
    found = [a for a in results.get("analyses") or () if isinstance(a, Mapping)]
    return sorted(found, key=lambda a: a.get("endpoint") != primary)


def endpoints_of(analyses: Sequence[Mapping[str, Any]]) -> list[str]:
    """Endpoints of the analyses, in their order."""
    return list(dict.fromkeys(str(a.get("endpoint")) for a in analyses))


def as_results(validation: Any) -> Mapping[str, Any]:
    """The mapping of results.json, from itself or from a `Validation` that holds it as ``results``.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(validation, Mapping):
        return validation
    if isinstance(validation, Analysis) or hasattr(validation, "analyses"):
        return as_schema_1(validation)
    found = getattr(validation, "results", None)
    if isinstance(found, Mapping):
        return found
    message = (
        f"km_plot: found {type(validation).__name__}; expected a Validation or the content of results.json."
    )
    raise TypeError(message)


def km_plot(validation: Any, *, cohort: str | None = None, endpoint: str | None = None) -> Figure:
    """Kaplan-Meier curves by risk group with extended risk tables, one panel per cohort and endpoint.

    Parameters
    ----------
    validation
        A `Validation`, `Results`, or one of their `Analysis`.
    cohort, endpoint
        Only the panels of this cohort or endpoint.

    Raises
    ------
    ValueError
        If there is no such panel.
    """
    results = as_results(validation)
    analyses = [results] if "km" in results else list(results.get("analyses") or ())
    chosen = [
        a
        for a in analyses
        if cohort in (None, a.get("cohort")) and endpoint in (None, a.get("endpoint")) and usable(a.get("km"))
    ]
    if not chosen:
        message = f"km_plot: no Kaplan-Meier curves for cohort {cohort!r} and endpoint {endpoint!r}."
        raise ValueError(message)
    panels = [km_data(a) for a in chosen]
    return km_figure(panels[0]) if len(panels) == 1 else km_grid(panels)


def forest_row(row: Mapping[str, Any]) -> ForestRow:
    """One row of ``forest.univariable`` and its like."""
    kind = str(row.get("kind", "estimate"))
    label = str(row.get("label") or row.get("level") or row.get("variable") or "")
    return ForestRow(
        label=label,
        hr=real(row.get("hr")),
        lower=real(row.get("lower")),
        upper=_upper(row),
        n=_whole(row.get("n")),
        events=_whole(row.get("events")),
        p=real(row.get("p")),
        kind=kind if kind in ("heading", "reference", "pooled") else "estimate",
        level=int(row.get("level_depth") or 0),
        remark=str(
            row.get("remark") or reason(row) or ("" if row.get("hr") is not None else "not estimable")
        ),
    )


def hr_row(label: str, value: Any, *, level: int = 0) -> ForestRow:
    """A row from an HR: ``{"hr", "lower", "upper", "p", "n", "events"}`` or not estimable."""
    found = dict(value) if isinstance(value, Mapping) else {}
    return forest_row({**found, "label": label, "level_depth": level, "kind": "estimate"})


FEWEST_EVENTS = 5
"""Below this many events a subgroup's hazard ratio is not printed: its limits say nothing."""


def level_title(level: Any) -> str:
    """A level as printed: ``<= 63`` becomes ``≤ 63``."""
    return str(level).replace("<=", "≤").replace(">=", "≥")


def subgroup_row(row: Mapping[str, Any]) -> ForestRow:
    """A row of a subgroup; with fewer than five events it says so in place of an estimate."""
    level, events = level_title(row.get("level")), _whole(row.get("events"))
    if events is not None and events < FEWEST_EVENTS:
        remark = f"not estimable ({events} event{'' if events == 1 else 's'})"
        return ForestRow(label=level, n=_whole(row.get("n")), events=events, level=1, remark=remark)
    return hr_row(level, row, level=1)


def _upper(row: Mapping[str, Any]) -> float | None:
    """The upper limit; a missing one beside a known lower limit is infinite (JSON has no infinity)."""
    if row.get("upper") is None and row.get("hr") is not None and row.get("lower") is not None:
        return math.inf
    return real(row.get("upper"))


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def pooled_rows(pool: Mapping[str, Any]) -> Sequence[ForestRow]:
    """Cohorts and the diamond of a random-effects pool."""
    rows = [
        ForestRow(
            label=cohort_title(str(c.get("cohort", ""))),
            hr=real(c.get("estimate")),
            lower=real(c.get("lower")),
            upper=real(c.get("upper")),
        )
        for c in pool.get("cohorts", [])
    ]
    prediction = [real(v) for v in pool.get("prediction") or ()]
    span = (prediction[0], prediction[1]) if len(prediction) == 2 and None not in prediction else None
    rows.append(
        ForestRow(
            label="Pooled, random effects",
            hr=real(pool.get("estimate")),
            lower=real(pool.get("lower")),
            upper=real(pool.get("upper")),
            p=real(pool.get("p")),
            kind="pooled",
            prediction=span,  # type: ignore[arg-type]
        )
    )
    return rows

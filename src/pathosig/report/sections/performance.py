"""Section on discrimination, calibration and overall error, and the curves behind them."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.figures.performance import CalibrationPoint, TimeAuc, calibration_plot, time_auc_plot
from pathosig.figures.results import analysis_title, known
from pathosig.figures.titles import cohort_title, endpoint_title
from pathosig.figures.uncertainty import SLOPE
from pathosig.report.cells import (
    analyses_of,
    analysis_name,
    estimate_cell,
    is_main,
    listed,
    numbered,
    ratio_cell,
    time_text,
)
from pathosig.report.images import picture
from pathosig.report.material import Material
from pathosig.report.page import Block, Cell, Number, Section, Table, folded
from pathosig.report.rendering import without_empty
from pathosig.validation.analysis import Analysis, CalibrationAt, PredictionError


def performance_section(material: Material) -> Section | None:
    """Discrimination, calibration and overall error; None without an analysis."""
    analyses = [
        a for a in analyses_of(material) if known(a.harrell_c) is not None or known(a.calibration) is not None
    ]
    if not analyses:
        return None
    blocks: list[Block] = [_table(analyses)]
    horizon = common_horizon([a for a in analyses if is_main(material, a)])
    for number, a in numbered(material):
        drawn = _curves(a, number, (horizon, auc_horizons(analyses, a.unit)))
        if is_main(material, a):
            blocks += drawn
        elif not a.apparent:
            blocks += folded(f"Curves: {analysis_name(a)}", drawn)
    blocks += _brier(material)
    blocks += _benchmark(material)
    return Section(id="performance", title="Discrimination and calibration", blocks=blocks)


def _table(analyses: Sequence[Analysis]) -> Table:
    rows: list[list[Cell]] = []
    for a in analyses:
        error, calibration = known(a.ibs), known(a.calibration)
        rows.append(
            [
                analysis_title(a),
                endpoint_title(a.endpoint),
                estimate_cell(a.harrell_c),
                estimate_cell(a.uno_c),
                None if calibration is None else estimate_cell(calibration.slope, scale=SLOPE),
                None if error is None else error.score,
                None if error is None else error.null,
            ]
        )
    columns = [
        "Cohort",
        "Endpoint",
        "Harrell C (95% CI)",
        "Uno C (95% CI)",
        "Calibration slope (95% CI)",
        "IBS",
        "IBS, null",
    ]
    note = "C-index: a higher score means an earlier event; values below 0.50 are reported as they are. IBS: integrated Brier score."
    return without_empty(Table(caption="Discrimination and error", columns=columns, rows=rows, note=note))


def common_horizon(analyses: Sequence[Analysis]) -> float | None:
    """The horizon in years at which calibration is drawn: the one nearest to three years that most cohorts have."""
    have = [
        h.years for a in analyses if (c := known(a.calibration)) is not None for h in c.horizons if _points(h)
    ]
    return max(set(have), key=lambda y: (have.count(y), -abs(y - 3), -y)) if have else None


def _points(horizon: CalibrationAt) -> list[CalibrationPoint]:
    return [
        CalibrationPoint(predicted=g.expected, observed=g.observed, lower=g.lower, upper=g.upper)
        for g in horizon.groups
        if g.observed is not None
    ]


def auc_horizons(analyses: Sequence[Analysis], unit: str) -> list[float]:
    """The times at which any cohort has an AUC, in units of time: a cohort without one of them says so."""
    return sorted({r.time for a in analyses if a.unit == unit for r in known(a.auc) or ()})


def _curves(analysis: Analysis, number: int, horizons: tuple[float | None, Sequence[float]]) -> list[Block]:
    return [*_auc(analysis, number, horizons[1]), *_calibration(analysis, number, horizons[0])]


def _auc(analysis: Analysis, number: int, times: Sequence[float]) -> list[Block]:
    rows = known(analysis.auc)
    if not rows or all(r.estimate is None for r in rows):
        return []
    name = analysis_name(analysis)
    there = {r.time: r for r in rows}
    points = [
        TimeAuc(time=t, auc=r.estimate, lower=r.lower, upper=r.upper, n_risk=r.n_risk, events=r.events)
        if (r := there.get(t)) is not None
        else TimeAuc(time=t, auc=None)
        for t in sorted({*times, *there})
    ]
    figure = time_auc_plot({"Score": points}, title=name, unit=analysis.unit)
    caption = f"{name}: AUC(t) with 95% CI (inverse-probability weights). Below each time: patients at risk and events so far."
    gone = [time_text(p.time, analysis.unit) for p in points if p.auc is None]
    caption += (
        f" Not estimated at {listed(gone)}: fewer than five events by then, or fewer than five patients at risk."
        if gone
        else ""
    )
    return [picture(f"auc_{number:02d}", figure, caption, wide=False)]


def _calibration(analysis: Analysis, number: int, years: float | None) -> list[Block]:
    calibration = known(analysis.calibration)
    usable = [] if calibration is None else [h for h in calibration.horizons if _points(h)]
    if calibration is None or not usable:
        return []
    horizon = next((h for h in usable if h.years == years), usable[-1])
    ratio, slope = horizon, calibration.slope
    cells = [] if ratio.ratio is None else [("O/E", ratio_cell(ratio.ratio, ratio.lower, ratio.upper))]
    if slope.estimate is not None:
        cells.append(("slope", estimate_cell(slope, scale=SLOPE, digits=2)))
    firm = [f"{label} {cell}" for label, cell in cells if isinstance(cell, str)]
    grey = [f"{label} {c.value}\n{c.uncertain}" for label, c in cells if isinstance(c, Number)]
    name, label = analysis_name(analysis), time_text(horizon.time, analysis.unit)
    figure = calibration_plot(_points(horizon), title=name, time_label=label, facts=firm, uncertain=grey)
    caption = f"{name}: predicted and observed risk of an event by {label}, by groups of predicted risk; frozen model."
    if years is not None and horizon.years != years:
        caption += " The common horizon is not estimable in this cohort."
    return [picture(f"calibration_{number:02d}", figure, caption, wide=False)]


def _brier(material: Material) -> list[Block]:
    """Brier scores at each horizon against the cohort's own mean risk."""
    rows: list[list[Cell]] = []
    for _, a in numbered(material):
        errors: list[tuple[str, PredictionError]] = [
            (time_text(b.time, a.unit), b) for b in known(a.brier) or ()
        ]
        whole = known(a.ibs)
        if whole is not None:
            span = f"{time_text(whole.grid.start)} to {time_text(whole.grid.end, a.unit)}"
            errors.append((f"Integrated, {span}", whole))
        rows += [
            [analysis_name(a), at, b.score, b.null, b.scaled, estimate_cell(b.difference)] for at, b in errors
        ]
    if not rows:
        return []
    columns = ["Analysis", "At", "Score", "Null model", "Scaled", "Difference (95% CI)"]
    note = (
        "Weighted by the inverse probability of censoring. Null model: the cohort's own Kaplan-Meier estimate for "
        "everybody, or Aalen-Johansen where another event competes. Scaled: 1 − score / null model, above 0 when the "
        "score helps; difference: score − null model, paired bootstrap."
    )
    return [
        without_empty(
            Table(caption="Brier score", columns=columns, rows=rows, note=note, folded=len(rows) > 8)
        )
    ]


def _benchmark(material: Material) -> list[Block]:
    """The full-information benchmark: ridge on all leaves, and what the signature loses against it."""
    rows: list[list[Cell]] = []
    benchmark = {} if material.results is None else material.results.benchmark
    for cohort, endpoints in sorted(benchmark.items()):
        for endpoint, comparison in sorted(endpoints.items()):
            value = known(comparison)
            if value is not None:
                place = [cohort_title(cohort), endpoint_title(endpoint)]
                rows.append([*place, estimate_cell(value.harrell_c), estimate_cell(value.difference)])
    if not rows:
        return []
    columns = ["Cohort", "Endpoint", "Ridge on all leaves: Harrell C (95% CI)", "Signature minus ridge"]
    table = Table(
        caption="Against the full-information benchmark", columns=columns, rows=rows, folded=len(rows) > 6
    )
    return [table]

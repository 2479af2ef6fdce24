"""Section on added value: clinical, score and combined models in patients of other cohorts."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.figures.performance import decision_curve_plot
from pathosig.figures.results import floats, known
from pathosig.figures.style import p_text
from pathosig.figures.uncertainty import SLOPE
from pathosig.report.cells import (
    analysis_name,
    estimate_cell,
    is_main,
    listed,
    number_text,
    numbered,
    ratio_cell,
    time_text,
)
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Section, Table, folded
from pathosig.report.rendering import without_empty
from pathosig.validation.analysis import AddedValue, Analysis, AtHorizon

MODELS = ("clinical", "score", "combined")
Found = tuple[Analysis, AddedValue]


def added_value_section(material: Material) -> Section | None:
    """Clinical, score and combined models in patients they were not fitted on; None without them."""
    values = [(n, a, v) for n, a in numbered(material) if (v := known(a.added_value)) is not None]
    both = _clinical_histology(material)
    if not values:
        lead = (
            "There is no external cohort: each patient is predicted by models that were fitted without them."
        )
        return Section(id="added-value", title="Added value", blocks=both, lead=lead) if both else None
    pairs = [(a, v) for _, a, v in values]
    blocks: list[Block] = [_discrimination(pairs), *both, *_error(pairs)]
    top = max((best_benefit(h) for _, v in pairs if (h := known(v.at_horizon)) is not None), default=0.0)
    for number, analysis, value in values:
        drawn = _net_benefit(analysis, value, number, top)
        if is_main(material, analysis):
            blocks += drawn
        else:
            blocks += folded(f"Net benefit: {analysis_name(analysis)}", drawn)
    blocks += _benefit(pairs)
    lead = (
        "All three models were fitted in discovery and frozen; differences are combined minus clinical, with paired bootstrap "
        "intervals. A difference in C above 0, and in Brier score below 0, favours the score. A bundle carries the combined "
        "model for `pathosig score --clinical`."
    )
    return Section(id="added-value", title="Added value", blocks=blocks, lead=lead)


def _discrimination(pairs: Sequence[Found]) -> Table:
    """Uno C of the three models, in complete cases and, below them, in all patients after imputation."""
    rows: list[list[Cell]] = []
    note = ""
    for analysis, value in pairs:
        name, imputed = analysis_name(analysis), known(value.imputed)
        cs = [estimate_cell(value.uno_c[k]) if k in value.uno_c else None for k in MODELS]
        label = name if imputed is None else f"{name}, complete cases"
        rows.append(
            [label, value.n, value.events, *cs, estimate_cell(value.difference_c), p_text(value.lr_test.p)]
        )
        if imputed is not None:
            cs = [number_text(imputed.uno_c[k], 3) if k in imputed.uno_c else None for k in MODELS]
            rows.append(
                [
                    f"{name}, imputed",
                    imputed.n,
                    imputed.events,
                    *cs,
                    estimate_cell(imputed.difference_c),
                    None,
                ]
            )
            missing = listed([f"{k} ({v})" for k, v in imputed.missing.items() if v])
            note = (
                f"Imputed: {imputed.method}; {imputed.m} imputations inside each of {imputed.bootstraps} resamples. "
                f"Missing: {missing}."
            )
    columns = ["Analysis", "n", "Events", "Clinical: Uno C", "Score: Uno C", "Combined: Uno C"]
    columns += ["Combined − clinical", "LR test of the score"]
    return without_empty(
        Table(caption="Discrimination of the three models", columns=columns, rows=rows, note=note)
    )


def _clinical_histology(material: Material) -> list[Block]:
    """Calibration of the combined model in every cohort; where none validates, its C beside that of the covariates alone."""
    model = None if material.results is None else known(material.results.clinical_histology)
    if model is None or not model.cohorts:
        return []
    if model.cohorts[0].role == "cross-validated":
        cells: list[list[Cell]] = [
            [
                cohort_title(c.cohort),
                c.n,
                c.events,
                *(estimate_cell(v) for v in (c.clinical_c, c.uno_c, c.difference_c)),
            ]
            for c in model.cohorts
        ]
        columns = ["Cohort", "n", "Events", "Clinical: Uno C", "Combined: Uno C", "Combined − clinical"]
        return [Table(caption="Combined model, cross-validated", columns=columns, rows=cells)]
    years = [h.years for h in model.model.horizons]
    rows: list[list[Cell]] = []
    for c in model.cohorts:
        calibration = known(c.calibration)
        at = {} if calibration is None else {h.years: h for h in calibration.horizons}
        ratios = [ratio_cell(h.ratio, h.lower, h.upper) if (h := at.get(y)) else None for y in years]
        slope = None if calibration is None else estimate_cell(calibration.slope, scale=SLOPE)
        rows.append([cohort_title(c.cohort), c.n, c.events, slope, *ratios])
    columns = ["Cohort", "n", "Events", "Calibration slope (95% CI)"]
    columns += [f"O/E at {y:g} {'year' if y == 1 else 'years'}" for y in years]
    note = "O/E: events observed over events expected (95% CI)."
    return [
        without_empty(
            Table(caption="Calibration of the combined model", columns=columns, rows=rows, note=note)
        )
    ]


def _error(pairs: Sequence[Found]) -> list[Block]:
    """Brier scores at the horizon and their difference."""
    rows: list[list[Cell]] = []
    for analysis, value in pairs:
        at = known(value.at_horizon)
        if at is not None:
            scores = [number_text(at.brier[k], 3) if k in at.brier else None for k in MODELS]
            when = time_text(at.time, analysis.unit)
            rows.append([analysis_name(analysis), when, *scores, estimate_cell(at.difference_brier)])
    columns = ["Analysis", "At", "Clinical", "Score", "Combined", "Combined − clinical (95% CI)"]
    return [Table(caption="Brier score of the three models", columns=columns, rows=rows)] if rows else []


def best_benefit(at: AtHorizon) -> float:
    """The highest net benefit of any strategy: the common end of the vertical axes."""
    lines = [*at.net_benefit.models.values(), at.net_benefit.all]
    return max((v for line in lines for v in line if v is not None), default=0.0)


def _net_benefit(analysis: Analysis, value: AddedValue, number: int, top: float) -> list[Block]:
    """The decision curve, and combined minus clinical at a few thresholds."""
    at = known(value.at_horizon)
    if at is None or not at.net_benefit.thresholds:
        return []
    name, label = analysis_name(analysis), time_text(at.time, analysis.unit)
    benefit = at.net_benefit
    lines = {k: floats(until_nobody(v)) for k, v in benefit.models.items()}
    lines |= {"treat all": floats(benefit.all), "treat none": floats(benefit.none)}
    figure = decision_curve_plot(benefit.thresholds, lines, title=name, time_label=label, top=top)
    caption = (
        f"{name}: net benefit of acting on each model's risk of an event by {label}. {benefit_words(at)}"
    )
    return [picture(f"net_benefit_{number:02d}", figure, caption.strip(), wide=False)]


def until_nobody(line: Sequence[float | None]) -> list[float | None]:
    """Net benefit up to the last threshold that any patient's risk reaches: beyond it is that of treating none, exactly 0."""
    last = max((i for i, v in enumerate(line) if v is not None and v != 0), default=len(line) - 1)
    return [v if i <= last else None for i, v in enumerate(line)]


def benefit_words(at: AtHorizon) -> str:
    """Where the curves of the models end, and where the combined model is no better than treating everyone."""
    benefit = at.net_benefit
    words = []
    for name, line in benefit.models.items():
        pairs = zip(benefit.thresholds, until_nobody(line), strict=True)
        known_at = [t for t, v in pairs if v is not None]
        if known_at and known_at[-1] < benefit.thresholds[-1]:
            words.append(f"{name} ends at {100 * known_at[-1]:.0f}%")
    text = (
        "A curve ends where no patient's predicted risk reaches the threshold, or where no patient whose risk does is "
        f"followed to the horizon: {listed(words)}. "
        if words
        else ""
    )
    combined = benefit.models.get("combined", ())
    worse = [
        t
        for t, v, everyone in zip(benefit.thresholds, combined, benefit.all, strict=False)
        if v is not None and everyone is not None and v < everyone - 1e-9
    ]
    if worse:
        ends = [f"{100 * t:.0f}%" for t in dict.fromkeys((worse[0], worse[-1]))]
        text += "At a threshold of " if len(ends) == 1 else "At some thresholds from "
        text += f"{' to '.join(ends)} treating all is better than the combined model."
    return text.strip()


def _benefit(pairs: Sequence[Found]) -> list[Block]:
    """Net benefit, combined minus clinical, at the thresholds that were tested."""
    rows = {
        analysis_name(a): {d.threshold: estimate_cell(d) for d in at.net_benefit.difference}
        for a, v in pairs
        if (at := known(v.at_horizon)) is not None
    }
    thresholds = sorted({t for cells in rows.values() for t in cells})
    if not thresholds:
        return []
    columns = ["Analysis", *(f"at {100 * t:.3g}%" for t in thresholds)]
    cells: list[list[Cell]] = [[name, *(row.get(t) for t in thresholds)] for name, row in rows.items()]
    caption = "Net benefit, combined − clinical (95% CI)"
    return [Table(caption=caption, columns=columns, rows=cells, folded=len(cells) > 4)]

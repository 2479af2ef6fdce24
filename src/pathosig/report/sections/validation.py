"""Sections drawn from validation/results.json: characteristics, selection, survival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pathosig.figures.km import km_grid
from pathosig.figures.results import (
    analyses_of,
    analysis_title,
    endpoints_of,
    km_data,
    real,
    reason,
    triple,
    usable,
)
from pathosig.figures.style import estimate_text, p_text
from pathosig.figures.volcano import volcano_plot
from pathosig.report.cells import feature_name, is_main, is_primary_endpoint, short
from pathosig.report.images import picture
from pathosig.report.material import Material, cohort_title, endpoint_title
from pathosig.report.page import Block, Cell, Facts, Note, Section, Table, folded

IN_SUMMARY = 2
"""Primary analyses whose curves fit the summary; with more, the survival section shows all of them."""

FEW_EVENTS = 10
"""Below this many events the summary says that a hazard ratio is not to be relied on."""


def headline(material: Material) -> list[tuple[str, str, str]]:
    """The main numbers of the summary: the primary endpoint in every cohort."""
    out = []
    primary = material.primary_endpoint
    found = [
        a for a in analyses_of(material.results, material.primary_endpoint) if a.get("endpoint") == primary
    ]
    for analysis in [a for a in found if not a.get("apparent")] or found:
        title = analysis_title(analysis)
        c, hr = triple(analysis.get("harrell_c")), triple(analysis.get("hr_sd"), key="hr")
        if hr is not None:
            events = analysis.get("events")
            few = ", too few for a firm estimate" if isinstance(events, int) and events < FEW_EVENTS else ""
            small = f"95% CI {estimate_text(*hr).partition('(')[2].rstrip(')')}; {events} events{few}"
            out.append((f"{title}: HR per SD", estimate_text(*hr).split(" ")[0], small))
        if c is not None:
            span = estimate_text(*c).partition("(")[2].rstrip(")")
            out.append(
                (
                    f"{title}: C-index",
                    estimate_text(*c).split(" ")[0],
                    f"95% CI {span}; n = {analysis.get('n')}",
                )
            )
    return out[:8]


def places_of(material: Material) -> dict[str, str]:
    """Topics of the checklist -> sections of validation that meet them."""
    places = {}
    external = any(
        a.get("role") == "validation" for a in analyses_of(material.results, material.primary_endpoint)
    )
    if external:
        places["external"] = "survival"
    if any(usable(a.get("competing")) for a in analyses_of(material.results, material.primary_endpoint)):
        places["competing"] = "outcomes"
    names = {
        str(s.get("variable", "")).lower()
        for a in analyses_of(material.results, material.primary_endpoint)
        for s in a.get("subgroups") or ()
    }
    if any(word in name for name in names for word in ("sex", "gender", "age", "site", "centre", "center")):
        places["fairness"] = "subgroups"
    return places


def not_run_section(material: Material) -> Section | None:
    """Why there is no validation; None when there is one."""
    if analyses_of(material.results, material.primary_endpoint):
        return None
    for record in material.of("validate"):
        if record.error:
            note = Note(title="No validation.", text=str(record.error.get("message", "")), level="warning")
            return Section(id="validation", title="Validation", blocks=[note])
    return None


def table1_section(material: Material) -> Section | None:
    """Characteristics by cohort and by risk group; None without them."""
    blocks: list[Block] = []
    table = material.results.get("table1")
    if usable(table):
        blocks.append(_table1(table, "Characteristics by cohort"))
    groups = material.results.get("table1_groups")
    for cohort, table in groups.items() if isinstance(groups, Mapping) and usable(groups) else ():
        if usable(table) and isinstance(table, Mapping) and "rows" in table:
            caption = f"Characteristics by risk group, {cohort_title(str(cohort))}"
            blocks.append(_table1(table, caption, folded=True))
    missing = [
        [cohort_title(str(m.get("cohort"))), str(m.get("variable")), m.get("missing"), m.get("n")]
        for m in material.results.get("missing") or ()
        if m.get("missing")
    ]
    if missing:
        columns = ["Cohort", "Variable", "Missing", "Patients"]
        blocks.append(Table(caption="Missing values", columns=columns, rows=missing, folded=True))
    return Section(id="characteristics", title="Characteristics", blocks=blocks) if blocks else None


def _table1(table: Any, caption: str, *, folded: bool = False) -> Table:
    columns = [str(c) for c in table.get("columns", [])]
    rows: list[list[Cell]] = []
    for row in table.get("rows", []):
        name = str(row.get("variable", ""))
        label = f"{name}: {row['level']}" if row.get("level") else name
        values = row.get("values") or {}
        p = real(row.get("p"))
        shown = "" if p is None else ("<0.001" if p < 0.001 else f"{p:.3f}")
        rows.append([label, *(str(values.get(c, "")) for c in columns), shown, str(row.get("test") or "")])
    heads = ["", *(cohort_title(c) for c in columns), "p", "Test"]
    if not any(row[-1] or row[-2] for row in rows):  # one column has nothing to be compared with
        heads, rows = heads[:-2], [row[:-2] for row in rows]
    return Table(caption=caption, columns=heads, rows=rows, folded=folded)


def univariable_section(material: Material) -> Section | None:
    """All univariable results, how the signature was selected and how honest its cut-off is; None without."""
    rows = [r for r in material.results.get("univariate") or () if isinstance(r, Mapping)]
    if not rows:
        return None
    points = [
        {
            "name": feature_name(str(r.get("feature"))),
            "log_hr": math.log(hr) if (hr := real(r.get("hr"))) is not None and hr > 0 else None,
            "q": r.get("q"),
            "selected": r.get("selected"),
        }
        for r in rows
    ]
    caption = (
        "Every candidate: log hazard ratio per discovery SD against the Benjamini-Hochberg "
        "q-value. Outlined and in bold: "
        "selected for the signature."
    )
    blocks: list[Block] = [
        picture("volcano", volcano_plot(points, title="Univariable screen"), caption, wide=False)
    ]
    cells: list[list[Cell]] = []
    for r in sorted(
        rows, key=lambda r: (real(r.get("p")) if real(r.get("p")) is not None else 2.0, str(r.get("feature")))
    ):
        effect = estimate_text(real(r.get("hr")), real(r.get("lower")), real(r.get("upper")))
        cells.append(
            [
                feature_name(str(r.get("feature"))),
                r.get("kind"),
                effect,
                real(r.get("p")),
                real(r.get("q")),
                "yes" if r.get("selected") else "",
                real(r.get("frequency")),
                real(r.get("prevalence")),
            ]
        )
    columns = [
        "Candidate",
        "Kind",
        "HR per SD (95% CI)",
        "p",
        "q",
        "Selected",
        "Selection frequency",
        "Prevalence",
    ]
    blocks.append(
        Table(caption="All univariable results", columns=columns, rows=cells, folded=len(cells) > 15)
    )
    blocks += _selection(material)
    lead = f"{len(rows):,} candidates, fixed before survival was read; discovery cohort."
    return Section(id="univariable", title="Univariable screen and selection", blocks=blocks, lead=lead)


def _selection(material: Material) -> list[Block]:
    out: list[Block] = []
    selection = material.results.get("selection")
    if usable(selection) and isinstance(selection, Mapping):
        names = {
            "method": "Selection",
            "q": "Candidates kept per half-sample (q)",
            "threshold": "Threshold of the selection frequency",
            "n_subsamples": "Half-samples",
            "expected_false": "Expected false selections allowed",
            "bound": "Bound used",
        }
        facts = [(label, short(selection[k])) for k, label in names.items() if selection.get(k) is not None]
        out.append(Facts(rows=facts))
    cutoff = material.results.get("cutoff")
    if usable(cutoff) and isinstance(cutoff, Mapping):
        spread = cutoff.get("bootstrap") or {}
        facts = [("Cut-off rule", short(cutoff.get("rule"))), ("Cut-off", short(cutoff.get("value")))]
        if real(spread.get("lower")) is not None:
            facts.append(
                (
                    "Cut-off over bootstrap samples",
                    f"{short(spread['lower'])} to {short(spread.get('upper'))}",
                )
            )
        for key, label in (
            ("p_naive", "p, uncorrected (not to be used)"),
            ("p_corrected", "p, corrected for the search"),
        ):
            if real(cutoff.get(key)) is not None:
                facts.append((label, short(cutoff[key])))
        out.append(Facts(rows=facts))
    return out


def survival_section(material: Material) -> Section | None:
    """Kaplan-Meier grids, one per endpoint; None without an analysis."""
    analyses = analyses_of(material.results, material.primary_endpoint)
    if not analyses:
        return None
    blocks: list[Block] = []
    shown = sum(is_main(material, a) for a in analyses) <= IN_SUMMARY
    for endpoint in endpoints_of(analyses):
        chosen = [a for a in analyses if a.get("endpoint") == endpoint]
        inside = _curves(endpoint, chosen)
        primary = is_primary_endpoint(material, endpoint)
        if primary and (len(chosen) == 1 or not shown):
            blocks += inside
        else:
            blocks += folded(endpoint_title(endpoint), inside, small="Kaplan-Meier curves of every cohort")
    rows: list[list[Cell]] = []
    for a in analyses:
        follow = triple(a.get("follow_up"))
        logrank = a.get("logrank") or {}
        rows.append(
            [
                analysis_title(a),
                endpoint_title(str(a.get("endpoint"))),
                a.get("n"),
                a.get("events"),
                estimate_text(*follow, digits=1) if follow else "–",
                p_text(real(logrank.get("p"))),
                "primary" if a.get("primary") else "sensitivity",
            ]
        )
    columns = ["Cohort", "Endpoint", "n", "Events", "Median follow-up (95% CI)", "Log-rank", "Role"]
    note = (
        "Follow-up by reverse Kaplan-Meier. Groups are a display; the primary effect is the "
        "hazard ratio per SD."
    )
    blocks.append(Table(caption="Analyses", columns=columns, rows=rows, note=note))
    blocks += _shares(material)
    internal = "cross-validated" in {a.get("role") for a in analyses}
    lead = (
        "Curves of the cross-validated groups: internal validation."
        if internal
        else (
            "The frozen signature and its locked cut-off, applied unchanged. Discovery is "
            "apparent, hence optimistic."
        )
    )
    lead += " The primary curves stand in the summary." if shown else ""
    return Section(id="survival", title="Survival by risk group", blocks=blocks, lead=lead)


def _curves(endpoint: str, chosen: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Kaplan-Meier panels of one endpoint, patients the model has not seen first."""
    blocks: list[Block] = []
    ordered = sorted(chosen, key=lambda a: bool(a.get("apparent")))
    panels = [km_data(a) for a in ordered if usable(a.get("km"))]
    if panels:
        caption = (
            f"{endpoint_title(endpoint)} by risk group. Bands: 95% CI. Ticks: censored. The table counts "
            "patients at risk, censored so far and with an event so far."
        )
        blocks.append(picture(f"km_{endpoint}", km_grid(panels), caption))
    blocks += [
        Note(text=f"{analysis_title(a)}, {endpoint_title(endpoint)}: {reason(a.get('km'))}", level="warning")
        for a in chosen
        if reason(a.get("km"))
    ]
    return blocks


def _shares(material: Material) -> list[Block]:
    rows: list[list[Cell]] = []
    for c in material.results.get("cohorts") or ():
        share = triple(c.get("share_high"))
        tiles = c.get("tiles") or {}
        text = (
            "–"
            if share is None
            else estimate_text(*(None if v is None else 100 * v for v in share), digits=0) + " %"
        )
        rows.append(
            [
                cohort_title(str(c.get("name"))),
                c.get("role"),
                c.get("n_patients"),
                c.get("n_assessable"),
                text,
                tiles.get("median") or None,
            ]
        )
    columns = ["Cohort", "Role", "Patients", "Assessable", "High risk (95% CI)", "Tiles per patient, median"]
    return [Table(caption="Cohorts under the locked cut-off", columns=columns, rows=rows)] if rows else []

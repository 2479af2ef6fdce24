"""Section on the audits: each with its numbers, intervals, Monte-Carlo error, bar and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.core.words import counted
from pathosig.figures.uncertainty import CORRELATION, PROPORTION, Scale
from pathosig.report.audit_values import count_at, estimate_at, number_at, rows_at, text_at, value_at
from pathosig.report.cells import estimate_cell, estimate_words, feature_name, per_cent, per_cent_cell
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Note, Number, Section, Table
from pathosig.report.rendering import without_empty

ORDER = ("null", "optimism", "site", "depth", "stability")
QUESTIONS = {
    "null": "Null: would the whole procedure find a signature in noise?",
    "optimism": "Optimism: how good is the procedure in patients it has not seen?",
    "site": "Site: does the score tell outcome, or the hospital?",
    "depth": "Depth: how many tiles does a score need?",
    "stability": "Stability: would other seeds and patients give the same score?",
}


TESTS = (
    ("printed", "The test printed for validation patients rejects"),
    ("discovery", "The discovery test, adjusted for selection, rejects"),
)


def audits_section(material: Material) -> Section | None:
    """What the audits found; None when none was run."""
    audits = {str(k): v for k, v in material.audits.items() if isinstance(v, Mapping)}
    if not audits:
        return None
    blocks: list[Block] = []
    for name in [*(n for n in ORDER if n in audits), *sorted(set(audits) - set(ORDER))]:
        blocks += _WRITERS.get(name, _other)(audits[name], QUESTIONS.get(name, name))
    missing = [n for n in ORDER if n not in audits]
    lead = "Every choice is repeated in every resample."
    if missing:
        lead += f" Not run: {', '.join(missing)} (`pathosig audit DIR {missing[0]}`)."
    return Section(id="audits", title="Audits", blocks=blocks, lead=lead)


_Result = Mapping[str, Any]
_COLUMNS = ["Quantity", "Estimate (95% interval)", "Monte-Carlo error", "Bar"]


def _c(result: _Result, key: str, *, scale: Scale = PROPORTION) -> str | Number:
    value = estimate_at(result, key)
    return "not estimable" if value is None else estimate_cell(value, scale=scale)


def _percent(result: _Result, key: str) -> str | Number:
    value = estimate_at(result, key)
    return "not estimable" if value is None else per_cent_cell(value, digits=1)


def _hpcs(result: _Result) -> str:
    value = estimate_at(result, "codebook_refit.hpcs")
    return "not estimable" if value is None else estimate_words(value, digits=0)


def _error(result: _Result, key: str) -> str:
    value = number_at(result, key)
    return "" if value is None else f"{value:.4f}"


def _null(result: _Result, title: str) -> list[Block]:
    verdict, n, bar = text_at(result, "verdict"), count_at(result, "permutations"), number_at(result, "bar")
    words = {
        "pass": "pass: on noise the reported test rejects no more often than its bar allows.",
        "fail": "fail: on noise the reported test rejects more often than its bar allows.",
        "preview": "preview, no verdict: run it with more permutations (`pathosig audit DIR null --help`).",
    }
    level = {"pass": "good", "fail": "error"}.get(verdict, "warning")
    allowed = "" if bar is None else f"upper bound at most {100 * bar:.0f}%"
    p = number_at(result, "p")
    naive = "none: why this audit exists"
    rows: list[list[Cell]] = [
        ["Permutations in which any signature was found", _percent(result, "any_signature"), "", ""],
        ["A naive test on the same data rejects", _percent(result, "naive_rejection"), "", naive],
        ["The worst of the reported tests rejects", _percent(result, "reported_rejection"), "", allowed],
        ["Apparent C, permuted outcome", _c(result, "null_c"), "", ""],
        ["Apparent C, observed", _c(result, "observed_c"), "", "" if p is None else f"rank p = {p:.3f}"],
    ]
    note = (
        f"{counted(n, 'permutation')} of outcome within cohort and site; Monte-Carlo intervals." if n else ""
    )
    return [
        Note(title="Null:", text=words.get(verdict, verdict), level=level),  # type: ignore[arg-type]
        _table(title, rows, note),
    ]


def _optimism(result: _Result, title: str) -> list[Block]:
    bag_error = _error(result, "monte_carlo.out_of_bag_c") or _error(result, "monte_carlo_se")
    harrell_error = _error(result, "monte_carlo.optimism")
    cv_error = _error(result, "monte_carlo.cross_validated_c")
    rows: list[list[Cell]] = [
        ["C, cross-validated (the headline)", _c(result, "cross_validated_c"), cv_error, ""],
        ["C, out of bag", _c(result, "out_of_bag_c"), bag_error, ""],
        ["C, .632+", _c(result, "c_632_plus"), "", ""],
        ["C, apparent minus Harrell's optimism", _c(result, "harrell_corrected_c"), harrell_error, ""],
        ["Optimism", _c(result, "optimism"), harrell_error, ""],
        ["C, apparent", _c(result, "apparent_c"), "", "never to be reported alone"],
        ["Resamples without a signature (C counted as 0.50)", _percent(result, "share_empty"), "", ""],
    ]
    refits = count_at(result, "codebook_refit.resamples")
    if refits:
        first = f"Codebook refitted on {counted(refits, 'resample')}: C, out of bag"
        refit_error = _error(result, "codebook_refit.monte_carlo_se")
        rows += [
            [first, _c(result, "codebook_refit.out_of_bag_c"), refit_error, ""],
            ["… in the same resamples with the codebook fixed", _c(result, "codebook_refit.fixed_c"), "", ""],
            ["… refitted minus fixed", _c(result, "codebook_refit.difference"), "", ""],
            ["… HPCs", _hpcs(result), "", ""],
            ["… agreement of tiles (ARI)", _c(result, "codebook_refit.agreement"), "", ""],
        ]
    else:
        rows.append(
            ["Codebook refitted in the resamples", text_at(result, "codebook_refit") or "not done", "", ""]
        )
    note = f"{counted(count_at(result, 'resamples'), 'resample')} of patients: {text_at(result, 'what')}."
    return [_table(title, rows, note)]


def _site(result: _Result, title: str) -> list[Block]:
    p = number_at(result, "site_predictability.p")
    chance = f"by chance {per_cent(estimate_at(result, 'site_predictability.chance'), digits=1)}"
    chance += "" if p is None else f", p = {p:.3f}"
    rows: list[list[Cell]] = [
        ["C, no site in both parts", _c(result, "preserved_site_c"), "", ""],
        ["C, within sites, pooled", _c(result, "within_site_c"), "", ""],
        ["C of the site alone", _c(result, "site_only_c"), "", "0.50 if sites do not differ"],
        ["Site predicted from the profile", _percent(result, "site_predictability.accuracy"), "", chance],
    ]
    return [_table(title, rows, f"{counted(count_at(result, 'sites'), 'site')}.")]


def _depth(result: _Result, title: str) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            count_at(d, "tiles"),
            count_at(d, "patients"),
            number_at(d, "icc"),
            number_at(d, "bias"),
            _percent(d, "group_flips"),
            number_at(d, "monte_carlo_se"),
        ]
        for d in rows_at(result, "depths")
    ]
    columns = ["Tiles", "Patients", "ICC", "Bias", "Risk group changes", "Monte-Carlo error"]
    draws = counted(count_at(result, "draws"), "draw")
    note = f"{draws} of so many tiles, against the score from all tiles of the patient."
    out: list[Block] = [without_empty(Table(caption=title, columns=columns, rows=rows, note=note))]
    tiles: list[list[Cell]] = [
        [
            cohort_title(text_at(t, "cohort")),
            count_at(t, "patients"),
            _c(t, "correlation", scale=CORRELATION),
            number_at(t, "p"),
        ]
        for t in rows_at(result, "tiles")
    ]
    if tiles:
        columns = ["Cohort", "Patients", "r (95% CI)", "p"]
        out.append(Table(caption="Score against log number of tiles", columns=columns, rows=tiles))
    return out


def _stability(result: _Result, title: str) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            label,
            n,
            _c(result, f"{part}.correlation", scale=CORRELATION),
            _percent(result, f"{part}.share_empty"),
        ]
        for label, part in (("Other seeds", "seeds"), ("Bootstrap of patients", "bootstrap"))
        if (n := count_at(result, f"{part}.n"))
    ]
    rows += [
        [f"Tree cut at {count_at(r, 'k')}", None, _c(r, "correlation", scale=CORRELATION), ""]
        for r in rows_at(result, "levels")
    ]
    columns = ["Fitted again with", "Fits", "Correlation with the score", "Without a signature"]
    out: list[Block] = [Table(caption=title, columns=columns, rows=rows)]
    selected = value_at(result, "selected")
    often: list[list[Cell]] = [
        [
            feature_name(str(n)),
            *(number_at(result, f"{part}.selected.{n}") or 0.0 for part in ("bootstrap", "seeds")),
        ]
        for n in (selected if isinstance(selected, list) else ())
    ]
    if often:
        columns = ["Feature of the signature", "Selected in bootstraps", "Selected by other seeds"]
        caption = "How often each feature is selected again"
        out.append(Table(caption=caption, columns=columns, rows=often, folded=True))
    keys = ("seed_ari", "bootstrap_ari", "prediction_strength")
    curve = rows_at(result, "phenotypes.curve")
    if curve:
        columns = ["K", "ARI of seeds", "ARI of patient bootstraps", "Prediction strength"]
        cells: list[list[Cell]] = [[count_at(r, "k"), *(number_at(r, k) for k in keys)] for r in curve]
        caption = "Stability of the HPCs by their number"
        out.append(Table(caption=caption, columns=columns, rows=cells, folded=True))
    return out


def _other(result: _Result, title: str) -> list[Block]:
    """An audit this version does not know: its single numbers and texts."""
    rows: list[list[Cell]] = [
        [str(k).replace("_", " "), text_at(result, k) or estimate_words(estimate_at(result, k))]
        for k in sorted(result)
        if text_at(result, k) or estimate_at(result, k) is not None
    ]
    return [Table(caption=title, columns=["Quantity", "Value"], rows=rows)] if rows else []


def _table(title: str, rows: list[list[Cell]], note: str) -> Table:
    """The table without columns that are empty in every row."""
    kept = [i for i in range(len(_COLUMNS)) if any(row[i] not in ("", None) for row in rows)]
    columns = [_COLUMNS[i] for i in kept]
    return Table(caption=title, columns=columns, rows=[[row[i] for i in kept] for row in rows], note=note)


_WRITERS = {"null": _null, "optimism": _optimism, "site": _site, "depth": _depth, "stability": _stability}

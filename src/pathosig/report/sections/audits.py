"""Section on the audits: each with its numbers, intervals, Monte-Carlo error, bar and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.figures.results import real, triple
from pathosig.figures.style import estimate_text
from pathosig.report.cells import feature_name, mapping, mappings, short
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Cell, Note, Section, Table, folded, without_empty

ORDER = ("null", "optimism", "site", "depth", "stability")
QUESTIONS = {
    "null": "Null: would the whole procedure find a signature in noise?",
    "optimism": "Optimism: how good is the procedure in patients it has not seen?",
    "site": "Site: does the score tell outcome, or the hospital?",
    "depth": "Depth: how many tiles does a score need?",
    "stability": "Stability: would other seeds and patients give the same score?",
}


def audits_section(material: Material) -> Section | None:
    """What the audits found; None when none was run."""
    found = {str(k): v for k, v in material.audits.items() if isinstance(v, Mapping)}
    if not found:
        return None
    blocks: list[Block] = []
    for name in [*(n for n in ORDER if n in found), *sorted(set(found) - set(ORDER))]:
        blocks += _WRITERS.get(name, _other)(found[name], QUESTIONS.get(name, name))
    missing = [n for n in ORDER if n not in found]
    lead = "Everything that chooses is chosen again inside every resample."
    if missing:
        lead += f" Not run: {', '.join(missing)} (`pathosig audit DIR {missing[0]}`)."
    return Section(id="audits", title="Audits", blocks=blocks, lead=lead)


_Result = Mapping[str, Any]
_COLUMNS = ["Quantity", "Estimate (95% interval)", "Monte-Carlo error", "Bar"]


def _c(value: Any) -> str:
    return _estimate(value, digits=3)


def _percent(value: Any) -> str:
    found = triple(value)
    if found is None:
        return "not estimable" if real(value) is None else f"{100 * float(value):.1f}%"
    return estimate_text(*(None if v is None else 100 * v for v in found), digits=1) + " %"


def _estimate(value: Any, *, digits: int) -> str:
    found = triple(value)
    if found is None:
        return "not estimable" if real(value) is None else f"{float(value):.{digits}f}".replace("-", "−")
    return estimate_text(*found, digits=digits)


def _error(value: Any) -> str:
    return "" if real(value) is None else f"{float(value):.4f}"


def _null(result: _Result, title: str) -> list[Block]:
    verdict, n, bar = str(result.get("verdict", "")), result.get("permutations"), real(result.get("bar"))
    words = {
        "pass": "pass: on noise the reported test rejects no more often than its bar allows.",
        "fail": "fail: on noise the reported test rejects more often than its bar allows.",
        "preview": "preview, no verdict: 1,000 permutations give one (`--permutations 1000`).",
    }
    level = {"pass": "good", "fail": "error"}.get(verdict, "warning")
    allowed = "" if bar is None else f"upper limit at most {100 * bar:.0f}%"
    p = real(result.get("p"))
    rows: list[list[Cell]] = [
        ["Permutations in which any signature was found", _percent(result.get("any_signature")), "", ""],
        ["A naive test on the same data rejects", _percent(result.get("naive_rejection")), "", "none: why this audit exists"],
        ["The reported test rejects", _percent(result.get("reported_rejection")), "", allowed],
        ["Apparent C, permuted outcome", _c(result.get("null_c")), "", ""],
        ["Apparent C, observed", _c(result.get("observed_c")), "", "" if p is None else f"rank p = {p:.3f}"],
    ]  # fmt: skip
    note = (
        f"{n:,} permutations of outcome within cohort and site; intervals are Monte-Carlo limits."
        if isinstance(n, int)
        else ""
    )
    return [
        Note(title="Null:", text=words.get(verdict, verdict), level=level),  # type: ignore[arg-type]
        _table(title, rows, note),
    ]


def _optimism(result: _Result, title: str) -> list[Block]:
    error = mapping(result.get("monte_carlo"))
    rows: list[list[Cell]] = [
        ["C, cross-validated (the headline)", _c(result.get("cross_validated_c")), _error(error.get("cross_validated_c")), ""],
        ["C, out of bag", _c(result.get("out_of_bag_c")), _error(error.get("out_of_bag_c") or result.get("monte_carlo_se")), ""],
        ["C, .632+", _c(result.get("c_632_plus")), "", ""],
        ["C, apparent minus Harrell's optimism", _c(result.get("harrell_corrected_c")), _error(error.get("optimism")), ""],
        ["Optimism", _c(result.get("optimism")), _error(error.get("optimism")), ""],
        ["C, apparent", _c(result.get("apparent_c")), "", "never to be reported alone"],
        ["Resamples without a signature (C counted as 0.50)", _percent(result.get("share_empty")), "", ""],
    ]  # fmt: skip
    again = result.get("codebook_refit")
    if isinstance(again, Mapping):
        rows += [
            [f"Codebook refitted on {again.get('resamples')} resamples: C, out of bag", _c(again.get("out_of_bag_c")), _error(again.get("monte_carlo_se")), ""],
            ["… in the same resamples with the codebook fixed", _c(again.get("fixed_c")), "", ""],
            ["… refitted minus fixed", _c(again.get("difference")), "", ""],
            ["… HPCs", _estimate(again.get("hpcs"), digits=0), "", ""],
            ["… agreement of tiles with the fixed codebook (ARI)", _c(again.get("agreement")), "", ""],
        ]  # fmt: skip
    else:
        rows.append(["Codebook refitted in the resamples", short(again) or "not done", "", ""])
    note = f"{result.get('resamples')} resamples of patients: {result.get('what', '')}."
    return [_table(title, rows, note)]


def _site(result: _Result, title: str) -> list[Block]:
    told = mapping(result.get("site_predictability"))
    p = real(told.get("p"))
    chance = f"by chance {_percent(told.get('chance'))}" + ("" if p is None else f", p = {p:.3f}")
    rows: list[list[Cell]] = [
        ["C, no site in both parts", _c(result.get("preserved_site_c")), "", ""],
        ["C, within sites, pooled", _c(result.get("within_site_c")), "", ""],
        ["C of the site alone", _c(result.get("site_only_c")), "", "0.50 if sites do not differ"],
        ["Site told from the profile", _percent(told.get("accuracy")), "", chance],
    ]
    note = f"{result.get('sites')} sites."
    return [_table(title, rows, note)]


def _depth(result: _Result, title: str) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            d.get("tiles"),
            d.get("patients"),
            real(d.get("icc")),
            real(d.get("bias")),
            _percent(d.get("group_flips")),
            real(d.get("monte_carlo_se")),
        ]
        for d in mappings(result.get("depths"))
    ]
    columns = ["Tiles", "Patients", "ICC", "Bias", "Risk group changes", "Monte-Carlo error"]
    note = f"{result.get('draws')} draws of so many tiles, against the score from all tiles of the patient."
    out: list[Block] = [without_empty(Table(caption=title, columns=columns, rows=rows, note=note))]
    tiles: list[list[Cell]] = [
        [cohort_title(str(t.get("cohort"))), t.get("patients"), _c(t.get("correlation")), real(t.get("p"))]
        for t in mappings(result.get("tiles"))
    ]
    if tiles:
        columns = ["Cohort", "Patients", "r (95% CI)", "p"]
        out.append(Table(caption="Score against log number of tiles", columns=columns, rows=tiles))
    return out


def _stability(result: _Result, title: str) -> list[Block]:
    seeds, boot = mapping(result.get("seeds")), mapping(result.get("bootstrap"))
    rows: list[list[Cell]] = [
        [label, part.get("n"), _c(part.get("correlation")), _percent(part.get("share_empty"))]
        for label, part in (("Other seeds", seeds), ("Bootstrap of patients", boot))
        if part
    ]
    rows += [
        [f"Tree cut at {r.get('k')}", None, _c(r.get("correlation")), ""]
        for r in mappings(result.get("levels"))
    ]
    columns = ["Made again with", "Fits", "Correlation with the score", "Without a signature"]
    out: list[Block] = [Table(caption=title, columns=columns, rows=rows)]
    often: list[list[Cell]] = [
        [feature_name(str(name)), real(mapping(boot.get("selected")).get(name)) or 0.0, real(mapping(seeds.get("selected")).get(name)) or 0.0]
        for name in result.get("selected") or ()
    ]  # fmt: skip
    if often:
        columns = ["Feature of the signature", "Selected in bootstraps", "Selected by other seeds"]
        out += folded("How often each feature is selected again", [Table(caption="Selected again", columns=columns, rows=often)])  # fmt: skip
    curve: list[list[Cell]] = [
        [
            int(r.get("k") or 0),
            *(real(r.get(k)) for k in ("seed_ari", "bootstrap_ari", "prediction_strength")),
        ]
        for r in mappings(mapping(result.get("phenotypes")).get("curve"))
    ]
    if curve:
        columns = ["K", "ARI of seeds", "ARI of patient bootstraps", "Prediction strength"]
        out += folded("Stability of the HPCs by their number", [Table(caption="Stability of the HPCs", columns=columns, rows=curve)])  # fmt: skip
    return out


def _other(result: _Result, title: str) -> list[Block]:
    """An audit this version does not know: its single numbers."""
    rows: list[list[Cell]] = [
        [str(k).replace("_", " "), _c(v) if triple(v) else short(v)]
        for k, v in sorted(result.items())
        if triple(v) or isinstance(v, (str, int, float))
    ]
    return [Table(caption=title, columns=["Quantity", "Value"], rows=rows)] if rows else []


def _table(title: str, rows: list[list[Cell]], note: str) -> Table:
    """The table without columns that are empty in every row."""
    kept = [i for i in range(len(_COLUMNS)) if any(row[i] not in ("", None) for row in rows)]
    columns = [_COLUMNS[i] for i in kept]
    return Table(caption=title, columns=columns, rows=[[row[i] for i in kept] for row in rows], note=note)


_WRITERS = {"null": _null, "optimism": _optimism, "site": _site, "depth": _depth, "stability": _stability}

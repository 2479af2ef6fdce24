"""The result of an audit as text: estimates, intervals, Monte Carlo errors, bound and verdict."""

from __future__ import annotations

from collections.abc import Callable

from pathosig.audits.results import (
    Audit,
    CodebookRefit,
    DepthAudit,
    NullAudit,
    OptimismAudit,
    SiteAudit,
    StabilityAudit,
)
from pathosig.core.words import counted
from pathosig.validation.significance import FULL, Rate
from pathosig.validation.values import Estimate

_Rows = list[tuple[str, str]]


def audit_text(result: Audit) -> str:
    """Title and aligned lines of a result."""
    if isinstance(result, NullAudit):
        title, rows = _null(result)
    elif isinstance(result, OptimismAudit):
        title, rows = _optimism(result)
    elif isinstance(result, SiteAudit):
        title, rows = _site(result)
    elif isinstance(result, DepthAudit):
        title, rows = _depth(result)
    else:
        title, rows = _stability(result)
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(
        [f"{result.name}: {title}", *(f"  {label:<{width}}  {value}".rstrip() for label, value in rows)]
    )


def _number(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.1%}"


def _interval(value: Estimate | Rate | None, write: Callable[[float | None], str] = _number) -> str:
    if value is None:
        return "not estimable"
    if value.lower is None or value.upper is None:
        return write(value.estimate)
    return f"{write(value.estimate)} [{write(value.lower)}, {write(value.upper)}]"


def _error(value: float | None) -> str:
    return "" if value is None else f"; Monte Carlo error {value:.4f}"


_TESTS = {
    "printed": "p of the score in validation patients < .05",
    "discovery": "p of discovery, adjusted for selection, < .05",
}


def _null(result: NullAudit) -> tuple[str, _Rows]:
    verdict: str = result.verdict
    if result.verdict == "preview":
        verdict = f"preview, no verdict: use `--permutations {FULL}` for one"
    rows = [
        ("any signature", _interval(result.any_signature, _percent)),
        ("naive p in the same patients < .05", _interval(result.naive_rejection, _percent)),
        *((_TESTS[name], _interval(size, _percent)) for name, size in result.sizes.items()),
        ("worst of the reported tests", _interval(result.reported_rejection, _percent)),
        ("upper limit (required)", f"at most {result.bar:.0%}: {verdict}"),
    ]
    if result.p is not None:
        rows += [
            ("apparent C, observed", f"{_number(result.observed_c)}, p = {_number(result.p)}"),
            ("apparent C, permuted", _interval(result.null_c)),
        ]
    fits = result.permutations + result.reference + 1
    return (
        f"{result.permutations:,} data sets with permuted outcomes, compared with {result.reference:,} others ({fits:,} fits of "
        "the whole procedure); Monte Carlo intervals in brackets",
        rows,
    )


def _optimism(result: OptimismAudit) -> tuple[str, _Rows]:
    error = result.monte_carlo
    rows = [
        ("C, cross-validated", _interval(result.cross_validated_c) + _error(error.cross_validated_c)),
        ("C, out of bag", _interval(result.out_of_bag_c) + _error(error.out_of_bag_c)),
        ("C, .632+", _number(result.c_632_plus)),
        ("C, Harrell-corrected", _number(result.harrell_corrected_c) + _error(error.optimism)),
        ("C, apparent (do not report)", _number(result.apparent_c)),
        (
            "no signature (counted as .50)",
            f"{_percent(result.share_empty)} of {result.resamples} resamples",
        ),
    ]
    again = result.codebook_refit
    if isinstance(again, CodebookRefit):
        rows += [
            (
                "codebook refitted: C, out of bag",
                _interval(again.out_of_bag_c) + _error(again.monte_carlo_se),
            ),
            (
                "  minus that of the fixed codebook",
                f"{_interval(again.difference)}, {again.resamples} resamples",
            ),
            ("  agreement of tiles (ARI)", _number(again.agreement)),
        ]
    else:
        rows.append(("codebook refitted", again))
    return result.what, rows


def _site(result: SiteAudit) -> tuple[str, _Rows]:
    guess = result.site_predictability
    rows = [
        ("C, sites kept whole in folds", _interval(result.preserved_site_c)),
        ("C, within sites", _number(result.within_site_c)),
        ("C, site alone", _number(result.site_only_c)),
        (
            "site predicted from profiles",
            f"{_percent(guess.accuracy)} of patients; by chance {_percent(guess.chance)}, p = {guess.p:.3f}",
        ),
    ]
    return counted(result.sites, "site"), rows


def _depth(result: DepthAudit) -> tuple[str, _Rows]:
    rows = [
        (
            counted(row.tiles, "tile"),
            f"ICC {_number(row.icc)}, bias {row.bias:+.3f}, group changes {_percent(row.group_flips)}"
            f"{_error(row.monte_carlo_se)} ({counted(row.patients, 'patient')})",
        )
        for row in result.depths
    ]
    rows += [
        (
            f"{row.cohort}: score and log(tiles)",
            f"r = {_interval(row.correlation)}, p = {row.p:.3f} ({counted(row.patients, 'patient')})",
        )
        for row in result.tiles
    ]
    return f"score from fewer tiles, {result.draws} draws each, against the score from all", rows


def _stability(result: StabilityAudit) -> tuple[str, _Rows]:
    rows = [
        (
            f"{label}, {repeats.n} fits",
            f"r with the score {_interval(repeats.correlation)}, no signature in {_percent(repeats.share_empty)}",
        )
        for label, repeats in (("other seeds", result.seeds), ("patient bootstrap", result.bootstrap))
    ]
    often = result.bootstrap.selected
    rows += [(f"  {name} selected", _percent(often.get(name, 0.0))) for name in result.selected]
    rows += [
        (
            f"tree cut at {row.k}",
            f"r with the score {_number(row.correlation)}, {counted(row.features, 'feature')}, "
            f"apparent C {_number(row.apparent_c)}",
        )
        for row in result.levels
    ]
    curve = result.phenotypes.get("curve", ()) if result.phenotypes else ()
    rows += [
        (
            f"K = {row['k']:.0f}",
            f"ARI of seeds {_number(row['seed_ari'])}, of patient bootstraps {_number(row['bootstrap_ari'])}, "
            f"prediction strength {_number(row['prediction_strength'])}",
        )
        for row in curve
    ]
    return f"the signature ({', '.join(result.selected[:6])}) and its HPCs, refitted", rows

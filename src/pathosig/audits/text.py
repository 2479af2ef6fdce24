"""What an audit found, in lines for people: number, interval, Monte-Carlo error, bar, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def audit_text(result: Mapping[str, Any]) -> str:
    """The result of an audit as aligned lines.

    Parameters
    ----------
    result
        Content of validation/audits/NAME.json.
    """
    name = str(result["audit"])
    title, rows = _WRITERS[name](result)
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(
        [f"{name}: {title}", *(f"  {label:<{width}}  {value}".rstrip() for label, value in rows)]
    )


_Rows = list[tuple[str, str]]


def _number(value: Any, places: int = 3) -> str:
    return "not estimable" if value is None else f"{value:.{places}f}"


def _share(value: Any) -> str:
    return "not estimable" if value is None else f"{value:.1%}"


def _with_limits(found: Any, write: Any = _number) -> str:
    if not isinstance(found, Mapping):
        return write(found)
    limits = found.get("lower"), found.get("upper")
    inside = "" if None in limits else f" [{write(limits[0])}, {write(limits[1])}]"
    return write(found.get("estimate")) + inside


def _plus_minus(value: Any) -> str:
    return "" if value is None else f"; Monte-Carlo error {value:.4f}"


def _null(result: Mapping[str, Any]) -> tuple[str, _Rows]:
    n, verdict = result["permutations"], str(result["verdict"])
    words = "preview, no verdict: `--permutations 1000` gives one" if verdict == "preview" else verdict
    rows = [
        ("any signature found", _with_limits(result["any_signature"], _share)),
        ("naive test on the same data rejects", _with_limits(result["naive_rejection"], _share)),
        ("reported test rejects", _with_limits(result["reported_rejection"], _share)),
        ("bar: upper limit of that", f"at most {result['bar']:.0%}: {words}"),
        ("apparent C, observed", f"{_number(result['observed_c'])}, p = {_number(result['p'])}"),
        ("apparent C, permuted", _with_limits(result["null_c"])),
    ]
    return f"the whole procedure on {n:,} permutations of outcome, Monte-Carlo limits in brackets", rows


def _optimism(result: Mapping[str, Any]) -> tuple[str, _Rows]:
    error = result.get("monte_carlo", {})
    rows = [
        ("C, cross-validated", _with_limits(result["cross_validated_c"]) + _plus_minus(error.get("cross_validated_c"))),
        ("C, out of bag", _with_limits(result["out_of_bag_c"]) + _plus_minus(error.get("out_of_bag_c"))),
        ("C, .632+", _number(result["c_632_plus"])),
        ("C, Harrell-corrected", _number(result["harrell_corrected_c"]) + _plus_minus(error.get("optimism"))),
        ("C, apparent (never report it)", _number(result["apparent_c"])),
        ("no signature (counted as .50)", f"{_share(result['share_empty'])} of {result['resamples']} resamples"),
    ]  # fmt: skip
    again = result["codebook_refit"]
    if isinstance(again, Mapping):
        rows += [
            ("codebook refitted: C, out of bag", _with_limits(again["out_of_bag_c"]) + _plus_minus(again["monte_carlo_se"])),
            ("  minus that of the fixed one", f"{_with_limits(again['difference'])}, {again['resamples']} resamples"),
            ("  agreement of tiles (ARI)", _number(again["agreement"])),
        ]  # fmt: skip
    else:
        rows.append(("codebook refitted", str(again)))
    return str(result["what"]), rows


def _site(result: Mapping[str, Any]) -> tuple[str, _Rows]:
    guess = result["site_predictability"]
    rows = [
        ("C, no site in both parts", _with_limits(result["preserved_site_c"])),
        ("C, within sites", _number(result["within_site_c"])),
        ("C, site alone", _number(result["site_only_c"])),
        ("site told from profiles", f"{_share(guess['accuracy'])} of patients; by chance {_share(guess['chance'])}, p = {guess['p']:.3f}"),
    ]  # fmt: skip
    return f"{result['sites']} sites", rows


def _depth(result: Mapping[str, Any]) -> tuple[str, _Rows]:
    rows = [
        (
            f"{row['tiles']} tiles",
            f"ICC {_number(row['icc'])}, bias {row['bias']:+.3f}, group changes {_share(row['group_flips'])}"
            f"{_plus_minus(row.get('monte_carlo_se'))} ({row['patients']} patients)",
        )
        for row in result["depths"]
    ]
    rows += [
        (
            f"{row['cohort']}: score and log(tiles)",
            f"r = {_with_limits(row['correlation'])}, p = {row['p']:.3f} ({row['patients']} patients)",
        )
        for row in result.get("tiles", ())
    ]
    return f"score from fewer tiles, {result['draws']} draws each, against the score from all", rows


def _stability(result: Mapping[str, Any]) -> tuple[str, _Rows]:
    rows: _Rows = []
    for key, label in (("seeds", "other seeds"), ("bootstrap", "patient bootstrap")):
        found = result[key]
        rows.append(
            (
                f"{label}, {found['n']} fits",
                f"r with the score {_with_limits(found['correlation'])}, none in {_share(found['share_empty'])}",
            )
        )
    often = result["bootstrap"]["selected"]
    rows += [(f"  {name} selected", _share(often.get(name, 0.0))) for name in result["selected"]]
    rows += [
        (
            f"tree cut at {row['k']}",
            f"r with the score {_number(row['correlation'])}, {row['features']} feature{'s' * (row['features'] != 1)}, apparent C {_number(row['apparent_c'])}",
        )
        for row in result.get("levels", ())
    ]
    rows += [
        (
            f"K = {row['k']:.0f}",
            f"ARI of seeds {_number(row['seed_ari'])}, of patient bootstraps {_number(row['bootstrap_ari'])}, "
            f"prediction strength {_number(row['prediction_strength'])}",
        )
        for row in _curve(result)
    ]
    return f"the signature ({', '.join(result['selected'][:6])}) and its HPCs, made again", rows


def _curve(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = result.get("phenotypes")
    return found.get("curve", ()) if isinstance(found, Mapping) else ()


_WRITERS = {"null": _null, "optimism": _optimism, "site": _site, "depth": _depth, "stability": _stability}

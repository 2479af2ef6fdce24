"""Cells and lines out of results.json, and which analyses stand open in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pathosig.figures.palette import hpc_colours
from pathosig.figures.results import analyses_of, analysis_title, endpoints_of, real, reason, triple, usable
from pathosig.figures.style import estimate_text, hpc_name
from pathosig.report.material import Material, Phenotypes, Term, endpoint_title

MOST_ROWS = 40
"""Of more features, the largest coefficients are shown."""


def plural(n: int, word: str) -> str:
    """``1 slide``, ``12,400 tiles``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def listed(words: Sequence[str], at_most: int = 6) -> str:
    """``a``, ``a and b``, ``a, b and c``; with more than `at_most`, the first of them and how many more."""
    if len(words) > at_most:
        return f"{', '.join(words[:at_most])} and {len(words) - at_most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number_text(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign, or a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def feature_name(column: str) -> str:
    """A column of the profiles as written on screen: ``hpc_07`` becomes ``HPC 07``."""
    tail = column.removeprefix("hpc_")
    return hpc_name(int(tail)) if column != tail and tail.isdigit() else column.replace("node_", "node ")


def feature_title(material: Material, column: str) -> str:
    """The name of a feature with the name that a pathologist gave it, where there is one."""
    tail = column.removeprefix("hpc_")
    names = {} if material.phenotypes is None else material.phenotypes.names
    given = names[int(tail)] if column != tail and tail.isdigit() and int(tail) in names else ""
    return f"{feature_name(column)} {given}".strip()


def largest_first(terms: Sequence[Term]) -> Sequence[Term]:
    """Terms by the size of their coefficients, comparable where features are z-scored; few stay in their order."""
    return terms if len(terms) <= MOST_ROWS else sorted(terms, key=lambda term: -abs(term.coef))


def palette_of(phenotypes: Phenotypes | None) -> list[str]:
    """The colour of every HPC of the study; none without a codebook."""
    if phenotypes is None:
        return []
    return hpc_colours(phenotypes.k, artefacts=phenotypes.artefacts, linkage=phenotypes.linkage)


def mapping(value: Any) -> Mapping[str, Any]:
    """A part of the results that is there and was estimable; else empty."""
    return value if usable(value) and isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; empty for anything else."""
    return (
        [v for v in value if isinstance(v, Mapping)]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else []
    )


def short(value: Any) -> str:
    """A value in at most four digits, empty when missing."""
    return f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)


def estimate_cell(value: Any, *, digits: int = 3, key: str = "estimate") -> str:
    """An estimate with its limits, or why there is none."""
    found = triple(value, key=key)
    if found is None and real(value) is not None:
        return f"{value:.{digits}f}".replace("-", "−")
    if found is not None and found[1:] == (None, None):  # no interval was made
        return estimate_text(*found, digits=digits).partition(" (")[0]
    return estimate_text(*found, digits=digits) if found else (reason(value) or "–")


def time_text(time: Any, unit: Any = "") -> str:
    """A time with its unit: hundreds of days without decimals."""
    value = real(time)
    if value is None:
        return ""
    return f"{f'{value:.0f}' if abs(value) >= 100 else f'{value:.4g}'} {unit or ''}".strip()


def line_of(values: Any) -> list[float]:
    """Numbers of a curve; missing ones are NaN."""
    return [float("nan") if v is None else float(v) for v in values or ()]


def analysis_name(analysis: Mapping[str, Any]) -> str:
    """Cohort and endpoint, as printed over a figure."""
    return f"{analysis_title(analysis)}, {endpoint_title(str(analysis.get('endpoint')))}"


def numbered(material: Material) -> list[tuple[int, Mapping[str, Any]]]:
    """The analyses with the number of their figures from 1: primary endpoint first, apparent ones last in each."""
    found = analyses_of(material.results, material.primary_endpoint)
    endpoints = endpoints_of(found)
    found = sorted(found, key=lambda a: (endpoints.index(str(a.get("endpoint"))), bool(a.get("apparent"))))
    return list(enumerate(found, start=1))


def is_main(material: Material, analysis: Mapping[str, Any]) -> bool:
    """Whether an analysis stands open: the primary endpoint in patients the model was not fitted on.

    Without any such analysis the apparent one of the primary endpoint does.
    """
    endpoint = material.primary_endpoint or None
    found = analyses_of(material.results, material.primary_endpoint)
    same = [a for a in found if endpoint in (None, str(a.get("endpoint")))] or found
    honest = [a for a in same if not a.get("apparent")] or same
    return any(a is analysis for a in honest)


def is_primary_endpoint(material: Material, endpoint: str) -> bool:
    """Whether this is the endpoint of the primary analysis, or the only one there is."""
    return endpoint == material.primary_endpoint or not material.primary_endpoint

"""Cells of tables and names from results, and which analyses are shown unfolded."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from pathosig.core.words import counted
from pathosig.figures.palette import coarse_colours, hpc_colours
from pathosig.figures.results import analysis_title, hr_text
from pathosig.figures.style import coarse_name, estimate_text, hpc_name
from pathosig.figures.titles import endpoint_title, prose, sentence_case
from pathosig.figures.uncertainty import PROPORTION, RATIO, Scale, why_too_wide
from pathosig.report.material import CoarseGroup, Material, Phenotypes, Term
from pathosig.report.page import Number
from pathosig.validation.analysis import Analysis
from pathosig.validation.values import Estimate, HazardRatio, NotEstimable

MOST_ROWS = 40
"""Of more features, the largest coefficients are shown."""


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


def rounded(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, trailing zeros kept, and a true minus sign: ``11.7``, ``−0.0440``."""
    if not math.isfinite(value):
        return "–"
    size = 0 if value == 0 else math.floor(math.log10(abs(value)))
    return number_text(value, max(digits - 1 - size, 0))


def feature_name(column: str) -> str:
    """A column of the profiles as written on screen: ``hpc_07`` becomes ``HPC 07``."""
    tail = column.removeprefix("hpc_")
    return hpc_name(int(tail)) if column != tail and tail.isdigit() else column.replace("node_", "node ")


def feature_title(material: Material, column: str) -> str:
    """The name of a feature with the name that a pathologist gave it, or else gave the coarse group it is in."""
    tail, phenotypes = column.removeprefix("hpc_"), material.phenotypes
    if phenotypes is None:
        return feature_name(column)
    leaves: tuple[int, ...] = (int(tail),) if column != tail and tail.isdigit() else ()
    if not leaves and column in phenotypes.nodes:
        leaves = phenotypes.nodes[column]
    return f"{feature_name(column)} {phenotypes.name_of(leaves)}".rstrip()


def group_title(group: CoarseGroup) -> str:
    """A coarse group with the name that a pathologist gave it, where there is one: ``Coarse 2 tumour``."""
    return f"{coarse_name(group.number)} {group.name}".strip()


def group_palette_of(phenotypes: Phenotypes) -> list[str]:
    """The colour of every coarse group."""
    return coarse_colours(phenotypes.coarse, artefacts=phenotypes.artefacts, linkage=phenotypes.linkage)


def units_of(material: Material) -> str:
    """What features are chosen from: HPCs, or the features of an outside table."""
    return "features" if material.profiles.kind == "features" else "HPCs"


def in_words(material: Material, text: str) -> str:
    """A sentence of a stage as printed: cohorts, columns and features in words, a capital first letter."""
    columns = material.columns
    names = {*columns.covariates, *columns.treatments, *columns.subgroups}
    for column in {t.feature for t in material.terms} | {c.feature for c in material.candidates}:
        if column.startswith("hpc_"):
            text = re.sub(rf"\b{column}\b", feature_title(material, column), text)
    return sentence_case(prose(text, material.cohorts, names))


def largest_first(terms: Sequence[Term]) -> Sequence[Term]:
    """Terms by the size of their coefficients, comparable where features are z-scored; few stay in their order."""
    return terms if len(terms) <= MOST_ROWS else sorted(terms, key=lambda term: -abs(term.coef))


def palette_of(phenotypes: Phenotypes | None) -> list[str]:
    """The colour of every HPC of the study; none without a codebook."""
    if phenotypes is None:
        return []
    return hpc_colours(phenotypes.k, artefacts=phenotypes.artefacts, linkage=phenotypes.linkage)


def estimate_cell(
    value: Estimate | NotEstimable | float | None, *, scale: Scale = PROPORTION, digits: int = 3
) -> str | Number:
    """An estimate with its confidence interval, or why there is none; small and grey where the interval says nothing."""
    text = estimate_words(value, digits=digits)
    why = why_too_wide(value.lower, value.upper, scale) if isinstance(value, Estimate) else ""
    return Number(value=text, uncertain=why) if why else text


def ratio_cell(value: float | None, lower: float | None, upper: float | None) -> str | Number:
    """A ratio with its confidence interval; small and grey where the interval says nothing."""
    text, why = estimate_text(value, lower, upper), why_too_wide(lower, upper, RATIO)
    return Number(value=text, uncertain=why) if why and value is not None else text


def hr_cell(value: HazardRatio | NotEstimable) -> str | Number:
    """A hazard ratio with its confidence interval, or why there is none; small and grey where it is too uncertain."""
    why = "" if isinstance(value, NotEstimable) or value.hr is None else why_uncertain(value)
    return Number(value=hr_text(value), uncertain=why) if why else hr_text(value)


def estimate_words(value: Estimate | NotEstimable | float | None, *, digits: int = 3) -> str:
    """An estimate with its confidence interval, or why there is none, as text."""
    if value is None:
        return "–"
    if isinstance(value, NotEstimable):
        return value.reason
    if not isinstance(value, Estimate):
        return number_text(value, digits)
    text = estimate_text(value.estimate, value.lower, value.upper, digits=digits)
    without = value.lower is None and value.upper is None
    return text.partition(" (")[0] if without else text


def per_cent_cell(value: Estimate | NotEstimable | float | None, *, digits: int = 0) -> str | Number:
    """A proportion in per cent; small and grey where its confidence interval says nothing."""
    text = per_cent(value, digits=digits)
    why = why_too_wide(value.lower, value.upper, PROPORTION) if isinstance(value, Estimate) else ""
    return Number(value=text, uncertain=why) if why else text


def per_cent(value: Estimate | NotEstimable | float | None, *, digits: int = 0) -> str:
    """A proportion with its confidence interval, in per cent."""
    if isinstance(value, Estimate):
        ends = [None if v is None else 100 * v for v in (value.estimate, value.lower, value.upper)]
        return estimate_text(*ends, digits=digits).replace(" (", "% (", 1).replace(")", "%)")
    if isinstance(value, NotEstimable):
        return value.reason
    return "–" if value is None else f"{number_text(100 * value, digits)}%"


def time_text(time: float | None, unit: str = "") -> str:
    """A time with its unit; from 100 on it has no decimals."""
    if time is None:
        return ""
    return f"{f'{time:.0f}' if abs(time) >= 100 else f'{time:.4g}'} {unit}".strip()


FEW_EVENTS = 10
"""Below this many events a hazard ratio is not to be relied on."""


def why_uncertain(effect: HazardRatio) -> str:
    """Why a hazard ratio is too uncertain to be shown like a fact; empty when it is not."""
    if effect.events < FEW_EVENTS:
        return f"{counted(effect.events, 'event')} only: too few for a firm estimate"
    if effect.lower is None or effect.upper is None:
        return "the confidence interval has no end"
    return why_too_wide(effect.lower, effect.upper, RATIO)


def analysis_name(analysis: Analysis) -> str:
    """Cohort and endpoint, as printed over a figure."""
    return f"{analysis_title(analysis)}, {endpoint_title(analysis.endpoint).lower()}"


def analyses_of(material: Material) -> list[Analysis]:
    """The analyses: primary endpoint first, apparent ones last in each endpoint."""
    if material.results is None:
        return []
    analyses = sorted(material.results.analyses, key=lambda a: a.endpoint != material.primary_endpoint)
    order = list(dict.fromkeys(a.endpoint for a in analyses))
    return sorted(analyses, key=lambda a: (order.index(a.endpoint), a.apparent))


def numbered(material: Material) -> list[tuple[int, Analysis]]:
    """The analyses with the number of their figures from 1."""
    return list(enumerate(analyses_of(material), start=1))


def is_main(material: Material, analysis: Analysis) -> bool:
    """Whether an analysis is shown unfolded: the primary endpoint in patients the model was not fitted on.

    Without any such analysis the apparent one of the primary endpoint does.
    """
    analyses = analyses_of(material)
    same = [a for a in analyses if a.endpoint == material.primary_endpoint] or analyses
    unseen = [a for a in same if not a.apparent] or same
    return any(a is analysis for a in unseen)


def is_primary_endpoint(material: Material, endpoint: str) -> bool:
    """Whether this is the endpoint of the primary analysis, or the only one there is."""
    return endpoint == material.primary_endpoint or not material.primary_endpoint

"""The first page: whether the signature holds, what drives it, and how far to trust it."""

from __future__ import annotations

from pathosig.core.words import counted
from pathosig.figures.results import hr_text, km_data, known
from pathosig.figures.style import estimate_text
from pathosig.figures.titles import endpoint_title, prose
from pathosig.figures.uncertainty import PROPORTION, why_too_wide
from pathosig.report.cells import (
    FEW_EVENTS,
    analyses_of,
    analysis_name,
    estimate_words,
    in_words,
    is_main,
    listed,
    why_uncertain,
)
from pathosig.report.images import km_pictures
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Note, Number, Section, VerdictLine, Verdicts
from pathosig.report.sections import drivers
from pathosig.report.sections.findings import grouped, warnings_of
from pathosig.report.sections.makeup import tissue_rows
from pathosig.report.sections.patients import primary_text
from pathosig.validation.analysis import Analysis
from pathosig.validation.results import PooledEffect
from pathosig.validation.sparse import SparseAlternative
from pathosig.validation.values import HazardRatio, NotEstimable
from pathosig.validation.verdict import Verdict

IN_SUMMARY = 2
"""Primary analyses whose curves fit the summary; with more, the survival section shows all of them."""

SHOWN_WARNINGS = 3

SHOWN_COHORTS = 6

COLUMNS = (
    "Patients (events)",
    "Hazard ratio per SD (95% CI)",
    "C-index (95% CI)",
    "Uno's C beyond clinical variables (95% CI)",
)

WORDS = {
    "holds": "Holds",
    "uncertain": "Uncertain",
    "not shown": "Not shown",
    "nothing found": "Nothing found",
}
NO_SIGNATURE = "No signature"
TONES = {"holds": "good", "uncertain": "unsure", "not shown": "bad", "nothing found": "none"}


def summary_section(material: Material) -> Section | None:
    """The verdicts with the gravest warnings, the tissue that drives the score, other models, and the primary curves."""
    lines = verdict_lines(material)
    warnings = grouped(material, warnings_of(material))
    blocks: list[Block] = []
    if lines:
        shown, more = warnings[:SHOWN_WARNINGS], max(len(warnings) - SHOWN_WARNINGS, 0)
        blocks.append(Verdicts(lines=lines, warnings=shown, more=more))
    else:
        blocks.append(Note(text=_not_yet(material), level="warning"))
    blocks += _tissue(material)
    blocks += _beside_the_verdict(material) if lines else []
    main = [a for a in analyses_of(material) if is_main(material, a) and known(a.km) is not None]
    if main:
        caption = "{title} by risk group, in patients the model was not fitted on."
        if main[0].apparent:
            caption = "{title} by risk group, in the patients the model was fitted on: optimistic."
        blocks += km_pictures("primary", [(km_data(a), analysis_name(a)) for a in main[:IN_SUMMARY]], caption)
    return Section(
        id="summary", title="Summary", blocks=blocks, lead=f"Primary analysis: {primary_text(material)}"
    )


def _tissue(material: Material) -> list[Block]:
    """What drives the score: its features, or by coarse groups where it has many."""
    many = len(material.terms) > drivers.IN_SUMMARY
    blocks: list[Block | None] = [
        tissue_rows(material) if many else None,
        drivers.driver_grid(material, at_most=drivers.IN_SUMMARY),
    ]
    return [b for b in blocks if b is not None][:1]


def _beside_the_verdict(material: Material) -> list[Block]:
    """What discovery alone can claim, adjusted for the selection; and what other models of the same patients do."""
    results = material.results
    if results is None:
        return []
    claim = results.claim_of_discovery()
    notes: list[Block] = (
        [Note(text=prose(f"Discovery alone: {claim[0].lower()}{claim[1:]}"))] if claim else []
    )
    for comparison in results.comparisons:
        text = in_words(material, comparison.sentence())
        notes.append(Note(text=text, level="warning" if comparison.loses else "info"))
    sparse = results.sparse_alternative
    if not isinstance(sparse, NotEstimable) and len(sparse.features) < sparse.terms:
        notes.append(Note(text=in_words(material, _smaller(sparse))))
    return notes


def _smaller(other: SparseAlternative) -> str:
    """What a signature of the stable features alone would do in the same patients."""
    if not other.features:
        return 'A smaller signature (selection = "tree") does not exist: no feature is selected without the coarse groups.'
    gains = listed([c.text() for c in other.cohorts])
    return (
        f'A smaller signature is available: {counted(len(other.features), "feature")} (selection = "tree") instead of '
        f"{counted(other.terms, 'term')}. What the larger one adds to its C-index: {gains}."
    )


def _not_yet(material: Material) -> str:
    """Why there is no verdict."""
    if material.results_error:
        return f"No verdict: {material.results_error}"
    for stage in ("validate", "signature"):
        for record in material.of(stage):
            if record.error:
                return f"No verdict: {record.error['message']}"
    if material.of("signature"):
        return "No verdict yet: run `pathosig validate`."
    return "No verdict yet: no signature was fitted."


def verdict_lines(material: Material) -> list[VerdictLine]:
    """One line per endpoint that the validation judged, the primary one first."""
    results = material.results
    if results is None:
        return []
    several = len(results.verdicts) > 1
    lines = []
    for v in sorted(results.verdicts, key=lambda v: not v.primary):
        columns, rows = _filled(_rows(material, v))
        lines.append(
            VerdictLine(
                title=endpoint_title(v.endpoint) + (" (primary)" if v.primary and several else ""),
                tone=TONES[v.verdict],  # type: ignore[arg-type]
                word=NO_SIGNATURE if v.basis == "discovery" else WORDS[v.verdict],
                sentence=_sentence(material, v),
                columns=columns,
                rows=rows,
                note=_why_not_pooled(material, v.endpoint) if v.primary else "",
            )
        )
    return lines


def _filled(rows: list[tuple[str, list[Number]]]) -> tuple[list[str], list[tuple[str, list[Number]]]]:
    """Columns and rows without the columns in which nothing stands."""
    kept = [i for i in range(len(COLUMNS)) if any(cells[i].value != "–" for _, cells in rows)]
    return [COLUMNS[i] for i in kept], [(name, [cells[i] for i in kept]) for name, cells in rows]


def _why_not_pooled(material: Material, endpoint: str) -> str:
    """Why several cohorts have no common effect; empty where they have one, and for one cohort."""
    cohorts = {a.cohort for a in analyses_of(material) if a.endpoint == endpoint and a.role == "validation"}
    for p in () if material.results is None or len(cohorts) < 2 else material.results.pooled:
        if p.endpoint == endpoint and p.effect == "hr_sd" and isinstance(p.result, NotEstimable):
            return f"No pooled effect: {p.result.reason}."
    return ""


def _sentence(material: Material, verdict: Verdict) -> str:
    """The verdict as one plain sentence, with the endpoint in full and without the word that stands before it."""
    name = endpoint_title(verdict.endpoint).lower()
    if verdict.verdict == "holds" and verdict.basis == "validation":
        one = verdict.tested == 1
        where = "the validation cohort" if one else f"{verdict.holds} of {verdict.tested} validation cohorts"
        sooner = "shorter" if "survival" in name else "earlier"
        return f"A higher score means {sooner} {name} in {where}."
    word, _, rest = verdict.sentence.partition(": ")
    text = rest if rest and word in (*WORDS.values(), NO_SIGNATURE) else verdict.sentence
    text = text.replace(f" ({verdict.endpoint})", f", {name}").replace(
        f" on {verdict.endpoint}", f" on {name}"
    )
    text = text.replace(f" of {verdict.endpoint} ", f" of {name} ")
    return in_words(material, text)


def _rows(material: Material, verdict: Verdict) -> list[tuple[str, list[Number]]]:
    """The pooled effect where there is one, and each cohort that judged: size, effect, discrimination, added value."""
    judged = [a for a in analyses_of(material) if a.endpoint == verdict.endpoint and a.role == verdict.basis]
    if verdict.verdict == "nothing found":
        return [(cohort_title(a.cohort), _nothing(a)) for a in judged]
    n, events = sum(a.n for a in judged), sum(a.events for a in judged)
    rows = []
    for effect in _pooled(material, verdict.endpoint):
        text = estimate_text(effect.estimate, effect.lower, effect.upper)
        cells = [
            Number(value=f"{n:,} ({events:,})"),
            Number(value=text, uncertain=why_too_wide(effect.lower, effect.upper)),
            Number(value="–"),
            Number(value="–"),
        ]
        rows.append(("Pooled, random effects", cells))
    return rows + [(cohort_title(a.cohort), _cells(a)) for a in judged[:SHOWN_COHORTS]]


def _nothing(analysis: Analysis) -> list[Number]:
    """The row of a cross-validation in which nothing was selected: its C-index of 0.50 is not a measurement."""
    why = "nothing was selected in any fold"
    c = known(analysis.harrell_c)
    shown = "–" if c is None else estimate_words(c.estimate, digits=2)
    size = Number(value=f"{analysis.n:,} ({analysis.events:,})")
    return [
        size,
        Number(value="not estimable", uncertain=why),
        Number(value=shown, uncertain=why),
        Number(value="–"),
    ]


def _pooled(material: Material, endpoint: str) -> list[PooledEffect]:
    pools = () if material.results is None else material.results.pooled
    wanted = [p.result for p in pools if p.endpoint == endpoint and p.effect == "hr_sd"]
    return [p for p in wanted if isinstance(p, PooledEffect) and p.estimate is not None]


def _cells(analysis: Analysis) -> list[Number]:
    """One cohort's numbers; those of a handful of events, or with an interval without meaning, carry the reason."""
    few = f"{counted(analysis.events, 'event')} only" if analysis.events < FEW_EVENTS else ""
    effect, c, added = analysis.hr_sd, known(analysis.harrell_c), known(analysis.added_value)
    if isinstance(effect, HazardRatio):
        hr = Number(value=hr_text(effect), uncertain=why_uncertain(effect))
    else:
        hr = Number(value="not estimable", uncertain=effect.reason)
    cells = [Number(value=f"{analysis.n:,} ({analysis.events:,})"), hr]
    wide = "" if c is None else why_too_wide(c.lower, c.upper, PROPORTION)
    cells.append(Number(value="–" if c is None else estimate_words(c, digits=2), uncertain=few or wide))
    if added is None:
        return [*cells, Number(value="–")]
    text, gain = estimate_words(added.difference_c, digits=2), known(added.difference_c)
    wide = "" if gain is None else why_too_wide(gain.lower, gain.upper, PROPORTION)
    signed = text if text.startswith("−") else f"+{text}"
    return [*cells, Number(value=signed, uncertain=few or wide)]


def verdict_words(material: Material) -> str:
    """All verdicts in one line, for the title of the page."""
    return listed([f"{line.title}: {line.word.lower()}" for line in verdict_lines(material)])

"""The first page: whether the signature holds, what drives it, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence

from pathosig.figures.results import km_data, known
from pathosig.figures.style import estimate_text
from pathosig.figures.titles import endpoint_title, prose
from pathosig.report.cells import (
    analyses_of,
    analysis_name,
    estimate_cell,
    is_main,
    listed,
    plural,
    why_uncertain,
)
from pathosig.report.images import km_pictures
from pathosig.report.material import Material, cohort_title
from pathosig.report.page import Block, Note, Number, Section, VerdictLine, Verdicts
from pathosig.report.sections.drivers import driver_grid
from pathosig.report.sections.findings import gravest_first, warnings_of
from pathosig.report.sections.patients import primary_text
from pathosig.validation.analysis import Analysis
from pathosig.validation.values import HazardRatio
from pathosig.validation.verdict import Verdict

IN_SUMMARY = 2
"""Primary analyses whose curves fit the summary; with more, the survival section shows all of them."""

SHOWN_WARNINGS = 3

WORDS = {
    "holds": "Holds",
    "uncertain": "Uncertain",
    "not shown": "Not shown",
    "nothing found": "Nothing found",
}
TONES = {"holds": "good", "uncertain": "unsure", "not shown": "bad", "nothing found": "none"}


def summary_section(material: Material) -> Section | None:
    """The verdicts, the gravest warnings, the primary curves and the tissue that drives the score."""
    lines = verdict_lines(material)
    warnings = gravest_first(warnings_of(material))
    blocks: list[Block] = []
    if lines:
        shown = [(w.code, prose(w.message, material.cohorts)) for w in warnings[:SHOWN_WARNINGS]]
        blocks.append(Verdicts(lines=lines, warnings=shown, more=max(len(warnings) - SHOWN_WARNINGS, 0)))
    else:
        blocks.append(Note(text=_not_yet(material), level="warning"))
    main = [a for a in analyses_of(material) if is_main(material, a) and known(a.km) is not None]
    if main:
        caption = "{title} by risk group, in patients the model was not fitted on."
        if main[0].apparent:
            caption = "{title} by risk group, in the patients the model was fitted on: optimistic."
        blocks += km_pictures("primary", [(km_data(a), analysis_name(a)) for a in main[:IN_SUMMARY]], caption)
    grid = driver_grid(material, at_most=3)
    blocks += [grid] if grid is not None else []
    return Section(
        id="summary", title="Summary", blocks=blocks, lead=f"Primary analysis: {primary_text(material)}"
    )


def _not_yet(material: Material) -> str:
    """Why there is no verdict."""
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
    return [
        VerdictLine(
            title=endpoint_title(v.endpoint)
            + (" (primary)" if v.primary and len(results.verdicts) > 1 else ""),
            tone=TONES[v.verdict],  # type: ignore[arg-type]
            word=WORDS[v.verdict],
            sentence=_sentence(material, v),
            numbers=_numbers(material, v),
        )
        for v in sorted(results.verdicts, key=lambda v: not v.primary)
    ]


def _sentence(material: Material, verdict: Verdict) -> str:
    """The sentence of the verdict without the word that stands before it, with the endpoint in full."""
    _, _, rest = verdict.sentence.partition(": ")
    text = rest if rest and verdict.sentence.split(":")[0] in WORDS.values() else verdict.sentence
    name = endpoint_title(verdict.endpoint).lower()
    text = text.replace(f" ({verdict.endpoint})", "").replace(f" on {verdict.endpoint}", f" on {name}")
    text = text.replace(f" of {verdict.endpoint} ", f" of {name} ")
    return prose(text[:1].upper() + text[1:], material.cohorts)


def _numbers(material: Material, verdict: Verdict) -> list[Number]:
    """Patients and events, the effect (pooled where it was), discrimination, and what the score adds."""
    judged = [a for a in analyses_of(material) if a.endpoint == verdict.endpoint and a.role == verdict.basis]
    if not judged or verdict.verdict == "nothing found":
        return []
    n, events = sum(a.n for a in judged), sum(a.events for a in judged)
    cohorts = "" if verdict.basis == "cross-validated" else f"in {plural(len(judged), 'validation cohort')}"
    numbers = [Number(label="Patients and events", value=f"{n:,} and {events:,}", small=cohorts)]
    pooled = _pooled(material, verdict.endpoint)
    numbers += [pooled] if pooled is not None else _effects(judged)
    if len(judged) <= IN_SUMMARY:
        numbers += _concordances(judged)
    added = [a for a in judged if known(a.added_value) is not None]
    numbers += _added(added) if verdict.primary else []
    return numbers


def _pooled(material: Material, endpoint: str) -> Number | None:
    results = material.results
    for pool in () if results is None else results.pooled:
        effect = known(pool.result)
        if pool.endpoint == endpoint and pool.effect == "hr_sd" and effect is not None:
            text = estimate_text(effect.estimate, effect.lower, effect.upper)
            return Number(label="Pooled hazard ratio per SD", value=text, small="95% CI, random effects")
    return None


def _effects(judged: Sequence[Analysis]) -> list[Number]:
    out = []
    for a in judged[: 2 * IN_SUMMARY]:
        effect = a.hr_sd
        label = f"Hazard ratio per SD, {cohort_title(a.cohort)}"
        if isinstance(effect, HazardRatio):
            text = estimate_text(effect.hr, effect.lower, effect.upper)
            small = f"95% CI; {plural(a.n, 'patient')}, {plural(a.events, 'event')}"
            out.append(Number(label=label, value=text, small=small, uncertain=why_uncertain(effect)))
        else:
            out.append(Number(label=label, value="not estimable", uncertain=effect.reason))
    return out


def _concordances(judged: Sequence[Analysis]) -> list[Number]:
    out = []
    for a in judged:
        c = known(a.harrell_c)
        few = a.events < 10
        if c is not None:
            why = f"{plural(a.events, 'event')} only" if few else ""
            label = f"C-index, {cohort_title(a.cohort)}"
            out.append(Number(label=label, value=estimate_cell(c, digits=2), small="95% CI", uncertain=why))
    return out


def _added(analyses: Sequence[Analysis]) -> list[Number]:
    """What the score adds to the clinical model: difference of Uno's C in each cohort."""
    out = []
    for a in analyses[:IN_SUMMARY]:
        value = known(a.added_value)
        if value is None:
            continue
        text = estimate_cell(value.difference_c, digits=2)
        text = text if text.startswith("−") else f"+{text}"
        few = f"{plural(value.events, 'event')} only" if value.events < 10 else ""
        label = f"Added to the clinical model, {cohort_title(a.cohort)}"
        out.append(Number(label=label, value=text, small="Uno's C, combined minus clinical", uncertain=few))
    return out


def verdict_words(material: Material) -> str:
    """All verdicts in one line, for the title of the page."""
    return listed([f"{line.title}: {line.word.lower()}" for line in verdict_lines(material)])

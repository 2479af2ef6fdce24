"""The study.toml that `init` writes: how the table is read, with a comment on every decision."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pathosig.core.errors import one_line
from pathosig.intake.outcomes import Outcome
from pathosig.intake.proposal import Proposal, free_name, sentence

_HEAD = """\
# Written by `pathosig init` from {source}. The comments state how the table was read; change what is wrong and
# run `pathosig check` again. Columns are those of patients.csv.
"""


def study_toml(proposal: Proposal, *, level: str | None = None) -> str:
    """The text of study.toml.

    Parameters
    ----------
    proposal
        The proposed reading, without open questions.
    level
        Where the study starts, if not from slides.
    """
    lines = [_HEAD.format(source=one_line(proposal.table.source))]
    if level is not None:
        lines += ["[study]", f"level = {_text(level)}", ""]
    lines += ["[endpoints]"]
    for outcome in proposal.endpoints:
        lines += [*_comment(sentence(outcome)), f"{_key(outcome.name)} = {_endpoint(outcome)}"]
    lines += ["", "[columns]"]
    covariates, treatments = (
        _list([free_name(c.column) for c in columns])
        for columns in (proposal.covariates, proposal.treatments)
    )
    for covariate in proposal.covariates:
        lines += _comment(f"{free_name(covariate.column)}: {covariate.to_text()}")
    lines.append(f"covariates = {covariates}")
    for treatment in proposal.treatments:
        lines += _comment(f"{free_name(treatment.column)}: {treatment.to_text()}")
    if proposal.treatments:
        lines += _comment(
            f"Treatment benefit by score is estimated once a table [treatment.{_key(free_name(proposal.treatments[0].column))}] "
            'states randomised = true, or when treatment began: start = "time zero" or a column of times, with unit'
        )
    lines.append(f"treatments = {treatments}")
    for subgroup in proposal.subgroups:
        lines += _comment(f"{free_name(subgroup.column)}: {subgroup.to_text()}")
    lines.append(f"subgroups = {_list([free_name(c.column) for c in proposal.subgroups])}")
    if proposal.site:
        lines.append(f"site = {_text(free_name(proposal.site))}")
    if proposal.choices.missing:
        lines.append(f"missing = {_list(proposal.choices.missing)}")
    if proposal.choices.decimal:
        lines.append(f"decimal = {_text(proposal.choices.decimal)}")
    if proposal.unused or proposal.others:
        lines += ["# Columns that were not used:"]
        for column, why in list(proposal.unused.items())[:50]:
            lines += _comment(f"  {column}: {why}")
    if proposal.others:
        lines += _comment(f"  {proposal.others_text()}")
    lines += ["", "[primary]"]
    first = proposal.endpoints[0]
    lines.append(f"endpoint = {_text(first.name)}")
    for line in proposal.cohort_lines():
        lines += _comment(line)
    lines.append(f"discovery = {_text(proposal.cohorts.discovery if proposal.cohorts else 'discovery')}")
    lines.append(f"covariates = {covariates}")
    return "\n".join(lines) + "\n"


def _endpoint(outcome: Outcome) -> str:
    fields = [
        f"time = {_text(free_name(outcome.time))}",
        f"event = {_text(free_name(outcome.event))}",
        f"unit = {_text(outcome.unit)}",
    ]
    if not outcome.coding.is_plain:
        pairs = ", ".join(
            f"{json.dumps(v, ensure_ascii=False)} = {c}" for v, c in outcome.coding.values.items()
        )
        fields.append(f"event_values = {{{pairs}}}")
    if outcome.untimed:
        fields.append('without_time = "left out"')
    return "{" + ", ".join(fields) + "}"


def _comment(text: str) -> list[str]:
    """A comment, broken at 118 characters; a line end in a name cannot end it."""
    words = one_line(text).split(" ")
    out, line = [], "#"
    for word in words:
        if len(line) + len(word) > 117 and line != "#":
            out.append(line)
            line = "#  "
        line += f" {word}"
    return [*out, line]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").isalnum() else _text(name)

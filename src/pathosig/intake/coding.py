"""Decides which values of an event column mean that the event happened, by their words or by asking."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.errors import ConfigError
from pathosig.core.patients import event_key
from pathosig.core.vocabulary import DEATH_ENDPOINTS
from pathosig.core.words import meaning_of_event, words
from pathosig.intake.choices import Option, Question

_PREFIXED = re.compile(r"\s*([0-9])\s*[:=)\-.]\s*(.*\D.*)", re.DOTALL)
_EXPLAINED = re.compile(r"\b([0-9])\s*(?:=|:|is|are|means)\s*([^\d,;/()\[\]|]+)", re.IGNORECASE)
_INVERTED = frozenset({"censor", "alive", "free"})
_STATES = frozenset({"vital"})

_EVENTS = frozenset({"death", "recurrence", "progression", "metastasis"})
_EVENT_WORDS = frozenset({"event", "events", "indicator", "ind", "ereignis", "evenement", "evento", "事件"})
_DEATHS = frozenset({"dead", "dead of disease", "dead otherwise"})
_LIVES = frozenset({"alive", "alive with disease", "alive without disease"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """Which values of a column mean that the event happened.

    Attributes
    ----------
    values
        Value -> 1 if the event happened, 0 if not.
    why
        How this was decided.
    """

    values: Mapping[str, int]
    why: str

    @property
    def is_plain(self) -> bool:
        """Whether the values are 0 and 1 (or false and true), which need no declaration in study.toml."""
        plain = {"0": 0, "1": 1, "false": 0, "true": 1}
        return all(plain.get(event_key(v)) == code for v, code in self.values.items())


def code_of(meaning: str, endpoint: str) -> int | None:
    """0 or 1 for the meaning of a word under an endpoint; None if it is undecided."""
    if meaning == "happened":
        return 1
    if meaning in ("event", "no event"):
        return None if endpoint == "os" and meaning == "event" else int(meaning == "event")
    if endpoint == "os":
        return 1 if meaning in _DEATHS else 0 if meaning in _LIVES else None
    if endpoint in DEATH_ENDPOINTS:
        if meaning in _LIVES or meaning in ("dead otherwise", "not of disease"):
            return 0
        return 1 if meaning == "dead of disease" else None
    return 0 if meaning == "alive without disease" else None


def read_coding(
    column: str,
    values: Sequence[str],
    *,
    endpoint: str,
    senses: frozenset[str],
    declared: Mapping[str, int] | None = None,
) -> Coding | Question:
    """The coding of an event column, or the question to ask.

    Parameters
    ----------
    column
        Header of the column.
    values
        Distinct values of its filled cells.
    endpoint
        The endpoint whose event it may hold.
    senses
        Senses of the header: a column about censoring or about being alive never counts as events without asking.
    declared
        The coding that the user gave.

    Raises
    ------
    ConfigError
        If `declared` leaves a value out.
    """
    if declared:
        return _declared(column, values, declared, endpoint)
    explained = _explained(column, values, endpoint)
    if explained is not None:
        return explained
    is_inverted = bool(senses & _INVERTED) or _says_free(column)
    is_state = bool(senses & _STATES)
    keys = {event_key(v) for v in values}
    if keys <= {"0", "1"} and not is_inverted and not is_state:
        return Coding(values={v: int(event_key(v)) for v in values}, why="1 = the event happened")
    codes: dict[str, int] = {}
    open_values = []
    takes_yes = not is_inverted and not is_state and names_an_event(column, senses)
    for value in values:
        code = _code(value, endpoint, takes_yes=takes_yes)
        if code is None:
            open_values.append(value)
        else:
            codes[value] = code
    if open_values or (is_inverted and not _speaks_for_itself(values)):
        return _ask(column, values, endpoint, is_inverted=is_inverted, is_state=is_state)
    return Coding(values=codes, why=", ".join(f"{v} = {c}" for v, c in codes.items()))


def names_an_event(header: str, senses: frozenset[str]) -> bool:
    """Whether ``yes`` under a header means that the event happened, because the header names an event and not a status."""
    return bool(senses & _EVENTS) or bool(set(words(header)) & _EVENT_WORDS)


def _code(value: str, endpoint: str, *, takes_yes: bool) -> int | None:
    """0 or 1 for one value by its words; None if they are undecided or contradict a leading number."""
    prefixed = _PREFIXED.fullmatch(value)
    meaning = meaning_of_event(prefixed.group(2) if prefixed else value)
    if meaning in ("yes", "no"):
        return int(meaning == "yes") if takes_yes and not prefixed else None
    code = code_of(meaning, endpoint) if meaning else None
    if prefixed and prefixed.group(1) in "01":
        number = int(prefixed.group(1))
        contradicts = code is not None and code != number
        opposed = (meaning in (*_LIVES, "no event") and number == 1) or (meaning in _DEATHS and number == 0)
        return None if contradicts or (opposed and code is None) else number
    return code


def _says_free(header: str) -> bool:
    """Whether a header such as ``disease_free`` may mean that the event did not happen.

    A header with ``survival`` or ``interval`` (disease-free survival) names a time or its event instead.
    """
    tokens = set(words(header))
    return bool(tokens & {"free", "frei", "libre", "sans", "libera"}) and not tokens & {
        "survival",
        "interval",
    }


def _speaks_for_itself(values: Sequence[str]) -> bool:
    """Whether all values are words with a clear meaning under any header, such as Alive and Dead, and not yes and no."""
    bare = [hit.group(2) if (hit := _PREFIXED.fullmatch(v)) else v for v in values]
    return all((m := meaning_of_event(v)) is not None and m not in ("yes", "no") for v in bare)


def _declared(column: str, values: Sequence[str], declared: Mapping[str, int], endpoint: str) -> Coding:
    codes = {event_key(v): code for v, code in declared.items()}
    lacking = [v for v in values if event_key(v) not in codes]
    if lacking:
        given = ",".join(f"{v}={c}" for v, c in declared.items())
        raise ConfigError(
            f"--event-values {endpoint}:{given}: column {column!r} also has {', '.join(map(repr, lacking[:6]))}. "
            "Give all of its values 0 or 1, or declare those that mean missing with --missing VALUE.",
            code="E_EVENT",
        )
    return Coding(values={v: codes[event_key(v)] for v in values}, why="given with --event-values")


def _explained(column: str, values: Sequence[str], endpoint: str) -> Coding | None:
    """The coding that a header such as ``Status (1 = alive, 2 = dead)`` spells out, or None."""
    spelled = {}
    for number, text in _EXPLAINED.findall(column):
        meaning = meaning_of_event(text)
        code = code_of(meaning, endpoint) if meaning else None
        if meaning in ("yes", "no"):
            code = int(meaning == "yes")
        if code is not None:
            spelled[number] = code
    keys = {event_key(v) for v in values}
    if len(spelled) < 2 or not keys <= set(spelled):
        return None
    return Coding(values={v: spelled[event_key(v)] for v in values}, why="given by its header")


def _ask(column: str, values: Sequence[str], endpoint: str, *, is_inverted: bool, is_state: bool) -> Question:
    shown = ", ".join(map(repr, values[:8])) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
    text = f"column {column!r} ({endpoint} event) has the values {shown}: which of them mean that the event happened?"
    if is_inverted:
        text = (
            f"column {column!r} has the values {shown}, and its name suggests patients who are censored, alive or free of the event: "
            "does 1 mean that the event did NOT happen?"
        )
    if len(values) > 8:
        return Question(
            code="E_EVENT",
            text=text,
            options=(_coding_option(endpoint, column, {v: "?" for v in values[:3]}, ""),),
        )
    ordered = sorted(values)
    guess = {v: _guess(v, endpoint) for v in ordered}
    if (set(map(event_key, values)) <= {"0", "1", "2"} and len(values) <= 2) or _yes_no(values):
        high = (
            ordered[-1]
            if not _yes_no(values)
            else next((v for v in values if meaning_of_event(v) == "yes"), ordered[-1])
        )
        event_high = {v: "1" if v == high else "0" for v in ordered}
        event_low = {v: "0" if v == high else "1" for v in ordered}
        options = [
            _coding_option(endpoint, column, event_high, f"{high} = the event happened"),
            _coding_option(endpoint, column, event_low, f"{high} = no event (censored or alive)"),
        ]
        return Question(
            code="E_EVENT", text=text, options=tuple(reversed(options) if is_inverted else options)
        )
    return Question(
        code="E_EVENT",
        text=text,
        options=(
            _coding_option(
                endpoint, column, guess, "put 1 or 0 in place of each ?" if "?" in guess.values() else ""
            ),
        ),
    )


def _yes_no(values: Sequence[str]) -> bool:
    return bool(values) and all(meaning_of_event(v) in ("yes", "no") for v in values)


def _guess(value: str, endpoint: str) -> str:
    code = _code(value, endpoint, takes_yes=True)
    return "?" if code is None else str(code)


def _coding_option(endpoint: str, column: str, codes: Mapping[str, str], label: str) -> Option:
    pairs = ",".join(f"{v}={c}" for v, c in codes.items())
    return Option(
        label=label, flags=("--event", f"{endpoint}={column}", "--event-values", f"{endpoint}:{pairs}")
    )

"""Asks on a terminal what a table leaves open; without a terminal, stops and names the flags that decide it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence

from pathosig.core.errors import InputError, one_line
from pathosig.intake.choices import Choices, Question


def is_terminal() -> bool:
    """Whether standard input and standard error are a terminal, so that questions can be asked."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def ask(questions: Sequence[Question], choices: Choices) -> tuple[Choices, tuple[str, ...]]:
    """Ask the first question and return the choices with its answer.

    Parameters
    ----------
    questions
        Open questions; only the first is asked, because its answer may settle the others.
    choices
        What is decided already.

    Returns
    -------
    tuple[Choices, tuple[str, ...]]
        The choices with the answer, and the flags that would have given it.

    Raises
    ------
    InputError
        If the input ends without an answer.
    """
    answers: list[str] = []
    for question in questions[:1]:
        flags = _answer(question)
        answers += flags
        choices = choices.with_flags(flags)
    return choices, tuple(answers)


def _answer(question: Question) -> tuple[str, ...]:
    sys.stderr.write(f"\n{one_line(question.text)}\n")
    for number, option in enumerate(question.options, start=1):
        label = f"   ({option.label})" if option.label else ""
        sys.stderr.write(f"  {number}  {one_line(option.to_flags())}{label}\n")
    open_ended = any(_is_open(f) for o in question.options for f in o.flags) or not question.options
    how = "flags like those above" if open_ended else f"1 to {len(question.options)}, or flags"
    while True:
        sys.stderr.write(f"{how}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise refusal([question])
        text = line.strip()
        if text.isdecimal() and 1 <= int(text) <= len(question.options):
            flags = question.options[int(text) - 1].flags
            if not any(_is_open(f) for f in flags):
                return flags
        elif text.startswith("--"):
            try:
                return tuple(shlex.split(re.sub(r"^(--[a-z-]+)=", r"\1 ", text)))
            except ValueError:
                continue


def _is_open(flag: str) -> bool:
    """Whether a flag contains a placeholder that has to be filled in."""
    return "COLUMN" in flag or "=?" in flag


def refusal(questions: Sequence[Question], command: str = "") -> InputError:
    """The error where nobody can be asked: all questions at once, each with the flags that answer it."""
    many = len(questions) > 1
    texts = [f"{f'{n}. ' if many else ''}{q.to_text()}" for n, q in enumerate(questions, start=1)]
    end = f"\nGive {'one line of flags for each' if many else 'one of these lines of flags'}{command}; nothing was written."
    return InputError("\n".join(texts) + end, code=questions[0].code)

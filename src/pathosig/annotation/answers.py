"""Reads the files of answers that forms save, checks them against the key, and finds what readers agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pathosig.annotation.agreement import fleiss_kappa, krippendorff_alpha
from pathosig.annotation.forms import ALIKE, LONGEST_NAME, PATTERNS, TISSUES, FormKey, Level, column_of
from pathosig.core.errors import InputError, one_line
from pathosig.core.strict_json import read_strict
from pathosig.core.typed_json import from_plain
from pathosig.core.words import counted, fold
from pathosig.validation.cohorts import proportion
from pathosig.validation.values import Estimate

UNSURE = "cannot say"
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelAnswer:
    """Answers about one HPC; a question without an answer is an empty text."""

    tissue: str
    pattern: str
    artefact: Literal["yes", "no", ""]
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """A saved form: answers in the order of its questions; `odd` has the places chosen, or -1 without an answer."""

    kind: Literal["pathosig annotation"]
    form: str
    reader: str
    panels: tuple[PanelAnswer, ...]
    odd: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Agreement on one question over HPCs or over coarse groups.

    `complete` is the number of HPCs or groups that all readers answered, over which Fleiss' kappa is computed; `agreed` is the
    number of these with the same answer from all readers.
    """

    question: str
    complete: int
    agreed: int
    fleiss_kappa: float | None
    krippendorff_alpha: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OddOneOut:
    """Proportion of odd-one-out tests that were solved, with its exact 95 % interval; by chance it is 1 in 4."""

    of: str
    solved: int
    tests: int
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Consensus:
    """What readers agree on for one HPC or coarse group; an empty text if they do not agree."""

    hpc: int
    tissue: str
    pattern: str
    artefact: str
    name: str
    level: Level = "hpc"


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseAgreement:
    """Agreement on coarse groups."""

    questions: tuple[Question, ...]
    odd_one_out: OddOneOut
    by_group: tuple[OddOneOut, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The content of annotation/agreement.json: agreement on HPCs, and in `coarse` that on coarse groups."""

    readers: tuple[str, ...]
    questions: tuple[Question, ...]
    odd_one_out: OddOneOut
    by_reader: tuple[OddOneOut, ...]
    by_hpc: tuple[OddOneOut, ...]
    consensus: tuple[Consensus, ...]
    coarse: CoarseAgreement | None = None


def read_answers(path: Path, keys: Mapping[str, FormKey]) -> Answers:
    """Read and check a file that a form saved.

    Parameters
    ----------
    path
        The file, which is not trusted.
    keys
        Reader -> key of their form.

    Returns
    -------
    Answers

    Raises
    ------
    InputError
        E_ANSWERS if the file is missing or damaged, or does not belong to a form of this study.
    """
    name = one_line(path.name)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"{name}: too large for a file of answers. Send the file that the button Save answers wrote.",
                code="E_ANSWERS",
            )
        raw = read_strict(path.read_bytes())
    except (OSError, ValueError) as error:
        message = (
            f"{name}: not a file of answers ({error}). Send the file that the button Save answers wrote."
        )
        raise InputError(message, code="E_ANSWERS") from error
    answers = from_plain(Answers, raw, where=name, code="E_ANSWERS")
    key = keys.get(answers.reader)
    if key is None or key.form != answers.form:
        message = f"{name}: belongs to a form that is not in annotation/key.json. Use the forms that were written last."
        raise InputError(message, code="E_ANSWERS")
    is_complete = len(answers.panels) == len(key.panels) and len(answers.odd) == len(key.odd)
    if not is_complete or not all(map(_is_possible, answers.panels)) or not set(answers.odd) <= _PLACES:
        message = f"{name}: its answers do not fit the questions of the form. Load it in the form and save it again."
        raise InputError(message, code="E_ANSWERS")
    return answers


_PLACES = {-1, *range(ALIKE + 1)}


def _is_possible(answer: PanelAnswer) -> bool:
    return (
        answer.tissue in ("", *TISSUES)
        and answer.pattern in ("", *PATTERNS)
        and len(answer.name) <= LONGEST_NAME
        and (not answer.name or answer.name.isprintable())
    )


def agreement_of(answers: Sequence[Answers], keys: Mapping[str, FormKey]) -> Agreement:
    """Agreement and consensus of at least two readers.

    Parameters
    ----------
    answers
        One saved form for each reader.
    keys
        Reader -> key of their form.

    Returns
    -------
    Agreement

    Raises
    ------
    InputError
        E_ANSWERS if there are fewer than two readers, or two files from the same reader.
    """
    readers = tuple(sorted(a.reader for a in answers))
    if len(readers) < 2 or len(set(readers)) < len(readers):
        message = (
            f"annotate: found {counted(len(readers), 'file')} from {counted(len(set(readers)), 'reader')}; expected one file from each of at least 2 "
            "readers."
        )
        raise InputError(message, code="E_ANSWERS")
    given: dict[tuple[Level, int], dict[str, PanelAnswer]] = {}
    for one in answers:
        for panel, answer in zip(keys[one.reader].panels, one.panels, strict=True):
            given.setdefault((panel.level, panel.hpc), {})[one.reader] = answer
    rows = {of: [by_reader.get(r) for r in readers] for of, by_reader in sorted(given.items())}
    tests = list(_tests(answers, keys))
    fine, coarse = (_part(level, rows, tests) for level in ("hpc", "coarse"))
    return Agreement(
        readers=readers,
        questions=fine.questions,
        odd_one_out=fine.odd_one_out,
        by_reader=tuple(
            _accuracy(r, [t.solved for t in tests if t.reader == r and t.level == "hpc"]) for r in readers
        ),
        by_hpc=fine.by_group,
        consensus=tuple(
            consensus_of(number, [a for a in rows[level, number] if a], level=level)
            for level in ("hpc", "coarse")
            for its, number in rows
            if its == level
        ),
        coarse=coarse if any(level == "coarse" for level, _ in rows) else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Test:
    """One odd-one-out test that a reader answered."""

    reader: str
    level: Level
    hpc: int
    solved: bool


def _tests(answers: Sequence[Answers], keys: Mapping[str, FormKey]) -> Iterator[_Test]:
    for one in answers:
        for test, place in zip(keys[one.reader].odd, one.odd, strict=True):
            if place >= 0:
                yield _Test(reader=one.reader, level=test.level, hpc=test.hpc, solved=place == test.place)


def _part(
    level: Level,
    rows: Mapping[tuple[Level, int], Sequence[PanelAnswer | None]],
    tests: Sequence[_Test],
) -> CoarseAgreement:
    """Questions and tests about HPCs only, or about coarse groups only."""
    asked = [row for (its, _), row in rows.items() if its == level]
    mine = [t for t in tests if t.level == level]
    return CoarseAgreement(
        questions=(
            _question("tissue", asked, lambda a: a.tissue),
            _question("pattern", asked, lambda a: a.pattern),
            _question("artefact", asked, lambda a: a.artefact),
        ),
        odd_one_out=_accuracy("all", [t.solved for t in mine]),
        by_group=tuple(
            _accuracy(column_of(level, n), [t.solved for t in mine if t.hpc == n])
            for n in sorted({t.hpc for t in mine})
        ),
    )


def _question(
    name: str, rows: Sequence[Sequence[PanelAnswer | None]], answer: Callable[[PanelAnswer], str]
) -> Question:
    labels = [[(answer(a) or None) if a else None for a in row] for row in rows]
    complete = [[label for label in row if label] for row in labels if all(row)]
    return Question(
        question=name,
        complete=len(complete),
        agreed=sum(len(set(row)) == 1 for row in complete),
        fleiss_kappa=fleiss_kappa(complete),
        krippendorff_alpha=krippendorff_alpha(labels),
    )


def _accuracy(of: str, solved: Sequence[bool]) -> OddOneOut:
    return OddOneOut(
        of=of, solved=sum(solved), tests=len(solved), accuracy=proportion(sum(solved), len(solved))
    )


def consensus_of(hpc: int, answers: Sequence[PanelAnswer], *, level: Level = "hpc") -> Consensus:
    """What all readers who answered agree on, if these are at least two.

    The name is the name in the readers' own words, if all gave the same one apart from case and blanks. If nobody gave a
    name, it consists of tissue and pattern, if readers agree on both.

    Parameters
    ----------
    hpc
        Number of the HPC or coarse group.
    answers
        One answer from each reader.
    level
        ``hpc`` or ``coarse``.

    Returns
    -------
    Consensus

    Examples
    --------
    >>> one = PanelAnswer(tissue="tumour", pattern="solid", artefact="no", name="")
    >>> other = PanelAnswer(tissue="tumour", pattern="glandular", artefact="no", name="")
    >>> consensus_of(3, [one, one]).name, consensus_of(3, [one, other]).name
    ('tumour, solid', '')
    """
    tissue, pattern, artefact, name = (
        _common([getattr(a, question) for a in answers])
        for question in ("tissue", "pattern", "artefact", "name")
    )
    tissue, pattern = ("" if word == UNSURE else word for word in (tissue, pattern))
    if not any(a.name.strip() for a in answers) and tissue and pattern:
        name = tissue if pattern == "none" else f"{tissue}, {pattern}"
    return Consensus(hpc=hpc, tissue=tissue, pattern=pattern, artefact=artefact, name=name, level=level)


def _common(labels: Sequence[str]) -> str:
    given = [label.strip() for label in labels if label.strip()]
    return given[0] if len(given) >= 2 and len({fold(label) for label in given}) == 1 else ""

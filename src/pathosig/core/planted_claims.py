"""The claims that were planted in a simulated study, and what the analysis found of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pathosig.core.records import read_json, write_json
from pathosig.core.typed_json import from_plain, to_plain

ClaimOutcome = Literal["found", "not found", "partly", "not estimable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim of the published study, planted in a simulated one.

    Attributes
    ----------
    panel
        Short name of the figure or table that it stands for, such as ``cores`` or ``os``.
    subject
        What it is about, in words.
    planted, found
        The planted truth and the finding, in words and numbers.
    outcome
        Whether the planted truth was found.
    """

    panel: str
    subject: str
    planted: str
    found: str
    outcome: ClaimOutcome


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claims:
    claims: tuple[Claim, ...]


def write_claims(path: Path, claims: Sequence[Claim]) -> None:
    """Write claims as JSON; an interrupted write leaves the old file."""
    write_json(path, to_plain(_Claims(claims=tuple(claims))))


def read_claims(path: Path) -> tuple[Claim, ...]:
    """The claims that `write_claims` wrote; none if there is no such file.

    Raises
    ------
    InputError
        E_FORMAT if the file holds something else.
    """
    if not path.is_file():
        return ()
    return from_plain(_Claims, read_json(path), where=path.name).claims

"""Planted against found, claim by claim: what a simulated study says of itself, kept beside its truth."""

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
        Short name of the figure or table it stands for, such as ``cores`` or ``os``.
    subject
        The same in words.
    planted, found
        Both in words and numbers.
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
    """Write claims as JSON, atomically."""
    write_json(path, to_plain(_Claims(claims=tuple(claims))))


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Claims as `write_claims` wrote them; none without the file.

    Raises
    ------
    InputError
        E_FORMAT if it is another file.
    """
    if not path.is_file():
        return ()
    return from_plain(_Claims, read_json(path), where=path.name).claims

"""The report of `init`: how the table and the slides were read, what is left out, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pathosig.core.errors import one_line
from pathosig.core.ids import IdIndex, tcga_is_metastasis
from pathosig.core.showing import Shown
from pathosig.core.words import counted
from pathosig.intake.ids import SlideMatches
from pathosig.intake.proposal import Proposal

_EXAMPLES = 5
_SUGGESTED = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class InitReport(Shown):
    """What `init` proposed and, unless it was a dry run, wrote.

    Attributes
    ----------
    study
        The study folder.
    proposal
        How the clinical table is read.
    slides
        Slides with their patients; None for a study without slides.
    unmatched_slides
        Slides that match no patient.
    suggestions
        Unmatched slide -> the patient that may be meant.
    patients_without_slides
        Ids of the patients without a slide.
    unnamed
        Slides that are left out because their paths are not UTF-8.
    is_trial
        Whether it was a dry run.
    answers
        Flags that give the same answers without questions, quoted for a shell.
    """

    study: str
    proposal: Proposal
    slides: SlideMatches | None
    unmatched_slides: tuple[str, ...]
    suggestions: Mapping[str, str]
    patients_without_slides: tuple[str, ...]
    unnamed: tuple[str, ...] = ()
    is_trial: bool = False
    answers: tuple[str, ...] = ()

    @property
    def n_slides(self) -> int:
        """Number of slides that are used."""
        return (
            0 if self.slides is None else self.slides.n_matched - sum(map(len, self.slides.left_out.values()))
        )

    @property
    def n_patients(self) -> int:
        """Number of patients in the table."""
        return len(self.proposal.table)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of the endpoints, the primary one first."""
        return tuple(e.name for e in self.proposal.endpoints)

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "study": self.study,
            "written": not self.is_trial,
            "n_slides": self.n_slides,
            "n_patients": self.n_patients,
            "endpoints": list(self.endpoints),
            "unmatched_slides": list(self.unmatched_slides),
            "unnamed_slides": list(self.unnamed),
            "suggestions": dict(self.suggestions),
            "patients_without_slides": list(self.patients_without_slides),
            "reading": [{"subject": subject, "text": text} for subject, text in self.proposal.lines()],
            "unused": dict(self.proposal.unused),
            "others": list(self.proposal.others),
        }

    def to_text(self) -> str:
        """How the table and the slides were read, and what to do next."""
        lines = [self.proposal.to_text(), *self._slide_lines()]
        if self.answers:
            lines.append(f"flags that give the same answers: {' '.join(self.answers)}")
        if self.is_trial:
            return "\n".join([*lines, "nothing was written (--dry-run)"])
        features = f"pathosig profiles {self.study} --features TABLE"
        lines.append(
            f"written: {self.study}/study.toml{', patients.csv and slides.csv' if self.slides else ' and patients.csv'}"
        )
        return "\n".join([*lines, f"next: {f'pathosig check {self.study}' if self.slides else features}"])

    def _slide_lines(self) -> list[str]:
        if self.slides is None:
            return []
        placed = len(self.slides.patients)
        lines = [f"{'slides':<12} {placed} found, {self.n_slides} used; {self.slides.how}"]
        for kind, left_out in self.slides.left_out.items():
            lines.append(
                f"{'':<12} {len(left_out)} TCGA slides of {kind} tissue are left out; --include {kind} keeps them"
            )
        metastases = sum(tcga_is_metastasis(s) for s, p in self.slides.patients.items() if p)
        lines += (
            [
                f"{'':<12} {counted(metastases, 'slide of a metastasis (TCGA sample type 06 or 07) is', 'slides of metastases (TCGA sample type 06 or 07) are')} used"
            ]
            if metastases
            else []
        )
        if self.unmatched_slides:
            shown = [one_line(self._suggested(name)) for name in self.unmatched_slides[:_EXAMPLES]]
            lines.append(
                f"{counted(len(self.unmatched_slides), 'slide without a patient is', 'slides without a patient are')} left out: {'; '.join(shown)}"
            )
        if self.unnamed:
            lines.append(
                f"left out, because their paths are not UTF-8: {'; '.join(self.unnamed[:_EXAMPLES])} ({len(self.unnamed)} in all). "
                "Rename them and run init again."
            )
        if self.patients_without_slides:
            n = len(self.patients_without_slides)
            lines.append(
                f"{counted(n, 'patient has', 'patients have')} no slide: {list(self.patients_without_slides[:_EXAMPLES])}"
            )
        return lines

    def _suggested(self, slide: str) -> str:
        near = self.suggestions.get(slide)
        return f"{slide} (did you mean patient {near}?)" if near else slide


def report_on(
    directory: Path,
    proposal: Proposal,
    matched: SlideMatches | None,
    answers: tuple[str, ...],
    *,
    is_trial: bool,
    unnamed: tuple[str, ...] = (),
) -> InitReport:
    """The report on a proposal and on the slides that were matched to its patients."""
    patients = set(proposal.table.ids)
    unmatched: list[str] = []
    have: set[str] = set()
    if matched is not None:
        gone = {s for group in matched.left_out.values() for s in group}
        unmatched = [s for s, p in matched.patients.items() if p is None]
        have = {p for s, p in matched.patients.items() if p and s not in gone}
    index = IdIndex(patients)
    return InitReport(
        study=str(directory),
        proposal=proposal,
        slides=matched,
        unmatched_slides=tuple(unmatched),
        suggestions={s: near for s in unmatched[:_SUGGESTED] if (near := index.nearest(s))},
        patients_without_slides=tuple(sorted(patients - have)) if matched is not None else (),
        is_trial=is_trial,
        answers=tuple(map(shlex.quote, answers)),
        unnamed=unnamed,
    )

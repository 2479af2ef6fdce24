"""Removes what interrupted runs left behind: temporary files, and claims of processes that were killed."""

from __future__ import annotations

from dataclasses import dataclass

from pathosig.core.claims import remove_void, void_files
from pathosig.core.records import remove_stale, stale_files
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.words import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanReport(Shown):
    """Files that no running process needs.

    Attributes
    ----------
    files
        Their paths, relative to the study.
    bytes
        The space that they take.
    removed
        Whether they were removed; False in a dry run.
    """

    files: tuple[str, ...]
    bytes: int
    removed: bool

    def to_text(self) -> str:
        """The files, and how much space they take."""
        verb = "removed" if self.removed else "to remove"
        return "\n".join(
            [*self.files, f"{counted(len(self.files), 'file')} {verb}, {self.bytes / 1e6:.1f} MB"]
        )


def clean(study: Study, *, dry_run: bool = False) -> CleanReport:
    """Remove what interrupted runs left behind; results, and files of runs in progress, stay.

    Parameters
    ----------
    study
        An open study.
    dry_run
        List the files without removing them.

    Returns
    -------
    CleanReport
        The files and their total size.
    """
    paths = [*stale_files(study.root, deep=True), *void_files(study.root)]
    size = sum(path.stat().st_size for path in paths)
    if not dry_run:
        remove_stale(study.root, deep=True)
        remove_void(study.root)
    return CleanReport(files=tuple(map(study.paths.relative, paths)), bytes=size, removed=not dry_run)

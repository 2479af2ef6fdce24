"""Units of work and what became of them: values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pathosig.core.errors import ConfigError
from pathosig.core.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """How a stage runs; never changes a byte of what it writes.

    Attributes
    ----------
    workers
        Processes side by side, each with one computing thread.
    shard
        ``I/N``: do the I-th of N parts of the slides (1-based), for Slurm arrays.
    device
        auto | cpu | cuda | cuda:N | mps.
    batch_size
        Tiles sent to the device at once where that does not change results.
    force
        Redo units that are fresh.
    scheduler
        Address of a Dask scheduler, instead of local processes.
    timeout_s
        Seconds one slide may take before its worker is replaced.
    memory_mb
        Resident memory one worker may take before it is replaced.
    """

    workers: int = 1
    shard: str | None = None
    device: str = "auto"
    batch_size: int | None = None
    force: bool = False
    scheduler: str | None = None
    timeout_s: float = 3600.0
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: expected 1 or more.")
        if self.shard is not None:
            self.shard_of()

    def shard_of(self) -> tuple[int, int]:
        """(index from 0, count) of the shard; (0, 1) without one.

        Raises
        ------
        ConfigError
            If the text is not I/N with 1 <= I <= N.
        """
        if self.shard is None:
            return 0, 1
        try:
            index, count = (int(part) for part in self.shard.split("/"))
        except ValueError:
            index, count = 0, 0
        if not 1 <= index <= count:
            raise ConfigError(f"--shard {self.shard!r}: expected I/N such as 3/10, with 1 <= I <= N.")
        return index - 1, count


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stage's name and version; raise the version only when its outputs change.

    Attributes
    ----------
    from_elsewhere
        Whether its units do not come from this study's own slides (imported features, simulations): then a study of
        any level may have them.
    """

    name: str
    version: int
    from_elsewhere: bool = False


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One thing a stage works on.

    Attributes
    ----------
    id
        The slide_id, verbatim, or a name starting with ``_`` for a fit.
    inputs
        Identities of input files and the table rows that matter; enters the fingerprint.
    upstream
        Fingerprints of the records it is made from; a None marks one that is missing, and the unit waits.
    payload
        JSON-able facts the task needs (paths, mpp, ...); not part of the fingerprint.
    """

    id: str
    inputs: Any = None
    upstream: Mapping[str, str | None] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a task gets: the study folder, the unit, the Spec, its payload and the Execution."""

    root: Path
    unit: str
    spec: Any
    payload: Mapping[str, Any]
    execution: Execution

    @property
    def paths(self) -> Layout:
        """Fixed files of the study folder; those of single units are named by the payload."""
        return Layout(self.root)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a task gives back; outputs are paths relative to the study folder."""

    outputs: tuple[str, ...] = ()
    status: Literal["ok", "empty"] = "ok"
    warnings: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport:
    """What became of a stage's units, by id; `findings` are its main results in words."""

    stage: str
    done: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 4 when units failed."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Counts and ids, for ``--json``."""
        keys = ("done", "fresh", "failed", "empty", "waiting", "errors", "findings")
        return {"stage": self.stage, **{k: list(getattr(self, k)) for k in keys}}

    def to_text(self) -> str:
        """Counts in one line, and below it what was found."""
        counts = [("done", self.done), ("fresh", self.fresh), ("empty", self.empty)]
        counts += [("failed", self.failed), ("waiting", self.waiting)]
        text = ", ".join(f"{len(v)} {k}" for k, v in counts if v) or "nothing to do"
        return "\n  ".join([f"{self.stage}: {text}", *self.findings])


Task = Callable[[Job], Outcome]

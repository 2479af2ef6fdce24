"""Units of work and what became of them: values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pathosig.core.errors import ConfigError
from pathosig.core.layout import Layout
from pathosig.core.showing import Shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """How a stage runs; never changes a byte of what it writes.

    Attributes
    ----------
    workers
        Processes side by side, each with one computing thread; on the command line also auto.
    shard
        ``I/N``: do the I-th of N parts of the slides (1-based), for Slurm arrays.
    device
        auto | cpu | cuda | cuda:N | mps.
    batch_size
        Tiles sent to the device at once where that does not change results.
    force
        Redo units that are fresh.
    scheduler
        Address of a Dask scheduler, or ``local:N`` for a cluster of N on this machine, instead of local processes.
    timeout_s
        Seconds one slide may take before its worker is replaced.
    memory_mb
        Resident memory one worker may take before it is replaced; without it 80 % of the machine's memory by the workers,
        4,000 MB at least.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideIdentity:
    """What a slide file is, wherever it lies: its size in bytes and the xxh3-128 of its content, as hex."""

    size: int
    xxh3: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideInput:
    """The slide that a unit reads; the worker hashes it, where its identity is not known yet, just before it works on it.

    Attributes
    ----------
    path
        File, or folder of a DICOM slide.
    mpp, region
        What the study says of it; they enter the fingerprint beside size and digest.
    decides
        Whether all that enters the fingerprint, as ``inputs["slide"]``; else an upstream fingerprint covers it.
    read_by
        The stage upstream that must have read the very same bytes.
    """

    path: Path
    mpp: float | None = None
    region: tuple[int, int, int, int] | None = None
    decides: bool = True
    read_by: str | None = None


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
    slide
        The slide it reads.
    work
        How much work it is beside the other units, such as its tiles: for the estimate of the time that is left.
    """

    id: str
    inputs: Any = None
    upstream: Mapping[str, str | None] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    slide: SlideInput | None = None
    work: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What decides a unit's outputs, as far as the driver knows it; the worker adds the identity of the slide.

    Attributes
    ----------
    stage
        With its version.
    inputs, upstream
        See `Unit`; nothing is missing.
    slide
        See `Unit`.
    key, identity
        What the driver's cache has of the slide: sizes and times (see `records.input_key`), and what was hashed then.
    expected
        What the stage upstream read.
    fresh
        Fingerprint of the record that is there, if its outputs are: the same one needs no work.
    """

    stage: Stage
    inputs: Any = None
    upstream: Mapping[str, str] = field(default_factory=dict)
    slide: SlideInput | None = None
    key: str | None = None
    identity: SlideIdentity | None = None
    expected: SlideIdentity | None = None
    fresh: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a task gets: the study folder, the unit, the Spec, its payload and the Execution."""

    root: Path
    unit: str
    spec: Any
    payload: Mapping[str, Any]
    execution: Execution
    ticket: Ticket = Ticket(stage=Stage(name="", version=0))

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
class OutputFile:
    """An output as it was when its record was written: SHA-256 of its bytes, size in bytes, modification time in ns."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """What a unit took, and where: wall seconds, start (UTC, ISO), peak resident memory in MiB, host name."""

    started: str
    seconds: float
    peak_mb: float | None
    host: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker gives back for a job.

    Attributes
    ----------
    result
        The task's outcome, its error, or None where the unit was fresh already.
    fingerprint
        The unit's fingerprint, slide included; empty where the slide could not be read.
    outputs
        The files that the outcome names.
    key, identity
        The slide that was read, for the driver's cache.
    versions
        Versions of the libraries there, where the worker may run on another machine.
    """

    unit: str
    result: Outcome | Exception | None
    fingerprint: str = ""
    outputs: Mapping[str, OutputFile] = field(default_factory=dict)
    effort: Effort | None = None
    key: str | None = None
    identity: SlideIdentity | None = None
    versions: Mapping[str, str] | None = None

    def outcome(self) -> Outcome:
        """The outcome of a unit that was worked on; raises its error."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result or Outcome()


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport(Shown):
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

    def to_dict(self) -> dict[str, object]:
        """Counts and ids, for ``--json``."""
        keys = ("done", "fresh", "failed", "empty", "waiting", "errors", "findings")
        return {"stage": self.stage, **{k: list(getattr(self, k)) for k in keys}}

    def to_line(self) -> str:
        """Counts in one line."""
        counts = [("done", self.done), ("fresh", self.fresh), ("empty", self.empty)]
        counts += [("failed", self.failed), ("waiting", self.waiting)]
        return f"{self.stage}: " + (", ".join(f"{len(v)} {k}" for k, v in counts if v) or "nothing to do")

    def to_text(self) -> str:
        """Counts in one line, and below it what was found."""
        return "\n  ".join([self.to_line(), *self.findings])


Task = Callable[[Job], Outcome]

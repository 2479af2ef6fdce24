"""Values that describe units of work, jobs, answers and reports."""

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
    """How a stage runs; these settings never change a byte of what it writes.

    Attributes
    ----------
    workers
        Number of parallel processes, each with one computing thread; on the command line also auto.
    shard
        ``I/N``: do only the I-th of N parts of the slides, counted from 1, as for Slurm arrays.
    device
        auto | cpu | cuda | cuda:N.
    batch_size
        Has no effect: the batch of an encoder is a setting of its Spec, because results may depend on it.
    force
        Redo units that are up to date.
    scheduler
        Address of a Dask scheduler, or ``local:N`` for a cluster of N threads on this machine, instead of local processes.
    timeout_s
        Seconds that one slide may take before its worker is replaced.
    memory_mb
        Resident memory in MB that one worker may take before it is replaced; by default 80 % of the machine's memory divided by
        the number of workers, but at least 4,000 MB.
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
        """(index counted from 0, number of shards); (0, 1) without a shard.

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
    """The name and version of a stage.

    Attributes
    ----------
    name
        Its name.
    version
        Its version, which is raised only when its outputs change.
    from_elsewhere
        Whether its units do not come from this study's own slides (imported features, simulations), so that a study of any
        level may have them.
    """

    name: str
    version: int
    from_elsewhere: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideIdentity:
    """The identity of a slide file, wherever it lies: its size in bytes, and the xxh3-128 of its content as hex."""

    size: int
    xxh3: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideInput:
    """The slide that a unit reads; if its identity is unknown, the worker hashes it just before it works on it.

    Attributes
    ----------
    path
        The file, or the folder of a DICOM slide.
    mpp, region
        Micrometres per pixel and region that the study states; they enter the fingerprint with size and digest.
    decides
        Whether all this enters the fingerprint, as ``inputs["slide"]``; otherwise an upstream fingerprint covers it.
    read_by
        The upstream stage that must have read the same bytes.
    """

    path: Path
    mpp: float | None = None
    region: tuple[int, int, int, int] | None = None
    decides: bool = True
    read_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One piece of work of a stage.

    Attributes
    ----------
    id
        The slide_id, verbatim, or a name that begins with ``_`` for a fit.
    inputs
        Identities of input files and the table rows that matter; part of the fingerprint.
    upstream
        Name -> fingerprint of each record that it is made from; None marks a missing record, for which the unit waits.
    payload
        Plain values that the task needs (paths, mpp ...); not part of the fingerprint.
    slide
        The slide that it reads.
    work
        Its work relative to other units, such as its number of tiles, from which the remaining time is estimated.
    """

    id: str
    inputs: Any = None
    upstream: Mapping[str, str | None] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    slide: SlideInput | None = None
    work: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """Everything that decides a unit's outputs, as far as the driver knows it; the worker adds the identity of the slide.

    Attributes
    ----------
    stage
        The stage with its version.
    inputs, upstream
        As in `Unit`, but no upstream record is missing.
    slide
        The slide that it reads.
    key, identity
        Key of the slide (see `fingerprints.input_key`), and the identity that the driver's cache has for it.
    expected
        Identity of the slide that the upstream stage read.
    fresh
        Fingerprint of the present record, if its outputs are intact; if the unit has the same one, there is nothing to do.
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
    """The argument of a task.

    Attributes
    ----------
    root
        The study folder.
    unit
        Id of the unit.
    spec
        Settings of the stage.
    payload
        Plain values that the task needs.
    execution
        Device, limits and other settings that do not change results.
    ticket
        What decides the outputs of the unit.
    """

    root: Path
    unit: str
    spec: Any
    payload: Mapping[str, Any]
    execution: Execution
    ticket: Ticket = Ticket(stage=Stage(name="", version=0))

    @property
    def paths(self) -> Layout:
        """The fixed files of the study folder; the files of single units are named in the payload."""
        return Layout(self.root)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a task.

    Attributes
    ----------
    outputs
        Paths of the files that it wrote, relative to the study folder.
    status
        ok, or empty if there was nothing to do.
    warnings, summary
        Findings for the record.
    """

    outputs: tuple[str, ...] = ()
    status: Literal["ok", "empty"] = "ok"
    warnings: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFile:
    """An output at the time of its record: SHA-256 of its bytes, size in bytes, and modification time in ns."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """The time and memory of a unit: start (UTC, ISO 8601), wall time in seconds, peak resident memory in MiB, and host."""

    started: str
    seconds: float
    peak_mb: float | None
    host: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A worker's answer to a job.

    Attributes
    ----------
    unit
        Id of the unit.
    result
        The outcome of the task, its error, or None if the unit was fresh already.
    fingerprint
        The unit's fingerprint with its slide; "" if the slide could not be read.
    outputs
        Name of each file that the task wrote -> its digest, size and time.
    effort
        Time and memory that it took.
    key, identity
        Key and identity of the slide that was read, for the driver's cache.
    versions
        Versions of the worker's libraries, if it may run on another machine.
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
        """The outcome of the unit; if there is an error instead, it is raised."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result or Outcome()


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport(Shown):
    """What became of a stage's units.

    Attributes
    ----------
    stage
        Name of the stage.
    done, fresh, failed, empty, waiting
        Ids of units that were done, were up to date already, failed, had nothing to do, or wait for a missing input.
    errors
        Code and message of each failure.
    findings
        Main results in words.
    """

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
        """4 if units failed, else 0."""
        return 4 if self.failed else 0

    def to_dict(self) -> dict[str, object]:
        """Ids of the units, errors and findings, for ``--json``."""
        keys = ("done", "fresh", "failed", "empty", "waiting", "errors", "findings")
        return {"stage": self.stage, **{k: list(getattr(self, k)) for k in keys}}

    def to_line(self) -> str:
        """The numbers of units in one line."""
        counts = [("done", self.done), ("fresh", self.fresh), ("empty", self.empty)]
        counts += [("failed", self.failed), ("waiting", self.waiting)]
        return f"{self.stage}: " + (", ".join(f"{len(v)} {k}" for k, v in counts if v) or "nothing to do")

    def to_text(self) -> str:
        """The numbers of units in one line, followed by the findings."""
        return "\n  ".join([self.to_line(), *self.findings])


Task = Callable[[Job], Outcome]

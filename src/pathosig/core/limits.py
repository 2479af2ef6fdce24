"""The memory and time that one slide may take before its worker is replaced."""

from __future__ import annotations

from dataclasses import dataclass

from pathosig.core.units import Execution
from pathosig.core.workers import fair_share_mb


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideLimits:
    """The limits for each slide of a run.

    Attributes
    ----------
    memory_mb
        Resident memory that its worker may take, in MB.
    timeout_s
        Time that it may take, in seconds.
    workers
        Number of parallel processes, which share the machine's memory.
    """

    memory_mb: int
    timeout_s: float
    workers: int

    @classmethod
    def of(cls, execution: Execution) -> SlideLimits:
        """The limits of a run with these settings."""
        return cls(
            memory_mb=execution.memory_mb or fair_share_mb(execution.workers),
            timeout_s=execution.timeout_s,
            workers=execution.workers,
        )

    def to_text(self) -> str:
        """The limits in one line, with the flags that change them."""
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return (
            f"{self.timeout_s:g} s and {self.memory_mb:,} MB a slide with {workers}; "
            "--timeout-s and --memory-mb change them"
        )

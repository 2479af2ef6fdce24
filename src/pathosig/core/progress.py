"""A progress line on standard error: only on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self


class Progress:
    """Counts units; draws one line that is redrawn in place.

    Parameters
    ----------
    label
        What is counted.
    total
        How many there are; nothing is drawn for none.
    """

    enabled = True

    def __init__(self, label: str, *, total: int) -> None:
        self.label = label
        self.total = total
        self.count = 0
        self.failed = 0
        self._start = time.monotonic()
        self._drawn = 0.0
        self._live = self.enabled and total > 0 and sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._draw(final=True)
            sys.stderr.write("\n")
            sys.stderr.flush()

    def advance(self, steps: int = 1, *, failed: bool = False) -> None:
        """Count steps done."""
        self.count += steps
        self.failed += failed
        self._draw(final=self.count == self.total)

    def _draw(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if not self._live or (now - self._drawn < 0.1 and not final):
            return
        self._drawn = now
        elapsed = now - self._start
        left = elapsed / self.count * (self.total - self.count) if self.count else 0.0
        width = 24
        filled = int(width * self.count / self.total)
        bar = "#" * filled + "-" * (width - filled)
        text = f"\r{self.label:<11} [{bar}] {self.count}/{self.total}  {elapsed:4.0f} s"
        text += f", {left:.0f} s left" if self.count < self.total and self.count else ""
        text += f", {self.failed} failed" if self.failed else ""
        sys.stderr.write(text.ljust(78))
        sys.stderr.flush()

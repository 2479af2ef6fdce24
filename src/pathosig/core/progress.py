"""How far a stage is, on standard error: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_EVERY_S = 60.0


class Progress:
    """Counts units. On a terminal one line is redrawn in place; a file or a pipe gets a line a minute, and one at the end.

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
        self._start = self._told = time.monotonic()
        self._drawn = 0.0
        shown = self.enabled and total > 0 and sys.stderr is not None
        self._live = shown and sys.stderr.isatty()
        self._tells = shown and not self._live

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
        elif self._tells and self._told > self._start:  # a stage of more than a minute also tells its end
            self._tell(time.monotonic())

    def advance(self, steps: int = 1, *, failed: bool = False) -> None:
        """Count steps done."""
        self.count += steps
        self.failed += failed
        self._draw(final=self.count == self.total)

    def _draw(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if self._tells and now - self._told >= _EVERY_S:
            self._tell(now)
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

    def _tell(self, now: float) -> None:
        self._told = now
        elapsed = now - self._start
        text = f"{self.label}: {self.count} of {self.total} after {elapsed:.0f} s"
        if 0 < self.count < self.total:
            text += f", about {elapsed / self.count * (self.total - self.count):.0f} s left"
        text += f", {self.failed} failed" if self.failed else ""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

"""How far a stage is, on standard error: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_EVERY_S = 60.0


def clock(seconds: float) -> str:
    """A duration for people.

    Examples
    --------
    >>> clock(9.4), clock(75), clock(4 * 3600 + 125)
    ('9 s', '1 min 15 s', '4:02 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def announce(text: str) -> None:
    """Write one line to standard error, unless progress is off."""
    if Progress.enabled and sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class Progress:
    """Counts units. On a terminal one line is redrawn in place; a file or a pipe gets a line a minute, and one at the end.

    Parameters
    ----------
    label
        What is counted.
    total
        How many there are; nothing is drawn for none.
    work
        The work of all of them in one measure, such as tiles, from which the time that is left is estimated; by default
        all units are alike.
    """

    enabled = True

    def __init__(self, label: str, *, total: int, work: float | None = None) -> None:
        self.label = label
        self.total = total
        self.count = 0
        self.failed = 0
        self._work = work or float(total)
        self._worked = 0.0
        self._first: tuple[float, float] | None = None
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

    def advance(self, steps: int = 1, *, failed: bool = False, work: float | None = None) -> None:
        """Count steps done, and the work that they were."""
        self.count += steps
        self.failed += failed
        self._worked += steps if work is None else work
        if self._first is None:
            self._first = (time.monotonic(), self._worked)
        self._draw(final=self.count == self.total)

    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the pace since the first unit, whose time is also that of starting workers.

        None before two units were done, and at the end.
        """
        if self._first is None or self.count >= self.total or self._worked <= self._first[1]:
            return None
        begun, before = self._first
        pace = (time.monotonic() - begun) / (self._worked - before)
        return pace * max(0.0, self._work - self._worked)

    def _draw(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if self._tells and now - self._told >= _EVERY_S:
            self._tell(now)
        if not self._live or (now - self._drawn < 0.1 and not final):
            return
        self._drawn = now
        width = 24
        filled = int(width * self.count / self.total)
        bar = "#" * filled + "-" * (width - filled)
        text = f"\r{self.label:<11} [{bar}] {self.count}/{self.total}  {clock(now - self._start)}"
        left = self.seconds_left()
        text += f", {clock(left)} left" if left is not None else ""
        text += f", {self.failed} failed" if self.failed else ""
        sys.stderr.write(text.ljust(78))
        sys.stderr.flush()

    def _tell(self, now: float) -> None:
        self._told = now
        text = f"{self.label}: {self.count} of {self.total} after {clock(now - self._start)}"
        left = self.seconds_left()
        text += f", about {clock(left)} left" if left is not None else ""
        text += f", {self.failed} failed" if self.failed else ""
        announce(text)

"""Shows on standard error how far a stage is: a bar on a terminal, one line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_EVERY_S = 60.0


def clock(seconds: float) -> str:
    """A duration as text.

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
    """Counts units. A terminal shows one line that is redrawn; a file or pipe gets one line per minute and one at the end.

    Parameters
    ----------
    label
        What is counted.
    total
        Number of units; nothing is shown for 0.
    work
        Total work of all units in one measure, such as tiles, from which the remaining time is estimated; by default every
        unit is the same amount of work.
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
        elif self._tells and self._told > self._start:  # the end of a stage that took more than a minute
            self._tell(time.monotonic())

    def advance(self, steps: int = 1, *, failed: bool = False, work: float | None = None) -> None:
        """Count finished units.

        Parameters
        ----------
        steps
            Number of units.
        failed
            Whether they failed.
        work
            The work that they were, in the measure of the total.
        """
        self.count += steps
        self.failed += failed
        self._worked += steps if work is None else work
        if self._first is None:
            self._first = (time.monotonic(), self._worked)
        self._draw(final=self.count == self.total)

    def seconds_left(self) -> float | None:
        """Estimated seconds for the remaining units, at the pace since the first one; None before the second and at the end.

        The first unit does not count, because its time includes that of starting workers.
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

"""Measures the time and memory that a unit of work takes, and the memory of the machine."""

from __future__ import annotations

import contextlib
import functools
import platform
import sys
import time
from pathlib import Path
from typing import Any

from pathosig.core.units import Effort

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Meter:
    """Measures time and peak memory from its creation on.

    On Linux the peak of resident memory is that of the present unit; elsewhere it is that of the process so far.
    """

    def __init__(self) -> None:
        self._began = time.time()
        self._start = time.monotonic()
        with contextlib.suppress(OSError):
            _RESET.write_text("5")  # the high-water mark starts again at what is resident now: proc(5)

    def read(self) -> Effort:
        """Time and memory since the creation of the meter."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began))
        seconds = round(time.monotonic() - self._start, 3)
        return Effort(started=started, seconds=seconds, peak_mb=_peak_mb(), host=_host())


@functools.cache
def _host() -> str:
    return platform.node()


def _peak_mb() -> float | None:
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 1024), 1)


LEAST_MB = 4_000
"""Least memory that a worker needs, in MB."""


def machine_mb() -> float:
    """Memory of this machine, in MiB."""
    return float(_psutil().virtual_memory().total) / 2**20


def resident_mb(pid: int | None) -> float | None:
    """Resident memory of a process in MiB; None if the process is gone."""
    psutil = _psutil()
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    return None


def _psutil() -> Any:
    import psutil  # not needed in workers

    return psutil

"""Shows what this machine has: versions, devices and readers, and how to install what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass

import psutil

from pathosig.core import plugins
from pathosig.core.extras import absent_extras
from pathosig.core.limits import SlideLimits
from pathosig.core.units import Execution
from pathosig.core.versions import versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What `doctor` reports.

    Attributes
    ----------
    versions
        Library -> installed version.
    platform
        Operating system, processor type and Python version.
    cores, memory_gb
        Processors, and memory in GB.
    devices
        Devices that can run an encoder, such as ``cpu`` or ``cuda:0``; empty without torch, which belongs to the
        extra `embed`.
    resampler
        Whether the compiled resampler is in use.
    limits
        Memory and time that each slide may take.
    readers, encoders
        Names of the installed slide readers and encoders.
    missing
        Extra -> what it is for and how to install it.
    """

    versions: dict[str, str]
    platform: str
    cores: int
    memory_gb: float
    devices: tuple[str, ...]
    resampler: str
    limits: str
    readers: tuple[str, ...]
    encoders: tuple[str, ...]
    missing: dict[str, str]

    def to_text(self) -> str:
        """The findings as text for a terminal."""
        lines = [f"{name:<14} {version}" for name, version in self.versions.items()]
        lines += [
            "",
            f"machine        {self.platform}, {self.cores} cores, {self.memory_gb:.0f} GB memory",
            f"devices        {', '.join(self.devices) or 'unknown without torch (extra embed)'}",
            f"resampler      {self.resampler}",
            f"limits         {self.limits}",
            f"readers        {', '.join(self.readers)}",
            f"encoders       {', '.join(self.encoders)}",
        ]
        lines += ["", "missing:" if self.missing else "nothing is missing"]
        lines += [f"  {name}: {how}" for name, how in self.missing.items()]
        return "\n".join(lines)


def doctor() -> Diagnosis:
    """Show versions, devices and readers, what is missing, and how to install it."""
    return Diagnosis(
        versions=versions(),
        platform=f"{platform.system()} {platform.machine()}, Python {sys.version.split()[0]}",
        cores=os.cpu_count() or 1,
        memory_gb=psutil.virtual_memory().total / 1e9,
        devices=_devices(),
        resampler=_resampler(),
        limits=SlideLimits.of(Execution()).to_text(),
        readers=tuple(plugins.available("pathosig.readers")),
        encoders=tuple(plugins.available("pathosig.encoders")),
        missing=absent_extras(),
    )


def _resampler() -> str:
    from pathosig.slides.pyramid import COMPILED

    return "compiled" if COMPILED else "NumPy (the compiled one needs a C compiler during installation)"


def _devices() -> tuple[str, ...]:
    if importlib.util.find_spec("torch") is None:
        return ()
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return tuple(devices)

"""Claims on units of work, so that several processes ("drivers") can run one study without doing a unit twice.

A claim is a small file that names its driver. A driver shows that it is alive by touching a file of its own every few
seconds. Claims of a driver that was killed are void at once on the same machine, and after a minute on other machines.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pathosig.core.names import file_stem
from pathosig.core.records import process_lives

_BEAT_S = 10.0
_DEAD_S = 60.0


class Claims:
    """The claims of this driver on the units of one stage, as a context manager.

    If claims cannot be written, this driver does every unit: doing a unit twice is a waste, not an error.
    """

    def __init__(self, root: Path, stage: str) -> None:
        self._drivers = root / "logs" / "drivers"
        self._folder = root / "logs" / "claims" / stage
        self._name = f"{_host()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._held: set[str] = set()
        self._ends = threading.Event()

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            for folder in (self._drivers, self._folder):
                folder.mkdir(parents=True, exist_ok=True)
            (self._drivers / self._name).touch()
        threading.Thread(target=self._beat, daemon=True, name="claims").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for unit in list(self._held):
            self.release(unit)
        for path in (self._drivers / self._name, self._folder, self._drivers, self._folder.parent):
            with contextlib.suppress(OSError):  # folders that others use stay
                path.rmdir() if path.is_dir() else path.unlink()

    def _beat(self) -> None:
        while not self._ends.wait(_BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self._drivers / self._name)

    def take(self, unit: str) -> bool:
        """Claim a unit; False if another living driver has it."""
        path = self._path(unit)
        for _ in range(2):
            try:
                with path.open("x", encoding="utf-8") as handle:
                    handle.write(self._name)
            except FileExistsError:
                if self._holder_lives(path):
                    return False
                with contextlib.suppress(
                    OSError
                ):  # of two drivers that find a claim void, only one can replace it
                    path.unlink()
                continue
            except OSError:
                return True
            self._held.add(unit)
            return True
        return False

    def release(self, unit: str) -> None:
        """Give a unit up, whether it is done or not."""
        self._held.discard(unit)
        with contextlib.suppress(OSError):
            self._path(unit).unlink()

    def _path(self, unit: str) -> Path:
        return self._folder / file_stem(unit)

    def _holder_lives(self, path: Path) -> bool:
        try:
            holder = path.read_text(encoding="utf-8")
            if holder:
                return self.is_alive(holder)
            return (
                time.time() - path.stat().st_mtime < _DEAD_S
            )  # the claim exists, but its name is not written yet
        except OSError:
            return False

    def is_alive(self, driver: str) -> bool:
        """Whether a driver is alive: by its process on this machine, else by the age of its file on the clock of the disk."""
        host, _, pid = driver.rpartition("-")[0].rpartition("-")
        if host == _host() and pid.isdigit():
            return process_lives(int(pid))
        try:
            beat = (self._drivers / driver).stat().st_mtime
        except OSError:
            return False
        try:
            now = (self._drivers / self._name).stat().st_mtime
        except OSError:  # this driver has not begun
            now = time.time()
        return now - beat < _DEAD_S + _BEAT_S


def _host() -> str:
    return "".join(c if c.isalnum() else "." for c in platform.node()) or "host"


def void_files(root: Path) -> list[Path]:
    """The claims, and the files under logs/drivers, of drivers that are gone."""
    driver = Claims(root, "clean")
    out = []
    for path in [*(root / "logs" / "claims").rglob("*"), *(root / "logs" / "drivers").glob("*")]:
        with contextlib.suppress(OSError):
            if path.is_file():
                name = path.name if path.parent.name == "drivers" else path.read_text(encoding="utf-8")
                if not driver.is_alive(name):
                    out.append(path)
    return sorted(out)


def remove_void(root: Path) -> int:
    """Delete the files that `void_files` lists, and return their number."""
    paths = void_files(root)
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
    return len(paths)

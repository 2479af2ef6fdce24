"""OpenSlide in a separate process, because damaged files can crash libopenslide and libdicom."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_LIMIT_S = 60
_MEMORY = 4 << 30
_PIPE_BYTES = 1 << 20
_READV = hasattr(os, "readv")
_MOST_REGION = 400_000_000
"""Largest number of pixels of a region."""

_PROGRAM = """
import json, sys
import openslide
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
except ImportError:
    pass
def answer(data, **head):
    sys.stdout.buffer.write(json.dumps({**head, "bytes": len(data)}).encode() + b"\\n" + data)
    sys.stdout.buffer.flush()
slide = None
def opened():
    global slide
    slide = slide or openslide.OpenSlide(sys.argv[1])
    return slide
try:
    profile = opened().color_profile
    answer(b"" if profile is None else profile.tobytes(), sizes=slide.level_dimensions, downsamples=slide.level_downsamples,
           properties=dict(slide.properties))
except Exception as error:
    answer(b"", error=str(error) or type(error).__name__)
    sys.exit()
for line in sys.stdin:
    x, y, level, width, height = map(int, line.split())
    try:
        pixels = opened().read_region((x, y), level, (width, height)).tobytes()
    except Exception as error:
        slide = None  # a handle cannot be used any more after its first error
        answer(b"", error=str(error) or type(error).__name__)
    else:
        answer(pixels)
"""


class OpenSlideError(Exception):
    """The message of OpenSlide in that process, or how the process ended."""


class OpenSlideAside:
    """The interface of `openslide.OpenSlide` to a slide that another process reads; that process ends when its pipe is closed.

    Attributes
    ----------
    level_dimensions, level_downsamples, properties
        As in OpenSlide.
    icc_profile
        Bytes of the ICC profile; empty if there is none.

    Raises
    ------
    OpenSlideError
        If OpenSlide raises an error, or the process crashes, needs more than 4 GB or does not answer within a minute.
    """

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(path), str(_MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise OpenSlideError("no pipes")
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        _widen(self._from)
        try:
            head, profile = self._answer()
            self.icc_profile = bytes(profile)
            self.level_dimensions = tuple((int(w), int(h)) for w, h in head["sizes"])
            self.level_downsamples = tuple(float(d) for d in head["downsamples"])
            self.properties: dict[str, str] = dict(head["properties"])
        except BaseException:
            self.close()
            raise

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def region(self, origin: tuple[int, int], level: int, size: tuple[int, int]) -> np.ndarray:
        """Pixels of a level as RGBA, uint8[h, w, 4]; the origin is in level-0 pixels."""
        width, height = size
        if width * height > _MOST_REGION:
            raise OpenSlideError("a region larger than memory")
        if not width or not height:
            return np.zeros((height, width, 4), np.uint8)
        try:
            os.write(self._to, f"{origin[0]} {origin[1]} {level} {width} {height}\n".encode())
        except OSError as error:
            raise self._ended() from error
        _, data = self._answer()
        if len(data) != width * height * 4:
            raise OpenSlideError("pixels of another size than asked for")
        return np.frombuffer(data, np.uint8).reshape(height, width, 4)

    def _answer(self) -> tuple[Mapping[str, Any], bytearray]:
        """The head of an answer, and the bytes that follow it."""
        limit = threading.Timer(_LIMIT_S, self._process.kill)
        limit.start()
        try:
            line, _, rest = self._read_until_line().partition(b"\n")
            head = json.loads(line)
            data = bytearray(int(head["bytes"]))
            data[: len(rest)] = rest
            self._fill(memoryview(data)[len(rest) :])
        finally:
            limit.cancel()
        if "error" in head:
            raise OpenSlideError(head["error"])
        return head, data

    def _fill(self, room: memoryview) -> None:
        while room:
            n = os.readv(self._from, [room]) if _READV else _copied(self._read(min(len(room), 1 << 20)), room)
            if not n:
                raise self._ended()
            room = room[n:]

    def _read_until_line(self) -> bytes:
        data = b""
        while b"\n" not in data:
            data += self._read(1 << 16)
        return data

    def _read(self, most: int) -> bytes:
        data = os.read(self._from, most)
        if not data:
            raise self._ended()
        return data

    def _ended(self) -> OpenSlideError:
        self._process.kill()
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        return OpenSlideError(f"the process that reads it was ended {how}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def _copied(data: bytes, room: memoryview) -> int:
    room[: len(data)] = data
    return len(data)


def _widen(pipe: int) -> None:
    """Enlarge the buffer of a pipe to the size of a tile, if the system allows it, to switch between processes less often."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

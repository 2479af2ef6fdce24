"""A cache of the identities of slides: each is hashed once and remembered by path, size and time in logs/identity.json."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from pathosig.core.errors import StorageError
from pathosig.core.records import write_json
from pathosig.core.units import SlideIdentity

_SAVE_EVERY_S = 15.0


class Identities:
    """The cache of one study. It is saved as it grows, so that slides are not hashed again after a run was killed.

    Malformed entries of the file are ignored, because a cache must never stop a run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._new: dict[str, SlideIdentity] = {}
        self._saved = time.monotonic()

    def get(self, key: str | None) -> SlideIdentity | None:
        """The identity of the file with this key (see `fingerprints.input_key`)."""
        return self._known.get(key) if key is not None else None

    def add(self, key: str, identity: SlideIdentity) -> None:
        """Remember a slide that was hashed."""
        if self._known.get(key) != identity:
            self._known[key] = self._new[key] = identity
            if time.monotonic() - self._saved > _SAVE_EVERY_S:
                self.save()

    def save(self) -> None:
        """Write new entries; those that another shard or driver has written in the meantime stay."""
        self._saved = time.monotonic()
        if not self._new:
            return
        together = {**_read(self._path), **self._new}
        with contextlib.suppress(StorageError):  # writing the records, which matter, will report the reason
            write_json(self._path, {k: {"size": v.size, "xxh3": v.xxh3} for k, v in together.items()})
            self._new = {}


def _read(path: Path) -> dict[str, SlideIdentity]:
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    out = {}
    for key, value in raw.items() if isinstance(raw, dict) else ():
        if (
            isinstance(value, dict)
            and isinstance(value.get("size"), int)
            and isinstance(value.get("xxh3"), str)
        ):
            out[key] = SlideIdentity(size=value["size"], xxh3=value["xxh3"])
    return out

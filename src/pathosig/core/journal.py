"""The log of a run in logs/runs/, one JSON object per line, for people to watch and programs to read."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any


class Journal:
    """The log of one process on one study; the file is created with the first line.

    A log that cannot be written stops nothing, because the records hold all that matters.
    """

    def __init__(self, root: Path) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        host = "".join(c if c.isalnum() else "-" for c in platform.node())[:40] or "host"
        self.path = root / "logs" / "runs" / f"{stamp}-{host}-{os.getpid()}.jsonl"

    def write(self, event: str, **values: Any) -> None:
        """Append a line with the time (UTC), the event, and those values that are not None."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event}
        line |= {key: value for key, value in values.items() if value is not None}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")

"""The log of a run: one JSON object a line in logs/runs/, for people who watch and programs that count."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any


class Journal:
    """Lines of one process on one study; the file is made with the first of them.

    A disk that takes no log stops nothing: records say what matters.
    """

    def __init__(self, root: Path) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        host = "".join(c if c.isalnum() else "-" for c in platform.node())[:40] or "host"
        self.path = root / "logs" / "runs" / f"{stamp}-{host}-{os.getpid()}.jsonl"

    def write(self, event: str, **values: Any) -> None:
        """Append a line: its time (UTC), the event, and values that are not None."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event}
        line |= {key: value for key, value in values.items() if value is not None}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")

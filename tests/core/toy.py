"""Tasks for workers: importable by spawned processes."""

import os
import signal
import sys
import time
from pathlib import Path

from pathosig.core.errors import SlideError
from pathosig.core.records import write_text
from pathosig.core.units import Job, Outcome


def work(job: Job) -> Outcome:
    what = job.payload.get("what", "write")
    if what == "fail":
        raise SlideError(f"slide {job.unit}: no good", code="E_FORMAT")
    if what == "bug":
        raise ZeroDivisionError
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die once":
        flag = Path(job.payload["flag"])
        if not flag.exists():
            flag.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(60)
    if what == "replace":
        Path(job.payload["path"]).write_bytes(b"something else")
    if what == "doze":
        time.sleep(0.3)
    if what == "pid":
        return Outcome(summary={"pid": os.getpid()})
    if what == "modules":
        return Outcome(summary={"pid": os.getpid(), "modules": sorted(sys.modules)})
    if what == "empty":
        return Outcome(status="empty", summary={"reason": "nothing"})
    relative = f"out/{job.unit}.txt"
    write_text(job.root / relative, f"{job.unit} {job.spec.size}\n")
    return Outcome(outputs=(relative,))

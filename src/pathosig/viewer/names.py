"""Changes of HPC names from the viewer: the only thing it writes."""

from __future__ import annotations

import csv
import io
import threading
from typing import TYPE_CHECKING

from pathosig.core.errors import InputError
from pathosig.core.labels import read_hpc_names
from pathosig.core.records import write_text

if TYPE_CHECKING:
    from pathosig.core.study import Study

LONGEST = 80
_writing = threading.Lock()


def rename_hpc(study: Study, hpc: int, name: str) -> str:
    """Write the name of one HPC to hpc_names.csv, all others kept; an empty name takes the name away.

    Returns
    -------
    str
        The name as written: one line without surrounding blanks.

    Raises
    ------
    InputError
        If the name is too long or has control characters.
    """
    text = name.strip()
    if len(text) > LONGEST or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise InputError(f"HPC {hpc:02d}: a name has at most {LONGEST} characters and no line breaks.")
    with _writing:
        names = read_hpc_names(study) | {hpc: text}
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["hpc", "name"])
        writer.writerows([h, n] for h, n in sorted(names.items()))
        write_text(study.paths.hpc_names, buffer.getvalue())
    return text

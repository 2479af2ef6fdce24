"""Changes of names of HPCs and coarse groups from the viewer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pathosig.core.errors import InputError
from pathosig.core.labels import read_names, write_names

if TYPE_CHECKING:
    from pathosig.core.study import Study

LONGEST = 80
_writing = threading.Lock()


def rename(study: Study, phenotype: str, name: str) -> str:
    """Write the name of one HPC or coarse group to hpc_names.csv, all others kept; an empty name takes the name away.

    Parameters
    ----------
    phenotype
        ``hpc_07`` or ``coarse_0``.
    name
        Its name.

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
        raise InputError(f"{phenotype}: a name has at most {LONGEST} characters and no line breaks.")
    with _writing:
        write_names(study, read_names(study).with_names({phenotype: text}))
    return text

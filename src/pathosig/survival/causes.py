"""Coding which of two competing events came first."""

from __future__ import annotations

import numpy as np
import pandas as pd


def causes_of(frame: pd.DataFrame, competing: pd.DataFrame) -> pd.DataFrame:
    """Outcomes with a competing event: the cause that ended follow-up, and its time.

    Adds the column ``cause``: 1 for the event, 2 if the competing event came first, 0 for neither. In the second case `time`
    becomes that of the competing event. A competing event after the end of follow-up for the event is not counted, because
    the event may have happened in between.

    Parameters
    ----------
    frame
        patient_id, time and event.
    competing
        patient_id, time and event of the competing endpoint; patients who are not in it count as free of it.

    Returns
    -------
    `frame` with the new `time` and the column ``cause``.

    Examples
    --------
    >>> frame = pd.DataFrame({"patient_id": ["P1", "P2"], "time": [10.0, 12.0], "event": [False, True]})
    >>> death = pd.DataFrame({"patient_id": ["P1", "P2"], "time": [8.0, 20.0], "event": [True, True]})
    >>> causes_of(frame, death)[["time", "cause"]].to_numpy()
    array([[ 8.,  2.],
           [12.,  1.]])
    """
    other = competing.set_index("patient_id").reindex(frame["patient_id"])
    happened = other["event"].eq(other=True).to_numpy(bool)
    when = other["time"].to_numpy(float)
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(bool)
    first = happened & ~event & np.isfinite(when) & (when <= time)
    return frame.assign(time=np.where(first, when, time), cause=np.where(event, 1, np.where(first, 2, 0)))

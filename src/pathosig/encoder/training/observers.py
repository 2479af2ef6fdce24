"""What looks on while an encoder is trained: TensorBoard, lines of JSON, or an object of your own."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pathosig.core.records import atomic_path

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

JSON_LINES = "epochs.jsonl"


class TrainingObserver(Protocol):
    """An object that is told of every epoch; it sees numbers and changes nothing."""

    def epoch(self, line: Mapping[str, float]) -> None:
        """Take the numbers of an epoch.

        Parameters
        ----------
        line
            The names of logs/train.csv, `epoch` (from 1) among them, and their values.
        """

    def close(self) -> None:
        """Finish: training is over, or has failed."""


class JsonLines:
    """One JSON object a line and epoch in a file; a resumed training writes its epochs over those that were lost.

    Parameters
    ----------
    folder
        Where the file epochs.jsonl is written; made if need be.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     observer = JsonLines(Path(folder))
    ...     observer.epoch({"epoch": 1, "total": 2.5})
    ...     print((Path(folder) / "epochs.jsonl").read_text().strip())
    {"epoch": 1, "total": 2.5}
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / JSON_LINES

    def epoch(self, line: Mapping[str, float]) -> None:
        """Write one line, in place of any of the same or a later epoch."""
        old = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        kept = [text for text in old if json.loads(text)["epoch"] < line["epoch"]]
        numbers = {
            name: value if value == value else None for name, value in line.items()
        }  # JSON knows no NaN
        with atomic_path(self.path) as temporary:
            temporary.write_text("\n".join([*kept, json.dumps(numbers)]) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Nothing is left to write."""


class TensorBoard:
    """Scalars for TensorBoard: `tensorboard --logdir FOLDER` shows them while training goes on.

    Parameters
    ----------
    folder
        Where the event files are written.

    Raises
    ------
    ModuleNotFoundError
        At the first epoch, without the package tensorboard.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def epoch(self, line: Mapping[str, float]) -> None:
        """Write every number of an epoch; what a lost attempt wrote of later epochs is hidden."""
        from torch.utils.tensorboard import SummaryWriter  # takes seconds, and few ask for it

        step = int(line["epoch"])
        if self._writer is None:
            self._writer = SummaryWriter(str(self.folder), purge_step=step)
        for name, value in line.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


def observer_in(folder: Path) -> TrainingObserver:
    """TensorBoard events in a folder where the package tensorboard is installed, lines of JSON where it is not.

    Parameters
    ----------
    folder
        Where to write.

    Returns
    -------
    TrainingObserver
        `TensorBoard` or `JsonLines`.
    """
    return TensorBoard(folder) if importlib.util.find_spec("tensorboard") else JsonLines(folder)

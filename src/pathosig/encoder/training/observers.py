"""Observers of the training of an encoder: TensorBoard, lines of JSON, or an object of your own."""

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
    """An object that receives the numbers of every epoch; it cannot change the training."""

    def epoch(self, line: Mapping[str, float]) -> None:
        """Receive the numbers of an epoch.

        Parameters
        ----------
        line
            Column of logs/train.csv -> value, including `epoch` (from 1).
        """

    def close(self) -> None:
        """Called at the end of training, also if it has failed."""


class JsonLines:
    """Writes one line with a JSON object for each epoch; when training resumes, it replaces the lines of later epochs.

    Parameters
    ----------
    folder
        Folder of the file epochs.jsonl; it is created if necessary.

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
        """Write one line, which replaces lines of the same and of later epochs."""
        old = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        kept = [text for text in old if json.loads(text)["epoch"] < line["epoch"]]
        numbers = {name: value if value == value else None for name, value in line.items()}  # JSON has no NaN
        with atomic_path(self.path) as temporary:
            temporary.write_text("\n".join([*kept, json.dumps(numbers)]) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Do nothing, because every line has been written already."""


class TensorBoard:
    """Writes scalars for TensorBoard; `tensorboard --logdir FOLDER` shows them during training.

    Parameters
    ----------
    folder
        Folder for the event files.

    Raises
    ------
    ModuleNotFoundError
        At the first epoch, if the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def epoch(self, line: Mapping[str, float]) -> None:
        """Write every number of an epoch; numbers of later epochs from an interrupted training are hidden."""
        from torch.utils.tensorboard import SummaryWriter  # takes seconds to import, and is rarely used

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
    """An observer that writes to a folder: TensorBoard if the package tensorboard is installed, otherwise lines of JSON.

    Parameters
    ----------
    folder
        Folder to write to.

    Returns
    -------
    TrainingObserver
        `TensorBoard` or `JsonLines`.
    """
    return TensorBoard(folder) if importlib.util.find_spec("tensorboard") else JsonLines(folder)

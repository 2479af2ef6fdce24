"""The interface of slide readers, which is the same for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideInfo:
    """Properties of an opened slide.

    Attributes
    ----------
    level_sizes
        (width, height) of each level in pixels, beginning with the finest level.
    downsamples
        Level-0 pixels per pixel of each level; the first is 1.0.
    mpp
        Micrometres per level-0 pixel; None if neither the header nor the caller gives it.
    mpp_source
        ``header``, ``given`` or ``missing``.
    vendor
        Name of the format, as in OpenSlide, or ``flat``.
    objective_power
        Nominal magnification; None if the header does not have it.
    warnings
        Sentences for the user, for example if mpp and objective power do not agree.

    Examples
    --------
    >>> info = SlideInfo(level_sizes=((4000, 3000),), downsamples=(1.0,), mpp=0.25, mpp_source="header", vendor="aperio")
    >>> [side * info.mpp for side in info.level_sizes[0]]  # width and height in micrometres
    [1000.0, 750.0]
    """

    level_sizes: tuple[tuple[int, int], ...]
    downsamples: tuple[float, ...]
    mpp: float | None
    mpp_source: str
    vendor: str
    objective_power: float | None = None
    warnings: tuple[str, ...] = ()


@runtime_checkable
class SlideReader(Protocol):
    """A slide opened for reading, which must not be shared between threads or processes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides import open_slide
    >>> path = Path(tempfile.mkdtemp()) / "S01.png"
    >>> Image.new("RGB", (300, 200), (200, 150, 190)).save(path)
    >>> with open_slide(path, mpp=0.5) as slide:
    ...     print(isinstance(slide, SlideReader), slide.read_level(0, 290, 0, 20, 1)[0, ::10].tolist())  # white outside the slide
    True [[200, 150, 190], [255, 255, 255]]
    """

    info: SlideInfo

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level, uint8[height, width, 3]; pixels outside the slide are white.

        Parameters
        ----------
        level
            Number of the level, from 0.
        x, y
            Top left corner in pixels of this level.
        width, height
            Size in pixels of this level.

        Raises
        ------
        SlideError
            If the pixels cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the files of the slide."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ContextClose:
    """Base class of readers that lets `with` close them."""

    def close(self) -> None:
        """Close the files of the slide."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

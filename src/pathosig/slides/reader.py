"""What every slide reader offers, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideInfo:
    """Facts of an opened slide.

    Attributes
    ----------
    level_sizes
        (width, height) in pixels of each level, finest first.
    downsamples
        Level-0 pixels per pixel of each level, first 1.0.
    mpp
        Micrometres per level-0 pixel, or None where neither header nor table gives it.
    mpp_source
        ``header``, ``given`` or ``missing``.
    vendor
        Format as OpenSlide names it, or ``flat``.
    objective_power
        Nominal magnification, where the header has it.
    warnings
        Findings worth showing, such as mpp and objective power that disagree.
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
    """A slide opened for reading; not shared between threads or processes."""

    info: SlideInfo

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level, uint8[height, width, 3]; (x, y) in pixels of that level.

        Outside the slide the pixels are white.

        Raises
        ------
        SlideError
            If the pixels cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Give back file handles."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ContextClose:
    """`with` for readers: closes at the end."""

    def close(self) -> None:
        """Give back file handles."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

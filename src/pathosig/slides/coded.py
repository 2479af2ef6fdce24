"""Error codes for all failures of readers: any exception while a slide is opened or read becomes a `SlideError`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import PathosigError, SlideError
from pathosig.core.extras import missing_extra
from pathosig.slides.reader import ContextClose, SlideInfo, SlideReader

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def coded(name: str, code: str) -> Iterator[None]:
    """A context in which any exception of a reader becomes a `SlideError` of the slide `name`.

    Parameters
    ----------
    name
        Name of the slide, for error messages.
    code
        Code of failures that have no other code.

    Yields
    ------
    Nothing.

    Raises
    ------
    SlideError
        E_READ if the disk fails, E_MEMORY if there is too little memory, E_NOT_FILE if the file does not exist or must not be
        read, E_EXTRA if a library is not installed, and `code` for all other failures.

    Examples
    --------
    >>> with coded("S01.svs", "E_FORMAT"):  # doctest: +ELLIPSIS
    ...     int("damaged header")
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.svs: its structure is damaged (ValueError). Copy it again, or ...
    """
    try:
        yield
    except PathosigError:
        raise
    except MemoryError as error:
        raise SlideError(
            f"{name}: needs more memory than is available. It may be damaged; copy it again.", code="E_MEMORY"
        ) from error
    except OSError as error:
        said = error.strerror or type(error).__name__
        if error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
            raise SlideError(
                f"{name}: reading failed ({said}). Check the disk, then run again.", code="E_READ"
            ) from error
        missing = error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM)
        raise SlideError(
            f"{name}: cannot be read ({said}).", code="E_NOT_FILE" if missing else code
        ) from error
    except Exception as error:  # readers and codecs raise many types of exceptions for damaged data
        absent = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        if absent is not None:
            raise SlideError(f"{name}: {absent.message}", code=absent.code) from error
        what = "its structure is damaged" if code == "E_FORMAT" else "pixels cannot be decoded"
        raise SlideError(
            f"{name}: {what} ({type(error).__name__}). Copy it again, or convert it to a tiled TIFF.",
            code=code,
        ) from error


class CodedReader(ContextClose):
    """A reader whose failures all have a code, and which refuses negative sizes and levels that do not exist.

    Its other attributes, such as `tile_source` and `piece_px`, are those of `source`. `done` is called when it is closed.
    """

    def __init__(self, source: SlideReader, name: str, *, done: Callable[[], None] | None = None) -> None:
        self.source, self.name, self._done = source, name, done
        self.info: SlideInfo = source.info

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a level; pixels outside the slide are white.

        Raises
        ------
        SlideError
            E_PIXELS if they cannot be decoded, a size is negative, or there is no such level.
        """
        if not 0 <= level < len(self.info.level_sizes) or width < 0 or height < 0:
            raise SlideError(
                f"{self.name}: {width} x {height} pixels of level {level} cannot be read; the slide has the levels 0 to "
                f"{len(self.info.level_sizes) - 1}.",
                code="E_PIXELS",
            )
        with coded(self.name, "E_PIXELS"):
            return self.source.read_level(level, x, y, width, height)

    def __getattr__(self, name: str) -> Any:
        offered = getattr(self.__dict__["source"], name)
        return (
            self._coded(offered)
            if name in ("tile_source", "block_source", "read_level_shrunk", "read_with_holes", "icc_profile")
            else offered
        )

    def _coded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A method of the reader, and the function that it may return, with coded failures."""

        def call(*arguments: Any, **options: Any) -> Any:
            with coded(self.name, "E_PIXELS"):
                answer = function(*arguments, **options)
            return self._coded(answer) if callable(answer) else answer

        return call

    def close(self) -> None:
        """Close the slide."""
        self.source.close()
        if self._done is not None:
            self._done()

"""The error tree. The class decides the exit code, `code` names the fault.

PathosigError
 +-- ConfigError         exit 2   wrong flag, wrong study.toml
 +-- InputError          exit 3   tables that cannot be used
 +-- SlideError          exit 4   one slide failed, the others go on
 +-- NotEstimableError   exit 5   too few events, nothing selected
 +-- StorageError        exit 6   disk full, no permission
"""

from __future__ import annotations

from typing import ClassVar


class PathosigError(Exception):
    """Any error that a user can fix: its message names the object, the finding and the remedy.

    Parameters
    ----------
    message
        Which object, what was found, what was expected, what to do.
    code
        Stable name of the fault, such as ``E_MPP``; defaults to the class's own.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "E_ERROR"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.code)


def one_line(text: str) -> str:
    """A text with line ends and other control characters escaped, so that a name cannot forge a line of output."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rebuild(kind: type[PathosigError], message: str, code: str) -> PathosigError:
    return kind(message, code=code)


class ConfigError(PathosigError):
    """A flag, a Spec or study.toml is wrong."""

    exit_code = 2
    default_code = "E_CONFIG"


class InputError(PathosigError):
    """A table or another input of the study cannot be used as it is."""

    exit_code = 3
    default_code = "E_INPUT"


class SlideError(PathosigError):
    """One slide failed; the others go on."""

    exit_code = 4
    default_code = "E_SLIDE"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(one_line(message), code=code)


class NotEstimableError(PathosigError):
    """The data do not support the estimate that was asked for."""

    exit_code = 5
    default_code = "E_NOT_ESTIMABLE"


class StorageError(PathosigError):
    """The disk is full, or a path cannot be written."""

    exit_code = 6
    default_code = "E_STORAGE"


class PathosigWarning(UserWarning):
    """A finding that is worth a second look but does not stop the work.

    Parameters
    ----------
    message
        The finding, with the row, column or number that triggered it.
    code
        Stable name such as ``W_EVENTS``.
    """

    def __init__(self, message: str, *, code: str = "W_WARNING") -> None:
        super().__init__(message)
        self.message = message
        self.code = code

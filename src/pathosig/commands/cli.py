"""The command line: parse, call, print, and exit with the right code.

Only the module of the command that was asked for is imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import typing
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Group, MissingArgumentError

from pathosig import __version__
from pathosig.commands.flags import WHAT, command, usage
from pathosig.commands.table import COMMANDS, Command, load_target
from pathosig.commands.terminal import paint
from pathosig.core.errors import PathosigError, PathosigWarning
from pathosig.core.extras import missing_extra
from pathosig.core.records import to_json
from pathosig.core.signals import STOPPED, leave, wind_down_first

_WARNED: set[str] = set()


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 on success, else the code of the error (see `pathosig.core.errors`)."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    wind_down_first()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our own errors report what it finds
    warnings.showwarning = _show_warning
    as_json = "--json" in tokens
    try:
        code = _run(tokens, as_json)
        sys.stdout.flush()
    except PathosigError as error:
        _say_error(error, as_json)
        code = error.exit_code
    except CycloptsError as error:
        _say_error(
            PathosigError(f"{_usage_fault(error)} See `{_help_of(tokens)}`.", code="E_USAGE"),
            as_json,
        )
        code = 2
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED)
        leave(130)
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        name = f"{Path(error.filename).name}: " if error.filename else ""
        _say_error(PathosigError(f"{name}{error.strerror or error}", code="E_STORAGE"), as_json)
        code = 6
    except Exception as error:
        if os.environ.get("PATHOSIG_DEBUG"):
            raise
        if _is_out_of_memory(error):
            text = f"out of memory ({error}). Give the job more memory, or use fewer workers."
            _say_error(PathosigError(text, code="E_MEMORY"), as_json)
            sys.exit(1)
        text = f"unexpected {type(error).__name__}: {error}. This is a bug; PATHOSIG_DEBUG=1 shows where."
        absent = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        _say_error(absent or PathosigError(text, code="E_BUG"), as_json)
        code = absent.exit_code if absent else 1
    sys.exit(code)


def _usage_fault(error: CycloptsError) -> str:
    """What is wrong with a command line; in our own words where the parser's message would mislead."""
    argument, text = error.argument, str(error).strip()
    if not isinstance(error, MissingArgumentError) or argument is None or "Did you mean" in text:
        return text
    typed = {token.partition("=")[0] for token in error.root_input_tokens or ()}
    flag = next((name for name in argument.names if name in typed), None)
    if flag is not None:
        return f"{flag} needs a value after it."
    name = argument.field_info.name.upper() if argument.index is not None else argument.name
    text = (argument.parameter.help or "").rstrip(".")
    if text[1:2].islower() or text[1:2] == " ":
        text = text[:1].lower() + text[1:]
    return f"{name} is required: {text}." if text else f"{name} is required."


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; under a limit on address space, loading a library fails with an ImportError instead."""
    words = ("cannot allocate memory", "failed to map segment")
    is_unmapped = isinstance(error, ImportError) and any(word in str(error).lower() for word in words)
    return isinstance(error, MemoryError) or is_unmapped


def _open_streams() -> None:
    """Replace streams that were closed before the program began by ones that discard what is written."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (as long as the program runs)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _first(tokens: list[str]) -> str:
    return tokens[0] if tokens and not tokens[0].startswith("-") else ""


def _help_of(tokens: list[str]) -> str:
    is_command = _first(tokens) in {row.name for row in COMMANDS}
    return f"pathosig {_first(tokens)} --help" if is_command else "pathosig --help"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: typing.TextIO | None = None,
    line: str | None = None,
) -> None:
    if isinstance(message, PathosigWarning):
        text = f"{paint(f'warning {message.code}', 'careful', sys.stderr)}: {message}\n"
        if text not in _WARNED:  # stages that read the same table repeat its warnings
            _WARNED.add(text)
            sys.stderr.write(text)
    elif os.environ.get("PATHOSIG_DEBUG"):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _say_error(error: PathosigError, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(to_json({"error": {"code": error.code, "message": str(error)}}))
    sys.stderr.write(f"{paint(f'error {error.code}', 'bad', sys.stderr)}: {error}\n")


def _run(tokens: list[str], as_json: bool) -> int:
    """Parse the command line, call the command, print its answer, and return the exit code."""
    wanted = _first(tokens)
    app = _app({wanted})
    try:
        answer = app(tokens, exit_on_error=False, print_error=False)
    except SystemExit as end:
        if end.code == 1:  # help was written into a pipe that its reader has closed
            return 0
        raise
    return _show(answer, as_json) if wanted else 0


def _app(wanted: Collection[str]) -> App:
    """The command line with the bodies of the wanted commands; the others are only listed."""
    app = App(
        name="pathosig",
        help="From H&E slides to phenotypes to a validated, frozen survival signature.",
        version=__version__,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        group_parameters=WHAT,
    )
    order = list(dict.fromkeys(row.group for row in COMMANDS))
    groups = {name: Group(name, sort_key=place) for place, name in enumerate(order)}
    app["--help"].group = app["--version"].group = Group("Options", sort_key=len(order))
    for place, row in enumerate(COMMANDS):  # listed in workflow order, not alphabetically
        is_wanted = row.name in wanted
        body = command(row) if is_wanted else _named(row)
        app.command(
            body,
            name=row.name,
            usage=usage(row.name, body) if is_wanted else None,
            help=None if is_wanted else row.help,
            sort_key=place,
            group=groups[row.group],
        )
    return app


def full_app() -> App:
    """The command line with the bodies of all commands whose libraries are installed."""
    wanted = []
    for row in COMMANDS:
        with contextlib.suppress(ModuleNotFoundError):
            load_target(row.target)
            wanted.append(row.name)
    return _app(wanted)


def completion(shell: Literal["bash", "zsh", "fish"], /) -> str:
    """Print a script that completes commands and flags in your shell.

    Save it once in a file: for bash ~/.local/share/bash-completion/completions/pathosig, for zsh a file named _pathosig in
    a folder of $fpath, for fish ~/.config/fish/completions/pathosig.fish.

    Parameters
    ----------
    shell
        The shell: bash, zsh or fish.

    Returns
    -------
    str
        The script.
    """
    return full_app().generate_completion(shell=shell)


def _named(row: Command) -> Callable[[], None]:
    def listed() -> None:
        """Stand for a command in --help; its real body is built when it is called."""

    listed.__doc__ = row.help
    return listed


def _show(answer: Any, as_json: bool) -> int:
    """Print a command's answer and return its exit code."""
    if as_json:
        plain = answer.to_dict() if hasattr(answer, "to_dict") else answer
        is_object = isinstance(plain, dict) or dataclasses.is_dataclass(plain)
        sys.stdout.write(to_json(plain if is_object else {"result": plain}))
    elif hasattr(answer, "ending") and answer.stages and _are_terminals(sys.stdout, sys.stderr):
        # the lines of the stages are on the screen already
        sys.stdout.write(answer.ending().rstrip("\n") + "\n")
    elif hasattr(answer, "to_text"):
        sys.stdout.write(answer.to_text().rstrip("\n") + "\n")
    elif answer is not None:
        sys.stdout.write(f"{answer}\n")
    return int(getattr(answer, "exit_code", 0))


def _are_terminals(*streams: typing.TextIO) -> bool:
    return all(stream is not None and stream.isatty() for stream in streams)


if __name__ == "__main__":
    main()

"""The command line: one table. Each command *is* the public function it names.

The function's Spec and Execution are flattened into flags, help comes from docstrings, and only
the module of the command that was asked for is imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import logging
import os
import re
import signal
import sys
import types
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

from pathosig import __version__
from pathosig.core.errors import PathosigError, PathosigWarning
from pathosig.core.extras import missing_extra
from pathosig.core.records import to_json
from pathosig.core.stages import STAGES


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: the command, the function it is, one line of help."""

    name: str
    target: str
    help: str


COMMANDS = (
    Command(
        "demo",
        "pathosig.commands.demo:demo",
        "Whole pipeline on a generated cohort with planted truth, offline.",
    ),
    Command("init", "pathosig.intake:init", "Make a study folder from slides and a clinical table."),
    Command("check", "pathosig.intake:check", "Say what is wrong with a study before anything runs."),
    Command("run", "pathosig.commands.pipeline:run_all", "All stages in order; resumes where it stopped."),
    *(Command(row.name, row.target, row.help) for row in STAGES),
    Command("status", "pathosig.commands.status:status", "What is done, fresh, failed or empty, and why."),
    Command("verify", "pathosig.commands.status:verify", "Are all outputs there and unchanged?"),
    Command("clean", "pathosig.commands.clean:clean", "Remove what dead runs left behind."),
    Command("slurm", "pathosig.commands.slurm:write_slurm", "Write job arrays with dependencies for Slurm."),
    Command(
        "audit", "pathosig.audits.stage:audit", "Honesty checks: null, optimism, site, depth, stability."
    ),
    Command("bundle", "pathosig.scoring:write_bundle", "Freeze encoder, codebook and signature in one file."),
    Command(
        "assign", "pathosig.scoring:assign_phenotypes", "Assign a bundle's frozen phenotypes to new slides."
    ),
    Command("score", "pathosig.scoring:score_slides", "Score new slides with a frozen bundle."),
    Command("view", "pathosig.viewer:view", "Look at slides and phenotypes in the browser."),
    Command(
        "annotate",
        "pathosig.annotation:annotate",
        "Blinded forms for pathologists; their agreement and names.",
    ),
    Command(
        "export",
        "pathosig.commands.export:export",
        "Write results as anndata, geojson, h5, csv or tissuumaps.",
    ),
    Command("simulate", "pathosig.synthetic:simulate", "Write a cohort with planted truth."),
    Command(
        "weights",
        "pathosig.encoder.weights_command:weights",
        "Encoders: what to fetch, where it goes, whether a file fits.",
    ),
    Command("doctor", "pathosig.commands.doctor:doctor", "Versions, devices, readers; what is missing."),
)

_FLAG_NAMES = {"scheduler": "--dask"}
_ALIASES = {
    "patient_column": ("--id", "--patient-column"),
    "cohort_column": ("--cohort", "--cohort-column"),
    "edition": ("--study",),
    "answers": ("--import",),
}
"""Parameters with a short flag beside their own name."""

_SEVERAL = frozenset({"answers", "readers"})
"""Parameters whose flag takes all words up to the next flag, as a shell's FILE* gives them."""

_WARNED: set[str] = set()


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with DESIGN's codes."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminated)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds is said by our own errors
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
            PathosigError(f"{str(error).strip()} See `{_help_of(tokens)}`.", code="E_USAGE"),
            as_json,
        )
        code = 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; run the same command again to resume\n")
        code = 130
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
            text = f"out of memory ({error}). Give the job more, or take fewer workers."
            _say_error(PathosigError(text, code="E_MEMORY"), as_json)
            sys.exit(1)
        text = f"unexpected {type(error).__name__}: {error}. This is a bug; PATHOSIG_DEBUG=1 shows where."
        absent = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        _say_error(absent or PathosigError(text, code="E_BUG"), as_json)
        code = absent.exit_code if absent else 1
    sys.exit(code)


def _is_out_of_memory(error: Exception) -> bool:
    """Also where a library could not be mapped, as under a limit of address space."""
    words = ("cannot allocate memory", "failed to map segment")
    is_unmapped = isinstance(error, ImportError) and any(word in str(error).lower() for word in words)
    return isinstance(error, MemoryError) or is_unmapped


def _open_streams() -> None:
    """Streams that were closed before the program began take what is written and drop it."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (as long as the program runs)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _first(tokens: list[str]) -> str:
    return tokens[0] if tokens and not tokens[0].startswith("-") else ""


def _help_of(tokens: list[str]) -> str:
    known = _first(tokens) in {row.name for row in COMMANDS}
    return f"pathosig {_first(tokens)} --help" if known else "pathosig --help"


def _terminated(number: int, frame: types.FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: typing.TextIO | None = None,
    line: str | None = None,
) -> None:
    if isinstance(message, PathosigWarning):
        text = f"warning {message.code}: {message}\n"
        if text not in _WARNED:  # stages that read the same table find the same things
            _WARNED.add(text)
            sys.stderr.write(text)
    elif os.environ.get("PATHOSIG_DEBUG"):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _say_error(error: PathosigError, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(to_json({"error": {"code": error.code, "message": str(error)}}))
    sys.stderr.write(f"error {error.code}: {error}\n")


def _run(tokens: list[str], as_json: bool) -> int:
    """Parse, call, print; the exit code."""
    app = App(
        name="pathosig",
        help="From H&E slides to phenotypes to a validated, frozen survival signature.",
        version=__version__,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    wanted = _first(tokens)
    for place, row in enumerate(COMMANDS):  # listed in the order of the work, not of the alphabet
        body = _command(row) if row.name == wanted else _named(row)
        app.command(body, name=row.name, help=None if row.name == wanted else row.help, sort_key=place)
    try:
        answer = app(tokens, exit_on_error=False, print_error=False)
    except SystemExit as end:
        if end.code == 1:  # the printer of help, when who reads it has gone
            return 0
        raise
    return _show(answer, as_json) if wanted else 0


def _named(row: Command) -> Callable[[], None]:
    def listed() -> None:
        """Listed in --help only; the real body is built when its command is asked for."""

    listed.__doc__ = row.help
    return listed


def _show(answer: Any, as_json: bool) -> int:
    """Print a command's answer and give its exit code."""
    if as_json:
        plain = answer.to_dict() if hasattr(answer, "to_dict") else answer
        is_object = isinstance(plain, dict) or dataclasses.is_dataclass(plain)
        sys.stdout.write(to_json(plain if is_object else {"result": plain}))
    elif hasattr(answer, "to_text"):
        sys.stdout.write(answer.to_text().rstrip("\n") + "\n")
    elif answer is not None:
        sys.stdout.write(f"{answer}\n")
    return int(getattr(answer, "exit_code", 0))


# -- functions into commands ------------------------------------------------------------------


def load_target(target: str) -> Callable[..., Any]:
    """The function that ``module:name`` says."""
    module, name = target.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _command(row: Command) -> Callable[..., Any]:
    """The target with `study` as a folder, and its Spec and Execution as flags."""
    target = load_target(row.target)
    signature = _evaluated(target)
    helps = attribute_help(target)
    parameters: list[inspect.Parameter] = []
    spec_class: type[Any] | None = None
    for parameter in signature.parameters.values():
        hint = parameter.annotation
        if parameter.name == "study":
            folder = Annotated[Path, Parameter(help="The study folder.")]
            parameters.append(
                inspect.Parameter("study", inspect.Parameter.POSITIONAL_ONLY, annotation=folder)
            )
        elif parameter.name == "spec":
            options = typing.get_args(hint) or (hint,)
            spec_class = next(h for h in options if isinstance(h, type) and dataclasses.is_dataclass(h))
            parameters.append(_keyword("spec", _flattened(spec_class)))
        elif parameter.name == "execution":
            parameters.append(_keyword("execution", _flattened(hint)))
        else:
            note = Parameter(
                name=_ALIASES.get(parameter.name),
                help=helps.get(parameter.name, ""),
                negative_iterable=(),
                consume_multiple=parameter.name in _SEVERAL,
            )
            parameters.append(parameter.replace(annotation=_annotated(hint, note)))
    parameters += [_switch("json", "Print one JSON object on standard output.")]
    if spec_class is not None and "study" in signature.parameters:
        parameters += [_switch("save", "Write these settings back into study.toml.")]

    def body(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("json", None)
        save = kwargs.pop("save", False)
        arguments = list(args)
        study = _open(arguments[0]) if "study" in signature.parameters else None
        if study is not None:
            arguments[0] = study
        if spec_class is not None:
            kwargs["spec"] = _merged(spec_class, kwargs.get("spec"), study)
            if save and study is not None:
                study.save_spec(kwargs["spec"])
        if "execution" in signature.parameters:
            given = kwargs.get("execution")
            kwargs["execution"] = signature.parameters["execution"].annotation(**_given(given))
        return target(*arguments, **kwargs)

    parameters.sort(key=lambda p: p.kind)
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    body.__annotations__ = {p.name: p.annotation for p in parameters}
    body.__doc__ = (inspect.getdoc(target) or row.help).split("\n\n")[0]
    body.__name__ = row.name
    return body


def _evaluated(target: Callable[..., Any]) -> inspect.Signature:
    """The signature with its parameters' hints evaluated; that of the study or a result may be for type checkers only."""
    bare = types.SimpleNamespace(
        __annotations__={k: v for k, v in target.__annotations__.items() if k not in ("study", "return")}
    )
    module = sys.modules[target.__module__]
    hints = typing.get_type_hints(bare, globalns=vars(module), include_extras=True)
    plain = inspect.signature(target)
    known = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in plain.parameters.values()]
    return plain.replace(parameters=known)


def _open(folder: Path) -> Any:
    from pathosig.core.study import Study  # help does without

    return Study.open(folder)


def _annotated(hint: Any, note: Parameter) -> Any:
    return Annotated[hint, note]


def _flattened(spec_class: type[Any]) -> Any:
    return _annotated(_flags(spec_class), Parameter(name="*"))


def _keyword(name: str, hint: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def _switch(name: str, help_text: str) -> inspect.Parameter:
    hint = Annotated[bool, Parameter(help=help_text, negative="")]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)


def _given(flags: Any) -> dict[str, Any]:
    if flags is None:
        return {}
    return {k: v for k, v in vars(flags).items() if v is not None}


def _merged(spec_class: type[Any], flags: Any, study: Any) -> Any:
    """study.toml's Spec with the flags of this run over it."""
    base = study.spec(spec_class) if study is not None else spec_class()
    given = _given(flags)
    return base.replace(**given) if given else base


def _flags(spec_class: type[Any]) -> type[Any]:
    """A dataclass of the same fields, all optional and None: what was not said stays None."""
    helps = attribute_help(spec_class)
    hints = typing.get_type_hints(spec_class)
    fields = []
    for item in dataclasses.fields(spec_class):
        default = item.default if item.default is not dataclasses.MISSING else None
        text = helps.get(item.name, "")
        shown = "" if default is None or default == () else f" [default: {default}]"
        name = _FLAG_NAMES.get(item.name)
        hint = hints[item.name]
        note = Parameter(name=name, help=(text + shown).strip(), show_default=False)
        fields.append((item.name, _annotated(hint | None, note), dataclasses.field(default=None)))
    made = dataclasses.make_dataclass(spec_class.__name__ + "Flags", fields, kw_only=True)
    made.__module__ = __name__  # cyclopts takes classes of the module `types` for builtins
    return made


def attribute_help(thing: Any) -> dict[str, str]:
    """Name -> help text, read from the Attributes or Parameters section of a NumPy docstring."""
    text = inspect.getdoc(thing) or ""
    texts: dict[str, str] = {}
    for section in re.findall(r"(?:Attributes|Parameters)\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)", text, flags=re.S):
        names: list[str] = []
        for line in section.splitlines():
            if line and not line.startswith(" "):
                names = [n.strip() for n in line.split(":")[0].split(",")]
            elif line.strip():
                for name in names:
                    texts[name] = f"{texts.get(name, '')} {line.strip()}".strip()
    return texts


if __name__ == "__main__":
    main()

"""Turns functions into commands: a study becomes a folder, a Spec and an Execution become flags, docstrings become help."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from pathosig.commands.table import Command, load_target
from pathosig.core.effort import LEAST_MB, machine_mb
from pathosig.core.errors import ConfigError
from pathosig.core.threads import usable_processors

FLAG_NAMES = {"scheduler": ("--dask",), "workers": ("--workers", "-w")}
ALIASES = {
    "patient_column": ("--id", "--patient-column"),
    "cohort_column": ("--cohort", "--cohort-column"),
    "edition": ("--study",),
    "answers": ("--import",),
    "browse": ("--open",),
}
"""Parameters whose flags have other names than the parameters themselves."""

_SEVERAL = frozenset({"answers", "readers"})
"""Parameters whose flag takes all words up to the next flag, so that a shell may expand FILE* into many."""

NO_FLAG = frozenset({"batch_size"})
"""Fields of Execution without an effect on any command."""

WHAT, _HOW = Group("Options", sort_key=1), Group("How it runs", sort_key=2)


def command(row: Command) -> Callable[..., Any]:
    """The target of a row as a command: `study` is given as a folder, the fields of its Spec and Execution as flags."""
    target = load_target(row.target)
    signature = evaluated(target)
    helps = _plain_help(target)
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
            parameters.append(_keyword("spec", _flattened(spec_class, WHAT)))
        elif parameter.name == "execution":
            parameters.append(_keyword("execution", _flattened(hint, _HOW)))
        else:
            is_off = parameter.default is False
            note = Parameter(
                name=ALIASES.get(parameter.name),
                help=helps.get(parameter.name, ""),
                negative_iterable=(),
                negative_bool=() if is_off else None,
                show_default=False if is_off or parameter.default in ("", ()) else None,
                consume_multiple=parameter.name in _SEVERAL,
            )
            parameters.append(parameter.replace(annotation=_annotated(hint, note)))
    parameters += [_switch("json", "Print one JSON object on standard output.")]
    if spec_class is not None and "study" in signature.parameters:
        parameters += [_switch("save", "Save these settings in study.toml.")]

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


def usage(name: str, body: Callable[..., Any]) -> str | None:
    """The line of usage of a command with optional arguments, which names them; None leaves the line to cyclopts."""
    positional = [p for p in inspect.signature(body).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    words = [
        f"[{p.name.upper()}...]" if p.kind is p.VAR_POSITIONAL
        else p.name.upper() if p.default is p.empty
        else f"[{p.name.upper()}]"
        for p in positional
    ]  # fmt: skip
    if not any(word.startswith("[") for word in words):
        return None
    return f"Usage: pathosig {' '.join([name, '[OPTIONS]', *words])}"


def evaluated(target: Callable[..., Any]) -> inspect.Signature:
    """The signature with the type hints of its parameters evaluated, except that of the study.

    The hints of the study and of the result may name classes that are imported only for type checkers.
    """
    bare = types.SimpleNamespace(
        __annotations__={k: v for k, v in target.__annotations__.items() if k not in ("study", "return")}
    )
    module = sys.modules[target.__module__]
    hints = typing.get_type_hints(bare, globalns=vars(module), include_extras=True)
    plain = inspect.signature(target)
    resolved = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in plain.parameters.values()]
    return plain.replace(parameters=resolved)


def _open(folder: Path) -> Any:
    from pathosig.core.study import Study  # not needed for help

    return Study.open(folder)


def _annotated(hint: Any, note: Parameter) -> Any:
    return Annotated[hint, note]


def _flattened(spec_class: type[Any], group: Group) -> Any:
    return _annotated(_flags(spec_class, group), Parameter(name="*"))


def _keyword(name: str, hint: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def _switch(name: str, help_text: str) -> inspect.Parameter:
    hint = Annotated[bool, Parameter(help=help_text, negative="", show_default=False, group=_HOW)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)


def _given(flags: Any) -> dict[str, Any]:
    if flags is None:
        return {}
    return {k: v for k, v in vars(flags).items() if v is not None}


def _merged(spec_class: type[Any], flags: Any, study: Any) -> Any:
    """The Spec of study.toml, overridden by the flags of this run."""
    base = study.spec(spec_class) if study is not None else spec_class()
    given = _given(flags)
    return base.replace(**given) if given else base


def _flags(spec_class: type[Any], group: Group) -> type[Any]:
    """A dataclass with the same fields, all None by default: a field whose flag was not given stays None."""
    helps = _plain_help(spec_class)
    hints = typing.get_type_hints(spec_class)
    fields = []
    for item in dataclasses.fields(spec_class):
        if group is _HOW and item.name in NO_FLAG:
            continue
        default = item.default if item.default is not dataclasses.MISSING else None
        text = helps.get(item.name, "")
        is_off = default is False
        shown = "" if default is None or is_off or default in ("", ()) else f" [default: {default}]"
        hint = hints[item.name]
        note = Parameter(
            name=FLAG_NAMES.get(item.name),
            help=(text + shown).strip(),
            show_default=False,
            group=group,
            negative_bool=() if group is _HOW else None,
            converter=_processes if item.name == "workers" else None,
        )
        if hint is not bool:  # for a switch that may be None, shell completion would offer a value
            hint = hint | None
        fields.append((item.name, _annotated(hint, note), dataclasses.field(default=None)))
    flags = dataclasses.make_dataclass(spec_class.__name__ + "Flags", fields, kw_only=True)
    flags.__module__ = __name__  # cyclopts mistakes classes of the module `types` for builtins
    return flags


def _processes(hint: Any, tokens: Sequence[Token]) -> int:
    """The number after --workers; `auto` means one per processor, but no more than have 4 GB of memory each."""
    text = tokens[0].value
    if text == "auto":
        return max(1, min(usable_processors(), int(machine_mb() // LEAST_MB)))
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"--workers {text!r}: expected a number, or auto.") from None


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


def _plain_help(thing: Any) -> dict[str, str]:
    """`attribute_help` without markup, for a terminal: names of other parameters become their flags."""
    texts = attribute_help(thing)

    def shown(match: re.Match[str]) -> str:
        name = match[1]
        return f"--{name.replace('_', '-')}" if name in texts else name

    return {name: re.sub(r"`+([^`]*)`+", shown, text) for name, text in texts.items()}

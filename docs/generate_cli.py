"""Writes docs/reference/cli.md from the table of commands: `python docs/generate_cli.py`. tests/test_docs.py checks it."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pathosig.commands import flags
from pathosig.commands.table import COMMANDS, Command, load_target
from pathosig.core.units import Execution

PAGE = Path(__file__).parent / "reference" / "cli.md"

HEAD = """# Commands

<!-- Made by docs/generate_cli.py from the functions themselves; do not edit. -->

`pathosig --help` lists the commands, and `pathosig COMMAND --help` the flags of one. Every command is also a Python function
(named under its heading) with the same arguments: `STUDY` is `Study.open(folder)`, flags of the stage make its Spec,
and the [flags of how it runs](#how-it-runs) make its `Execution`.

A Spec defines *what* is computed: it is a table of study.toml and part of the fingerprint, and a flag overrides it for one
run. `--save` writes the overriding values into study.toml; `pathosig status` shows where results and study.toml differ. An
Execution defines *how* it is computed and changes no byte of the results.

{contents}

## Exit codes

| code | meaning | what to do |
|---:|---|---|
| 0 | done (also `run --shard` if other shards are not finished yet) | - |
| 1 | a bug | run again with the environment variable `PATHOSIG_DEBUG=1` and report the traceback |
| 2 | usage or configuration: unknown flag, wrong value, not a study folder | the message names the flag or key and what is expected |
| 3 | input unusable: tables, ids, endpoints, bundles; `verify` found outputs missing or changed | the message names file, column and rows |
| 4 | finished, some slides failed | `pathosig status STUDY` lists them with the reason; repair or remove these slides and run again |
| 5 | not estimable: too few events, nothing selected | the report is written nevertheless and gives the reason |
| 6 | disk full, read-only, no permission | free space or choose another folder, and run again: it resumes |
| 130, 143 | stopped by SIGINT (Ctrl-C) or SIGTERM | run the same command again: it resumes |

## Standard output, standard error, `--json`

Results go to standard output; progress, warnings and errors go to standard error. With `--json`, standard output is exactly one
JSON object, even if the command fails:

```json
{{"error": {{"code": "E_NO_STUDY", "message": "study: no study.toml there. ..."}}}}
```

| command | keys of the object |
|---|---|
| `tma tissue tiles train embed phenotypes profiles signature validate report` | stage, done, fresh, empty, failed, waiting (lists of ids), errors, findings |
| `run` | stages (objects as above), note, not_estimable, report, exit_code |
| `status` | stages (counts of ok and, of these, slides; of empty, failed, missing, stale), failed, empty, changed_settings |
| `verify` | checked, missing, changed |
| `init` | study, written, n_slides, n_patients, endpoints, unmatched_slides, unnamed_slides, suggestions, patients_without_slides, reading, unused, others |
| `check` | usable, problems, warnings, slides, counts, discovery, limits (memory_mb, timeout_s, workers) |
| `annotate` | forms, hpcs; with `--import` agreement (as agreement.json), names, kept |
| `bundle` | path, sha256, endpoint, equation, encoder, weights_inside |
| `score` | out, scores, failed |
| `audit` | name, and the results of [the audit](../explanation/signature.md) |
| `export` | format, folder, files, skipped |
| `simulate`, `demo` | what was planted; with `demo` also what was found |
| `doctor` | versions, platform, cores, memory_gb, devices, resampler, limits, readers, encoders, missing |

Codes of errors and warnings (`E_MPP`, `W_EVENTS` ...) are stable; texts may change.
"""


def flag_of(name: str) -> str:
    """The flag of a field."""
    return (
        ", ".join(flags.FLAG_NAMES.get(name, ()))
        or flags.ALIASES.get(name, ("--" + name.replace("_", "-"),))[0]
    )


def type_text(hint: Any) -> str:
    """A type as a person would say it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " \\| ".join(f"`{a}`" for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return ", ".join(type_text(a) for a in arguments if a is not type(None))
    if origin in (tuple, Sequence):
        return f"{type_text(arguments[0])}, repeated"
    return {int: "integer", float: "number", str: "text", bool: "switch", Path: "path"}.get(hint, str(hint))


def default_text(value: Any) -> str:
    """A default as printed; nothing for none."""
    if value is None or value == () or value is dataclasses.MISSING or value is inspect.Parameter.empty:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def spec_rows(spec_class: type[Any]) -> list[tuple[str, str, str, str]]:
    """Flag, type, default, meaning of every field of a Spec or of Execution."""
    helps, hints = flags.attribute_help(spec_class), typing.get_type_hints(spec_class)
    rows = []
    for field in dataclasses.fields(spec_class):
        if spec_class is Execution and field.name in flags.NO_FLAG:
            continue
        flag = flag_of(field.name)
        if hints[field.name] is bool and spec_class is not Execution:
            flag += f", --no-{flag[2:]}"
        rows.append(
            (flag, type_text(hints[field.name]), default_text(field.default), helps.get(field.name, ""))
        )
    return rows


@dataclasses.dataclass(frozen=True)
class Page:
    """What the page says of one command."""

    row: Command
    usage: str
    own: list[tuple[str, str, str, str]]
    spec: type[Any] | None
    has_execution: bool

    @property
    def flags(self) -> set[str]:
        """Every flag the command knows."""
        rows = [
            *self.own,
            *(spec_rows(self.spec) if self.spec else []),
            *(spec_rows(Execution) if self.has_execution else []),
        ]
        found = {part.strip() for row in rows for part in row[0].split(",") if part.strip().startswith("--")}
        return found | {"--json", "--help"} | ({"--save"} if self.spec else set())


def read_command(row: Command) -> Page:
    """Read a command from the function it is."""
    target = load_target(row.target)
    helps, own, words, spec, execution = flags.attribute_help(target), [], [], None, False
    for item in flags.evaluated(target).parameters.values():
        if item.name == "study":
            words.append("STUDY")
        elif item.name == "spec":
            options = typing.get_args(item.annotation) or (item.annotation,)
            spec = next(h for h in options if dataclasses.is_dataclass(h))
        elif item.name == "execution":
            execution = True
        else:
            needed = item.default is inspect.Parameter.empty
            name = item.name.upper()
            if item.annotation is bool:
                name = flag_of(item.name) + (
                    "" if item.default is False else f", --no-{flag_of(item.name)[2:]}"
                )
            elif item.kind is inspect.Parameter.VAR_POSITIONAL:
                words.append(f"{name}...")
            elif item.kind is inspect.Parameter.KEYWORD_ONLY:
                name = flag_of(item.name)
                if needed:
                    words.append(f"{name} VALUE")
            else:
                words.append(name if needed else f"[{name}]")
            shown = "" if item.kind is inspect.Parameter.VAR_POSITIONAL else default_text(item.default)
            own.append(
                (
                    name,
                    type_text(item.annotation),
                    "required" if needed and not name.startswith("[") else shown,
                    helps.get(item.name, ""),
                )
            )
    return Page(row, " ".join(["pathosig", row.name, *words, "[FLAGS]"]), own, spec, execution)


def table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """A Markdown table of flags."""
    lines = ["| argument | type | default | meaning |", "|---|---|---|---|"]
    for name, kind, default, meaning in rows:
        shown = ", ".join(f"`{part.strip()}`" for part in name.split(","))
        lines.append(
            f"| {shown} | {kind} | {default} | {meaning.replace('``', '`').replace('|', chr(92) + '|')} |"
        )
    return lines


def section(page: Page) -> list[str]:
    """The chapter of a command."""
    doc = (inspect.getdoc(load_target(page.row.target)) or "").split("\n\n")[0].replace("\n", " ")
    module, name = page.row.target.split(":")
    lines = [
        f"## `pathosig {page.row.name}`",
        "",
        doc.replace("``", "`"),
        "",
        f"    {page.usage}",
        "",
        f"Python: `{module}.{name}`",
        "",
    ]
    if page.own:
        lines += [*table(page.own), ""]
    if page.spec is not None:
        where = f"table `[{page.spec.section}]` of study.toml" if "STUDY" in page.usage else "what is made"
        lines += [f"Its Spec, {where}:", "", *table(spec_rows(page.spec)), ""]
    if page.has_execution:
        lines += ["And the flags of [how it runs](#how-it-runs).", ""]
    return lines


def pages() -> dict[str, Page]:
    """Every command by name."""
    return {row.name: read_command(row) for row in COMMANDS}


def text() -> str:
    """The whole of docs/reference/cli.md."""
    contents = "\n\n".join(
        f"**{group}**\n\n"
        + "\n".join(f"* [`{r.name}`](#pathosig-{r.name}): {r.help}" for r in COMMANDS if r.group == group)
        for group in dict.fromkeys(r.group for r in COMMANDS)
    )
    lines = [HEAD.format(contents=contents), "## How it runs", "", *table(spec_rows(Execution)), ""]
    lines += ["Every command also has `--json` and `--help`; commands with a Spec have `--save`.", ""]
    for page in pages().values():
        lines += section(page)
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")

"""Write docs/evidence/benchmarks.md from docs/evidence/benchmarks.json, which `make bench` measures; nothing is typed by hand."""

from __future__ import annotations

import ast
import json
import runpy
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE, DATA = ROOT / "docs" / "evidence" / "benchmarks.md", ROOT / "docs" / "evidence" / "benchmarks.json"
HEAD = """# Benchmarks

`make bench` measures these numbers and writes this page. Each benchmark prints one JSON object, which is the table under its name. Ratios compare
with another tool or a lower bound measured in the same run, so they depend little on the machine, whereas seconds do. The load is the number of
processes waiting for a processor when a benchmark began; if it is above the number of cores, wall times are too long. Other pages name the commands
of the larger runs behind their numbers.
"""


def values(result: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of a JSON object, those of objects within it after a dot."""
    if isinstance(result, dict):
        for name, value in result.items():
            yield from values(value, f"{prefix}.{name}" if prefix else name)
    elif isinstance(result, list):
        yield prefix, ", ".join(shown(v) for v in result)
    else:
        yield prefix, shown(result)


def shown(value: object) -> str:
    """Three to four digits of a number; a dash where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else str(value).replace("|", "/")


def description(name: str) -> tuple[str, str]:
    """The first line of a benchmark's docstring, and the rest without its command."""
    text = ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text())) or ""
    first, _, rest = text.partition("\n\n")
    kept = [block for block in rest.split("\n\n") if not block.lstrip().startswith("python ")]
    return " ".join(first.split()), "\n\n".join(kept)


def section(name: str, row: dict[str, object]) -> str:
    """One benchmark: what it asks, how it was run, and what came out."""
    first, rest = description(name)
    machine = row["machine"]
    told = ", ".join(f"{key} {value}" for key, value in machine.items() if key not in ("processor", "system"))
    lines = [f"## {name}", "", first, "", "```text", rest, "```", ""]
    lines += [
        f"`{row['command']}` on {row['date']}: {row['cpu_seconds']} CPU-seconds, {row['wall_seconds']} s, load {row['load']}. "
        f"{machine['processor']}, {machine['system']}; {told}.",
        "",
        "| measure | value |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {key} | {value} |" for key, value in values(row["result"])), ""])


def missing(names: list[str]) -> str:
    """What the set holds and nobody has measured since the file was begun."""
    told = [f"* `benchmarks/{name}.py`: {description(name)[0]}" for name in names]
    return "\n".join(
        ["## Not measured yet", "", "These belong to the set and have no numbers here yet.", "", *told, ""]
    )


def text() -> str:
    """The page."""
    rows = json.loads(DATA.read_text())
    absent = [
        name for name in runpy.run_path(str(ROOT / "benchmarks" / "bench.py"))["SET"] if name not in rows
    ]
    parts = [HEAD, *(section(name, row) for name, row in rows.items())]
    return "\n".join([*parts, missing(absent)] if absent else parts)


if __name__ == "__main__":
    PAGE.write_text(text())

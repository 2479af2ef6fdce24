"""The pages hold: links lead somewhere, commands and flags exist, code is code, tables have the columns they say."""

import ast
import importlib.util
import inspect
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from pathosig.core import clinical, schema
from pathosig.core.spec import Spec

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [p.relative_to(ROOT).as_posix() for p in PAGES]


@pytest.fixture(scope="session")
def generator():
    where = importlib.util.spec_from_file_location("generate_cli", ROOT / "docs" / "generate_cli.py")
    module = importlib.util.module_from_spec(where)
    sys.modules["generate_cli"] = module
    where.loader.exec_module(module)
    return module


def anchors(page):
    found = set()
    for line in re.sub(r"```.*?```", "", page.read_text(), flags=re.S).splitlines():
        if line.startswith("#"):
            title = re.sub(r"[`*]|\[|\]\([^)]*\)", "", line.lstrip("#").strip()).lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{target}: no such file"
        if anchor and other.suffix == ".md":
            assert anchor in anchors(other), f"{target}: no such heading, found {sorted(anchors(other))}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_of_the_repository_that_are_named_exist(page):
    for name in re.findall(r"`((?:src|tests|docs|benchmarks|examples)/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_the_index_names_every_page():
    text = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "index.md" or f"({name})" in text, name


def test_the_page_of_commands_is_what_the_functions_say(generator):
    assert (ROOT / "docs" / "reference" / "cli.md").read_text() == generator.text(), (
        "run python docs/generate_cli.py"
    )


def shell_lines(text):
    """Lines of indented and fenced blocks that start with pathosig, and commands in running text."""
    blocks = re.findall(r"^(?: {4,}|\$ )(pathosig .*)$", text, flags=re.M)
    return [part.split("#")[0] for line in blocks for part in line.split("&&")] + re.findall(
        r"`(pathosig [^`]+)`", text
    )


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "cli.md"], ids=[i for i in IDS if "cli.md" not in i]
)
def test_commands_and_flags_that_are_named_exist(page, generator):
    known = generator.pages()
    for line in shell_lines(page.read_text()):
        words = (
            shlex.split(line.replace("...", "").replace("'", ""))
            if line.count('"') % 2 == 0
            else line.split()
        )
        words = words[words.index("pathosig") + 1 :]
        if not words or words[0] in ("COMMAND", "--help", "--version"):
            continue
        assert words[0] in known, line
        for word in words[1:]:
            flag = word.split("=")[0].strip("[],;.")
            if flag.startswith("--"):
                assert flag in known[words[0]].flags, f"{line}: {sorted(known[words[0]].flags)}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_blocks_are_python_and_import_what_exists(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pathosig"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_toml_blocks_are_settings_that_are_understood(page, generator):
    specs = {
        s.spec.section: s.spec for s in generator.pages().values() if s.spec and issubclass(s.spec, Spec)
    }
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), flags=re.S):
        config = tomllib.loads(block)
        for name, table in config.items():
            if name in specs:
                specs[name].from_mapping(table)
            elif name not in ("project", "hpc_names", "study"):
                parse = {
                    "endpoints": clinical.parse_endpoints,
                    "columns": clinical.parse_columns,
                    "treatment": clinical.parse_treatments,
                }.get(name)
                assert parse or name == "primary", f"[{name}]"
                if parse:
                    parse(table)
        if "primary" in config:
            clinical.parse_primary(config["primary"], config.get("endpoints", {}))


@pytest.mark.parametrize(
    ("heading", "table"),
    [("tiles", schema.TILES), ("phenotypes", schema.ASSIGNMENTS), ("profiles", schema.PATIENT_PROFILES)],
)
def test_the_page_of_files_has_the_columns_and_types_of_the_schemas(heading, table):
    text = (ROOT / "docs" / "reference" / "study-folder.md").read_text()
    part = re.search(rf"^## {heading}\n(.*?)(?=^## )", text, flags=re.S | re.M).group(1)
    rows = re.findall(r"^\| (`[^|]+) \| (\w+) \|", part, flags=re.M)
    told = {name: kind for names, kind in rows for name in re.findall(r"`([^`]+)`", names)}
    assert told
    for name, kind in told.items():
        if name in ("slide_id", "artefact_share"):
            continue
        matching = [c for c in table.columns if c.matches(name)]
        assert matching, f"{name} is not in the schema"
        assert matching[0].type == kind, name
    for column in table.columns:
        assert any(column.matches(name) for name in told), f"{column.name} is not on the page"


def test_the_atlas_is_described_with_its_columns():
    text = (ROOT / "docs" / "reference" / "study-folder.md").read_text()
    part = text[text.index("phenotypes/atlas.parquet") : text.index("phenotypes/tree.json")]
    for column in schema.ATLAS.columns:
        for name in column.name.split("|"):
            assert f"`{name}`" in part, name


def test_exit_codes_on_the_page_are_those_of_the_errors():
    from pathosig.core import errors

    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    told = {int(n) for n in re.findall(r"^\| (\d+) \|", text, flags=re.M)}
    classes = [
        c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.PathosigError)
    ]
    assert {c.exit_code for c in classes} <= told | {0}


def script(path):
    """A script of the repository as a module."""
    where = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


def test_the_page_of_benchmarks_is_what_was_measured():
    evidence, bench = script(ROOT / "docs/generate_evidence.py"), script(ROOT / "benchmarks/bench.py")
    assert evidence.PAGE.read_text() == evidence.text(), "run python docs/generate_evidence.py"
    rows = json.loads(evidence.DATA.read_text())
    assert list(rows) == [name for name in bench.SET if name in rows]
    for name, row in rows.items():
        assert row["command"] == " ".join(["python", f"benchmarks/{name}.py", *bench.SET[name]])
        assert row["result"]


def test_hooks_name_no_host():
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert "http" not in text
    assert "repo: local" in text


def test_every_dependency_is_justified():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in ("dev", "docs", "all")}
    wanted = {
        re.split(r"[\[>=<]", d)[0]
        for d in [*project["dependencies"], *(d for names in extras.values() for d in names)]
    }
    rows = re.findall(
        r"^\| ([\w\-, ]+) \|", (ROOT / "docs/reference/dependencies.md").read_text(), flags=re.M
    )
    listed = {name.strip() for row in rows[1:] for name in row.split(",")}
    assert wanted - {"pathosig"} == listed


def codes_of_the_source():
    """Codes in string constants of the source that are no docstrings, each with a file that has it."""
    codes = {}
    for path in sorted((ROOT / "src" / "pathosig").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and isinstance(node.body[0] if node.body else None, ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                for code in re.findall(r"(?<!\w)[EW]_[A-Z][A-Z_]*", node.value):
                    codes.setdefault(code, path.relative_to(ROOT).as_posix())
    return codes


def test_the_page_of_errors_names_every_code_once_and_no_other():
    text = (ROOT / "docs" / "reference" / "errors.md").read_text()
    rows = re.findall(r"^\| `([EW]_[A-Z_]+)` \| (.*) \| (.*) \|$", text, flags=re.M)
    listed = [code for code, _, _ in rows]
    source = codes_of_the_source()
    assert len(source) > 100
    assert len(listed) == len(re.findall(r"^\| `", text, flags=re.M)), "a row has other than three columns"
    assert sorted(listed) == sorted(set(listed)), "a code stands twice"
    assert {c: f for c, f in source.items() if c not in listed} == {}, "codes without an entry"
    assert sorted(set(listed) - set(source)) == [], "entries that no code of the source is"
    for code, cause, cure in rows:
        assert cause.endswith(".") and cure.endswith("."), code


ROOMS = ("survival", "signature", "validation", "slides", "tiles", "phenotypes")
NEEDS_A_STUDY = (
    "works on a folder that several stages have filled; tests/test_pipeline.py and the tutorials run it"
)
WITHOUT_EXAMPLE = {
    "phenotypes.atlas.atlas_table": "its input is what choose_exemplars gives",
    "phenotypes.health.assess": "refits the codebook a dozen times, which takes seconds",
    "phenotypes.reading.read_discovery": NEEDS_A_STUDY,
    "phenotypes.reading.tile_mpp": NEEDS_A_STUDY,
    "phenotypes.reading.training_tiles": NEEDS_A_STUDY,
    "phenotypes.refit.refit_codebook": NEEDS_A_STUDY,
    "phenotypes.stability_curve.stability_over_k": NEEDS_A_STUDY,
    "phenotypes.stage.assign_units": NEEDS_A_STUDY,
    "slides.staging.staged": "copies from object storage, which needs a server",
    "tiles.of_slide.cut_slide": NEEDS_A_STUDY,
    "validation.assemble.results_of": NEEDS_A_STUDY,
    "validation.reading.clinical_identity": NEEDS_A_STUDY,
    "validation.reading.comparators_identity": NEEDS_A_STUDY,
    "validation.reading.read_comparators": NEEDS_A_STUDY,
    "validation.reading.read_inputs": NEEDS_A_STUDY,
    "validation.with_covariates.clinical_histology": NEEDS_A_STUDY,
    "validation.with_covariates.with_covariates": NEEDS_A_STUDY,
}
"""Public functions without an example, each with its reason."""


def public_functions():
    """Name, docstring and syntax tree of every public function of the six rooms."""
    source = ROOT / "src" / "pathosig"
    for path in sorted(p for room in ROOMS for p in (source / room).rglob("*.py")):
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", ast.get_docstring(node) or "", node


def test_every_public_function_describes_its_parameters_and_its_result_and_shows_an_example():
    functions = {name: (text, node) for name, text, node in public_functions()}
    assert len(functions) > 250
    mute = {
        name
        for name, (text, node) in functions.items()
        if ast.unparse(node.args) and "Parameters\n---" not in text
    }
    assert not mute, f"no Parameters section: {sorted(mute)}"
    unsaid = {
        name
        for name, (text, node) in functions.items()
        if ast.unparse(node.returns) != "None"
        and not re.search(r"^(Returns|Yields)\n---", text, re.MULTILINE)
    }
    assert not unsaid, f"no Returns section: {sorted(unsaid)}"
    bare = {name for name, (text, _) in functions.items() if ">>> " not in text}
    allowed = set(WITHOUT_EXAMPLE)
    assert bare == allowed, (
        f"no example: {sorted(bare - allowed)}; listed without need: {sorted(allowed - bare)}"
    )


def test_every_class_that_a_room_exports_shows_an_example():
    classes = {}
    for room in ROOMS:
        module = importlib.import_module(f"pathosig.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                classes[f"{room}.{name}"] = value.__doc__ or ""
    assert len(classes) > 30, sorted(classes)
    assert not [name for name, text in classes.items() if ">>> " not in text]

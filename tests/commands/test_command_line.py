"""The command line as a shell sees it: help, colours, completion, faults that say what is missing."""

import shutil
import subprocess
import sys

import pytest

from pathosig.commands.cli import completion, full_app
from pathosig.commands.table import COMMANDS, load_target
from pathosig.core.threads import usable_processors


def cli(*arguments, **options):
    command = [sys.executable, "-m", "pathosig", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def app():
    return full_app()


@pytest.mark.parametrize("name", [row.name for row in COMMANDS])
def test_every_flag_has_a_sentence_of_its_own_without_markup(app, name):
    texts = {}
    for argument in app[name].assemble_argument_collection():
        if argument.parameter.parse is False or not argument.names:
            continue
        text = (argument.parameter.help or "").split(" [default")[0]
        if argument.children:  # a Spec, whose fields are the flags
            continue
        assert text, f"{name} {argument.name}: no help"
        assert "`" not in text, f"{name} {argument.name}: markup in {text!r}"
        texts.setdefault(text, []).append(argument.name)
    shared = {text: names for text, names in texts.items() if len(names) > 1}
    assert not shared


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("score", "BUNDLE [SLIDES...]"), ("weights", "[ACTION] [FILE]"), ("audit", "STUDY NAME")],
)
def test_the_line_of_usage_names_the_arguments(app, name, arguments, capsys):
    app([name, "--help"])
    assert f"{name} [OPTIONS] {arguments}\n" in capsys.readouterr().out


def test_the_list_of_commands_has_headings_in_the_order_of_the_work():
    text = cli("--help").stdout
    headings = [
        "Start here",
        "Stages",
        "Progress and clusters",
        "Check, freeze and score",
        "View and export",
        "Tools",
        "Options",
    ]
    places = [text.index(f"─ {heading}") for heading in headings]
    assert places == sorted(places)
    assert [row.name for row in COMMANDS] == sorted(
        (r.name for r in COMMANDS), key=lambda n: text.index(f"│ {n} ")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bundle", "x"], "--out is required: the file to write"),
        (["init", "x"], "--clinical is required: CSV, TSV or Excel table"),
        (["run"], "STUDY is required: the study folder."),
        (["score"], "BUNDLE is required: a .psig file."),
        (["run", "x", "-w"], "-w needs a value after it."),
        (["run", "x", "--workers", "many"], "--workers 'many': expected a number, or auto."),
        (["run", "x", "--wrkers", "2"], "Did you mean --workers?"),
    ],
)
def test_a_wrong_command_line_names_what_is_missing(arguments, said):
    done = cli(*arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_auto_takes_the_processors_there_are(tmp_path):
    done = cli("run", tmp_path, "--workers", "auto")
    assert "E_NO_STUDY" in done.stderr
    assert usable_processors() >= 1


def test_colours_are_for_terminals_unless_the_environment_says_otherwise(tmp_path):
    import os

    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    assert "\033" not in cli("run", tmp_path, env=plain).stderr
    assert (
        "\033[1;31merror E_NO_STUDY\033[0m" in cli("run", tmp_path, env=plain | {"FORCE_COLOR": "1"}).stderr
    )
    assert "\033" not in cli("run", tmp_path, env=plain | {"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_flags_and_choices(tmp_path):
    (tmp_path / "c.sh").write_text(completion("bash"))
    asked = {
        "pathosig st": {"status"},
        "pathosig run --wor": {"--workers"},
        "pathosig report --pdf --tit": {"--title"},
        "pathosig export study --to ann": {"anndata"},
    }
    lines = [
        "source c.sh",
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); _pathosig; echo "${COMPREPLY[*]}"; }',
    ]
    script = "\n".join(lines + [f"ask {words}" for words in asked])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [set(line.split()) for line in done.stdout.splitlines()] == list(asked.values())


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(shell):
    text = completion(shell)
    assert all(row.name in text for row in COMMANDS if load_target(row.target))

"""The command: blinded forms on disk, answers read back with suspicion, names written with care."""

from __future__ import annotations

import json
import re

import pytest

from pathosig.annotation import annotate
from pathosig.annotation.answers import Agreement
from pathosig.annotation.command import Forms, Keys
from pathosig.annotation.forms import blinded
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.labels import read_names
from pathosig.core.records import read_json
from pathosig.core.typed_json import from_plain

READERS = ("Ada", "Müller <script>alert(1)</script>")


def _keys(study):
    return from_plain(Keys, read_json(study.paths.annotation_key), where="key.json").readers


def _saved(study, folder, reader, name_of=lambda panel: "", /, **changes):
    """The file that a form saves when every test is solved."""
    key = _keys(study)[reader]
    panels = [
        {"tissue": "tumour", "pattern": "solid", "artefact": "no", "name": name_of(p)} for p in key.panels
    ]
    content = {"kind": "pathosig annotation", "form": key.form, "reader": reader, "panels": panels}
    content |= {"odd": [o.place for o in key.odd]} | changes
    path = folder / f"answers {len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sent").mkdir()
    return tmp_path / "sent"


def test_each_reader_gets_a_form_that_names_neither_hpc_nor_slide(study):
    made = annotate(study, readers=READERS, tiles=4)
    assert isinstance(made, Forms)
    assert made.hpcs == 3
    for reader, name in zip(READERS, made.forms, strict=True):
        page = (study.root / name).read_text(encoding="utf-8")
        shown = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", page)
        assert "SECRET" not in shown
        assert not re.search(r"hpc", shown, flags=re.I)
        assert "<script>alert" not in shown
        assert "http://" not in shown
        assert "https://" not in shown
        key = _keys(study)[reader]
        assert page.count("<img") == 3 * 4 + 3 * 4 == sum(len(q.tiles) for q in (*key.panels, *key.odd))


def test_readers_have_different_orders_and_the_same_seed_gives_the_same_bytes(study):
    first = {name: (study.root / name).read_bytes() for name in annotate(study, readers=READERS).forms}
    again = annotate(study, readers=READERS)
    assert {name: (study.root / name).read_bytes() for name in again.forms} == first
    orders = {tuple(p.hpc for p in blinded({h: range(9) for h in range(8)}, reader=str(r), seed=0, at_most=4).panels)
              for r in range(5)}  # fmt: skip
    assert len(orders) == 5


def test_the_odd_tile_is_of_another_hpc_and_tests_do_not_repeat_the_panels():
    exemplars = {h: range(10 * h, 10 * h + 9) for h in range(12)}
    key = blinded(exemplars, reader="A", seed=1, at_most=6)
    shown = {t for p in key.panels for t in p.tiles}
    for test in key.odd:
        owners = [t // 10 for t in test.tiles]
        assert owners.pop(test.place) == test.other != test.hpc
        assert owners == [test.hpc] * 3
        assert not shown & set(test.tiles)
    assert {t.place for t in key.odd} == {0, 1, 2, 3}


def test_other_forms_are_not_written_over_the_first_unless_forced(study):
    annotate(study, readers=READERS)
    with pytest.raises(ConfigError, match="--force"):
        annotate(study, readers=READERS, seed=1)
    annotate(study, readers=READERS, seed=1, force=True)


def test_agreed_names_are_written_and_existing_names_are_kept_unless_forced(study, folder):
    annotate(study, readers=READERS)
    study.paths.hpc_names.write_text("hpc,name\n0,mine\n", encoding="utf-8")
    names = {0: "=cmd()", 1: "Tumour nests", 2: "fat"}
    files = [
        _saved(study, folder, READERS[0], lambda p: names[p.hpc]),
        _saved(study, folder, READERS[1], lambda p: (names | {1: "tumour  nests", 2: "muscle"})[p.hpc]),
    ]
    reading = annotate(study, answers=files)
    assert reading.names == {"hpc_01": "Tumour nests"}
    assert reading.kept == {"hpc_00": "mine"}
    assert read_names(study).hpcs == {0: "mine", 1: "Tumour nests"}
    stored = from_plain(Agreement, read_json(study.paths.agreement), where="agreement.json")
    assert stored == reading.agreement
    assert stored.odd_one_out.solved == stored.odd_one_out.tests == 6
    assert "6 of 6 solved" in reading.to_text()
    annotate(study, answers=files, force=True)
    assert read_names(study).hpcs == {0: "=cmd()", 1: "Tumour nests"}
    assert "\n=cmd" not in study.paths.hpc_names.read_text().replace("0,", "\n")


def test_coarse_groups_are_rows_of_the_same_form_and_get_names_of_their_own(grouped, folder):
    forms = annotate(grouped, readers=READERS, tiles=4)
    assert (forms.hpcs, forms.groups) == (3, 2)
    keys = _keys(grouped)
    assert sorted(p.name for p in keys["Ada"].panels) == [
        "coarse_0",
        "coarse_1",
        "hpc_00",
        "hpc_01",
        "hpc_02",
    ]
    page = (grouped.root / forms.forms[0]).read_text(encoding="utf-8")
    assert not re.search("coarse|hpc", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    for test in keys["Ada"].odd:
        if test.level == "coarse":
            owners = [t // (4 + 3) // 2 for t in test.tiles]  # seven tiles of each HPC are read
            assert owners.pop(test.place) == test.other
            assert owners == [test.hpc] * 3
    given = {("coarse", 0): "tumour", ("hpc", 2): "fat"}
    files = [_saved(grouped, folder, reader, lambda p: given.get((p.level, p.hpc), "")) for reader in READERS]
    reading = annotate(grouped, answers=files)
    names = read_names(grouped)
    assert names.coarse == {0: "tumour", 1: "tumour, solid"}
    assert names.hpcs == {0: "tumour, solid", 1: "tumour, solid", 2: "fat"}
    assert reading.names["coarse_0"] == "tumour"
    assert [q.complete for q in reading.agreement.questions] == [3, 3, 3]
    assert [q.complete for q in reading.agreement.coarse.questions] == [2, 2, 2]
    assert [o.of for o in reading.agreement.coarse.by_group] == ["coarse_0", "coarse_1"]
    assert "2 of 2 coarse groups agreed" in reading.to_text()
    assert from_plain(Agreement, read_json(grouped.paths.agreement), where="x") == reading.agreement


@pytest.mark.parametrize(
    "changes",
    [
        {"form": "of another study"},
        {"reader": "a stranger"},
        {"odd": [0, 1, 7]},
        {"odd": [0]},
        {"panels": []},
        {"kind": "letter"},
        {"more": 1},
        {"panels": [{"tissue": "cheese", "pattern": "", "artefact": "", "name": ""}] * 3},
        {"panels": [{"tissue": "", "pattern": "", "artefact": "", "name": "a\nb"}] * 3},
        {"panels": [{"tissue": "", "pattern": "", "artefact": "", "name": "x" * 81}] * 3},
    ],
)
def test_answers_that_do_not_fit_the_form_are_refused(study, folder, changes):
    annotate(study, readers=READERS)
    good, bad = _saved(study, folder, READERS[0]), _saved(study, folder, READERS[1], **changes)
    with pytest.raises(InputError) as caught:
        annotate(study, answers=[good, bad])
    assert caught.value.code == "E_ANSWERS"
    assert not study.paths.agreement.exists()
    assert not study.paths.hpc_names.exists()


def test_a_file_that_is_no_json_and_one_that_is_not_there_are_refused(study, folder):
    annotate(study, readers=READERS)
    (folder / "torn.json").write_text('{"kind": ')
    for name in ("torn.json", "absent.json"):
        with pytest.raises(InputError) as caught:
            annotate(study, answers=[folder / name])
        assert caught.value.code == "E_ANSWERS"


def test_the_command_line_takes_several_files_after_one_flag(study, folder, capsys):
    from pathosig.commands.cli import main

    with pytest.raises(SystemExit):
        main(["annotate", str(study.root), "--readers", *READERS])
    assert "key.json" in capsys.readouterr().out
    files = [str(_saved(study, folder, r)) for r in READERS]
    with pytest.raises(SystemExit) as caught:
        main(["annotate", str(study.root), "--import", *files, "--json"])
    printed = capsys.readouterr().out
    assert caught.value.code in (0, None), printed
    assert json.loads(printed)["names"]["hpc_02"] == "tumour, solid"


def test_without_atlas_or_forms_the_message_says_what_to_run(study, folder):
    (folder / "a.json").write_text("{}")
    with pytest.raises(InputError, match="key.json.*pathosig annotate"):
        annotate(study, answers=[folder / "a.json"])
    study.paths.atlas.unlink()
    with pytest.raises(InputError, match="pathosig phenotypes") as caught:
        annotate(study)
    assert caught.value.code == "E_MISSING"


@pytest.mark.parametrize("wrong", [{"readers": ("A", "a")}, {"readers": ("",)}, {"tiles": 0}, {"tiles": 25}])
def test_impossible_settings_are_refused(study, wrong):
    with pytest.raises(ConfigError, match="expected"):
        annotate(study, **wrong)

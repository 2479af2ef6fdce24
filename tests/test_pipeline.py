"""The whole study, end to end, on real slides painted for the test, and the frozen bundle."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from pathosig.commands.pipeline import run_all
from pathosig.commands.status import status, verify
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.synthetic import SimulateSpec, compare_truth, simulate
from pathosig.viewer import start_viewer
from tests.browsing import chromium, wait_until
from tests.outputs import outputs_of

SPEC = SimulateSpec(
    n_discovery=14, n_validation=3, types=3, tiles_per_patient=20, harm=2.5, protect=-2.5, second_slide=0.1
)
SETTINGS = {
    "phenotypes": {"k": 8, "runs": 4},
    "signature": {"min_tiles": 8, "selection": "ridge"},
    "validate": {"permutations": 10, "instability": 4},
}


def cut_off():
    """What starts a program without any network (Linux, where users may make name spaces); nothing elsewhere."""
    prefix = ["unshare", "--map-root-user", "--net"]
    try:
        return (
            prefix
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
            else []
        )
    except FileNotFoundError:
        return []


def cli(*arguments, cwd=None, prefix=(), **options):
    command = [*prefix, sys.executable, "-m", "pathosig", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, **options)


def painted(folder):
    simulate(folder, SPEC, execution=Execution(workers=2))
    text = (folder / "study.toml").read_text()
    for section, table in SETTINGS.items():
        text += f"\n[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in table.items()) + "\n"
    (folder / "study.toml").write_text(text)
    return Study.open(folder)


def differences(ours, theirs):
    """What differs: the name of each file, and the first place where its bytes do."""
    found = []
    for name in sorted(n for n, data in ours.items() if theirs[n] != data):
        one, two = ours[name], theirs[name]
        at = next(
            (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
        )
        place = slice(max(0, at - 120), at + 80)
        found.append(f"{name}, byte {at}: {one[place]!r} against {two[place]!r}")
    return found


def looked_at(page):
    """Place and HPC of the tile in the middle of the view, once the view has come to rest."""
    wait_until(
        page,
        """(() => { const mark = state.mark, item = osd.world.getItemAt(0); if (!mark || !item || !state.tiles) return false;
        const at = item.viewportToImageCoordinates(osd.viewport.getCenter(true));
        return Math.abs(at.x - mark.x - mark.width / 2) < mark.width / 2 && Math.abs(at.y - mark.y - mark.width / 2) < mark.width / 2
          && osd.viewport.getZoom(true) === osd.viewport.getZoom(); })()""",
    )
    i = page.evaluate("tileAt(osd.viewport.viewportToViewerElementCoordinates(osd.viewport.getCenter()))")
    assert page.evaluate("osd.viewport.getZoom() > osd.viewport.getHomeZoom()")
    return tuple(page.evaluate(f"[state.tiles.x[{i}], state.tiles.y[{i}], state.tiles.hpc[{i}]]"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = painted(tmp_path_factory.mktemp("whole") / "study")
    report = run_all(made, execution=Execution(workers=2))
    assert report.exit_code == 0, report.to_text()
    return made


class TestWholeStudy:
    def test_every_stage_leaves_its_files(self, study):
        for name in (
            "phenotypes/codebook.safetensors",
            "phenotypes/health.json",
            "phenotypes/atlas.parquet",
            "phenotypes/map.parquet",
            "profiles/patients.parquet",
            "signature/signature.json",
            "signature/scores.csv",
            "validation/results.json",
            "report/index.html",
        ):
            assert (study.root / name).stat().st_size > 0, name

    def test_planted_types_are_found(self, study):
        found = compare_truth(study)
        assert found.ari_pure > 0.6
        assert found.selected
        assert set(found.oracle_c) == {"discovery", "validation_1", "validation_2"}

    def test_a_second_run_changes_nothing(self, study):
        before = outputs_of(study.root)
        report = run_all(study, execution=Execution(workers=1))
        assert not any(s.done for s in report.stages if s.stage != "report"), report.to_text()
        assert outputs_of(study.root) == before

    def test_status_and_verify_find_all_well(self, study):
        found = status(study)
        assert all(c["failed"] == 0 and c["missing"] == 0 for c in found.stages.values()), found.to_text()
        assert verify(study, deep=True).exit_code == 0

    def test_a_flipped_byte_is_found_and_made_again(self, study):
        path = study.root / "embeddings" / "D001.npy"
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert verify(study, deep=True).changed == ("embeddings/D001.npy",)
        run_all(study, until="embed")
        assert path.read_bytes() == good

    def test_killed_and_run_again_with_one_worker_and_no_network_gives_the_same_bytes(self, study, tmp_path):
        other = painted(tmp_path / "study")
        command = [*cut_off(), sys.executable, "-m", "pathosig", "run", str(other.root)]
        for delay in (4.0, 7.0):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        done = cli("run", other.root, prefix=cut_off())
        assert done.returncode == 0, done.stderr
        ours, theirs = outputs_of(study.root), outputs_of(other.root)
        assert set(ours) == set(theirs)
        assert not differences(ours, theirs)

    def test_the_bundle_scores_slides_as_the_study_did(self, study, tmp_path):
        made = cli("bundle", study.root, "--out", tmp_path / "b.psig")
        assert made.returncode == 0, made.stderr
        slide = study.root / "slides" / "V001.svs"
        done = cli("score", tmp_path / "b.psig", slide, "--out", tmp_path / "s.csv", "--json")
        assert done.returncode == 0, done.stderr
        score = json.loads(done.stdout)["scores"][0]["score"]
        row = next(
            r for r in (study.root / "signature/scores.csv").read_text().splitlines() if r.startswith("V001,")
        )
        assert score == pytest.approx(float(row.split(",")[2]), abs=1e-12)

    def test_a_tile_of_the_report_leads_to_its_place_and_the_atlas_back_to_the_report(self, study):
        with start_viewer(study) as running, chromium() as browser:
            page = browser.new_page(viewport={"width": 1300, "height": 800})
            page.goto(running.url)
            errors = []
            page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
            page.click(".pages a:has-text('Report')")
            page.wait_for_load_state("load")
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            tile = page.locator("#hpc-02 .tile >> nth=0")
            slide, place = page.evaluate(
                """() => { const link = new URLSearchParams(document.querySelector('#hpc-02 .go').hash.slice(1));
                return [link.get('slide'), link.get('mark')]; }"""
            )
            assert slide in tile.locator("img").get_attribute("alt")
            tile.locator("a").click()
            wait_until(page, "typeof state === 'object' && state.mark && state.tiles")
            assert page.inner_text("#name") == slide
            x, y, hpc = looked_at(page)
            assert (f"{x},{y}", hpc) == (place.rpartition(",")[0], 2)

            page.click("#legend [data-unit='2']")
            page.click("#atlas-hint a")
            page.wait_for_load_state("load")
            assert page.url.endswith("/report#hpc-02")
            top = "document.getElementById('hpc-02')?.getBoundingClientRect().top"
            wait_until(page, f"{top} >= 0 && {top} < 800")  # the page opens what is folded, and scrolls there
            assert page.evaluate("getComputedStyle(document.querySelector('.hpc')).borderLeftWidth") == "6px"
            assert errors == []

    def test_a_click_on_the_tissue_behind_a_score_goes_to_the_tile_and_to_the_exemplar(self, study):
        with start_viewer(study) as running, chromium() as browser:
            page = browser.new_page(viewport={"width": 1300, "height": 800})
            page.goto(running.url)
            wait_until(page, "document.querySelectorAll('#nearest .near').length > 1")
            first = page.evaluate("state.slide")
            url = f"{page.url.split('#')[0]}api/slides/{first['id']}/nearest"
            rows = page.request.get(url).json()
            contributions = [
                abs(page.evaluate(f"state.study.hpcs[{r['hpc']}].weight") * r["count"]) for r in rows
            ]
            assert contributions == sorted(contributions, reverse=True)
            assert min(contributions) > 0
            names = page.locator("#nearest .near > .name").all_inner_texts()
            assert names == [
                f"HPC {r['hpc']:02d}, {r['count']} {'tile' if r['count'] == 1 else 'tiles'}" for r in rows
            ]

            page.click("#nearest .near > .name >> nth=1")
            wait_until(page, "state.mark !== null")
            assert looked_at(page) == (rows[1]["x"], rows[1]["y"], rows[1]["hpc"])

            row = next(r for r in rows if r["exemplars"])
            near = row["exemplars"][0]
            exemplar = page.evaluate(f"state.study.exemplars[{near['index']}]")
            shown = page.locator(f"#nearest [data-exemplar='{near['index']}']")
            assert shown.locator("xpath=..").inner_text().strip() == f"{near['distance']:.2f}"
            shown.click()
            opened = f"state.slide.id === '{exemplar['slide']}' && state.tiles !== null && state.mark"
            wait_until(page, opened)
            assert page.evaluate("state.slide.patient") != first["patient"]
            assert looked_at(page) == (exemplar["x"], exemplar["y"], row["hpc"])

    def test_slides_that_cannot_be_read_are_in_the_table_with_the_reason(self, study, tmp_path):
        cli("bundle", study.root, "--out", tmp_path / "b.psig")
        (tmp_path / "empty.svs").touch()
        done = cli("score", tmp_path / "b.psig", tmp_path / "empty.svs", "--out", tmp_path / "s.csv")
        assert done.returncode == 4, done.stderr
        assert "not assessable" in (tmp_path / "s.csv").read_text()
        assert "E_FORMAT empty.svs: has zero bytes" in (tmp_path / "s.csv").read_text()

    def test_a_tampered_bundle_is_refused(self, study, tmp_path):
        cli("bundle", study.root, "--out", tmp_path / "b.psig")
        with zipfile.ZipFile(tmp_path / "b.psig") as archive:
            members = {n: archive.read(n) for n in archive.namelist()}
        members["signature/signature.json"] = members["signature/signature.json"].replace(
            b'"cutoff"', b'"cut0ff"'
        )
        for name, extra in (("bad.psig", {}), ("evil.psig", {"../../evil.py": b"boom"})):
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                for member, data in {**members, **extra}.items():
                    archive.writestr(member, data)
            done = cli(
                "score", tmp_path / name, study.root / "slides" / "V001.svs", "--out", tmp_path / "s.csv"
            )
            assert done.returncode == 3
            assert "E_BUNDLE" in done.stderr
        assert not (tmp_path.parent / "evil.py").exists()


def test_a_program_that_is_cut_off_reaches_nobody():
    if not cut_off():
        pytest.skip("no name space can be made here")
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = subprocess.run(
        [*cut_off(), sys.executable, "-c", reach], capture_output=True, text=True, check=False
    )
    assert "unreachable" in done.stderr


def test_a_missing_study_is_exit_2_without_a_traceback(tmp_path):
    done = cli("run", tmp_path)
    assert done.returncode == 2
    assert "E_NO_STUDY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("run",), ("run", "x", "--wrong", "1"), ("tiles", "x", "--mpp", "abc")]
)
def test_wrong_usage_is_exit_2(arguments, tmp_path):
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_errors_are_one_json_object_when_asked(tmp_path):
    done = cli("status", tmp_path, "--json")
    assert json.loads(done.stdout)["error"]["code"] == "E_NO_STUDY"


def test_shards_stop_before_the_first_fit_and_wait(tmp_path):
    study = painted(tmp_path / "study")
    first = run_all(study, execution=Execution(shard="1/2"))
    assert "waiting for" in first.note
    assert first.exit_code == 0
    assert not (study.root / "phenotypes").exists()
    second = run_all(study, execution=Execution(shard="2/2"))
    assert "all slides are done" in second.note


def test_no_event_ends_with_exit_5_and_a_report(tmp_path):
    simulate(
        tmp_path / "s", SimulateSpec(level="embeddings", n_discovery=12, n_validation=4, tiles_per_patient=60)
    )
    table = tmp_path / "s" / "patients.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    column = rows[0].index("os_event")
    for row in rows[1:]:
        row[column] = "0"
    table.write_text("\n".join(",".join(r) for r in rows) + "\n")
    config = tmp_path / "s" / "study.toml"
    config.write_text(config.read_text() + "\n[phenotypes]\nk = 6\nruns = 2\n")
    done = cli("run", tmp_path / "s", "--json")
    assert done.returncode == 5, done.stderr
    assert (tmp_path / "s" / "report" / "index.html").is_file()

"""The report: complete, escaped, offline, the same bytes twice, and there even when a study has little."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import tifffile

from pathosig.core.errors import ConfigError, InputError
from pathosig.core.records import Record, write_json, write_parquet
from pathosig.core.schema import ASSIGNMENTS, ATLAS, TILES, write_table
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.report import ReportSpec, build_report
from pathosig.report.page import Chapter, Page, Section, Table, Text
from pathosig.report.rendering import render, show, without_empty
from pathosig.report.sections.tissue import _reason

EVIL = "S1 <script>alert('x')</script>"
CONFIG = {
    "endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}},
    "columns": {"covariates": ["age"], "treatments": [], "subgroups": ["stage"]},
    "primary": {"endpoint": "os", "discovery": "discovery"},
}


def page_of(study):
    """The page after a run of the report stage."""
    build_report(study)
    return study.paths.report


def _patients(root, n=24):
    rng = np.random.default_rng(3)
    lines = ["patient_id,cohort,os_time,os_event,age,stage"]
    for i in range(n):
        cohort = "discovery" if i % 3 else "validation_1"
        lines.append(
            f"P{i:03d},{cohort},{rng.exponential(30):.3f},{i % 2},{50 + i},{'I' if i % 2 else 'III'}"
        )
    (root / "patients.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [f"P{i:03d}" for i in range(n)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    patients = _patients(root)
    pixels = np.random.default_rng(0).integers(120, 250, (600, 900, 3)).astype(np.uint8)
    tifffile.imwrite(
        root / "a.tif",
        pixels,
        tile=(256, 256),
        photometric="rgb",
        compression="deflate",
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )
    (root / "slides.csv").write_text(
        f'slide_id,patient_id,path\n"{EVIL}",P001,a.tif\nS2,P002,a.tif\nS3,P003,gone.svs\n', encoding="utf-8"
    )
    study = Study.create(root, CONFIG)
    x, y = (a.ravel().astype(np.int32) for a in np.meshgrid(np.arange(0, 800, 200), np.arange(0, 400, 200)))
    ids = np.arange(len(x), dtype=np.int32)
    zero, hpc = np.zeros(len(x), np.float32), (ids % 4).astype(np.int16)
    for specimen in study.specimens():
        if specimen.id == "S3":
            error = {
                "code": "E_NOT_FILE",
                "message": "slide S3: no such file. Correct its path in slides.csv.",
            }
            record = Record(stage="tissue", unit="S3", status="failed", fingerprint="0" * 64, error=error)
            record.write(study.record_path("tissue", "S3"))
            continue
        table = pa.table({"tile_id": ids, "x": x, "y": y, "tissue": zero + 1})
        write_table(
            study.file("tiles", specimen.id, ".parquet"), table, TILES, {"pathosig": {"tile_level0_px": 200}}
        )
        columns = {"tile_id": ids, "hpc": hpc, "confidence": zero, "hpc_2": hpc, "hpc_3": hpc}
        columns |= {"confidence_2": zero, "confidence_3": zero, "distance": zero, "coarse": hpc // 2}
        write_table(study.file("phenotypes", specimen.id, ".parquet"), pa.table(columns), ASSIGNMENTS)
        for stage in ("tissue", "tiles"):
            record = Record(
                stage=stage,
                unit=specimen.id,
                status="ok",
                fingerprint="1" * 64,
                spec={"seed": 7},
                summary={"n_tiles": len(ids), "excluded": {"pen": 3}},
                warnings=["pen marks"],
            )
            record.write(study.record_path(stage, specimen.id))
    one = {k: pa.array([v], pa.int16()) for k, v in (("hpc", 1), ("rank", 0))} | {
        "kind": ["typical"],
        "slide_id": ["S2"],
    }
    one |= {k: pa.array([v], pa.int32()) for k, v in (("tile_id", 1), ("x", 200), ("y", 0))}
    one |= {"distance": pa.array([0.1], pa.float32()), "coarse": pa.array([0], pa.int16())}
    write_table(root / "phenotypes" / "atlas.parquet", pa.table(one), ATLAS)
    linkage = [[0, 1, 0.1, 2], [2, 3, 0.2, 2], [4, 5, 0.9, 4]]
    tree = {"k": 4, "nodes": [], "artefact_hpcs": [3], "linkage": linkage}
    write_json(root / "phenotypes" / "tree.json", tree | {"coarse": {"k": 2, "groups": [0, 0, 1, 1]}})
    (root / "hpc_names.csv").write_text("hpc,name\ncoarse_0,tumour <b>\n1,nests\n", encoding="utf-8")
    groups = [{"coarse": g, "hpcs": [2 * g, 2 * g + 1], "share": 0.5, "halves": 0.25} for g in range(2)]
    write_json(
        root / "phenotypes" / "health.json",
        {"perplexity": 0.9, "hpcs": [{"hpc": i, "share": 0.25} for i in range(4)], "coarse": groups},
    )
    shares = np.random.default_rng(1).dirichlet(np.ones(4), len(patients))
    profile = {"patient_id": patients, "n_slides": pa.array([1] * len(patients), pa.int32())}
    profile |= {"n_tiles": pa.array([300] * len(patients), pa.int32())}
    profile |= {f"hpc_{i:02d}": shares[:, i] for i in range(4)}
    write_parquet(
        root / "profiles" / "patients.parquet",
        pa.table(profile),
        {"pathosig": {"kind": "composition", "k": 4}},
    )
    scores = ["patient_id,cohort,score,group,core_agreement"]
    scores += [
        f"{p},{'discovery' if i % 3 else 'validation_1'},{s[0] - s[1]:.5f},{'high' if s[0] > s[1] else 'low'},single"
        for i, (p, s) in enumerate(zip(patients, shares, strict=True))
    ]
    (root / "signature").mkdir()
    (root / "signature" / "scores.csv").write_text("\n".join(scores) + "\n", encoding="utf-8")
    write_json(root / "truth.json", {"harmful": "type 1", "hazards": {"type 1": 1.2}})
    return study


@pytest.fixture(scope="module")
def page(study):
    return page_of(study).read_text(encoding="utf-8")


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids, self.anchors = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                (self.anchors if (value or "").startswith("#") else self.links).append(value or "")
            if name == "id":
                self.ids.append(value)
            assert not name.startswith("on"), name


def test_the_page_has_no_script_and_asks_no_other_host(page):
    tags = _Tags()
    tags.feed(page)
    assert not {"script", "iframe", "object", "embed", "form"} & set(tags.tags)
    assert all(link.startswith("data:") for link in tags.links), [
        k for k in tags.links if not k.startswith("data:")
    ]
    assert "default-src 'none'" in page
    css = page.split("<style>")[1].split("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css


def test_ids_are_unique_and_every_link_inside_the_page_has_its_target(page):
    tags = _Tags()
    tags.feed(page)
    assert len(tags.ids) == len(set(tags.ids))
    assert {a[1:] for a in tags.anchors} <= set(tags.ids)
    assert page.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]', page))


def test_names_cannot_inject_markup(page):
    assert "<script" not in page
    assert html.escape(EVIL, quote=False).replace("'", "&#39;") in page


def test_coarse_groups_stand_by_name_in_atlas_maps_and_health(page, study):
    def section(name):
        start = page.index(f'<section id="{name}"')
        return html.unescape(page[start : page.index("</section>", start)])

    atlas = section("atlas")
    assert "Coarse 0 tumour <b>" in atlas
    assert "steadiness 0.25" in atlas
    assert "HPC 00 in tumour <b>" in atlas
    assert "HPC 01 nests" in atlas
    assert section("maps").count("its tiles by coarse group and by HPC") >= 2
    for name in ("map_01", "health_groups", "atlas_groups"):
        drawing = html.unescape((study.root / "figures" / f"{name}.svg").read_text())
        assert "tumour <b>" in drawing, name


def test_every_map_names_its_slide_for_the_viewer(page):
    from pathosig.viewer.app import with_links

    marks = re.findall(r"<!--slide:([^ ]+)-->", page)
    assert len(marks) == 2
    served = with_links(page).decode()
    assert served.count(">Open in the viewer</a>") == 2
    assert '<a href="/#slide=S2">' in served
    assert "<script" not in served


def test_the_same_study_gives_the_same_bytes(study):
    first = {
        p.relative_to(study.root): p.read_bytes()
        for d in ("report", "figures")
        for p in (study.root / d).rglob("*")
        if p.is_file()
    }
    build_report(study, execution=Execution(force=True))
    second = {
        p.relative_to(study.root): p.read_bytes()
        for d in ("report", "figures")
        for p in (study.root / d).rglob("*")
        if p.is_file()
    }
    assert first == second
    assert len(first) > 8


def test_what_a_killed_run_left_behind_changes_nothing(study):
    before = page_of(study).read_bytes()
    audits = study.root / "validation" / "audits"
    audits.mkdir(parents=True, exist_ok=True)
    whole = sorted((study.root / "records").rglob("*.json"))
    left = [p.with_name(f".tmp-0123456789ab-{p.name}") for p in whole]
    for path, copy in zip(whole, left, strict=True):
        shutil.copy(path, copy)
    left.append(audits / ".tmp-0123456789ab-null.json")
    left[-1].write_text("{}")
    try:
        build_report(study, execution=Execution(force=True))
        assert (study.root / "report" / "index.html").read_bytes() == before
    finally:
        for path in left:
            path.unlink()


def test_a_second_call_finds_it_fresh_and_a_changed_title_does_not(study, page):
    path = study.root / "report" / "index.html"
    before = path.stat().st_mtime_ns
    build_report(study)
    assert path.stat().st_mtime_ns == before
    build_report(study, ReportSpec(title="Another title"))
    assert "<h1>Another title</h1>" in path.read_text()


def test_nothing_of_this_machine_is_in_the_outputs(study, page):
    for path in [*(study.root / "figures").glob("*.svg"), study.root / "report" / "index.html"]:
        text = path.read_text(encoding="utf-8")
        assert str(study.root) not in text
        assert str(Path.home()) not in re.sub(r"base64,[^\"]+", "", text)


def test_failures_warnings_flow_and_truth_are_told(page):
    for text in (
        "E_NOT_FILE",
        "Correct its path in slides.csv",
        "Pen marks",
        "What was planted",
        "type 1 1.2",
        "1 slide failed",
    ):
        assert text in page or text in _svg_texts(page), text


def _svg_texts(page):
    import base64

    return " ".join(
        base64.b64decode(b).decode() for b in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    )


def test_the_checklist_names_what_is_missing_and_why(page):
    assert "not available: no signature was found" in page or "No signature." in page
    assert re.search(r"not available: [^<]+audit", page)
    assert re.search(r'href="#flow">Flow<', page)


def test_a_study_of_a_feature_table_has_a_report_without_slides(tmp_path):
    patients = _patients(tmp_path)
    study = Study.create(tmp_path, CONFIG)
    profile = {
        "patient_id": patients,
        "n_slides": pa.array([1] * 24, pa.int32()),
        "n_tiles": pa.array([0] * 24, pa.int32()),
    }
    profile |= {"nuclear size": np.arange(24.0)}
    write_parquet(
        tmp_path / "profiles" / "patients.parquet", pa.table(profile), {"pathosig": {"kind": "features"}}
    )
    Record(stage="profiles", unit="_profiles", status="ok", fingerprint="0" * 64).write(
        study.record_path("profiles", "_profiles")
    )
    text = page_of(study).read_text()
    assert "features from an outside table" in text
    assert 'id="atlas"' not in text


def test_a_study_on_which_nothing_has_run_has_no_report(tmp_path):
    (tmp_path / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
    study = Study.create(tmp_path, CONFIG)
    with pytest.raises(InputError, match="no stage has run"):
        build_report(study)
    assert not study.paths.report.exists()
    assert not study.paths.records.exists()


def test_a_study_of_one_failed_slide_has_a_report_of_that(tmp_path):
    (tmp_path / "patients.csv").write_text("patient_id,cohort,os_time,os_event\nP1,discovery,10,1\n")
    study = Study.create(tmp_path, CONFIG)
    error = {"code": "E_FORMAT", "message": "slide S1 (a.svs): not a slide."}
    Record(stage="tissue", unit="S1", status="failed", fingerprint="0" * 64, error=error).write(
        study.record_path("tissue", "S1")
    )
    text = page_of(study).read_text()
    assert "The signature stage has not run." in text
    assert "not a slide" in text


def test_a_signature_that_found_nothing_is_a_result(tmp_path):
    _patients(tmp_path)
    study = Study.create(tmp_path, CONFIG)
    error = {"code": "E_NOT_ESTIMABLE", "message": "signature: 2 events; at least 10 are needed."}
    Record(stage="signature", unit="_signature", status="failed", fingerprint="0" * 64, error=error).write(
        study.record_path("signature", "_signature")
    )
    text = page_of(study).read_text()
    assert "2 events; at least 10 are needed" in text


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="max_maps"):
        ReportSpec(max_maps=-1)


def test_old_figures_go_when_the_report_no_longer_draws_them(study):
    build_report(study, ReportSpec(max_maps=2))
    assert (study.root / "figures" / "map_02.svg").is_file()
    build_report(study, ReportSpec(max_maps=1))
    assert not (study.root / "figures" / "map_02.svg").exists()


def test_every_template_escapes_and_cells_have_one_format():
    table = Table(caption="<i>", columns=["<u>"], rows=[["<b>", 1234, 0.12345, None, True, 1e-9]])
    section = Section(id="a", title="<h>", blocks=[table, Text(text="<p1>")])
    chapter = Chapter(id="b", title="<c>", question="<q>", sections=[section])
    page = Page(title="<t>", subtitle="", chapters=[chapter])
    text = render(page)
    for raw in ("<i>", "<u>", "<b>", "<t>", "<p1>", "<c>", "<q>", "<h>"):
        assert raw not in text
    assert [show(v) for v in (1234, 0.12345, None, True, -0.5, 1e-9)] == [
        "1,234",
        "0.123",
        "–",
        "yes",
        "−0.500",
        "1e−09",
    ]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium (Debian package chromium)")
def test_a_browser_shows_the_page_from_disk(study, page, tmp_path):
    target = tmp_path / "shot.png"
    command = [
        shutil.which("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1200,900",
        f"--screenshot={target}",
        f"file://{study.root}/report/index.html",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    from PIL import Image

    with Image.open(target) as image:
        assert len(image.convert("RGB").getcolors(maxcolors=1_000_000)) > 50


def test_a_study_from_embeddings_lists_its_hpcs_without_empty_frames(study, tmp_path):
    other = Study.open(shutil.copytree(study.root, tmp_path / "copy"))
    (other.root / "phenotypes" / "atlas.parquet").unlink()
    config = other.root / "study.toml"
    config.write_text(config.read_text() + '\n[study]\nlevel = "embeddings"\n')
    page = page_of(Study.open(other.root)).read_text()
    assert "the study starts from embeddings, there are no slides" in page
    assert "No tile could be read" not in re.sub(r"\s+", " ", page)


def test_planted_effects_are_told_as_hazard_ratios(study, tmp_path):
    other = Study.open(shutil.copytree(study.root, tmp_path / "copy"))
    treatment = {"column": "chemo", "log_hr_high_risk": -0.8, "log_hr_low_risk": 0.0}
    truth = {"effects": [0.7, -0.7], "harmful": "tumour", "protective": "stroma", "treatment": treatment}
    write_json(other.root / "truth.json", truth)
    page = page_of(other).read_text()
    for text in ("tumour: HR 2.01 per SD", "stroma: HR 0.50 per SD", "chemo: HR 0.45 above the median risk"):
        assert text in page


def test_the_report_has_the_name_of_the_study_not_of_its_folder(study, tmp_path):
    other = shutil.copytree(study.root, tmp_path / "secret-folder")
    assert "secret-folder" not in page_of(Study.open(other)).read_text()
    config = other / "study.toml"
    config.write_text(config.read_text() + '\n[study]\nname = "Three centres"\n')
    assert "Three centres" in page_of(Study.open(other)).read_text()


def test_columns_without_any_value_are_left_out_and_named():
    table = Table(caption="c", columns=["a", "b", "d"], rows=[[1, None, "–"], [2, None, 0.5]], note="n.")
    found = without_empty(table)
    assert list(found.columns) == ["a", "d"]
    assert [list(r) for r in found.rows] == [[1, "–"], [2, 0.5]]
    assert found.note == "n. Not available in any row: b."
    assert without_empty(found) == found


def test_the_contact_sheet_says_why_a_slide_is_framed():
    def record(stage, unit, status="ok", **facts):
        return Record(stage=stage, unit=unit, status=status, fingerprint="f", **facts)

    excluded = {"tissue": 22, "blur": 8, "pen": 1}
    tissue = [record("tissue", u) for u in "abcd"] + [record("tissue", "e", "empty")]
    tiles = [
        record("tiles", "a"),
        record("tiles", "b", "failed", error={"code": "E_RESOLUTION", "message": "too coarse"}),
        record("tiles", "c", "empty", summary={"excluded": excluded}),
        record("tiles", "d", warnings=["lost its end"]),
        record("tiles", "e", "empty", summary={"excluded": {"tissue": 30}}),
        record("tiles", "f", "empty", summary={"excluded": {"tissue": 30}}),
    ]
    material = SimpleNamespace(of=lambda stage: {"tissue": tissue, "tiles": tiles}[stage])
    said = {unit: _reason(material, unit) for unit in "abcdef"}
    assert said == {
        "a": [],
        "b": ["tiles failed: E_RESOLUTION"],
        "c": ["empty: out of focus"],
        "d": ["see its warnings"],
        "e": ["empty: no tissue"],
        "f": ["empty: too little tissue"],
    }


def test_an_estimate_may_break_before_its_interval_and_nowhere_else():
    from pathosig.report.rendering import kept_together

    assert str(kept_together("1.42 (1.10–1.83)")) == '1.42 <span class="nb">(1.10–1.83)</span>'
    assert str(kept_together("<b> (<i>)")) == '&lt;b&gt; <span class="nb">(&lt;i&gt;)</span>'
    assert str(kept_together("a & b")) == "a &amp; b"

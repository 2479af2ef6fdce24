"""Sections drawn from results that `validate` wrote: complete, and whole when any part could not be estimated."""

from __future__ import annotations

import dataclasses
import html
import re

import pytest

from pathosig.core.clinical import Columns
from pathosig.core.records import Record
from pathosig.figures import km_plot
from pathosig.figures.results import known, subgroup_row
from pathosig.figures.style import svg_bytes
from pathosig.figures.uncertainty import CORRELATION, SLOPE, time_scale
from pathosig.report import build_report
from pathosig.report.cells import (
    estimate_cell,
    estimate_words,
    hr_cell,
    in_words,
    per_cent_cell,
    ratio_cell,
    time_text,
    why_uncertain,
)
from pathosig.report.compose import compose, places_of
from pathosig.report.material import Phenotypes
from pathosig.report.page import Folded, Note, Number, Picture, Table, Verdicts, every_block
from pathosig.report.reading import read_material
from pathosig.report.sections.added import added_value_section, until_nobody
from pathosig.report.sections.characteristics import table1_table
from pathosig.report.sections.checks import internal_section, rmst_cell, sample_size_section
from pathosig.report.sections.findings import gravest_first, grouped
from pathosig.report.sections.methods import methods_section
from pathosig.report.sections.outcomes import outcomes_section
from pathosig.report.sections.performance import auc_horizons, performance_section
from pathosig.report.sections.profiles import profiles_section
from pathosig.report.sections.summary import summary_section
from pathosig.report.spec import ReportSpec
from pathosig.validation.analysis import Analysis, RestrictedMeans, SubgroupLevel
from pathosig.validation.results import Roles, read_results
from pathosig.validation.sparse import SparseAlternative
from pathosig.validation.table1_values import Table1, Table1Cell, Table1Row
from pathosig.validation.values import Estimate, Finding, HazardRatio, NotEstimable
from pathosig.validation.verdict import internal_verdict, nothing_found

GONE = NotEstimable(reason="three patients are too few")
PARTS = sorted(f.name for f in dataclasses.fields(Analysis) if "NotEstimable" in str(f.type))


@pytest.fixture
def _without_writing(monkeypatch):
    """Figures are drawn but not turned into SVG, which takes most of the time."""
    monkeypatch.setattr("pathosig.report.images.svg_bytes", lambda figure: b"")


@pytest.fixture(scope="module")
def page(validated):
    build_report(validated)
    return validated.paths.report.read_text(encoding="utf-8")


def with_results(material, **changes):
    return dataclasses.replace(material, results=dataclasses.replace(material.results, **changes))


def with_analyses(material, change):
    return with_results(material, analyses=tuple(change(a) for a in material.results.analyses))


def pictures(blocks):
    return [b.name for b in every_block(blocks) if isinstance(b, Picture)]


def words(page):
    text = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_every_part_of_the_results_has_its_section(page):
    ids = re.findall(r'<section id="([a-z0-9-]+)"', page)
    for name in (
        "summary", "survival", "models", "performance", "added-value", "signature", "profiles", "univariable", "flow",
        "data", "characteristics", "outcomes", "subgroups", "associations", "treatment", "hazards", "sample-size",
        "warnings", "failures", "limitations", "provenance", "checklist",
    ):  # fmt: skip
        assert name in ids, name
    assert len(re.findall(r'<div class="chapter"', page)) == 6
    assert page.count("<figure") > 25


def test_the_claim_of_discovery_stands_beside_the_verdict(page, validated):
    claim = read_results(validated.paths.results).claim_of_discovery()
    assert "candidates in discovery" in claim
    start = page.index('class="verdicts"')
    assert claim[1:40] in page[start : page.index("<figure", start)]


@pytest.mark.usefixtures("_without_writing")
@pytest.mark.parametrize(("terms", "is_said"), [(2, False), (3, True)])
def test_a_smaller_signature_is_named_only_where_it_is_smaller(validated, terms, is_said):
    material = read_material(validated, ReportSpec())
    other = SparseAlternative(features=("hpc_01", "hpc_02"), terms=terms, cohorts=())
    section = summary_section(with_results(material, sparse_alternative=other))
    said = [b.text for b in every_block(section.blocks) if isinstance(b, Note)]
    assert any("A smaller signature is available: 2 features" in text for text in said) is is_said


def test_the_verdict_stands_before_every_figure_in_plain_words(page):
    start = page.index('class="verdicts"')
    assert start < page.index("<figure")
    text = words(page[start:])
    assert "A higher score means shorter overall survival in 2 of 2 validation cohorts." in text[:400]
    assert "Holds" in text[:200]
    assert page.index('class="gravest"') < page.index("<figure")


def test_names_and_numbers_are_printed_as_in_a_journal(page):
    text = words(page)
    for raw in ("validation_1", "hpc_0", " 1 slides", " 1 cohorts", "1 events", "(per unit)", " -0.", "(-0."):
        assert raw not in text, raw
    assert not re.search(r"(?<![\w.])\.\d", text)
    assert "Age" in text


def test_a_figure_of_every_kind_is_drawn(validated, page):
    names = {p.stem for p in (validated.root / "figures").glob("*.svg")}
    for prefix in ("primary", "km_os", "effects_os", "forest_", "auc_", "calibration_", "net_benefit_", "spline_", "volcano",
                   "equation", "outcome_", "incidence_", "competing_", "subgroups_", "associations_", "alluvial",
                   "treatment_01", "treatment_km_", "treatment_score_", "flow", "profiles_"):  # fmt: skip
        assert any(n.startswith(prefix) for n in names), prefix


@pytest.mark.usefixtures("_without_writing")
@pytest.mark.parametrize("part", PARTS)
def test_any_part_of_an_analysis_may_be_missing(material, part):
    changed = with_analyses(material, lambda a: dataclasses.replace(a, **{part: GONE}))
    one = with_results(changed, analyses=changed.results.analyses[1:2], treatment=())
    page = compose(dataclasses.replace(one, pictures=(), patients=None), ReportSpec())
    assert "survival" in {s.id for s in page.sections}


def test_the_parts_that_may_be_missing_were_listed():
    assert len(PARTS) >= 18


@pytest.mark.usefixtures("_without_writing")
def test_results_with_nothing_but_verdicts_have_a_report(material):
    results = material.results
    empty = type(results)(kind="none", primary=results.primary, signature=GONE, verdicts=results.verdicts)
    page = compose(dataclasses.replace(material, results=empty, core_agreement={}), ReportSpec())
    assert "survival" not in {s.id for s in page.sections}
    assert "summary" in {s.id for s in page.sections}


def test_km_plot_takes_results_or_one_analysis(material):
    results = material.results
    grid = svg_bytes(km_plot(results, endpoint="os")).decode()
    assert ">Validation 1<" in grid
    assert ">Discovery (apparent)<" in grid
    one = svg_bytes(km_plot(results, cohort="validation_1", endpoint="os")).decode()
    assert ">Discovery (apparent)<" not in one
    assert svg_bytes(km_plot(results.analysis("validation_1", "os"))).decode() == one
    with pytest.raises(ValueError, match="no Kaplan-Meier"):
        km_plot(results, cohort="nobody")
    with pytest.raises(TypeError, match="Results"):
        km_plot(3)


@pytest.mark.usefixtures("_without_writing")
def test_a_cross_validation_that_selected_nothing_is_said_on_top(internal):
    from pathosig.report.reading import read_material

    material = read_material(internal, ReportSpec())
    found = known(material.results.internal)
    half = Estimate(estimate=0.5, lower=0.5, upper=0.5)
    verdict = internal_verdict("os", c=0.5, lower=0.5, upper=0.5, share_empty=1.0)
    nothing = with_results(
        material,
        internal=dataclasses.replace(found, share_empty=1.0, harrell_c=half, selected=()),
        verdicts=(verdict,),
    )
    section = summary_section(nothing)
    line = next(b for b in section.blocks if isinstance(b, Verdicts)).lines[0]
    assert line.word == "Nothing found"
    assert line.sentence.startswith("Cross-validation selected nothing in any fold")
    (name, cells), *others = line.rows
    assert (name, others) == ("Discovery", [])
    assert {c.uncertain for c in cells[1:3]} == {"nothing was selected in any fold"}
    assert internal_section(nothing).blocks[0].title == "Nothing found."


def test_a_study_without_a_signature_says_so_and_promises_no_scores(internal):
    material = read_material(internal, ReportSpec())
    empty = dataclasses.replace(
        with_results(material, verdicts=(nothing_found("os", "9 events; at least 10 are needed"),)), scores=()
    )
    line = next(b for b in summary_section(empty).blocks if isinstance(b, Verdicts)).lines[0]
    assert line.word == "No signature"
    assert line.sentence == "9 events; at least 10 are needed."
    assert "slides and cores" not in profiles_section(empty).lead


def test_results_of_another_version_are_named_instead_of_a_missing_validation(internal):
    from pathosig.report.reading import read_material

    path = internal.paths.results
    kept = path.read_bytes()
    try:
        path.write_text('{"schema": 1}')
        material = read_material(internal, ReportSpec())
    finally:
        path.write_bytes(kept)
    assert material.results is None
    note = next(b for b in summary_section(material).blocks if isinstance(b, Note))
    assert note.text.startswith(
        "No verdict: E_RESULTS: results.json: schema 1; this pathosig reads schema 2."
    )


@pytest.mark.usefixtures("_without_writing")
def test_an_internal_validation_says_that_it_is_internal(internal):
    from pathosig.report.reading import read_material

    page = compose(read_material(internal, ReportSpec()), ReportSpec())
    sections = {s.id: s for s in page.sections}
    assert "There is no external cohort" in sections["internal"].lead
    checks = next(b for b in every_block(sections["checklist"].blocks) if b.kind == "checklist")
    assert "the study has no validation cohort; results are internal" in {i.missing for i in checks.items}


def test_estimates_too_wide_to_mean_anything_carry_the_reason():
    effect = HazardRatio(hr=14.9, lower=4.0, upper=54.9, p=0.001, n=30, events=9)
    assert why_uncertain(effect) == "9 events only: too few for a firm estimate"
    assert why_uncertain(dataclasses.replace(effect, events=1)).startswith("1 event only")
    assert (
        why_uncertain(dataclasses.replace(effect, events=10))
        == "the confidence interval spans a factor of 14"
    )
    assert why_uncertain(dataclasses.replace(effect, events=10, upper=39.0)) == ""
    wide = dataclasses.replace(effect, events=10, lower=0.4)
    assert why_uncertain(wide) == "the confidence interval spans a factor of 137"
    assert why_uncertain(dataclasses.replace(effect, events=10, upper=None)) != ""


def test_every_kind_of_estimate_is_grey_when_its_interval_says_nothing_and_plain_when_it_does():
    def estimate(lower, upper):
        return Estimate(estimate=0.6, lower=lower, upper=upper)

    cells = {
        "slope": (
            estimate_cell(estimate(-0.5, 1.6), scale=SLOPE),
            estimate_cell(estimate(-0.3, 1.6), scale=SLOPE),
        ),
        "C": (estimate_cell(estimate(0.3, 0.9)), estimate_cell(estimate(0.4, 0.9))),
        "proportion": (per_cent_cell(estimate(0.1, 0.9)), per_cent_cell(estimate(0.4, 0.8))),
        "correlation": (
            estimate_cell(estimate(-0.3, 0.9), scale=CORRELATION),
            estimate_cell(estimate(0.2, 0.9), scale=CORRELATION),
        ),
        "time": (
            estimate_cell(estimate(-9, 10), scale=time_scale(36)),
            estimate_cell(estimate(-9, 8), scale=time_scale(36)),
        ),
        "ratio": (ratio_cell(1.0, 0.2, 2.1), ratio_cell(1.0, 0.25, 2.1)),
        "hazard ratio": (
            hr_cell(HazardRatio(hr=1.0, lower=0.2, upper=2.1, p=1.0, n=90, events=40)),
            hr_cell(HazardRatio(hr=1.0, lower=0.25, upper=2.1, p=1.0, n=90, events=40)),
        ),
    }
    for kind, (grey, plain) in cells.items():
        assert isinstance(grey, Number), kind
        assert grey.uncertain, kind
        assert isinstance(plain, str), kind
    assert estimate_cell(estimate(None, None), scale=SLOPE) == "0.600"
    assert estimate_cell(estimate(0.5, None)) == Number(
        value="0.600 (0.500–NR)", uncertain="the confidence interval has no end"
    )


def test_equal_warnings_stand_in_one_line_with_where_they_arose(material):
    separated = [
        Finding(code="W_SEPARATION", message=f"{a}: hr_sd is infinite by maximum likelihood.", where=a)
        for a in ("validation_1 / os", "validation_2 / os")
    ]
    other = Finding(
        code="W_SEPARATION",
        message="discovery / os: hr_group is infinite by maximum likelihood.",
        where="discovery / os",
    )
    depth = Finding(code="W_LEAK", message="hazard ratio above 8 per SD: x. Does it?", where="univariate")
    assert grouped(material, [*separated, other, depth]) == [
        ("W_LEAK", "Hazard ratio above 8 per SD: x. Does it?"),
        (
            "W_SEPARATION",
            "The hazard ratio per SD is infinite by maximum likelihood. "
            "Where: Validation 1, overall survival; Validation 2, overall survival.",
        ),
        (
            "W_SEPARATION",
            "Discovery, overall survival: the hazard ratio high against low is infinite by maximum likelihood.",
        ),
    ]


def test_a_subgroup_of_four_events_has_no_hazard_ratio_and_one_of_five_has():
    effect = HazardRatio(hr=1.46, lower=1.2, upper=1.8, p=0.001, n=6, events=4)
    few = subgroup_row(SubgroupLevel(level="N+", n=6, events=4, effect=effect))
    assert (few.hr, few.remark) == (None, "not estimable (4 events)")
    assert (
        subgroup_row(SubgroupLevel(level="N+", n=6, events=1, effect=effect)).remark
        == "not estimable (1 event)"
    )
    assert subgroup_row(SubgroupLevel(level="N+", n=6, events=5, effect=effect)).hr == 1.46


@pytest.mark.usefixtures("_without_writing")
def test_other_endpoints_and_apparent_results_are_folded_and_the_primary_ones_open(material):
    sections = {s.id: s for s in compose(material, ReportSpec()).sections}
    for name in ("models", "performance", "subgroups"):
        shown = {b.name for b in sections[name].blocks if isinstance(b, Picture)}
        hidden = set(pictures(sections[name].blocks)) - shown
        assert shown, name
        assert not {n for n in shown if n.endswith(("_03", "_04", "_05", "_06", "_dfs"))}, name
        assert {n for n in hidden if n.endswith(("_03", "_04", "_05", "_06", "_dfs"))}, name
    titles = [b.title for b in sections["survival"].blocks if isinstance(b, Folded)]
    assert titles[:2] == ["Overall survival", "Disease-free survival"]
    assert pictures(sections["summary"].blocks) == ["primary_1", "primary_2"]


def test_numbers_of_the_results_are_printed_as_they_are_meant():
    assert time_text(1095.75, "days") == "1096 days"
    assert time_text(36, "months") == "36 months"
    assert time_text(None, "months") == ""
    assert estimate_cell(Estimate(estimate=0.607, lower=None, upper=None)) == "0.607"
    assert estimate_words(Estimate(estimate=0.607, lower=0.5, upper=None)) == "0.607 (0.500–NR)"
    assert estimate_cell(NotEstimable(reason="one event")) == "one event"
    assert estimate_cell(-0.25, digits=2) == "−0.25"


def test_restricted_means_have_a_unit_and_no_meaningless_horizon(material):
    analysis = material.results.analysis("validation_1", "os")
    rmst = known(analysis.rmst)
    assert isinstance(rmst, RestrictedMeans)
    shown = rmst_cell(dataclasses.replace(analysis, rmst=dataclasses.replace(rmst, tau=1000.0)))
    assert shown.endswith(" months, up to 1000 months")
    short = rmst_cell(dataclasses.replace(analysis, rmst=dataclasses.replace(rmst, tau=0.15)))
    assert short == "not shown: too few at risk beyond 0.15 months"


@pytest.mark.usefixtures("_without_writing")
@pytest.mark.parametrize("everywhere", [True, False])
def test_competing_risks_of_discovery_stand_open_only_where_no_other_cohort_has_them(material, everywhere):
    def change(a):
        return a if a.apparent or everywhere else dataclasses.replace(a, competing=GONE)

    changed = with_analyses(material, change)
    shown = {b.name for b in outcomes_section(changed).blocks if isinstance(b, Picture)}
    assert {n for n in shown if n.startswith("incidence")} == (
        {"incidence_01", "incidence_02"} if everywhere else {"incidence_03"}
    )


def test_only_declared_roles_answer_the_question_of_fairness(material):
    roles = Roles(sex="sex", age=None, site=None)
    assert places_of(with_results(material, roles=roles))["fairness"] == "subgroups"
    assert "fairness" not in places_of(with_results(material, roles=Roles()))


def test_both_guidelines_are_listed_whole_with_links_or_reasons(page):
    from pathosig.report.sections.guidelines import REMARK, TRIPOD

    assert [n for n, *_ in TRIPOD] == [str(i) for i in range(1, 28)]
    assert [n for n, *_ in REMARK] == [str(i) for i in range(1, 21)]
    for name, items in (("TRIPOD+AI", TRIPOD), ("REMARK", REMARK)):
        whole = page[page.index(f"{name}, item by item") :]
        rows = re.findall(rf"<td>{re.escape(name)} (\d+)</td>\s*<td>(.*?)</td>", whole, flags=re.DOTALL)
        assert [n for n, _ in rows] == [n for n, *_ in items]
        assert all('href="#' in cell or "not available: " in cell for _, cell in rows)


@pytest.mark.parametrize(
    ("encoder", "printed"),
    [
        (
            "dlcc-resnet50",
            "Tiles were embedded with dlcc-resnet50 (general images: a floor, not a pathology encoder).",
        ),
        ("dlcc-uni2-h", "Tiles were embedded with dlcc-uni2-h."),
    ],
)
def test_methods_name_the_encoder_of_the_embeddings_and_not_that_of_the_settings(material, encoder, printed):
    settings = {"name": "efficientnet-lite0", "method": "dlcc"}
    record = Record(
        stage="embed", unit="S1", status="ok", fingerprint="", spec=settings, summary={"encoder": encoder}
    )
    embedded = dataclasses.replace(material, phenotypes=Phenotypes(k=8), records={"embed": [record]})
    section = methods_section(embedded)
    text = " ".join(b.text for b in section.blocks)
    assert printed in text
    assert "lite0" not in text


def test_the_combined_model_has_its_calibration_and_where_no_cohort_validates_its_c(material, internal):
    def table(material, caption):
        blocks = every_block(added_value_section(material).blocks)
        return next(b for b in blocks if isinstance(b, Table) and b.caption == caption)

    outside = table(material, "Calibration of the combined model")
    assert outside.columns[:4] == ["Cohort", "n", "Events", "Calibration slope (95% CI)"]
    assert [row[0] for row in outside.rows] == ["Validation 1", "Validation 2"]
    cohort = known(material.results.clinical_histology).cohorts[0]
    assert outside.rows[0][3] == estimate_cell(known(cohort.calibration).slope, scale=SLOPE)
    inside = read_material(internal, ReportSpec())
    (row,) = table(inside, "Combined model, cross-validated").rows
    (cohort,) = known(inside.results.clinical_histology).cohorts
    assert row == [
        "Discovery", cohort.n, cohort.events,
        *(estimate_cell(v) for v in (cohort.clinical_c, cohort.uno_c, cohort.difference_c)),
    ]  # fmt: skip


@pytest.mark.usefixtures("_without_writing")
def test_what_a_study_of_this_size_can_show_stands_beside_the_sample_size(material):
    blocks = sample_size_section(material).blocks
    assert any(isinstance(b, Note) and "hazard ratio per SD" in b.text for b in blocks)
    drawn = next(b for b in blocks if isinstance(b, Picture))
    patients = known(known(material.results.small_study).instability).patients
    lines, dots = drawn.figure.axes[0].collections
    assert len(lines.get_segments()) == len(dots.get_offsets()) == len(patients) > 50
    without = with_results(material, small_study=GONE)
    assert pictures(sample_size_section(without).blocks) == []


def test_the_paragraph_on_methods_names_model_cohorts_and_measures(page):
    text = words(page[page.index('id="methods"') :])[:1500]
    for word in (
        "outside table",
        "overall survival",
        "frozen before",
        "Validation 1 and Validation 2",
        "Uno's C",
    ):
        assert word in html.unescape(text), word


def test_a_feature_that_is_too_good_to_be_true_is_the_gravest_warning():
    codes = ("W_IDS", "W_DEPTH", "W_EVENTS_PER_CANDIDATE", "W_LEAK")
    ordered = gravest_first([Finding(code=code, message="as found") for code in codes])
    assert [w.code for w in ordered] == ["W_LEAK", "W_EVENTS_PER_CANDIDATE", "W_DEPTH", "W_IDS"]


def test_a_cohort_without_an_auc_at_a_time_that_another_has_says_so(material):
    rows = known(material.results.analysis("validation_1", "os").auc)
    assert rows
    later = (*rows, dataclasses.replace(rows[0], time=99.0))
    changed = with_analyses(
        material, lambda a: dataclasses.replace(a, auc=rows if a.cohort == "validation_1" else later)
    )
    section = performance_section(changed)
    captions = [
        b.caption for b in every_block(section.blocks) if isinstance(b, Picture) and b.name.startswith("auc")
    ]
    missing = [c for c in captions if "Not estimated at 99 months" in c]
    assert missing
    assert all("Validation 1" in c for c in missing)
    assert auc_horizons(changed.results.analyses, "days") == []


def test_net_benefit_ends_where_no_risk_reaches_the_threshold():
    assert until_nobody([0.3, -0.1, 0.0, 0.0]) == [0.3, -0.1, None, None]
    assert until_nobody([0.3, None, 0.0]) == [0.3, None, None]
    assert until_nobody([0.0, 0.0]) == [0.0, 0.0]


def test_a_variable_of_yes_and_no_takes_one_row_and_quartiles_three_digits():
    cell = Table1Cell(n=9, median=63.0, q1=56.0, q3=69.25)
    rows = (
        Table1Row(
            variable="age",
            level="",
            kind="number",
            values={"a": "63 (56-69.25)"},
            numbers={"a": cell},
            p=0.2,
            test="t",
        ),
        Table1Row(
            variable="chemo",
            level="0",
            kind="level",
            values={"a": "4 (40 %)"},
            numbers={},
            p=0.5,
            test="chi-square",
        ),
        Table1Row(
            variable="chemo", level="1", kind="level", values={"a": "6 (60 %)"}, numbers={}, p=None, test=""
        ),
    )
    table = table1_table(Table1(columns=("a",), rows=rows), "Characteristics")
    assert table.rows == [["Age", "63 (56–69.2)", "0.200", "t"], ["Chemo", "6 (60%)", "0.500", "chi-square"]]


def test_messages_of_stages_are_printed_in_words(material):
    changed = dataclasses.replace(
        material, columns=Columns(treatments=("adjuvant_crt",)), cohorts=("validation_1",)
    )
    text = in_words(
        changed, "cohort validation_1: node_07 and adjuvant_crt correlate with log(tiles) in 6154 patients"
    )
    assert (
        text
        == "Validation 1: node 07 and adjuvant CRT correlate with the logarithm of the number of tiles in 6,154 patients"
    )

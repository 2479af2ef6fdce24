"""Every figure: real text in the SVG, the same bytes twice, and no date."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text

from pathosig import figures
from pathosig.core.errors import InputError
from pathosig.figures import palette
from pathosig.figures.alluvial import alluvial_plot
from pathosig.figures.embedding import embedding_map
from pathosig.figures.equation import Term, equation_figure
from pathosig.figures.flow import FlowStep, flow_diagram
from pathosig.figures.forest import ForestRow, forest_plot
from pathosig.figures.health import health_figure, stability_figure
from pathosig.figures.heatmap import ClinicalBar, profile_heatmap
from pathosig.figures.km import KmCurve, KmData, km_figure, km_grid, nice_ticks
from pathosig.figures.outcomes import (
    BarPanel,
    StackedBar,
    bar_panels,
    cumulative_incidence_plot,
    stacked_bars,
)
from pathosig.figures.performance import (
    CalibrationPoint,
    TimeAuc,
    calibration_plot,
    decision_curve_plot,
    effect_curve_plot,
    time_auc_plot,
)
from pathosig.figures.slides import HpcExemplars, RiskScale, SlideMap, atlas_montage, contact_sheet, slide_map
from pathosig.figures.style import (
    estimate_text,
    number,
    p_text,
    pdf_bytes,
    png_bytes,
    save_figure,
    spread,
    svg_bytes,
    with_dark_mode,
)
from pathosig.figures.titles import level_title, prose
from pathosig.figures.volcano import VolcanoPoint, volcano_plot

CURVE = KmCurve(
    label="Low risk",
    time=[2, 4, 4.5, 9, 12],
    estimate=[0.9, 0.8, 0.8, 0.4, 0.4],
    lower=[0.7, 0.6, 0.6, 0.2, 0.2],
    upper=[1, 0.95, 0.95, 0.7, 0.7],
    n_risk=[10, 9, 7, 4, 2],
    n_event=[1, 1, 0, 2, 0],
    n_censor=[0, 1, 3, 0, 2],
    n=10,
    events=4,
    median=(9.0, 4.0, None),
)
KM = KmData(
    title="Discovery",
    unit="months",
    curves=[CURVE],
    logrank_p=0.012,
    hr=(1.6, 1.1, 2.2),
    hr_label="high vs low",
)
IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
COLOURS = palette.hpc_colours(6)


def _all_figures():
    x = np.linspace(0.1, 0.6, 9)
    yield "km", lambda: km_figure(KM), "Discovery"
    yield "grid", lambda: km_grid([KM, KM, KM]), "At risk"
    row = ForestRow(label="Score, per SD", hr=1.4, lower=1.1, upper=90.0, n=200, events=99, p=0.001)
    yield "forest", lambda: forest_plot([row], title="Overall survival"), "1.40 (1.10–90.00)"
    yield (
        "calibration",
        lambda: calibration_plot(
            [CalibrationPoint(predicted=0.2, observed=0.3)], title="Calibration", time_label="36 months"
        ),
        "Predicted risk at 36 months (%)",
    )
    yield (
        "decision",
        lambda: decision_curve_plot(
            x, {"treat all": 0.4 - x, "Score": 0.4 - x / 2}, title="t", time_label="1 y"
        ),
        "treat all",
    )
    auc = [TimeAuc(time=12, auc=0.7, lower=0.6, upper=0.8, n_risk=31, events=1)]
    yield (
        "auc",
        lambda: time_auc_plot({"Score": auc}, title="AUC", unit="months"),
        "31 at risk",
    )
    yield (
        "effect",
        lambda: effect_curve_plot(x, x + 1, (x + 0.5, x + 2), title="t", x_label="Score", cutoff=0.3),
        "cut-off",
    )
    rows = [
        VolcanoPoint(name="HPC 03", log_hr=0.4, q=0.01, selected=True),
        VolcanoPoint(name="b", log_hr=-0.1, q=0.9),
    ]
    yield "volcano", lambda: volcano_plot(rows, title="Screen"), "HPC 03"
    shares = np.random.default_rng(1).dirichlet(np.ones(6), 12)
    bars = [
        ClinicalBar(name="Stage", values=["I", "II", None] * 4),
        ClinicalBar(name="Age", values=list(range(12))),
    ]
    yield (
        "heatmap",
        lambda: profile_heatmap(
            shares, [f"HPC {i:02d}" for i in range(6)], np.arange(12), cutoff=5.0, bars=bars
        ),
        "HPC 05",
    )
    yield (
        "alluvial",
        lambda: alluvial_plot(["Group", "Stage"], [("low", "I"), ("high", "II"), ("low", "II")]),
        "low (2)",
    )
    yield (
        "bars",
        lambda: stacked_bars([StackedBar(label="low", counts={"no": 8, "yes": 2})], title="R", p=0.2),
        "n = 10",
    )
    panel = BarPanel(title="stage", bars=[StackedBar(label="low", counts={"I": 3, "II": 4})], p=0.03, n=7)
    yield "panels", lambda: bar_panels([panel] * 5), "n = 7; Fisher p = 0.030"
    curve = {"time": [1, 2, 3], "estimate": [0.1, 0.2, 0.3]}
    yield (
        "incidence",
        lambda: cumulative_incidence_plot({"low": curve}, title="R", unit="years", p=0.5),
        "Gray's test p = 0.50",
    )
    steps = [
        FlowStep(title="Given", lines=["9 slides"], excluded=["1 slide: E_MPP"]),
        FlowStep(title="Tiles"),
    ]
    yield (
        "flow",
        lambda: flow_diagram(steps, [FlowStep(title="Discovery"), FlowStep(title="V1")]),
        "1 slide: E_MPP",
    )
    entry = HpcExemplars(label="HPC 03", colour=COLOURS[3], tiles=[IMAGE, IMAGE], caption="4% of tiles")
    yield "atlas", lambda: atlas_montage([entry, entry]), "HPC 03"
    at = np.array([0, 40])
    item = SlideMap(
        title="S1", overview=IMAGE, x=at, y=at, hpc=np.array([1, 2]), tile_px=40, downsample=2, mpp=0.5
    )
    yield "map", lambda: slide_map([item], COLOURS), "HPC 02"
    grouped = replace(item, coarse=np.array([0, 1]))
    groups = [("Coarse 0", COLOURS[0]), ("Coarse 1 tumour nests", COLOURS[1])]
    yield "map, coarse groups", lambda: slide_map([grouped], COLOURS, groups=groups), "Coarse 1 tumour nests"
    ring = np.array([[0, 0], [20, 0], [20, 20], [0, 0]])
    yield (
        "sheet",
        lambda: contact_sheet([IMAGE], ["S1"], title="Tissue", outlines=[[ring]], flags=[True]),
        "S1",
    )
    yield "embedding", lambda: embedding_map(shares[:, :2], ["HPC 00", "HPC 01"] * 6, title="Tiles"), "Tiles"
    health = [{"label": "HPC 01", "share": 0.1, "steadiness": 0.8, "verdict": "stable"}]
    yield "health", lambda: health_figure(health, COLOURS, title="Health"), "stable"
    named = [health[0] | {"label": "HPC 01 Squamous carcinoma with keratin pearls"}]
    yield "health, named", lambda: health_figure(named, COLOURS), "HPC 01 Squamous carcinoma with…"
    yield "stability", lambda: stability_figure([5, 10], {"ARI": [0.9, 0.8]}, title="K", chosen=10), "K = 10"
    term = Term(label="node_03", coefficient=2.0, low=0, high=0.5, center=0.2)
    yield (
        "equation",
        lambda: equation_figure([term], cutoff=0.1, score_range=(-0.4, 0.6), title="Score"),
        "node_03",
    )


@pytest.mark.parametrize(
    ("make", "text"), [(m, t) for _, m, t in _all_figures()], ids=[n for n, *_ in _all_figures()]
)
def test_every_figure_has_real_text_and_the_same_bytes_twice(make, text):
    first, second = svg_bytes(make()), svg_bytes(make())
    assert first == second
    decoded = first.decode()
    assert f">{text}<" in decoded or text in re.sub(r"<[^>]+>", "", decoded)
    assert "<dc:date>" not in decoded
    assert "<script" not in decoded


def test_pdf_and_png_are_the_same_bytes_twice_and_the_pdf_has_no_date():
    assert pdf_bytes(km_figure(KM)) == pdf_bytes(km_figure(KM))
    assert b"CreationDate" not in pdf_bytes(km_figure(KM))
    assert png_bytes(km_figure(KM)) == png_bytes(km_figure(KM))


def test_a_figure_is_saved_by_its_suffix_and_other_suffixes_are_refused(tmp_path):
    assert save_figure(km_figure(KM), tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    assert save_figure(km_figure(KM), tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match="bmp"):
        save_figure(km_figure(KM), tmp_path / "a.bmp")


def test_the_risk_table_counts_those_at_risk_just_before_the_tick_and_what_happened_up_to_it():
    assert CURVE.counts_at([0, 4, 4.2, 9, 20]) == [(10, 0, 0), (9, 1, 2), (7, 1, 2), (4, 4, 4), (0, 6, 4)]


def test_empty_inputs_say_so_instead_of_failing():
    for figure in (
        km_figure(KmData(title="t", unit="months", curves=[])),
        forest_plot([]),
        calibration_plot([], title="t", time_label="x"),
        volcano_plot([], title="t"),
        alluvial_plot(["a", "b"], []),
        stacked_bars([], title="t"),
        cumulative_incidence_plot({}, title="t", unit="days"),
        flow_diagram([]),
        atlas_montage([]),
        contact_sheet([], []),
        embedding_map(np.empty((0, 2)), [], title="t"),
        health_figure([], []),
        equation_figure([], cutoff=0, score_range=(-1, 1)),
    ):
        assert svg_bytes(figure)
    with pytest.raises(ValueError, match="at least one"):
        km_grid([])


def test_infinite_and_missing_limits_do_not_break_a_forest_plot():
    rows = [
        ForestRow(label="a", hr=0.48, lower=0.0, upper=math.inf),
        ForestRow(label="b", hr=None, remark="separation"),
        ForestRow(label="c", hr=1e30, lower=1.0, upper=math.inf, p=math.nan),
        ForestRow(label="d", kind="reference"),
        ForestRow(label="e", hr=1.2, lower=1.0, upper=1.4, kind="pooled", prediction=(0.8, 2.0)),
    ]
    text = svg_bytes(forest_plot(rows)).decode()
    assert "0.48 (0.00–∞)" in text
    assert "separation" in text


def test_names_from_a_table_cannot_inject_markup_into_an_svg():
    text = svg_bytes(
        stacked_bars([StackedBar(label="<script>alert(1)</script>", counts={"a": 1})], title="x")
    ).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_dollar_signs_in_names_are_text_and_not_mathematics():
    row = ForestRow(label="cost $a_b$ 5", hr=1.0, lower=0.9, upper=1.1)
    assert ">cost $a_b$ 5</text>" in svg_bytes(forest_plot([row])).decode()


def test_printed_numbers_follow_one_convention():
    assert p_text(0.0004) == "p < 0.001"
    assert p_text(0.04) == "p = 0.040"
    assert p_text(None) == "p not estimable"
    assert estimate_text(1.5, 1.2, math.inf) == "1.50 (1.20–∞)"
    assert estimate_text(math.nan, None, None) == "not estimable"
    assert number(-1.234) == "−1.23"


def test_time_ticks_are_round_in_the_unit_and_at_most_seven():
    assert list(nice_ticks(61, "months")) == [0, 12, 24, 36, 48, 60]
    assert len(nice_ticks(2000, "days")) <= 7
    assert list(nice_ticks(float("nan"), "years")) == [0, 1]


def test_hpc_colours_differ_for_normal_and_colour_blind_eyes():
    linear = np.array([palette.rgb(c) for c in palette.hpc_colours(50)]) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    deuteranope = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    )
    for seen in (linear, np.clip(linear @ deuteranope.T, 0, 1)):
        lab = _oklab(seen)
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 9 * np.eye(50)
        assert distance.min() > 0.035


def _oklab(linear):
    lms = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(lms) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.793617785, -2.428592205, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.808675766],
        ]
    )


def test_colours_beyond_sixty_and_artefacts_have_their_rule():
    many = palette.hpc_colours(70, artefacts={3})
    assert len(many) == 70
    assert many[3] == palette.ARTEFACT
    assert many[61] != many[1]
    assert palette.group_colour("high risk", 0) == palette.HIGH


def test_the_callers_matplotlib_settings_are_left_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    km_figure(KM)
    assert dict(mpl.rcParams) == before


def test_importing_the_package_does_not_load_matplotlib():
    import subprocess
    import sys

    code = "import sys, pathosig.figures; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "forest_plot" in dir(figures) or "forest_plot" in figures.__all__


def test_the_numbers_of_a_km_panel_stand_over_the_curves_never_on_them():
    figure = km_figure(KM)
    panel = next(a for a in figure.axes if a.get_xlabel().startswith("Time"))
    assert panel.get_legend() is None
    drawn = figure.canvas.get_renderer()
    top = panel.get_window_extent(drawn).y1
    texts = [t for a in figure.axes for t in a.texts if "HR" in t.get_text() or "median" in t.get_text()]
    assert [t.get_text() for t in texts] == [
        "HR high vs low 1.60 (95% CI 1.10–2.20); log-rank p = 0.012",
        "Low risk, n = 10, 4 events: median 9.0 (4.0–NR) months",
    ]
    assert all(t.get_window_extent(drawn).y0 >= top for t in texts)
    ends = [t.get_window_extent(drawn).x1 for t in texts]
    assert max(ends) <= figure.bbox.x1


def test_five_years_of_months_are_shown_by_the_year():
    assert list(nice_ticks(95, "months")) == [0, 12, 24, 36, 48, 60, 72, 84]


def test_clinical_columns_of_two_values_have_hues_of_their_own():
    from pathosig.figures.heatmap import _category_colours

    sex, stage = _category_colours(["F", "M"], 0), _category_colours(["I", "II"], 1)
    assert not set(sex.values()) & set(stage.values())
    assert not {palette.LOW, palette.HIGH} & {*sex.values(), *stage.values()}
    assert len(set(_category_colours(["a", "b", "c", "d"], 0).values())) == 4


def test_an_effect_that_leaves_the_page_is_cut_at_a_fiftyfold():
    figure = effect_curve_plot(
        [-1, 0, 1], [1e-6, 1, 2], ([1e-9, 0.9, 1], [1e-3, 1.1, 900]), title="Spline", x_label="Score"
    )
    assert figure.axes[0].get_ylim() == (0.02, 50)


def test_treatment_arms_never_look_like_risk_groups():
    arms = {palette.group_colour(arm, i) for i, arm in enumerate(("untreated", "treated"))}
    assert len(arms) == 2
    assert not arms & {palette.LOW, palette.HIGH}


def test_a_map_of_tiles_never_writes_one_label_over_another():
    rng = np.random.default_rng(1)
    labels = [f"HPC {i % 30:02d}" for i in range(600)]
    figure = embedding_map(rng.normal(size=(600, 2)), labels, title="t")
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert boxes
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def _overlapping(texts):
    boxes = [Text.get_window_extent(t) for t in texts if t.get_text()]  # without the line to its point
    assert boxes
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]


def test_a_volcano_never_writes_one_name_over_another():
    rng = np.random.default_rng(3)
    rows = [
        VolcanoPoint(name=f"node {i:02d}", log_hr=0.6 + 0.02 * rng.normal(), q=1e-8, selected=i < 14)
        for i in range(30)
    ]
    rows += [VolcanoPoint(name=f"HPC {i:02d}", log_hr=-0.3, q=0.2, selected=True) for i in range(8)]
    figure = volcano_plot(rows, title="t")
    figure.canvas.draw()
    names = [t for t in figure.axes[0].texts if t.get_text().startswith(("node", "HPC"))]
    assert len(names) == 22
    assert not _overlapping(names)


def test_levels_of_a_few_patients_are_named_beside_the_bars_without_overlap():
    counts = {"A": 90, "B": 1, "C": 1, "D": 1, "E": 1}
    figure = stacked_bars([StackedBar(label="Low", counts=counts)], title="t")
    figure.canvas.draw()
    names = [t for t in figure.axes[0].texts if t.get_text() in counts]
    assert len(names) == 5
    assert not _overlapping(names)


def test_places_keep_their_distance_and_their_order():
    assert spread([5.0, 4.9, 1.0], step=1.0, low=0.0, high=10.0) == pytest.approx([5.0, 4.0, 1.0])
    assert spread([0.2, 0.1, 0.0], step=1.0, low=0.0, high=10.0) == pytest.approx([2.0, 1.0, 0.0])
    assert spread([], step=1.0, low=0.0, high=1.0) == []


def test_a_heatmap_the_wrong_way_round_is_refused():
    with pytest.raises(InputError, match=r"\(3, 5\); expected \(5 patients, 3 HPCs\)"):
        profile_heatmap(np.ones((3, 5)), ["a", "b", "c"], [1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_median_of_hundreds_of_days_is_printed_without_decimals():
    curve = replace(CURVE, median=(1043.2, 836.04, 1493.0))
    figure = km_figure(replace(KM, unit="days", curves=[curve]))
    texts = [t.get_text() for a in figure.axes for t in a.texts]
    assert "Low risk, n = 10, 4 events: median 1,043 (836–1,493) days" in texts


def test_a_patient_on_the_equation_lies_at_the_sum_of_the_contributions():
    terms = [
        Term(label="HPC 01", coefficient=2.0, low=0, high=0.5, center=0.2),
        Term(label="HPC 02", coefficient=-1.0, low=0, high=0.4, center=0.1),
    ]
    options = {"cutoff": 0.1, "score_range": (-0.4, 0.6)}
    marked = equation_figure(terms, example=[0.4, 0.3], **options)
    places = [tuple(line.get_xydata()[0]) for line in marked.axes[0].lines if line.get_marker() == "D"]
    assert places == [pytest.approx(p) for p in ((0.4, 1), (-0.2, 2), (0.2, 3))]
    without = equation_figure(terms, **options)
    assert not [line for line in without.axes[0].lines if line.get_marker() == "D"]


def test_a_subtype_that_is_high_or_low_is_not_coloured_as_a_risk_group():
    from pathosig.figures.heatmap import _category_colours

    assert not {palette.LOW, palette.HIGH} & set(_category_colours(["high", "low"], 0).values())
    assert _category_colours(["treated", "untreated"], 0)["treated"] == palette.NAMED_GROUPS["treated"]


def test_levels_are_printed_with_the_signs_of_print():
    assert level_title("<= 63") == "≤ 63"
    assert prose("p <= .05 in validation_1, x -2", ["validation_1"]) == "p ≤ 0.05 in Validation 1, x −2"


def test_long_names_of_a_volcano_stand_under_it_by_number():
    rows = [
        VolcanoPoint(name="AREA OF NECROSIS IN TISSUE", log_hr=0.3, q=0.01, selected=True),
        VolcanoPoint(name="b", log_hr=-0.2, q=0.02),
    ]
    figure = volcano_plot(rows, title="t")
    written = [[x.get_text() for x in a.texts] for a in figure.axes]
    assert {"1", "2"} <= set(written[0])
    assert not {"b", "AREA OF NECROSIS IN TISSUE"} & set(written[0])
    assert written[1] == ["1", "AREA OF NECROSIS IN TISSUE", "2", "b"]


def test_values_that_are_no_shares_are_not_printed_in_per_cent():
    shown = profile_heatmap(np.array([[0.0], [0.5], [1.0]]), ["AREA"], [1.0, 2.0, 3.0], percent=False)
    texts = svg_bytes(shown).decode()
    assert ">Rank among patients<" in texts
    assert "%<" not in texts


def test_a_score_that_says_little_has_finer_steps_of_survival():
    term = Term(label="x", coefficient=0.1, low=0, high=2, center=1.0)
    made = equation_figure(
        [term], cutoff=0.0, score_range=(-0.1, 0.1), survival=[("Survival at 1 year", 0.62)]
    )
    texts = {t.get_text() for t in made.axes[0].texts}
    assert {"59%", "60%", "62%", "64%", "65%"} <= texts


def test_the_example_of_a_nomogram_lies_on_every_scale():
    term = Term(label="x", coefficient=1.0, low=0, high=2, center=1.0)
    made = equation_figure(
        [term], cutoff=0.0, score_range=(-0.5, 0.5), survival=[("Survival at 1 year", 0.7)], example=[3.0]
    )
    axes = made.axes[0]
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    bars = [line for line in axes.lines if line.get_linewidth() == 1.6]
    assert len(diamonds) == 3
    for row in (2, 3):
        at = next(d.get_xdata()[0] for d in diamonds if d.get_ydata()[0] == row)
        ends = [x for bar in bars if set(bar.get_ydata()) == {row} for x in bar.get_xdata()]
        assert min(ends) <= at <= max(ends)


def test_hues_follow_the_tree_and_lightness_tells_neighbours_apart():
    linkage = [[0, 2, 0.1, 2], [1, 3, 0.1, 2], [4, 5, 1.0, 4]]
    colours = palette.hpc_colours(4, linkage=linkage)
    assert palette.leaf_order(linkage) == [0, 2, 1, 3]
    assert len(set(colours)) == 4
    red = [palette.rgb(c)[0] - palette.rgb(c)[2] for c in colours]
    assert (red[0] > 0, red[2] > 0) == (True, True)
    assert (red[1] > 0, red[3] > 0) == (False, False)
    assert palette.hpc_colours(4, artefacts={1}, linkage=linkage)[1] == palette.ARTEFACT
    groups = palette.coarse_colours([0, 1, 0, 1], artefacts={1, 3}, linkage=linkage)
    assert groups[1] == palette.ARTEFACT
    assert palette.coarse_colours([1, 0]) == list(palette.GROUPS[:2])


def test_a_drawing_in_the_page_has_a_dark_mode_and_keeps_its_photographs():
    made = svg_bytes(km_figure(KmData(title="T", unit="months", curves=[CURVE])))
    dark = with_dark_mode(made)
    assert b"prefers-color-scheme:dark" in dark
    assert (
        dark.replace(
            dark[dark.index(b"<style>@") : dark.index(b"</style>", dark.index(b"<style>@")) + 8], b""
        )
        == made
    )


def test_tiles_outside_the_signature_are_pale_on_the_map_of_contributions():
    risk = RiskScale(weights=np.array([2.0, 0.0, -2.0]))
    harmful, none, protective = risk.colours(np.array([0, 1, 2])).tolist()
    assert harmful == list(palette.rgb(palette.HIGH))
    assert protective == list(palette.rgb(palette.LOW))
    assert none == [236, 236, 236]


def test_a_volcano_of_a_ridge_names_the_strongest_only():
    rows = [
        VolcanoPoint(name=f"a long feature name {i:03d}", log_hr=0.01 * i, q=0.04 / (i + 1), selected=True)
        for i in range(60)
    ]
    figure = volcano_plot(rows, title="Screen")
    names = [t.get_text() for a in figure.axes for t in a.texts if t.get_text().startswith("a long")]
    assert names == [f"a long feature name {i:03d}" for i in range(59, 51, -1)]
    assert figure.get_figheight() < 5


def test_cumulative_incidence_goes_on_to_the_end_of_follow_up():
    label = CURVE.label
    event = {"time": [1, 3], "estimate": [0.1, 0.3], "lower": [0.0, 0.1], "upper": [0.2, 0.5]}
    other = {"time": [], "estimate": [], "lower": [], "upper": []}
    figure = cumulative_incidence_plot(
        {label: event}, competing={label: other}, title="t", unit="months", at_risk=[CURVE]
    )
    solid, dotted = figure.axes[0].lines[:2]
    assert list(solid.get_xdata()) == [0, 1, 3, 12]
    assert list(solid.get_ydata()) == pytest.approx([0, 10, 30, 30])
    assert list(dotted.get_xdata()) == [0, 12]
    assert list(dotted.get_ydata()) == [0, 0]


def test_a_point_at_certainty_is_drawn_whole_and_every_cohort_has_the_same_axes():
    figure = calibration_plot(
        [CalibrationPoint(predicted=0.6, observed=1.0)], title="t", time_label="36 months"
    )
    axes = figure.axes[0]
    point = next(line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1)
    assert not point.get_clip_on()
    assert axes.get_xlim() == axes.get_ylim() == (-0.02, 1.02)


def test_a_time_without_an_auc_keeps_its_place_and_says_so():
    rows = [TimeAuc(time=12, auc=None, n_risk=9, events=0), TimeAuc(time=36, auc=0.8, lower=0.6, upper=0.9)]
    axes = time_auc_plot({"Score": rows}, title="t", unit="months").axes[0]
    assert list(axes.get_xticks()) == [12, 36]
    assert [t.get_text() for t in axes.texts] == ["not\nestimated"]
    assert axes.get_xticklabels()[0].get_text() == "12\n9 at risk\n0 events"


def test_a_decision_curve_that_ends_early_ends_in_a_dot_and_shares_its_axis():
    x = np.array([0.1, 0.2, 0.3])
    figure = decision_curve_plot(x, {"score": [0.3, 0.2, math.nan]}, title="t", time_label="1 y", top=0.5)
    axes = figure.axes[0]
    dot = next(line for line in axes.lines if line.get_marker() == "o")
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.2, 0.2)
    assert axes.get_ylim() == pytest.approx((-0.125, 0.56))


def test_the_band_goes_on_to_the_last_drop_and_the_median_has_both_halves():
    curve = replace(
        CURVE,
        estimate=[0.9, 0.8, 0.8, 0.4, 0.0],
        lower=[0.7, 0.6, 0.6, 0.2, math.nan],
        upper=[1, 0.95, 0.95, 0.7, math.nan],
    )
    axes = km_figure(replace(KM, curves=[curve])).axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 0].max() == 12
    assert np.isfinite(band).all()
    dashed = [line.get_xydata().tolist() for line in axes.lines if line.get_linewidth() == 0.6]
    assert dashed == [[[0, 0.5], [9, 0.5]], [[9, 0], [9, 0.5]]]


def test_counts_under_the_axis_never_touch():
    time = np.arange(1.0, 193.0)
    left = np.maximum(300 - 1.5 * time, 0).astype(int)
    many = replace(
        CURVE, time=time, estimate=left / 300, lower=left / 300, upper=left / 300, n_risk=left,
        n_event=np.ones(192, int), n_censor=np.zeros(192, int), n=300, events=192,
    )  # fmt: skip
    figure = km_figure(replace(KM, curves=[many], unit="months"))
    figure.canvas.draw()
    boxes = [
        t.get_window_extent()
        for t in figure.axes[2].texts
        if t.get_text().endswith(")") and "(e" not in t.get_text()
    ]
    assert len(boxes) >= 4
    assert all(one.x1 < two.x0 for one, two in pairwise(boxes))


def test_no_name_of_a_volcano_lies_on_the_line_of_q():
    rows = [
        VolcanoPoint(name=f"HPC {i:02d}", log_hr=0.5, q=0.05 * (1 + 0.01 * i), selected=True)
        for i in range(4)
    ]
    axes = volcano_plot(rows, title="t").axes[0]
    line = -math.log10(0.05)
    places = [t.xyann[1] for t in axes.texts if t.get_text().startswith("HPC")]
    assert len(places) == 4
    step = 0.043 * axes.get_ylim()[1]
    assert all(abs(y - line) > 0.5 * step for y in places)


def test_what_is_absent_is_pale_and_what_is_there_dark():
    from pathosig.figures.heatmap import _category_colours

    for absent, present in (("N0", "N+"), ("no", "yes"), ("negative", "positive")):
        colours = _category_colours(sorted([absent, present]), 0)
        assert sum(palette.rgb(colours[absent])) > sum(palette.rgb(colours[present]))


def test_an_interval_too_wide_to_mean_anything_is_grey():
    wide = forest_plot([ForestRow(label="a", hr=218.0, lower=0.32, upper=2e5, p=0.01, n=11, events=5)])
    firm = forest_plot([ForestRow(label="a", hr=2.0, lower=1.2, upper=3.0, p=0.01, n=11, events=5)])

    def bold(figure):
        return [t for t in figure.axes[0].texts if t.get_text() == "0.010" and t.get_weight() == "bold"]

    assert (len(bold(wide)), len(bold(firm))) == (0, 1)
    assert "#0B4F8A" in {line.get_color() for line in firm.axes[1].lines}
    assert "#0B4F8A" not in {line.get_color() for line in wide.axes[1].lines}

    def remarks(figure):
        return [t.get_text() for t in figure.axes[0].texts if t.get_text().startswith("Small and grey")]

    assert (len(remarks(wide)), len(remarks(firm))) == (1, 0)


def test_a_hazard_ratio_too_wide_to_mean_anything_stands_grey_under_the_test_with_its_reason():
    wide = km_figure(replace(KM, hr=(14.9, 4.0, 54.9), logrank_p=0.002))
    firm = km_figure(replace(KM, hr=(2.0, 1.2, 3.0), logrank_p=0.002))

    def lines(figure):
        return [(t.get_text(), t.get_color() == palette.MUTED) for t in figure.axes[1].texts][:2]

    effect = f"HR {KM.hr_label}".strip()
    reason = "the confidence interval spans a factor of 14"
    assert lines(wide) == [
        ("log-rank p = 0.002", False),
        (f"{effect} 14.90 (95% CI 4.00–54.90): {reason}", True),
    ]
    assert lines(firm)[0] == (f"{effect} 2.00 (95% CI 1.20–3.00); log-rank p = 0.002", False)


def test_a_nomogram_marks_its_example_on_every_line_and_under_the_total():
    from pathosig.figures.nomogram import NomogramScale, RiskMarks, nomogram_figure

    scales = [
        NomogramScale(label="Stage", marks=[(0.0, "I"), (30.0, "III")], ends=(0.0, 30.0), example=30.0),
        NomogramScale(label="Score", marks=[(20.0, "0"), (80.0, "1")], ends=(0.0, 100.0), example=45.0),
    ]
    risks = [RiskMarks(label="Risk by 3 years", marks=[(40.0, "20%"), (90.0, "50%"), (200.0, "99%")])]
    figure = nomogram_figure(scales, risks, totals=(0.0, 130.0))
    axes = figure.axes[0]
    marks = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "D"]
    total = 100 * 75 / 130
    assert marks[:2] == [[30, 1], [45, 2]]
    assert [y for x, y in marks[2:] if x == pytest.approx(total)] == [3, 4]
    texts = {t.get_text() for t in axes.texts}
    assert {"20%", "50%", "Total points", "Points"} <= texts
    assert "99%" not in texts  # beyond the highest total

"""The section on audits: each shows its numbers, its error and its bar."""

from __future__ import annotations

import pytest

from pathosig.report.material import Material
from pathosig.report.page import Chapter, Note, Page, Table
from pathosig.report.rendering import render
from pathosig.report.sections.audits import audits_section

C = {"estimate": 0.68, "lower": 0.63, "upper": 0.73}

AUDITS = {
    "null": {
        "audit": "null",
        "verdict": "pass",
        "bar": 0.07,
        "permutations": 1000,
        "p": 0.002,
        "observed_c": 0.7,
        "null_c": C,
        "any_signature": {"estimate": 0.41, "lower": 0.38, "upper": 0.44},
        "naive_rejection": {"estimate": 0.275, "lower": 0.25, "upper": 0.3},
        "reported_rejection": {"estimate": 0.045, "lower": 0.033, "upper": 0.06},
    },
    "optimism": {
        "audit": "optimism",
        "what": "profiles-to-score",
        "resamples": 100,
        "cross_validated_c": C,
        "out_of_bag_c": C,
        "c_632_plus": 0.66,
        "apparent_c": 0.71,
        "harrell_corrected_c": 0.67,
        "share_empty": 0.05,
        "monte_carlo": {"cross_validated_c": 0.0031, "out_of_bag_c": 0.0072, "optimism": 0.0043},
        "codebook_refit": {"resamples": 20, "out_of_bag_c": C, "difference": C, "agreement": 0.68},
    },
    "site": {"audit": "site", "sites": 3, "preserved_site_c": C, "site_predictability": {"accuracy": 0.3}},
    "depth": {"audit": "depth", "draws": 20, "depths": [{"tiles": 30, "patients": 96, "icc": 0.89}]},
    "stability": {
        "audit": "stability",
        "selected": ["hpc_03"],
        "bootstrap": {"n": 100, "correlation": C, "share_empty": 0, "selected": {"hpc_03": 0.73}},
    },
    "mine": {"audit": "mine", "value": 0.5},
}


def test_every_audit_shows_its_numbers_its_error_and_its_bar():

    section = audits_section(Material(name="x", audits=AUDITS))
    verdicts = [b for b in section.blocks if isinstance(b, Note)]
    assert [(v.level, v.text.split(":")[0]) for v in verdicts] == [("good", "pass")]
    cells = {c for b in section.blocks if isinstance(b, Table) for row in b.rows for c in row}
    assert {"4.5% (3.3–6.0%)", "upper bound at most 7%", "0.0031", "30.0%"} <= cells
    page = render(
        Page(title="", subtitle="", chapters=[Chapter(id="c", title="", question="", sections=[section])])
    )
    assert "Codebook refitted on 20 resamples: C, out of bag" in page
    assert "HPC 03" in page
    without = audits_section(Material(name="x", audits={"null": AUDITS["null"]}))
    assert "Not run: optimism, site, depth, stability" in without.lead
    assert audits_section(Material(name="x")) is None


@pytest.mark.parametrize(("verdict", "level"), [("fail", "error"), ("preview", "warning")])
def test_a_null_audit_that_did_not_pass_is_never_shown_as_good(verdict, level):

    section = audits_section(Material(name="x", audits={"null": {**AUDITS["null"], "verdict": verdict}}))
    assert section.blocks[0].level == level

"""The reporting checklist (REMARK, TRIPOD+AI, CLAIM): every item with a link, or the reason it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathosig.report.page import CheckItem, Checklist, Section, folded
from pathosig.report.sections.guidelines import REMARK, TRIPOD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ITEMS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "Flow of patients, slides, cores, tiles and events",
        "REMARK 12, TRIPOD 20a, CLAIM 33",
        ("flow",),
        "there is no patient table",
    ),
    (
        "Endpoints, time zero and follow-up (reverse Kaplan-Meier)",
        "REMARK 7, TRIPOD 8a",
        ("endpoints",),
        "study.toml declares no endpoint",
    ),
    ("Missing data and n of every model", "REMARK 10d, TRIPOD 11", ("models", "data"), "no model was fitted"),
    (
        "Characteristics by cohort and risk group (Table 1)",
        "REMARK 13, TRIPOD 20b",
        ("characteristics",),
        "there is no clinical table or no risk group",
    ),
    ("Sample size", "REMARK 9, TRIPOD 10", ("sample-size",), "no model was fitted"),
    (
        "Events of other causes (competing risks)",
        "TRIPOD 12, REMARK 7",
        ("competing",),
        "study.toml names no competing endpoint",
    ),
    ("All univariable results", "REMARK 15", ("univariable",), "no univariable screen was run"),
    (
        "Full equation, baseline survival and the locked cut-off",
        "TRIPOD 22, REMARK 11",
        ("signature",),
        "no signature was found",
    ),
    (
        "Kaplan-Meier curves with risk tables per cohort and endpoint",
        "REMARK 16",
        ("survival",),
        "no cohort could be validated",
    ),
    (
        "Discrimination, calibration and overall error",
        "TRIPOD 12e, 23a",
        ("performance",),
        "no cohort could be validated",
    ),
    ("Effect estimates, uni- and multivariable", "REMARK 17", ("models",), "no model was fitted"),
    (
        "Added value over clinical variables",
        "REMARK 17, TRIPOD 12e",
        ("added-value",),
        "study.toml names no covariates, or no validation cohort has them",
    ),
    ("Internal validation", "TRIPOD 12c", ("internal",), "external cohorts were used instead"),
    (
        "External validation",
        "TRIPOD 12d, REMARK 18",
        ("external",),
        "the study has no validation cohort; results are internal",
    ),
    ("Proportional hazards", "REMARK 10e", ("hazards",), "the test was not run"),
    ("Subgroups with interaction tests", "REMARK 18", ("subgroups",), "study.toml names no subgroups"),
    (
        "Performance by sex, age and site",
        "TRIPOD 14",
        ("fairness",),
        "the columns are not named in study.toml",
    ),
    ("Treatment", "REMARK 3", ("treatment",), "study.toml names no treatment column"),
    (
        "Audits: null, optimism, site, depth, stability",
        "TRIPOD 12c, CLAIM 31",
        ("audits",),
        "run `pathosig audit DIR null` and the others",
    ),
    ("Failures and exclusions", "CLAIM 33", ("failures",), "no record was found"),
    ("Warnings and guards", "REMARK 10", ("warnings",), "no record was found"),
    ("Versions, settings, seeds and hashes", "TRIPOD 18f, CLAIM 24", ("provenance",), "no record was found"),
    (
        "What was primary and what is sensitivity",
        "REMARK 10, TRIPOD 12",
        ("primary",),
        "study.toml has no [primary] table",
    ),
    ("Limitations", "REMARK 19, TRIPOD 25", ("limitations",), "not written"),
)


def checklist_section(sections: Sequence[Section], places: Mapping[str, str]) -> Section:
    """The checklist as a chapter.

    Parameters
    ----------
    sections
        All other chapters, for their titles.
    places
        Topic of an item -> id of the chapter that meets it; topics without a chapter are missing.
    """
    titles = {s.id: s.title for s in sections}
    checks = [
        _item(text, guideline, (topics, missing), places, titles)
        for text, guideline, topics, missing in ITEMS
    ]
    blocks = folded("What this report holds", [Checklist(items=checks)])
    for name, items in (("TRIPOD+AI", TRIPOD), ("REMARK", REMARK)):
        checked = [
            _item(text, f"{name} {number}", (topics, missing), places, titles)
            for number, text, topics, missing in items
        ]
        met = sum(not i.missing for i in checked)
        table = Checklist(items=checked, caption=f"{name}: all {len(items)} items")
        blocks += folded(f"{name}, item by item", [table], small=f"{met} of {len(items)} met here")
    met = sum(not i.missing for i in checks)
    lead = f"{met} of {len(checks)} items {'is' if met == 1 else 'are'} met in this report; the others carry the reason."
    return Section(id="checklist", title="Reporting checklist", blocks=blocks, lead=lead)


def _item(
    text: str,
    guideline: str,
    answer: tuple[Sequence[str], str],
    places: Mapping[str, str],
    titles: Mapping[str, str],
) -> CheckItem:
    """One item with links to the sections that meet it, or why none does."""
    topics, missing = answer
    anchors = list(dict.fromkeys(places[t] for t in topics if places.get(t) in titles))
    met = [(a, titles[a]) for a in anchors]
    return CheckItem(item=text, guideline=guideline, anchors=met, missing="" if met else missing)

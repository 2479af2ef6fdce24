"""What a small study can show, and how unstable its predictions are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pathosig.signature import SignatureSpec, fit_details
from pathosig.survival.precision import detectable_hr
from pathosig.validation import read_results
from pathosig.validation.instability import instability
from pathosig.validation.small import small_findings
from tests.audits.test_null import patients
from tests.signature.test_stage import make_study, run

SPEC = SignatureSpec(selection="ridge", bootstraps=0, folds=3)


def moved(n, effect=1.0, **options):
    training = dataclasses.replace(patients(n, 6, 3, effect=effect), unit="years")
    return instability(training, fit_details(training, SPEC).signature, SPEC, bootstraps=20, **options)


def test_predictions_of_few_patients_move_more_than_those_of_many():
    few, many = moved(60), moved(400)
    assert few.bootstraps == 20
    assert few.error > 1.5 * many.error > 0
    assert len(few.patients) == 60
    risks = [p.risk for p in few.patients]
    assert risks == sorted(risks)
    inside = np.mean([p.lower <= p.risk <= p.upper for p in many.patients])
    assert inside > 0.8
    assert 0 < few.flips < 0.5
    assert few.error == pytest.approx(np.mean([p.error for p in few.patients]))


def test_two_processes_find_the_same():
    assert moved(60) == moved(60, workers=2)


def test_results_say_what_a_study_of_this_size_can_show(tmp_path):
    spec = SignatureSpec(selection="ridge", bootstraps=0, n_subsamples=20)
    study = run(
        make_study(tmp_path / "s", cohorts=("discovery", "v1"), n=160, effect=0.7),
        spec, bootstraps=5, imputations=0, instability=5,
    )  # fmt: skip
    results = read_results(study.paths.results)
    small = results.small_study
    first, second = small.detectable
    assert (first.cohort, second.cohort) == ("discovery", "v1")
    assert first.hr_sd == pytest.approx(detectable_hr(first.events))
    assert first.hr_candidate > first.hr_sd
    assert second.hr_candidate is None
    (precision,) = small.precision
    c = results.analysis("v1", "os").harrell_c
    assert precision.c_width == pytest.approx(c.upper - c.lower)
    assert precision.needed >= precision.n * (precision.c_width / 0.1) ** 2 - 1
    assert small.planned.n >= max(small.planned.n_c, small.planned.n_slope, small.planned.n_ratio)
    assert small.instability.bootstraps == 5
    assert "with 80 % power" in small.sentence()
    codes = [w.code for w in results.warnings]
    assert ("W_SMALL_STUDY" in codes) == (first.events < 100)
    assert small_findings(small)[0].code in codes

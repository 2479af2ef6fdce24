"""Fitting, validating, writing and reading results.json preserves the values, for every policy and selection."""

from __future__ import annotations

import pytest

from pathosig.signature import SignatureSpec
from pathosig.validation import read_results
from pathosig.validation.results import write_results
from tests.signature.test_stage import make_study, run

CASES = [("pooled", s) for s in ("tree", "ridge", "lasso")]
CASES += [(p, "ridge") for p in ("mean", "worst", "per_core")]


@pytest.mark.parametrize(("policy", "selection"), CASES)
def test_what_validate_wrote_is_read_and_written_again_byte_for_byte(tmp_path, policy, selection):
    spec = SignatureSpec(bootstraps=0, n_subsamples=20, policy=policy, selection=selection)
    study = run(
        make_study(tmp_path / "s", cohorts=("discovery", "v1"), n=100), spec, bootstraps=5, imputations=0
    )
    results = read_results(study.paths.results)
    assert results.signature.transform.policy == policy
    assert results.verdicts[0].basis == "validation"
    write_results(tmp_path / "again.json", results)
    assert (tmp_path / "again.json").read_bytes() == study.paths.results.read_bytes()
    assert read_results(tmp_path / "again.json") == results

"""Settings of the signature: each does what it is for."""

from __future__ import annotations

import pytest

from pathosig.signature import SignatureSpec, TrainingSet, fit_details, fit_signature

QUICK = SignatureSpec(bootstraps=0)


@pytest.mark.parametrize("quantile", [0.25, 0.75])
def test_a_cutoff_at_a_quantile_leaves_that_part_of_discovery_below_it(cohort, quantile):
    spec = QUICK.replace(selection="ridge", cutoff="quantile", cutoff_value=quantile)
    signature = fit_signature(cohort["profiles"], cohort["outcome"], tree=cohort["tree"], spec=spec)
    low = (signature.group(cohort["profiles"]) == "low").mean()
    assert low == pytest.approx(quantile, abs=0.01)


def test_candidates_correlated_above_the_level_become_one_cluster(cohort):
    clusters = []
    for correlation in (0.2, 0.95):
        spec = QUICK.replace(selection="tree", cluster_correlation=correlation, n_subsamples=10)
        patients = TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"])
        fit = fit_details(patients, spec, univariate=False, benchmark=False)
        clusters.append(fit.selection.details["n_clusters"])
    assert clusters[0] < clusters[1]


@pytest.mark.filterwarnings("ignore:selection 'paper'")
def test_the_level_of_paper_decides_how_many_hpcs_pass_its_two_steps(cohort):
    kept = [
        fit_signature(
            cohort["profiles"],
            cohort["outcome"],
            tree=cohort["tree"],
            spec=QUICK.replace(selection="paper", p_value=level),
        ).hpcs
        for level in (1e-4, 0.2)
    ]
    assert len(kept[0]) < len(kept[1])


def test_hpcs_that_other_patients_codebooks_do_not_find_again_are_no_candidates(cohort):
    steadiness = {"hpc_00": 0.2, "hpc_01": 0.8, "node_03": 0.4}
    tree = {**cohort["tree"], "steadiness": steadiness}
    patients = TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=tree)
    table = fit_details(patients, QUICK.replace(selection="ridge")).univariate.set_index("feature")
    assert table.loc[list(steadiness), "steadiness"].to_dict() == steadiness
    assert table["steadiness"].isna().sum() == len(table) - 3
    strict = fit_details(patients, QUICK.replace(selection="ridge", min_steadiness=0.5))
    assert "0.20 across disjoint halves" in strict.dropped["hpc_00"]
    left = set(strict.univariate["feature"])
    assert left == set(table.index) - {"hpc_00", "node_03"}  # where nothing is known, a candidate stays

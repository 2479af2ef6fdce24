"""Selecting and fitting a signature."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError, NotEstimableError, PathosigWarning
from pathosig.signature import Signature, SignatureSpec, fit_details, fit_signature
from pathosig.signature.features import candidates, design
from pathosig.survival import cox, cox_path, harrell_c
from pathosig.survival.bounds import false_selection_bound, tail_bound, threshold_for
from pathosig.survival.half_paths import first_entries, gradient, half_samples_of, loss
from pathosig.survival.ridge import WIDE_PENALTIES, ridge_fit

QUICK = SignatureSpec(bootstraps=0)


@pytest.fixture(scope="module")
def fitted(cohort) -> Signature:
    return fit_signature(cohort["profiles"][:160], cohort["outcome"][:160], tree=cohort["tree"], spec=QUICK)


def test_the_tree_selection_finds_both_planted_types(cohort, fitted):
    owners = [cohort["owner"][fitted.transform["leaves"][name]] for name in fitted.hpcs]
    signs = {int(np.bincount(o).argmax()): np.sign(b) for o, b in zip(owners, fitted.coef, strict=True)}
    assert signs[0] == 1
    assert signs[1] == -1
    late = cohort["outcome"][160:]
    assert harrell_c(fitted.score(cohort["profiles"][160:]), late["time"], late["event"]).c > 0.65


def test_a_patient_alone_scores_as_in_the_batch(cohort, fitted):
    rows = cohort["profiles"][160:]
    batch = fitted.score(rows)
    np.testing.assert_array_equal(fitted.score(rows.iloc[[7]])[0], batch[7])
    assert fitted.score(rows.iloc[7].to_dict())[0] == batch[7]


def test_validation_patients_never_change_the_signature(cohort, fitted):
    shuffled = cohort["profiles"][:160].sample(frac=1, random_state=0)
    again = fit_signature(shuffled, cohort["outcome"], tree=cohort["tree"], spec=QUICK)
    assert again.to_json() == fitted.to_json()


def test_json_and_files_bring_the_signature_back(tmp_path, cohort, fitted):
    fitted.save(tmp_path / "signature.json")
    again = Signature.load(tmp_path / "signature.json")
    np.testing.assert_array_equal(again.score(cohort["profiles"]), fitted.score(cohort["profiles"]))
    assert again.to_json() == fitted.to_json()
    with pytest.raises(InputError, match=r"not a signature\.json"):
        Signature.from_json("{}")


def test_half_of_discovery_is_above_the_median_cutoff(cohort, fitted):
    group = fitted.group(cohort["profiles"][:160])
    assert (group == "high").mean() == pytest.approx(0.5, abs=0.01)


def test_too_few_tiles_are_not_assessable(cohort, fitted):
    row = cohort["profiles"].iloc[[0]].assign(n_tiles=49)
    assert np.isnan(fitted.score(row)[0])
    assert fitted.group(row)[0] == "not assessable"


def test_the_baseline_is_the_cox_models_at_score_zero(cohort, fitted):
    rows = cohort["outcome"][:160]
    score = fitted.score(cohort["profiles"][:160])
    slope = cox(score[:, None], rows["time"], rows["event"]).coef[0]
    predicted = fitted.survival_at(np.array([0.0, 1.0]), [12.0])
    assert 0 < predicted[1, 0] < predicted[0, 0] < 1
    assert predicted[1, 0] == pytest.approx(predicted[0, 0] ** np.e)
    assert slope > 0.8
    assert np.isnan(fitted.survival_at([0.0], [1e6])[0, 0])
    assert [row["years"] for row in fitted.baseline["at"]] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize("selection", ["ridge", "lasso", "paper", "stepwise", "logcontrast"])
def test_every_selection_gives_a_score_that_works(cohort, selection):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        found = fit_details(
            cohort["profiles"][:160], cohort["outcome"][:160], tree=cohort["tree"],
            spec=QUICK.replace(selection=selection), benchmark=False,
        )  # fmt: skip
    assert found.signature is not None
    late = cohort["outcome"][160:]
    assert harrell_c(found.signature.score(cohort["profiles"][160:]), late["time"], late["event"]).c > 0.6


def test_a_log_contrast_ignores_depth_and_unused_hpcs(cohort):
    found = fit_signature(
        cohort["profiles"][:160],
        cohort["outcome"][:160],
        spec=QUICK.replace(selection="logcontrast"),
        benchmark=False,
    )
    assert sum(found.coef) == pytest.approx(0, abs=1e-9)
    own = list(found.hpcs)
    row = cohort["profiles"][(cohort["profiles"][own] > 0).all(axis=1)].iloc[[0]]
    scaled = row.copy()
    scaled[own] *= 0.1
    more = row.assign(hpc_12=0.0, n_tiles=4000)
    np.testing.assert_allclose(found.score(scaled), found.score(row), atol=1e-9)
    np.testing.assert_allclose(found.score(more), found.score(row), atol=1e-12)


def test_paper_warns_where_it_is_unsound(cohort):
    with pytest.warns(PathosigWarning, match="not valid"):
        fit_details(
            cohort["profiles"], cohort["outcome"], spec=QUICK.replace(selection="paper"), benchmark=False
        )


def test_no_signature_is_a_result_with_all_univariate_tests(noise):
    found = fit_details(
        noise["profiles"], noise["outcome"], tree=noise["tree"], spec=QUICK.replace(min_threshold=1.0)
    )
    assert found.signature is None
    assert "no signature" in found.reason
    assert len(found.univariate) >= 12
    assert found.univariate["q"].notna().all()
    assert found.benchmark is not None


def test_one_event_is_refused_with_numbers(cohort):
    outcome = cohort["outcome"].assign(event=False)
    outcome.loc[0, "event"] = True
    with pytest.raises(NotEstimableError, match="1 events among 240"):
        fit_signature(cohort["profiles"], outcome, spec=QUICK)


def test_sklearn_style_fit_and_predict(cohort):
    rows = cohort["outcome"]
    made = Signature.fit(cohort["profiles"], rows["time"], rows["event"], tree=cohort["tree"], spec=QUICK)
    np.testing.assert_array_equal(made.predict(cohort["profiles"]), made.score(cohort["profiles"]))


def test_artefact_hpcs_are_no_candidates_and_shares_close_again(cohort):
    found = candidates(cohort["profiles"], tree=cohort["tree"], artefacts=[2])
    assert "hpc_02" not in found.names
    assert found.dropped["hpc_02"] == "artefact"
    x = design(cohort["profiles"], ["hpc_00"], {**found.transform, "leaves": found.leaves})
    expected = cohort["profiles"]["hpc_00"] / (1 - cohort["profiles"]["hpc_02"])
    np.testing.assert_allclose(x[:, 0], expected)


def test_half_sample_paths_enter_columns_in_the_order_of_cox_path(cohort):
    rows = np.arange(100)[None, :]
    x = cohort["profiles"].filter(like="hpc_").to_numpy()
    time, event = cohort["outcome"]["time"].to_numpy().round(0), cohort["outcome"]["event"].to_numpy()
    halves = half_samples_of(x, time, event, rows)
    clusters = np.arange(12)[None, :]
    path = cox_path(x[:100], time[:100], event[:100], n_lambda=60)
    for q in (1, 2, 3):
        found = np.flatnonzero(first_entries(halves, clusters, q=q, n_lambda=60, min_ratio=0.05)[0])
        step = next(b for b in path.coef if (b != 0).sum() >= q)
        assert set(found) == set(np.flatnonzero(step))


def test_the_batched_gradient_is_that_of_the_likelihood_with_ties(cohort):
    x = cohort["profiles"].filter(like="hpc_").to_numpy()
    time, event = np.ceil(cohort["outcome"]["time"].to_numpy() / 5), cohort["outcome"]["event"].to_numpy()
    halves = half_samples_of(x, time, event, np.arange(80)[None, :])
    beta = np.linspace(-0.3, 0.3, 12)[None, :]
    slope = gradient(halves, beta)
    step = 1e-6
    for j in (0, 5, 11):
        shift = np.zeros((1, 12))
        shift[0, j] = step
        numeric = (loss(halves, beta + shift) - loss(halves, beta - shift)) / (2 * step)
        assert slope[0, j] == pytest.approx(numeric[0], abs=1e-6)


def test_the_node_that_fits_best_speaks_for_its_cluster_not_the_hpc_with_more_votes(loud_leaf):
    data = loud_leaf
    fit = fit_details(data["profiles"], data["outcome"], tree=data["tree"], univariate=False, benchmark=False)
    frequency = fit.selection.details["frequency"]
    leaves = fit.signature.transform["leaves"]
    assert sorted(sorted(data["owner"][leaves[name]]) for name in fit.signature.hpcs) == [[0] * 6, [1] * 6]
    harmful = next(name for name in fit.signature.hpcs if data["owner"][leaves[name]][0] == 0)
    assert frequency["hpc_01"] > frequency[harmful]


def test_bounds_are_between_chance_and_meinshausen_buhlmann():
    simple = 6 * 6 / ((2 * 0.8 - 1) * 50)
    assert 0 < false_selection_bound(6, 50, 0.8, 50) <= simple
    assert false_selection_bound(6, 50, 0.9, 50) < false_selection_bound(6, 50, 0.6, 50)
    threshold = threshold_for(6, 50, 50, expected_false=1.0)
    assert false_selection_bound(6, 50, threshold, 50) <= 1.0
    assert tail_bound(0.3, 10, 100, -0.5) == 1.0
    assert 0 < tail_bound(0.05, 60, 100, -0.25) <= 0.05 / 0.6


def test_outside_features_need_no_tree():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(200, 6)), columns=list("abcdef"))
    x.insert(0, "patient_id", [str(i) for i in range(200)])
    time = rng.exponential(20, 200) * np.exp(-x["a"])
    outcome = pd.DataFrame({"patient_id": x["patient_id"], "time": time, "event": True})
    assert "a" in fit_signature(x, outcome, spec=QUICK, benchmark=False).hpcs


def test_a_maximal_cutoff_comes_with_a_corrected_p_and_a_warning(cohort):
    spec = QUICK.replace(cutoff="maximal", permutations=199, bootstraps=10)
    with pytest.warns(PathosigWarning, match="corrected for the search"):
        found = fit_details(
            cohort["profiles"], cohort["outcome"], tree=cohort["tree"], spec=spec, benchmark=False
        )
    assert found.cutoff.details["p_naive"] <= found.cutoff.details["p_corrected"]
    assert found.cutoff.details["bootstrap"]["lower"] <= found.signature.cutoff


def test_raw_features_with_holes_are_fitted_saved_and_scored_alone_as_together(tmp_path):
    rng = np.random.default_rng(4)
    table = pd.DataFrame(rng.normal(50, 10, (200, 4)), columns=["area", "grade", "mitoses", "necrosis"])
    time = rng.exponential(20, 200) * np.exp(-(table["area"] - 50) / 10)
    table.loc[3, "area"] = np.nan
    made = Signature.fit(table, np.minimum(time, 40), time < 40, spec=QUICK.replace(selection="ridge"))
    made.save(tmp_path / "signature.json")
    again = Signature.load(tmp_path / "signature.json")
    np.testing.assert_array_equal(again.predict(table), made.predict(table))
    assert again.predict(table.iloc[[3]])[0] == made.predict(table)[3]
    assert harrell_c(made.predict(table), np.minimum(time, 40), time < 40).c > 0.65
    with pytest.raises(InputError, match="lacks features"):
        made.predict(table[["area"]])


def wide(seed: int, columns: int, planted: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Outside features of 300 patients; `planted` of them with an effect."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, columns))
    eta = x[:, :planted].sum(1)
    time = rng.exponential(np.exp(-0.9 * eta / eta.std()))
    names = [f"f{i:03d}" for i in range(columns)]
    ids = [f"P{i}" for i in range(300)]
    end = pd.DataFrame({"patient_id": ids, "time": np.minimum(time, 3), "event": time < 3})
    return pd.DataFrame(x, columns=names).assign(patient_id=ids), end


@pytest.mark.parametrize(("planted", "expected"), [(2, "tree"), (40, "ridge")])
def test_auto_takes_what_predicts_patients_left_out_better_in_outside_features(planted, expected):
    table, outcome = wide(1, 80, planted)
    spec = SignatureSpec(bootstraps=0, n_subsamples=20, screen=80)
    assert spec.selection == "auto"
    made = fit_details(table, outcome, spec=spec, kind="features", benchmark=False, univariate=False)
    assert made.selection.method == expected
    gain = made.selection.details["auto"]
    assert max(gain, key=gain.get) == expected
    same = fit_details(
        table, outcome, spec=spec.replace(selection=expected), kind="features", benchmark=False
    )
    assert same.selection.coef == made.selection.coef


def test_auto_is_the_tree_for_hpcs(cohort):
    made = [
        fit_details(
            cohort["profiles"], cohort["outcome"], tree=cohort["tree"], benchmark=False,
            spec=SignatureSpec(bootstraps=0, n_subsamples=20, selection=name),
        )
        for name in ("auto", "tree")
    ]  # fmt: skip
    assert made[0].selection == made[1].selection
    assert made[0].selection.method == "tree"


def test_ridge_on_hundreds_of_columns_shrinks_as_much_as_cross_validation_asks():
    table, outcome = wide(2, 300, 150)
    x = table.drop(columns="patient_id").to_numpy()
    time, event = outcome["time"].to_numpy(), outcome["event"].to_numpy()
    free = ridge_fit(x, time, event)
    full = ridge_fit(x, time, event, penalties=WIDE_PENALTIES)
    assert free.penalty > 1
    assert full.penalty == free.penalty  # the early end of the search loses nothing here
    np.testing.assert_allclose(full.coef, free.coef)


def test_fit_and_predict_take_frames_anndata_and_files_alike(tmp_path):
    import anndata

    table, outcome = wide(3, 6, 2)
    features = [c for c in table if c != "patient_id"]
    table["patient_id"] = [f"{i:03d}" for i in range(300)]  # ids that look like numbers stay ids
    data = anndata.AnnData(
        table[features].to_numpy(), obs=table[["patient_id"]].set_index(np.arange(300).astype(str))
    )
    data.var_names = features
    data.write_h5ad(tmp_path / "t.h5ad")
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    made = [
        Signature.fit(source, outcome["time"], outcome["event"], spec=QUICK.replace(selection="ridge"))
        for source in (table, data, tmp_path / "t.h5ad", str(tmp_path / "t.csv"), tmp_path / "t.parquet")
    ]
    for one in made[1:]:
        assert one.hpcs == made[0].hpcs == tuple(features)
        assert one.coef == made[0].coef
    for source in (data, tmp_path / "t.h5ad", tmp_path / "t.csv", tmp_path / "t.parquet"):
        np.testing.assert_array_equal(made[0].predict(source), made[0].predict(table))


def test_fit_does_not_take_an_outcome_for_a_feature():
    table, outcome = wide(3, 6, 2)
    leaky = table.assign(os_time=outcome["time"])
    with pytest.warns(PathosigWarning, match="os_time"):
        made = Signature.fit(leaky, outcome["time"], outcome["event"], spec=QUICK.replace(selection="ridge"))
    assert "os_time" not in made.hpcs


def test_the_equation_of_outside_features_is_in_the_units_of_the_table():
    table, outcome = wide(3, 4, 2)
    features = [c for c in table if c != "patient_id"]
    table[features] = table[features] * [1.0, 10.0, 0.1, 3.0] + [0.0, 50.0, -4.0, 7.0]
    made = Signature.fit(table, outcome["time"], outcome["event"], spec=QUICK.replace(selection="ridge"))
    terms = re.findall(r"([+-][\d.e+-]+) x \((\w+) ([+-]) ([\d.e+-]+)\)", made.equation())
    assert len(terms) == 4
    by_hand = sum(float(b) * (table[n] + float(sign + c)) for b, n, sign, c in terms)
    np.testing.assert_allclose(by_hand, made.predict(table), atol=1e-4)


def test_an_outlier_that_leaves_a_risk_set_without_weight_does_not_overflow():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    x[0, 0] = 1e4  # with its score every other patient's risk underflows
    time, event = rng.permutation(40) + 1.0, np.ones(40, bool)
    halves = half_samples_of(x, time, event, np.array([np.arange(40)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradient(halves, np.array([[150.0, 0.0]]))
    assert np.isfinite(found).all()
    assert np.isfinite(loss(halves, np.array([[150.0, 0.0]]))).all()

"""Selecting and fitting a signature."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import InputError, NotEstimableError, PathosigWarning
from pathosig.profiles.tree import coarse_groups
from pathosig.signature import Signature, SignatureSpec, TrainingSet, fit_details, fit_signature
from pathosig.signature.contributions import signature_weights
from pathosig.signature.features import candidates, design
from pathosig.survival import cox, cox_path, harrell_c
from pathosig.survival.bounds import _tail_bound, false_selection_bound, threshold_for
from pathosig.survival.half_paths import first_entries, gradient, half_samples_of, quadratic_at
from pathosig.survival.likelihood import loglik_derivatives
from pathosig.survival.ridge import WIDE_PENALTIES, ridge_fit
from pathosig.survival.risksets import risk_sets

QUICK = SignatureSpec(bootstraps=0)


@pytest.fixture(scope="module")
def fitted(cohort) -> Signature:
    return fit_signature(cohort["profiles"][:160], cohort["outcome"][:160], tree=cohort["tree"], spec=QUICK)


@pytest.mark.parametrize("selection", ["tree", "completed"])
def test_both_planted_types_are_selected_with_their_signs(cohort, selection):
    patients = TrainingSet.of(cohort["profiles"][:160], cohort["outcome"][:160], tree=cohort["tree"])
    fit = fit_details(patients, QUICK.replace(selection=selection), benchmark=False)
    weights = signature_weights(fit.signature, cohort["tree"]["k"])
    pool = candidates(patients)
    signs: dict[int, set[float]] = {}
    for name in fit.selection.details.get("stable", fit.signature.hpcs):
        leaves = list(pool.leaves[name])
        signs.setdefault(int(np.bincount(cohort["owner"][leaves]).argmax()), set()).add(
            float(np.sign(weights[leaves].mean() - weights.mean()))
        )
    assert signs[0] == {1.0}
    assert signs[1] == {-1.0}
    late = cohort["outcome"][160:]
    assert harrell_c(fit.signature.score(cohort["profiles"][160:]), late["time"], late["event"]).c > 0.65


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
    assert [row.years for row in fitted.baseline.at] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize("selection", ["ridge", "lasso", "paper", "stepwise", "logcontrast"])
def test_every_selection_gives_a_score_that_works(cohort, selection):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        found = fit_details(
            TrainingSet.of(cohort["profiles"][:160], cohort["outcome"][:160], tree=cohort["tree"]),
            QUICK.replace(selection=selection), benchmark=False,
        )  # fmt: skip
    assert found.signature is not None
    late = cohort["outcome"][160:]
    assert harrell_c(found.signature.score(cohort["profiles"][160:]), late["time"], late["event"]).c > 0.6


def test_a_log_contrast_ignores_depth_and_unused_hpcs(cohort):
    found = fit_signature(
        cohort["profiles"][:160],
        cohort["outcome"][:160],
        spec=QUICK.replace(selection="logcontrast"),
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
        fit_signature(cohort["profiles"], cohort["outcome"], spec=QUICK.replace(selection="paper"))


def test_no_signature_is_a_result_with_all_univariate_tests(noise):
    patients = TrainingSet.of(noise["profiles"], noise["outcome"], tree=noise["tree"])
    found = fit_details(patients, QUICK.replace(min_threshold=1.0))
    assert found.signature is None
    assert "no signature" in found.reason
    assert len(found.univariate) >= 12
    assert found.univariate["q"].notna().all()
    assert found.benchmark is not None


def test_one_event_is_refused_with_numbers(cohort):
    outcome = cohort["outcome"].assign(event=False)
    outcome.loc[0, "event"] = True
    with pytest.raises(NotEstimableError, match="1 event among 240"):
        fit_signature(cohort["profiles"], outcome, spec=QUICK)


def test_rows_of_an_outcome_without_ids_are_those_of_the_table(cohort):
    named = fit_signature(cohort["profiles"], cohort["outcome"], tree=cohort["tree"], spec=QUICK)
    bare = cohort["outcome"][["time", "event"]]
    assert (
        fit_signature(cohort["profiles"], bare, tree=cohort["tree"], spec=QUICK).to_json() == named.to_json()
    )
    with pytest.raises(InputError, match="239 rows without patient_id for 240"):
        fit_signature(cohort["profiles"], bare[1:], tree=cohort["tree"], spec=QUICK)


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("event", np.nan, "E_EVENT"), ("event", None, "E_EVENT"), ("event", "1", "E_EVENT"), ("event", 2, "E_EVENT"),
        ("time", np.nan, "E_TIME"), ("time", -1.0, "E_TIME"), ("time", np.inf, "E_TIME"), ("time", "12", "E_TIME"),
    ],
)  # fmt: skip
def test_an_outcome_that_is_missing_or_of_another_type_is_refused(cohort, column, value, code):
    outcome = cohort["outcome"].astype({column: object})
    outcome.loc[3, column] = value
    with pytest.raises(InputError) as caught:
        fit_signature(cohort["profiles"], outcome, tree=cohort["tree"], spec=QUICK)
    assert caught.value.code == code


def test_events_coded_1_and_2_are_refused_and_0_and_1_are_taken(cohort):
    numbers = cohort["outcome"].assign(event=cohort["outcome"]["event"].astype(int))
    plain = fit_signature(cohort["profiles"], cohort["outcome"], tree=cohort["tree"], spec=QUICK)
    assert (
        fit_signature(cohort["profiles"], numbers, tree=cohort["tree"], spec=QUICK).to_json()
        == plain.to_json()
    )
    with pytest.raises(InputError, match="expected 0/1"):
        fit_signature(cohort["profiles"], numbers.assign(event=numbers["event"] + 1), spec=QUICK)


def test_an_unknown_unit_of_time_is_refused(cohort):
    with pytest.raises(InputError, match="unit 'fortnights'"):
        fit_signature(cohort["profiles"], cohort["outcome"], unit="fortnights", spec=QUICK)


def test_artefact_hpcs_are_no_candidates_and_shares_close_again(cohort):
    found = candidates(
        TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"], artefacts=(2,))
    )
    assert "hpc_02" not in found.names
    assert found.dropped["hpc_02"] == "artefact"
    x = design(cohort["profiles"], ["hpc_00"], found.transform)
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


def test_the_batched_quadratic_model_is_that_of_the_likelihood_with_ties(cohort):
    x = cohort["profiles"].filter(like="hpc_").to_numpy()[:80]
    time, event = (
        np.ceil(cohort["outcome"]["time"].to_numpy() / 5)[:80],
        cohort["outcome"]["event"].to_numpy()[:80],
    )
    halves = half_samples_of(x, time, event, np.arange(80)[None, :])
    beta = np.linspace(-0.3, 0.3, 12)
    model = quadratic_at(halves, beta[None, :])
    sets = risk_sets(time, event, stratum=np.zeros(80, int), weight=np.ones(80), entry=None, ties="breslow")
    scaled = (x - x.mean(0)) / x.std(0)
    _, score, information = loglik_derivatives(beta, scaled[sets.order], sets)
    np.testing.assert_allclose(model.hessian[0], information / 80, atol=1e-12)
    np.testing.assert_allclose(gradient(halves, beta[None, :])[0], -score / 80, atol=1e-12)
    np.testing.assert_allclose(model.linear[0] + model.hessian[0] @ beta, -score / 80, atol=1e-12)


def test_the_node_that_fits_best_speaks_for_its_cluster_not_the_hpc_with_more_votes(loud_leaf):
    data = loud_leaf
    patients = TrainingSet.of(data["profiles"], data["outcome"], tree=data["tree"])
    fit = fit_details(patients, univariate=False, benchmark=False)
    frequency = fit.selection.details["frequency"]
    leaves = fit.signature.transform.leaves
    assert sorted(sorted(data["owner"][list(leaves[name])]) for name in fit.signature.hpcs) == [
        [0] * 6,
        [1] * 6,
    ]
    harmful = next(name for name in fit.signature.hpcs if data["owner"][list(leaves[name])][0] == 0)
    assert frequency["hpc_01"] > frequency[harmful]


def test_bounds_are_between_chance_and_meinshausen_buhlmann():
    simple = 6 * 6 / ((2 * 0.8 - 1) * 50)
    assert 0 < false_selection_bound(6, 50, 0.8, 50) <= simple
    assert false_selection_bound(6, 50, 0.9, 50) < false_selection_bound(6, 50, 0.6, 50)
    threshold = threshold_for(6, 50, 50, expected_false=1.0)
    assert false_selection_bound(6, 50, threshold, 50) <= 1.0
    assert _tail_bound(0.3, 10, 100, -0.5) == 1.0
    assert 0 < _tail_bound(0.05, 60, 100, -0.25) <= 0.05 / 0.6


def test_outside_features_need_no_tree():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(200, 6)), columns=list("abcdef"))
    x.insert(0, "patient_id", [str(i) for i in range(200)])
    time = rng.exponential(20, 200) * np.exp(-x["a"])
    outcome = pd.DataFrame({"patient_id": x["patient_id"], "time": time, "event": True})
    assert "a" in fit_signature(x, outcome, spec=QUICK).hpcs


def test_a_maximal_cutoff_comes_with_a_corrected_p_and_a_warning(cohort):
    spec = QUICK.replace(cutoff="maximal", permutations=199, bootstraps=10)
    with pytest.warns(PathosigWarning, match="corrected for the search"):
        found = fit_details(
            TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"]), spec, benchmark=False
        )
    assert found.cutoff.details["p_naive"] <= found.cutoff.details["p_corrected"]
    assert found.cutoff.details["bootstrap"]["lower"] <= found.signature.cutoff


def test_raw_features_with_holes_are_fitted_saved_and_scored_alone_as_together(tmp_path):
    rng = np.random.default_rng(4)
    table = pd.DataFrame(rng.normal(50, 10, (200, 4)), columns=["area", "grade", "mitoses", "necrosis"])
    time = rng.exponential(20, 200) * np.exp(-(table["area"] - 50) / 10)
    table.loc[3, "area"] = np.nan
    outcome = pd.DataFrame({"time": np.minimum(time, 40), "event": time < 40})
    made = fit_signature(table, outcome, spec=QUICK.replace(selection="ridge"))
    made.save(tmp_path / "signature.json")
    again = Signature.load(tmp_path / "signature.json")
    np.testing.assert_array_equal(again.score(table), made.score(table))
    assert again.score(table.iloc[[3]])[0] == made.score(table)[3]
    assert harrell_c(made.score(table), np.minimum(time, 40), time < 40).c > 0.65
    with pytest.raises(InputError, match="lacks features"):
        made.score(table[["area"]])


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
    patients = TrainingSet.of(table, outcome, kind="features")
    made = fit_details(patients, spec, benchmark=False, univariate=False)
    assert made.selection.method == expected
    gain = made.selection.details["auto"]
    assert max(gain, key=gain.get) == expected
    same = fit_details(patients, spec.replace(selection=expected), benchmark=False)
    assert same.selection.coef == made.selection.coef


def test_auto_is_completed_for_hpcs(cohort):
    made = [
        fit_details(
            TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"]),
            SignatureSpec(bootstraps=0, n_subsamples=20, selection=name), benchmark=False,
        )
        for name in ("auto", "completed")
    ]  # fmt: skip
    assert made[0].selection == made[1].selection
    assert made[0].selection.method == "completed"


def test_ridge_on_hundreds_of_columns_shrinks_as_much_as_cross_validation_asks():
    table, outcome = wide(2, 300, 150)
    x = table.drop(columns="patient_id").to_numpy()
    time, event = outcome["time"].to_numpy(), outcome["event"].to_numpy()
    free = ridge_fit(x, time, event)
    full = ridge_fit(x, time, event, penalties=WIDE_PENALTIES)
    assert free.penalty > 1
    assert full.penalty == free.penalty  # the early end of the search loses nothing here
    np.testing.assert_allclose(full.coef, free.coef)


def test_fit_and_score_take_frames_anndata_and_files_alike(tmp_path):
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
        fit_signature(source, outcome[["time", "event"]], spec=QUICK.replace(selection="ridge"))
        for source in (table, data, tmp_path / "t.h5ad", str(tmp_path / "t.csv"), tmp_path / "t.parquet")
    ]
    for one in made[1:]:
        assert one.hpcs == made[0].hpcs == tuple(features)
        assert one.coef == made[0].coef
    for source in (data, tmp_path / "t.h5ad", tmp_path / "t.csv", tmp_path / "t.parquet"):
        np.testing.assert_array_equal(made[0].score(source), made[0].score(table))


def test_fit_does_not_take_an_outcome_for_a_feature():
    table, outcome = wide(3, 6, 2)
    leaky = table.assign(os_time=outcome["time"])
    with pytest.warns(PathosigWarning, match="os_time"):
        made = fit_signature(leaky, outcome[["time", "event"]], spec=QUICK.replace(selection="ridge"))
    assert "os_time" not in made.hpcs


def test_the_equation_of_outside_features_is_in_the_units_of_the_table():
    table, outcome = wide(3, 4, 2)
    features = [c for c in table if c != "patient_id"]
    table[features] = table[features] * [1.0, 10.0, 0.1, 3.0] + [0.0, 50.0, -4.0, 7.0]
    made = fit_signature(table, outcome[["time", "event"]], spec=QUICK.replace(selection="ridge"))
    terms = re.findall(r"([+-][\d.e+-]+) x \((\w+) ([+-]) ([\d.e+-]+)\)", made.equation())
    assert len(terms) == 4
    by_hand = sum(float(b) * (table[n] + float(sign + c)) for b, n, sign, c in terms)
    np.testing.assert_allclose(by_hand, made.score(table), atol=1e-4)


def test_an_outlier_that_leaves_a_risk_set_without_weight_does_not_overflow():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    x[0, 0] = 1e4  # with its score every other patient's risk underflows
    time, event = rng.permutation(40) + 1.0, np.ones(40, bool)
    halves = half_samples_of(x, time, event, np.array([np.arange(40)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradient(halves, np.array([[150.0, 0.0]]))
        model = quadratic_at(halves, np.array([[150.0, 0.0]]))
    assert np.isfinite(found).all()
    assert np.isfinite(model.hessian).all()


def test_coarse_groups_are_a_partition_of_the_hpcs(cohort):
    pool = candidates(
        TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"]),
        scale="share",
        min_prevalence=0.05,
    )
    for k in (2, 4, 8, 12):
        leaves = [h for name in coarse_groups(pool.leaves, k) for h in pool.leaves[name]]
        assert len(coarse_groups(pool.leaves, k)) == k
        assert sorted(leaves) == list(range(cohort["tree"]["k"]))


def test_completed_is_a_weighted_sum_of_certain_nodes_and_of_the_cut_that_predicts_best(cohort):
    patients = TrainingSet.of(cohort["profiles"], cohort["outcome"], tree=cohort["tree"])
    quick = SignatureSpec(bootstraps=0, n_subsamples=40)
    tree = fit_details(patients, quick.replace(selection="tree"), benchmark=False).selection
    fit = fit_details(patients, quick.replace(selection="completed"), benchmark=False)
    details = fit.selection.details
    certain = {c["representative"] for c in tree.details["clusters"] if c["frequency"] >= 0.9}
    assert 0 < len(certain) < len(tree.names)
    assert set(details["stable"]) == certain
    pool = candidates(patients, scale="share", min_prevalence=0.05)
    models = {}
    for names in (details["stable"], *(coarse_groups(pool.leaves, k) for k in (4, 8, 16))):
        x = design(patients.profiles, names, pool.transform)
        models[tuple(names)] = (
            x,
            ridge_fit(x, patients.time, patients.event, folds=quick.folds, seed=quick.seed),
        )
    cuts = {names: model.gain for names, (_, model) in list(models.items())[1:]}
    assert tuple(details["groups"]) == max(cuts, key=lambda names: cuts[names])
    expected, left_out = 0.0, 0.0
    for key, weight in zip(("stable", "groups"), details["weights"], strict=True):
        x, model = models[tuple(details[key])]
        assert weight >= 0
        expected = expected + weight * ((x - model.center) @ model.coef)
        left_out = left_out + weight * model.left_out
    stacked = cox(left_out, patients.time, patients.event)
    assert stacked.coef[0] == pytest.approx(1, abs=1e-6)
    ratio = stacked.lr_test.statistic
    shrinkage = (ratio - np.count_nonzero(details["weights"])) / ratio
    assert 0.5 < shrinkage < 1
    assert details["shrinkage"] == pytest.approx(shrinkage, abs=1e-6)
    expected = details["shrinkage"] * expected
    np.testing.assert_allclose(fit.signature.score(patients.profiles), expected, atol=1e-12)


def test_noise_seldom_gives_a_completed_signature(noise):
    rng = np.random.default_rng(0)
    patients = TrainingSet.of(noise["profiles"], noise["outcome"], tree=noise["tree"])
    spec = SignatureSpec(selection="completed", bootstraps=0, n_subsamples=40)
    fits = [
        fit_details(
            patients.permuted(rng.permutation(len(patients))), spec, benchmark=False, univariate=False
        )
        for _ in range(12)
    ]
    assert sum(fit.signature is not None for fit in fits) <= 4

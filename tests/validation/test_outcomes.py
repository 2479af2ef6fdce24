"""Imputation, competing risks, overall error, associations and sample size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pathosig.core.errors import ConfigError, NotEstimableError
from pathosig.signature import Signature, SignatureSpec, fit_signature
from pathosig.survival import IncidenceModel, brier, cox, fisher_exact, time_auc
from pathosig.survival.causes import causes_of
from pathosig.survival.imputation import _nelson_aalen, impute, rubin
from pathosig.validation import ValidateSpec, validate
from pathosig.validation.absolute import with_incidence
from pathosig.validation.added import FrozenModels, added_value
from pathosig.validation.associations import _counted, associations
from pathosig.validation.competing import competing_risks
from pathosig.validation.error import overall_error
from pathosig.validation.findings import spread_findings
from pathosig.validation.forests import forest
from pathosig.validation.frozen import joined
from pathosig.validation.required_size import riley, sample_size_findings
from pathosig.validation.results import AgainstRidge, PrimaryAnalysis, Results
from pathosig.validation.tidy import tidy_tables
from pathosig.validation.values import NOT_COMPUTED, Estimate

QUICK = SignatureSpec(bootstraps=0, n_subsamples=40)


@pytest.fixture(scope="module")
def signature(cohort):
    return fit_signature(cohort["profiles"][:140], cohort["outcome"][:140], tree=cohort["tree"], spec=QUICK)


@pytest.fixture(scope="module")
def clinical() -> pd.DataFrame:
    """Age and stage raise the hazard; age is missing more often in patients with an early outcome."""
    rng = np.random.default_rng(5)
    n = 600
    score, age, stage = rng.normal(size=n), rng.normal(60, 10, n), rng.choice(["I", "II", "III"], n)
    lp = 0.5 * score + 0.05 * (age - 60) + 0.7 * (stage == "III")
    death, censored = rng.exponential(20, n) * np.exp(-lp), rng.uniform(5, 60, n)
    frame = pd.DataFrame({"score": score, "age": age, "stage": stage})
    frame["time"], frame["event"] = np.minimum(death, censored), death <= censored
    frame["group"] = np.where(score > 0, "high", "low")
    frame["full_age"], frame["full_stage"] = age, stage
    frame.loc[rng.random(n) < np.where(frame["time"] < 10, 0.5, 0.1), "age"] = np.nan
    frame.loc[rng.random(n) < 0.15, "stage"] = None
    return frame


def test_nelson_aalen_counts_deaths_over_those_at_risk_ties_too():
    found = _nelson_aalen(np.array([3.0, 1, 3, 2]), np.array([True, True, False, False]))
    np.testing.assert_allclose(found, [1 / 4 + 1 / 2, 1 / 4, 1 / 4 + 1 / 2, 1 / 4])


def test_rubins_rules_by_hand():
    pooled = rubin(np.array([[1.0], [2.0], [3.0]]), np.array([[0.5], [0.5], [0.5]]), n=100)
    assert pooled.coef[0] == 2.0
    assert pooled.se[0] == pytest.approx(np.sqrt(0.25 + (1 + 1 / 3) * 1.0))
    assert pooled.variance_proportion[0] == pytest.approx((4 / 3) / (0.25 + 4 / 3))
    assert pooled.lower[0] < 2.0 - 1.96 * pooled.se[0]


def test_imputation_fills_holes_only_is_repeatable_and_keeps_levels(clinical):
    names = ["age", "stage"]
    tables = impute(clinical, names, m=3, seed=1)
    again = impute(clinical, names, m=3, seed=1)
    for one, two in zip(tables, again, strict=True):
        pd.testing.assert_frame_equal(one, two)
        assert not one[names].isna().any().any()
        known = clinical["age"].notna()
        np.testing.assert_array_equal(one.loc[known, "age"], clinical.loc[known, "age"])
        assert set(one["stage"]) == {"I", "II", "III"}
        np.testing.assert_array_equal(one["score"], clinical["score"])
    assert not tables[0]["age"].equals(tables[1]["age"])


def test_the_imputed_model_is_nearer_to_the_full_one_than_complete_cases_where_the_outcome_drives_missingness(
    clinical,
):
    made = forest(clinical, ["age", "stage"], sd=1.0, imputations=20)
    assert made.imputation.m == 20
    assert made.imputation.missing == {
        "age": int(clinical["age"].isna().sum()),
        "stage": int(clinical["stage"].isna().sum()),
    }
    stage = (clinical["full_stage"].to_numpy()[:, None] == np.array(["II", "III"])).astype(float)
    truth = cox(
        np.column_stack([clinical["score"], clinical["full_age"], stage]), clinical["time"], clinical["event"]
    )
    rows = {
        k: [r.effect for r in getattr(made, k) if r.kind == "estimate"] for k in ("imputed", "multivariable")
    }
    assert rows["imputed"][0].n == len(clinical) > rows["multivariable"][0].n
    off = {k: abs(np.log(v[1].hr) - truth.coef[1]) for k, v in rows.items()}
    assert off["imputed"] < truth.se[1]
    widths = {k: np.log(v[0].upper / v[0].lower) for k, v in rows.items()}
    assert widths["imputed"] < widths["multivariable"]
    assert forest(clinical.dropna(), ["age", "stage"], sd=1.0, imputations=20).imputation == NOT_COMPUTED


def test_overall_error_beats_the_null_model_in_new_patients_and_loses_with_a_shuffled_score(
    cohort, signature
):
    late = cohort["outcome"][140:]
    time, event = late["time"].to_numpy(), late["event"].to_numpy()
    score = signature.score(cohort["profiles"][140:])
    options = {"per_year": 12.0, "horizons": (1.0, 3.0, 5.0), "bootstraps": 30}
    made = overall_error(signature, score, time, event, **options)
    assert made.ibs.score < made.ibs.null
    assert made.ibs.difference.lower < made.ibs.difference.estimate < made.ibs.difference.upper
    assert [row.years for row in made.brier] == [1.0, 3.0]
    assert all(0 < row.score < 0.3 for row in made.brier)
    mixed = overall_error(signature, np.random.default_rng(0).permutation(score), time, event, **options)
    assert mixed.ibs.scaled < 0 < made.ibs.scaled
    with pytest.raises(NotEstimableError, match="first horizon"):
        overall_error(signature, score, time, event, per_year=1e6, horizons=(1.0,))


def test_a_competing_death_is_cause_two_and_ends_follow_up():
    frame = pd.DataFrame(
        {"patient_id": list("abcd"), "time": [5.0, 6, 7, 8], "event": [True, False, False, False]}
    )
    other = pd.DataFrame({"patient_id": list("abc"), "time": [9.0, 6, 3], "event": [True, True, False]})
    coded = causes_of(frame, other)
    assert coded["cause"].tolist() == [1, 2, 0, 0]
    assert coded["time"].tolist() == [5.0, 6, 7, 8]


def test_competing_risks_give_curves_gray_and_both_models(clinical):
    rng = np.random.default_rng(2)
    frame = clinical.assign(cause=np.where(clinical["event"], rng.choice([1, 2], len(clinical)), 0))
    made = competing_risks(frame, sd=1.0)
    assert {(r.model, r.effect, r.cause) for r in made.models} == {
        (m, e, c) for m in ("cause-specific", "Fine-Gray") for e in ("hr_sd", "hr_group") for c in (1, 2)
    }
    direct = cox(frame["score"].to_numpy()[:, None], frame["time"], frame["cause"] == 1)
    first = next(r for r in made.models if r.model == "cause-specific" and r.effect == "hr_sd")
    assert first.result.hr == pytest.approx(direct.hr[0])
    assert len(made.gray) == 2
    with pytest.raises(NotEstimableError, match="0 competing"):
        competing_risks(frame.assign(cause=frame["cause"].clip(upper=1)), sd=1.0)


def test_counts_of_groups_carry_exact_tests_and_leave_unknown_out(clinical):
    labels = clinical["stage"].to_numpy(object)
    made = _counted(
        clinical["group"].to_numpy(object), np.array([v if isinstance(v, str) else None for v in labels])
    )
    assert made.n + made.missing == len(clinical)
    counts = np.array([r.n for r in made.rows]).reshape(2, 3)
    assert made.fisher.p == pytest.approx(fisher_exact(counts).p)
    rows = associations(clinical.assign(cohort="A"), ["stage", "age", "absent"], ["A"])
    assert [r.variable for r in rows] == ["stage", "age"]
    assert all(r.counts.fisher.q >= r.counts.fisher.p for r in rows)


def test_sample_size_says_what_is_needed_and_what_shrinkage_to_expect(clinical):
    found = riley(clinical, candidates=60, selected=3, per_year=12.0)
    assert found.selected.required_n < found.candidates.required_n
    assert found.selected.expected_shrinkage > found.candidates.expected_shrinkage
    enough = riley(pd.concat([clinical] * 40), candidates=60, selected=3, per_year=12.0)
    assert sample_size_findings(enough) == sample_size_findings(NOT_COMPUTED) == []
    assert sample_size_findings(found)[0].code == "W_SAMPLE_SIZE"
    exact = riley(clinical.iloc[: found.selected.required_n], candidates=60, selected=3, per_year=12.0)
    assert exact.selected.expected_shrinkage > 0.8


def test_added_value_has_brier_and_net_benefit_with_paired_limits(clinical):
    frame = clinical.assign(age=clinical["full_age"])
    models = FrozenModels.fit_complete(frame[:300], ["age"])
    made = added_value(models, frame[300:], bootstraps=20)
    at = made.at_horizon
    assert at.difference_brier.estimate < 0
    assert at.difference_brier.lower <= at.difference_brier.estimate <= at.difference_brier.upper
    assert len(at.net_benefit.models["combined"]) == len(at.net_benefit.thresholds)
    assert [d.threshold for d in at.net_benefit.difference] == [0.2, 0.4, 0.6, 0.8]
    assert added_value(models, frame[300:], bootstraps=20, workers=2) == made


def test_validation_holds_all_of_it_and_tidy_tables_too(cohort, signature):
    rng = np.random.default_rng(0)
    rows, n = cohort["profiles"], len(cohort["profiles"])
    patients = pd.DataFrame(
        {"patient_id": rows["patient_id"], "cohort": np.where(np.arange(n) < 140, "discovery", "v1")}
    )
    patients["age"] = np.where(rng.random(n) < 0.2, np.nan, rng.normal(60, 9, n))
    patients["sex"] = rng.choice(["F", "M"], n)
    relapse = cohort["outcome"].assign(event=cohort["outcome"]["event"] & (rng.random(n) < 0.5))
    found = validate(
        signature, rows, {"os": cohort["outcome"], "relapse": relapse}, patients=patients, covariates=["age"],
        subgroups=["sex"], competing={"relapse": "os"}, spec=ValidateSpec(bootstraps=10, imputations=5),
    )  # fmt: skip
    fitted, other = found.analysis("v1", "os"), found.analysis("v1", "relapse")
    assert fitted.ibs.score > 0
    assert fitted.forest.imputation.m == 5
    assert other.competing.competing_events > 0
    assert {r.level for r in other.outcome_counts.rows} == {"no event", "event", "competing event"}
    primary = PrimaryAnalysis(endpoint="os", discovery="discovery", covariates=(), treatment=None, sha256="0")
    tables = tidy_tables(
        Results(
            kind="external", primary=primary, signature=signature, analyses=found.analyses,
            associations=found.associations,
        )
    )  # fmt: skip
    assert {"associations", "outcomes", "brier", "competing", "incidence"} <= set(tables)


def test_a_selection_that_loses_to_ridge_on_discovery_patients_is_reported():
    def comparison(selection, ridge):
        return AgainstRidge(
            harrell_c=Estimate.of(selection), ridge_c=Estimate.of(ridge),
            difference=None if np.isnan(ridge) else selection - ridge,
        )  # fmt: skip

    lost = spread_findings(comparison(0.62, 0.68))
    assert [w.code for w in lost] == ["W_SPREAD"]
    assert "0.620" in lost[0].message and "0.680" in lost[0].message
    assert spread_findings(comparison(0.68, 0.69)) == spread_findings(comparison(0.62, np.nan)) == []


def competing_cohorts(n=900, seed=2):
    """Two cohorts of one population in which recurrence increases with the feature and death without recurrence is common."""
    rng = np.random.default_rng(seed)
    feature = rng.normal(size=n)
    recurrence, death = rng.exponential(40 / np.exp(0.9 * feature)), rng.exponential(35, n)
    end = np.minimum(death, rng.uniform(30, 90, n))
    ids = [f"P{i:04d}" for i in range(n)]
    features = pd.DataFrame({"patient_id": ids, "f0": feature, "f1": rng.normal(size=n)})
    dfs = pd.DataFrame({"patient_id": ids, "time": np.minimum(recurrence, end), "event": recurrence <= end})
    dead = pd.DataFrame({"patient_id": ids, "time": end, "event": death <= end})
    patients = pd.DataFrame(
        {"patient_id": ids, "cohort": np.where(np.arange(n) < n // 2, "discovery", "clinic")}
    )
    return features, dfs, dead, patients


@pytest.fixture(scope="module")
def competing_validation():
    features, dfs, dead, patients = competing_cohorts()
    half = len(features) // 2
    spec = SignatureSpec(selection="ridge", bootstraps=0)
    signature = fit_signature(features[:half], dfs[:half], spec=spec, endpoint="dfs")
    result = validate(
        signature,
        features,
        {"dfs": dfs, "os": dead},
        patients=patients,
        competing={"dfs": "os"},
        spec=ValidateSpec(bootstraps=10),
    )
    return signature, result, dfs


def test_absolute_risk_under_competing_events_is_the_cumulative_incidence(competing_validation):
    _, result, _ = competing_validation
    row = result.analysis("clinic", "dfs")
    assert {(r.group, r.years) for r in row.competing.at} == {
        (g, y) for g in ("low", "high") for y in (1.0, 3.0, 5.0)
    }
    for at in row.competing.at:
        assert at.event.lower < at.event.estimate < at.event.upper
        assert at.event.estimate < at.net
        assert at.event.estimate + at.competing.estimate < 1
    high, low = (next(r for r in row.competing.at if (r.group, r.years) == (g, 3.0)) for g in ("high", "low"))
    assert high.event.estimate > low.event.estimate + 0.2


def test_calibration_under_competing_events_compares_incidences_and_holds_where_net_risks_would_not(
    competing_validation,
):
    signature, result, dfs = competing_validation
    row = result.analysis("clinic", "dfs")
    scores = result.scores[result.scores["cohort"] == "clinic"]["score"].to_numpy()
    for at in row.calibration.horizons:
        net = float(np.mean(1 - signature.survival_at(scores, [at.time])))
        assert 0.85 < at.ratio < 1.15
        assert at.lower < 1 < at.upper
        assert at.expected < net
    assert at.years == 5.0
    assert at.expected < net - 0.15  # 1 - survival without deaths is most wrong at the last horizon
    assert all(g.lower < g.observed < g.upper for g in at.groups)
    assert "W_COMPETING" not in [w.code for w in result.warnings]


def test_auc_and_brier_score_under_competing_events_count_the_death_as_an_outcome(competing_validation):
    signature, result, dfs = competing_validation
    row = result.analysis("clinic", "dfs")
    death = competing_cohorts()[2]
    coded = {
        name: causes_of(joined(result.scores[result.scores["cohort"] == name], dfs), death)
        for name in ("discovery", "clinic")
    }
    old = coded["discovery"]
    # Cox models of both causes on the score, fitted to discovery; the completed signature consists of nearly the same models.
    model = IncidenceModel.fit(old[["score"]], old["time"], old["cause"])
    frozen = with_incidence(signature, old, per_year=12.0)
    frame = coded["clinic"]
    score, time, cause = (frame[c].to_numpy() for c in ("score", "time", "cause"))
    options = {"times": [36.0, 60.0], "competing": cause == 2}
    auc = time_auc(score, time, cause == 1, **options)
    np.testing.assert_allclose([a.estimate for a in row.auc][1:], auc.auc)
    assert auc.n_controls[0] > (time > 36).sum()
    free = frozen.survival_at(score, options["times"])
    np.testing.assert_allclose(free, 1 - model.incidence_at(score[:, None], options["times"]), atol=0.03)
    error = brier(free, time, cause == 1, **options)
    np.testing.assert_allclose([b.score for b in row.brier][1:], error)
    net = brier(signature.survival_at(score, options["times"]), time, cause == 1, **options)
    assert (net > error + 0.005).all()  # 1 - survival without deaths does not predict what happens
    assert all(b.difference.upper < 0 for b in row.brier)
    assert row.ibs.score < row.ibs.null


def test_without_discovery_patients_absolute_risk_under_competing_events_is_not_estimable():
    features, dfs, dead, _ = competing_cohorts(300)
    signature = fit_signature(
        features[:150], dfs[:150], spec=SignatureSpec(selection="ridge", bootstraps=0), endpoint="dfs"
    )
    result = validate(
        signature,
        features[150:],
        {"dfs": dfs[150:], "os": dead[150:]},
        competing={"dfs": "os"},
        spec=ValidateSpec(bootstraps=5),
    )
    row = result.analyses[0]
    assert all("needs the discovery patients" in v.reason for v in (row.calibration, row.brier, row.ibs))
    assert row.auc[0].estimate > 0.6
    assert [w.code for w in result.warnings].count("W_COMPETING") == 1


def test_a_signature_that_was_fitted_with_causes_carries_the_hazard_of_the_competing_event(tmp_path):
    features, dfs, dead, _ = competing_cohorts(300)
    spec = SignatureSpec(selection="ridge", bootstraps=0)
    signature = fit_signature(features[:150], causes_of(dfs, dead)[:150], spec=spec, endpoint="dfs")
    plain = fit_signature(features[:150], dfs[:150], spec=spec, endpoint="dfs")
    assert signature.coef == plain.coef
    score = signature.score(features[150:])
    assert (signature.survival_at(score, [36.0]) > plain.survival_at(score, [36.0])).all()
    signature.save(tmp_path / "signature.json")
    again = Signature.load(tmp_path / "signature.json")
    np.testing.assert_array_equal(again.survival_at(score, [36.0]), signature.survival_at(score, [36.0]))
    outcome = {"dfs": dfs[150:], "os": dead[150:]}
    result = validate(
        again, features[150:], outcome, competing={"dfs": "os"}, spec=ValidateSpec(bootstraps=5)
    )
    (row, _) = result.analyses
    assert 0.7 < row.calibration.horizons[-1].ratio < 1.4
    assert "W_COMPETING" not in [w.code for w in result.warnings]


def test_horizons_of_the_settings_reach_every_risk_and_those_beyond_follow_up_are_told_and_left_out():
    features, dfs, _, patients = competing_cohorts(500)
    spec = SignatureSpec(selection="ridge", bootstraps=0, horizons=(2.0, 4.0, 30.0))
    signature = fit_signature(features[:250], dfs[:250], spec=spec, endpoint="dfs")
    assert [(at.years, at.time) for at in signature.baseline.at] == [(2.0, 24.0), (4.0, 48.0)]
    for at in signature.baseline.at:
        assert at.survival == signature.baseline.survival_at(at.time)[0]
    wanted = ValidateSpec(bootstraps=5, horizons=(2.0, 30.0))
    result = validate(signature, features, {"dfs": dfs}, patients=patients, spec=wanted)
    row = result.analysis("clinic", "dfs")
    assert [a.years for a in row.auc] == [2.0]
    assert [h.years for h in row.calibration.horizons] == [2.0]
    assert all([s.years for s in curve.survival_at] == [2.0] for curve in row.km.groups)
    told = [w.message for w in result.warnings if w.code == "W_HORIZON"]
    assert len(told) == 2
    assert all("nothing is given at 30 years" in message for message in told)
    frame = features.merge(dfs, on="patient_id").rename(columns={"f1": "age", "f0": "score"})
    model = FrozenModels.fit(frame, ["age"], endpoint="dfs", horizons=(2.0, 30.0)).combined
    assert [h.years for h in model.horizons] == [2.0]
    for settings in (ValidateSpec, SignatureSpec):
        with pytest.raises(ConfigError, match="horizons"):
            settings(horizons=(0.0,))

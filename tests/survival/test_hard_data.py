"""Separated, collinear and event-free columns, missing outcomes, unusual weights: as in R (golden/make_edges.R) or as documented."""

import json
import time as clock
from pathlib import Path

import numpy as np
import pytest

from pathosig.core.errors import InputError
from pathosig.survival import (
    bootstrap_c,
    bootstrap_cox,
    brier,
    calibration,
    cause_specific,
    chi_square,
    cox,
    cox_path,
    cox_univariate,
    cumulative_incidence,
    decision_curve,
    fine_gray,
    firth_cox,
    fisher_exact,
    harrell_c,
    ibs,
    kaplan_meier,
    logrank,
    max_selected_cutpoint,
    optimism,
    pairwise_logrank,
    ph_test,
    reverse_kaplan_meier,
    rmst,
    stepwise,
    time_auc,
    uno_c,
)
from pathosig.survival.imputation import rubin

R = json.loads((Path(__file__).parents[1] / "golden" / "edges.json").read_text())


def data_of(name):
    return {k: np.array(v, float) for k, v in R[name]["data"].items()}


def columns(d, names):
    return np.column_stack([d[n] for n in names.split()])


def close(ours, theirs, tolerance=1e-8):
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance
    )


OPTIONS = {
    "efron": lambda d: {},
    "breslow": lambda d: {"ties": "breslow"},
    "strata": lambda d: {"strata": d["stratum"]},
    "weights": lambda d: {"weights": d["weight"]},
    "entry": lambda d: {"entry": d["entry"]},
    "cluster": lambda d: {"cluster": np.tile(np.arange(40), 3)},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_separated_column_is_marked_and_the_others_equal_coxph(kind):
    d, theirs = data_of("separated"), R["separated"][kind]
    fit = cox(columns(d, "x1 x2 x3"), d["time"], d["event"], **OPTIONS[kind](d))
    assert fit.separated.tolist() == [False, True, False]
    assert fit.coef[1] < -15
    close(fit.coef[[0, 2]], np.array(theirs["coef"], float)[[0, 2]])
    close(fit.se[[0, 2]], np.array(theirs["se"], float)[[0, 2]])
    close(fit.loglik, theirs["loglik"][1])
    assert np.isfinite(ph_test(fit).p[[0, 2]]).all()
    assert any("x2 separates" in note for note in fit.warnings)


def test_a_level_without_events_spoils_no_other_level():
    d, theirs = data_of("levels"), R["levels"]["efron"]
    fit = cox(columns(d, "x1 b c d"), d["time"], d["event"])
    assert fit.separated.tolist() == [False, False, True, False]
    close(fit.coef[[0, 1, 3]], np.array(theirs["coef"], float)[[0, 1, 3]])
    close(fit.se[[0, 1, 3]], np.array(theirs["se"], float)[[0, 1, 3]])


def test_columns_that_repeat_earlier_ones_have_no_estimate_and_the_others_equal_coxph():
    d, theirs = data_of("collinear"), R["collinear"]["efron"]
    fit = cox(columns(d, "x1 x2 x3 x4 x5"), d["time"], d["event"])
    assert np.isnan(fit.coef).tolist() == [False, False, True, False, True]
    close(fit.coef[[0, 1, 3]], np.array(theirs["coef"], float)[[0, 1, 3]])
    assert not fit.separated.any()


def test_nearly_collinear_columns_reach_the_maximum_and_are_no_separation():
    d, theirs = data_of("near"), R["near"]["efron"]
    fit = cox(columns(d, "x1 x2 x4"), d["time"], d["event"])
    close(fit.coef, theirs["coef"], 1e-6)
    close(fit.loglik, theirs["loglik"][1], 1e-10)
    assert fit.warnings == ()


@pytest.mark.parametrize("seed", range(8))
def test_no_rare_level_ever_spoils_another_column(seed):
    rng = np.random.default_rng(seed)
    n = 90
    x, level = rng.normal(size=(n, 2)), rng.integers(0, 6, n)
    time, event = rng.exponential(np.exp(-0.5 * x[:, 0])), rng.random(n) < 0.5
    event[level == 1] = False
    first = np.argsort(time)[:4]
    event[first], level[first] = True, 2
    dummies = (level[:, None] == np.arange(1, 6)).astype(float)
    fit = cox(np.column_stack([x, dummies]), time, event, strata=rng.integers(0, 2, n))
    rest = np.array([0, 1, 4, 5, 6])
    assert fit.separated[2]
    assert not fit.separated[rest].any()
    assert np.isfinite(fit.se[rest]).all()
    assert (fit.se[rest] < 3).all()


def test_the_centred_baseline_follows_rs_nocenter():
    d, theirs = data_of("centred"), R["centred"]
    fit = cox(columns(d, "x4 x6 x7"), d["time"], d["event"])
    close(fit.means, theirs["means"])
    times, hazard = fit.baseline_hazard(centered=True)
    close(times, theirs["time"])
    close(hazard, theirs["hazard"])


@pytest.mark.parametrize(("kind", "key"), [("log", "log"), ("log-log", "loglog"), ("plain", "plain")])
def test_fractional_weights_give_survfits_robust_errors(kind, key):
    d, theirs = data_of("weighted_km"), R["weighted_km"][key]
    curve = kaplan_meier(d["time"], d["event"], weights=d["w"], conf_type=kind)
    close(curve.survival, theirs["surv"])
    close(curve.std_err, theirs["se"])
    seen = np.isfinite(curve.lower)
    assert seen.sum() >= len(seen) - 1
    close(curve.lower[seen], np.array(theirs["lower"], float)[seen])
    close(curve.upper[seen], np.array(theirs["upper"], float)[seen])


def ordered(n, p, seed=0, late=0):
    """Patients who die in the exact order of their first column; with `late`, only the last few die."""
    x = np.random.default_rng(seed).normal(size=(n, p))
    time = np.empty(n)
    time[np.argsort(-x[:, 0])] = np.arange(1.0, n + 1)
    return x, time, time > n - late if late else np.ones(n, bool)


@pytest.mark.parametrize(("n", "p", "late"), [(20, 2, 0), (60, 1, 0), (40, 3, 3)])
def test_firth_ends_with_finite_estimates_where_the_order_is_perfect(n, p, late):
    x, time, event = ordered(n, p, late=late)
    start = clock.process_time()
    fit = firth_cox(x, time, event)
    assert clock.process_time() - start < 20
    there = np.isfinite(fit.coef)
    assert there.any()
    assert (fit.p[there] <= 1).all()
    assert (fit.lower[there] <= fit.hr[there]).all() and (fit.hr[there] <= fit.upper[there]).all()


def test_firth_leaves_out_columns_that_repeat_others():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 2))
    time, event = rng.exponential(np.exp(-0.7 * x[:, 0])), rng.random(50) < 0.6
    alone = firth_cox(x, time, event)
    fit = firth_cox(np.column_stack([x, x.sum(1), np.ones(50)]), time, event)
    assert np.isnan(fit.coef).tolist() == [False, False, True, True]
    close(fit.coef[:2], alone.coef)
    close([fit.lower[:2], fit.upper[:2], fit.p[:2]], [alone.lower, alone.upper, alone.p], 1e-6)


def test_firth_heeds_strata_weights_and_clusters():
    rng = np.random.default_rng(4)
    n = 60
    x, stratum = rng.normal(size=n), np.arange(n) % 2
    time, event = rng.exponential(np.exp(-0.7 * x) * (1 + 5 * stratum)), rng.random(n) < 0.8
    twice = np.repeat(np.arange(n), 2)
    weighted = firth_cox(x, time, event, strata=stratum, weights=np.full(n, 2.0))
    repeated = firth_cox(x[twice], time[twice], event[twice], strata=stratum[twice])
    close(weighted.coef, repeated.coef, 1e-7)
    assert abs(weighted.coef[0] - firth_cox(x, time, event, weights=np.full(n, 2.0)).coef[0]) > 1e-3
    grouped = firth_cox(x[twice], time[twice], event[twice], strata=stratum[twice], cluster=twice)
    close(grouped.coef, repeated.coef)
    assert grouped.se[0] > repeated.se[0]


def test_a_step_by_aic_never_keeps_a_column_that_repeats_others():
    d = data_of("collinear")
    found = stepwise(columns(d, "x1 x2 x3 x4 x5"), d["time"], d["event"], direction="both")
    assert found.fit is not None
    assert np.isfinite(found.fit.coef).all()
    assert found.names == found.fit.names


def test_an_event_at_time_zero_has_no_logarithm():
    fit = cox([0.1, 1.0, 0.5, 0.2], [0.0, 1.0, 2.0, 3.0], [True, True, False, True])
    with pytest.raises(InputError, match="logarithm") as caught:
        ph_test(fit, "log")
    assert caught.value.code == "E_TIME"


X = np.random.default_rng(0).normal(size=(12, 2))
TIME, EVENT = np.arange(1.0, 13.0), np.arange(12) % 3 > 0
GROUP, INDICES = np.arange(12) % 2, np.tile(np.arange(12), (2, 1))
RISK = np.linspace(0.1, 0.9, 12)
EVERY = {
    "kaplan_meier": kaplan_meier,
    "reverse_kaplan_meier": reverse_kaplan_meier,
    "logrank": lambda t, e: logrank(t, e, GROUP),
    "pairwise_logrank": lambda t, e: pairwise_logrank(t, e, GROUP),
    "cox": lambda t, e: cox(X, t, e),
    "cox_univariate": lambda t, e: cox_univariate(X, t, e),
    "cox_path": lambda t, e: cox_path(X, t, e),
    "firth_cox": lambda t, e: firth_cox(X, t, e),
    "stepwise": lambda t, e: stepwise(X, t, e),
    "max_selected_cutpoint": lambda t, e: max_selected_cutpoint(X[:, 0], t, e),
    "harrell_c": lambda t, e: harrell_c(X[:, 0], t, e),
    "uno_c": lambda t, e: uno_c(X[:, 0], t, e),
    "time_auc": lambda t, e: time_auc(X[:, 0], t, e, times=[5]),
    "brier": lambda t, e: brier(RISK, t, e, times=np.arange(1, 13)),
    "ibs": lambda t, e: ibs(RISK, t, e, times=np.arange(1, 13)),
    "calibration": lambda t, e: calibration(RISK, t, e, times=[5]),
    "decision_curve": lambda t, e: decision_curve(RISK, t, e, horizon=5),
    "rmst": rmst,
    "cumulative_incidence": cumulative_incidence,
    "cause_specific": lambda t, e: cause_specific(X, t, e),
    "fine_gray": lambda t, e: fine_gray(X, t, e),
    "bootstrap_cox": lambda t, e: bootstrap_cox(X, t, e, INDICES),
    "bootstrap_c": lambda t, e: bootstrap_c(X[:, 0], t, e, INDICES),
    "optimism": lambda t, e: optimism(lambda x, a, b: lambda z: z[:, 0], X, t, e, INDICES),
}
COMPETING = {"cumulative_incidence", "cause_specific", "fine_gray"}


def with_one(values, bad):
    out = list(values)
    out[4] = bad
    return out


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", [None, np.nan, "7", -1.0, np.inf])
def test_a_time_that_is_missing_text_or_impossible_is_a_typed_error(name, bad):
    with pytest.raises(InputError) as caught:
        EVERY[name](with_one(TIME.tolist(), bad), EVENT)
    assert caught.value.code == "E_TIME"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", [None, np.nan, "1", -1, 0.5])
def test_an_event_that_is_missing_text_or_no_code_is_a_typed_error(name, bad):
    with pytest.raises(InputError) as caught:
        EVERY[name](TIME, with_one(EVENT.astype(int).tolist(), bad))
    assert caught.value.code == "E_EVENT"


@pytest.mark.parametrize("name", sorted(set(EVERY) - COMPETING))
def test_events_coded_one_and_two_are_a_typed_error(name):
    with pytest.raises(InputError) as caught:
        EVERY[name](TIME, EVENT + 1)
    assert caught.value.code == "E_EVENT"


@pytest.mark.parametrize("name", EVERY)
def test_another_number_of_events_is_a_typed_error(name):
    with pytest.raises(InputError):
        EVERY[name](TIME, EVENT[:-1])


@pytest.mark.parametrize("role", ["strata", "cluster"])
@pytest.mark.parametrize("label", [None, np.nan])
def test_a_missing_stratum_or_cluster_is_no_group(role, label):
    with pytest.raises(InputError) as caught:
        cox(X, TIME, EVENT, **{role: with_one(["a"] * 12, label)})
    assert caught.value.code == "E_GROUP"


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("function", [cox, cox_univariate, firth_cox, cox_path])
def test_impossible_weights_are_a_typed_error(function, bad):
    with pytest.raises(InputError) as caught:
        function(X, TIME, EVENT, weights=with_one([1.0] * 12, bad))
    assert caught.value.code == "E_WEIGHT"


@pytest.mark.parametrize("name", sorted(R["fisher"]))
def test_fishers_test_equals_r_exactly_or_within_its_stated_error_and_is_fast(name):
    theirs = R["fisher"][name]
    table = np.array(theirs["counts"], int).reshape([int(v) for v in theirs["shape"]])
    start = clock.process_time()
    found = fisher_exact(table)
    assert clock.process_time() - start < 8
    if found.p_se == 0:
        close(found.p, theirs["p"][0], 1e-9)
    else:
        assert "Monte Carlo" in found.method
        assert abs(found.p - theirs["p"][0]) < 4 * found.p_se


@pytest.mark.parametrize("shape", [(3, 5), (4, 5), (3, 6), (6, 3)])
def test_a_table_of_400_patients_takes_less_than_two_seconds_whatever_its_shape(shape):
    rng = np.random.default_rng(shape[1])
    cells = np.outer(rng.dirichlet(np.full(shape[0], 5.0)), rng.dirichlet(np.full(shape[1], 5.0)))
    table = rng.multinomial(400, cells.ravel()).reshape(shape)
    start = clock.process_time()
    test = fisher_exact(table)
    assert clock.process_time() - start < 2
    assert 0 < test.p <= 1
    if test.p_se:
        assert "Monte Carlo" in test.method
        assert test.p_se < 0.002
    assert abs(test.p - chi_square(table).p) < 0.05


def test_fishers_count_and_its_simulation_agree():
    table = [[8, 3, 5, 2], [2, 7, 4, 9], [5, 5, 1, 6]]
    exact, drawn = fisher_exact(table), fisher_exact(table, workspace=10)
    assert (exact.p_se, drawn.method) == (0.0, "Fisher's exact (Monte Carlo)")
    assert abs(exact.p - drawn.p) < 4 * drawn.p_se


def test_concordance_with_delayed_entry_equals_r():
    d, theirs = data_of("entry_c"), R["entry_c"]
    found = harrell_c(d["x1"], d["time"], d["event"], entry=d["entry"])
    close([found.c, found.se], [theirs["c"][0], theirs["se"][0]])
    close([found.concordant, found.discordant], theirs["counts"][:2])


def test_entry_at_zero_changes_no_measure_of_discrimination_or_error():
    d = data_of("entry_c")
    s, t, e, zero = d["x1"], d["time"], d["event"], np.zeros(len(d["time"]))
    grid = np.quantile(t, [0.3, 0.6])
    for function in (harrell_c, uno_c):
        close(function(s, t, e, entry=zero).c, function(s, t, e).c, 1e-12)
    close(time_auc(s, t, e, times=grid, entry=zero).auc, time_auc(s, t, e, times=grid).auc, 1e-2)
    # without ties between deaths and censorings S(t-) / Y(t) = 1 / (n G(t-)) exactly
    t = t + np.where(e == 1, 0.0, 1e-3)
    p = np.column_stack([1 / (1 + np.exp(s)), 1 / (1 + np.exp(s + 1))])
    close(time_auc(s, t, e, times=grid, entry=zero).auc, time_auc(s, t, e, times=grid).auc, 1e-12)
    close(brier(p, t, e, times=grid, entry=zero), brier(p, t, e, times=grid), 1e-12)


def test_delayed_entry_is_no_bias_of_discrimination_and_error():
    """A left-truncated sample gives the estimate of the whole population; ignoring delayed entry does not."""
    rng = np.random.default_rng(8)
    n, horizon = 12_000, 1.0
    score = rng.normal(size=n)
    time, start = rng.exponential(np.exp(-score)), rng.uniform(0, 2, n)
    start[rng.random(n) < 0.3] = 0.0
    event = np.ones(n, bool)
    truth = time_auc(score, time, event, times=[horizon]).auc[0]
    p = np.exp(-horizon * np.exp(score))[:, None]
    error = brier(p, time, event, times=[horizon])[0]
    seen = start < time
    s, t, e, late = score[seen], time[seen], event[seen], start[seen]
    assert abs(time_auc(s, t, e, times=[horizon], entry=late).auc[0] - truth) < 0.015
    assert abs(brier(p[seen], t, e, times=[horizon], entry=late)[0] - error) < 0.006
    assert abs(brier(p[seen], t, e, times=[horizon])[0] - error) > 0.012


def test_missing_information_is_mices_fmi():
    coef, se = np.array([[0.1], [0.3], [0.25], [0.05]]), np.array([[0.2], [0.22], [0.21], [0.19]])
    found = rubin(coef, se, n=90)
    between, within = coef.var(0, ddof=1)[0], (se**2).mean()
    r = 1.25 * between / within
    share = r / (1 + r)
    old, observed = 3 / share**2, 91 / 93 * 90 * (1 - share)
    df = old * observed / (old + observed)
    close(found.variance_proportion[0], share, 1e-12)
    close(found.missing_information[0], (r + 2 / (df + 3)) / (r + 1), 1e-12)

"""The signature behaves as scikit-learn expects of an estimator."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pathosig.sklearn import SignatureEstimator, survival_target
from pathosig.survival import cox_univariate, harrell_c


def patients(n=240, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    time = rng.exponential(np.exp(-0.9 * x[:, 1]))
    return x, np.minimum(time, 2.0), time < 2


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([SignatureEstimator(folds=2)])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


def test_it_finds_the_planted_feature_and_ranks_new_patients():
    x, time, event = patients()
    fitted = SignatureEstimator().fit(x, survival_target(time, event))
    new, new_time, new_event = patients(seed=1)
    c = fitted.score(new, survival_target(new_time, new_event))
    assert c == pytest.approx(harrell_c(fitted.predict(new), new_time, new_event).c)
    assert c > 0.68


def test_a_structured_array_gives_the_same_fit():
    x, time, event = patients()
    y = np.array(list(zip(event, time, strict=True)), dtype=[("event", bool), ("time", float)])
    one = SignatureEstimator().fit(x, y).predict(x)
    np.testing.assert_array_equal(one, SignatureEstimator().fit(x, survival_target(time, event)).predict(x))


def test_it_works_in_pipelines_cross_validation_and_searches():
    x, time, event = patients()
    y = survival_target(time, event)
    pipeline = make_pipeline(StandardScaler(), SignatureEstimator())
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.65
    search = GridSearchCV(SignatureEstimator(), {"selection": ["ridge", "lasso"]}, cv=3).fit(x, y)
    assert search.best_score_ > 0.65


@pytest.mark.filterwarnings("ignore:selection .paper.")
def test_noise_that_selects_nothing_scores_everybody_alike():
    rng = np.random.default_rng(2)
    x, time = rng.normal(size=(80, 3)), rng.exponential(size=80)
    event = time < 1
    assert (cox_univariate(x, time, event).p > 0.05).all()
    fitted = SignatureEstimator(selection="paper").fit(x, survival_target(time, event))
    assert fitted.signature_ is None
    assert fitted.predict(x).shape == (80,)
    assert not fitted.predict(x).any()


def test_a_score_that_compares_nobody_is_not_a_number():
    x, time, event = patients()
    fitted = SignatureEstimator().fit(x, survival_target(time, event))
    assert np.isnan(fitted.score(x, survival_target(time, np.zeros(len(time), bool))))


@pytest.mark.parametrize("time", [[0.0, 1.0], [-1.0, 2.0], [np.nan, 1.0]])
def test_times_whose_sign_cannot_carry_the_event_are_refused(time):
    with pytest.raises(ValueError, match="above 0"):
        survival_target(time, [True, False])

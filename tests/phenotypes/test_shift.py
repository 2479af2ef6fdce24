import numpy as np

from pathosig.phenotypes.shift import SlideShift, cohort_shift


def cohort(n, proportions, *, seed=0, unlike=0):
    rng = np.random.default_rng(seed)
    draws = rng.dirichlet(np.array(proportions) * 20, size=n)
    return [SlideShift(unlike=i < unlike, coarse=tuple(rng.multinomial(200, p))) for i, p in enumerate(draws)]


def test_cohorts_of_the_same_kind_are_seldom_called_shifted():
    reference = cohort(60, [0.5, 0.3, 0.2])
    findings = [cohort_shift(cohort(40, [0.5, 0.3, 0.2], seed=s), reference) for s in range(1, 101)]
    assert len(findings) == 100 and sum(map(bool, findings)) <= 3


def test_other_proportions_are_named_with_their_group():
    reference = cohort(60, [0.5, 0.3, 0.2])
    (finding,) = cohort_shift(cohort(40, [0.2, 0.3, 0.5], seed=1), reference)
    assert "group 0" in finding and "group 2" in finding and "group 1" not in finding


def test_a_small_difference_is_no_shift_however_certain():
    assert not cohort_shift(cohort(3000, [0.5, 0.3, 0.2], seed=1), cohort(3000, [0.53, 0.28, 0.19], seed=2))


def test_slides_unlike_the_training_count_from_where_chance_does_not_explain_them():
    reference = cohort(60, [0.5, 0.5])
    assert not cohort_shift(cohort(100, [0.5, 0.5], seed=1, unlike=4), reference)
    (finding,) = cohort_shift(cohort(100, [0.5, 0.5], seed=1, unlike=8), reference)
    assert finding.startswith("8 of 100 slides are unlike")
    assert cohort_shift(cohort(1, [0.5, 0.5], unlike=1), reference) == []

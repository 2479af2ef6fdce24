import numpy as np
import pytest

from pathosig.core.study import Study
from pathosig.phenotypes import PhenotypeSpec, find_phenotypes
from pathosig.phenotypes.distance import FALSE_ALARMS, Distance, Shift, fit_distance
from pathosig.phenotypes.kmeans import normalise
from pathosig.synthetic import SimulateSpec, simulate


def cohort(n_slides, n_tiles, *, seed, shift=0.15, dim=96):
    """Tiles of twelve tissues, their mixture and a small stain shift differing from slide to slide."""
    world = np.random.default_rng(1234)
    centres, loading = world.normal(size=(12, dim)), world.normal(size=(20, dim))
    rng = np.random.default_rng(seed)
    tiles = []
    for _ in range(n_slides):
        kind = rng.choice(12, size=n_tiles, p=rng.dirichlet(np.full(12, 0.6)))
        tiles.append(
            centres[kind] + rng.normal(size=(n_tiles, 20)) @ loading * 0.2 + 0.3 * rng.normal(size=(n_tiles, dim))
            + shift * rng.normal(size=dim) + 1.0
        )  # fmt: skip
    return np.concatenate(tiles).astype(np.float32), np.repeat(np.arange(n_slides), n_tiles)


def fitted(n_slides=30, n_tiles=60, seed=0):
    x, slide = cohort(n_slides, n_tiles, seed=seed)
    return fit_distance(normalise(x), patient=slide, slide=slide, seed=0)[0]


def alarms(distance, x, slide):
    shifts = [Shift.of(distance.of(x[slide == s])) for s in np.unique(slide)]
    return np.array([distance.unlike(s) for s in shifts])


@pytest.mark.parametrize("n_slides", [10, 30])
def test_few_new_slides_of_the_same_kind_are_unlike_and_few_of_their_tiles_far(n_slides):
    rates, tiles = [], []
    for seed in range(6):
        distance = fitted(n_slides, 40, seed)
        x, slide = cohort(60, 40, seed=100 + seed)
        rates.append(alarms(distance, x, slide).mean())
        tiles.append(distance.of(x).far.mean())
    assert np.mean(rates) <= FALSE_ALARMS + 0.01
    assert np.mean(tiles) <= 2 * FALSE_ALARMS


def test_the_training_tiles_own_quantile_would_call_many_new_tiles_far():
    x, slide = cohort(20, 20, seed=0)
    distance = fit_distance(normalise(x), patient=slide, slide=slide, seed=0)[0]
    new = distance.of(cohort(60, 40, seed=3)[0])
    naive = np.quantile(distance.of(x).residual, 0.99)
    assert (new.residual > naive).mean() > 5 * (new.residual > 1).mean()


def test_other_tissue_and_a_common_shift_of_all_tiles_are_unlike():
    distance = fitted()
    x, slide = cohort(20, 40, seed=5)
    other = np.random.default_rng(77).normal(size=(12, x.shape[1]))
    strange = x - x.mean(axis=0) + other[np.random.default_rng(1).integers(0, 12, len(x))] + 1.0
    moved = x + 1.2 * np.random.default_rng(2).normal(size=x.shape[1])
    assert alarms(distance, strange.astype(np.float32), slide).mean() >= 0.95
    assert alarms(distance, moved.astype(np.float32), slide).mean() >= 0.95


def test_few_tiles_make_a_slide_unlike_only_where_they_are_clearly_so():
    distance = fitted()
    x, slide = cohort(80, 3, seed=9)
    assert alarms(distance, x, slide).mean() <= 0.05
    shift = Shift(n_tiles=1, far=1.0, residual=0.05, mahalanobis=0.05)
    many = Shift(n_tiles=400, far=1.0, residual=0.05, mahalanobis=0.05)
    assert max(distance.excess(shift)) < max(distance.excess(many))


def test_with_fewer_than_three_groups_nothing_is_far():
    x, slide = cohort(2, 40, seed=0)
    distance, _ = fit_distance(normalise(x), patient=slide, slide=slide, seed=0)
    assert not distance.calibrated
    assert not distance.of(x * -1).far.any()
    assert not distance.unlike(Shift(n_tiles=9, far=1.0, residual=50.0, mahalanobis=50.0))
    by_slide, _ = fit_distance(normalise(x), patient=slide, slide=np.arange(80) // 20, seed=0)
    assert by_slide.calibrated and by_slide.groups == 4


def test_a_distance_survives_its_tensors_and_an_uncalibrated_one_too():
    x = cohort(3, 20, seed=4)[0]
    for distance in (fitted(), Distance.uncalibrated(x.shape[1])):
        again = Distance.from_tensors(distance.tensors())
        np.testing.assert_array_equal(again.of(x).residual, distance.of(x).residual)
        np.testing.assert_array_equal(again.of(x).mahalanobis, distance.of(x).mahalanobis)
        assert again.calibrated is distance.calibrated


def test_a_patients_shift_weighs_slides_by_their_tiles():
    one, two = (
        Shift(n_tiles=30, far=0, residual=-1, mahalanobis=2),
        Shift(n_tiles=10, far=1, residual=1, mahalanobis=0),
    )
    assert Shift.pooled([one, two]) == Shift(n_tiles=40, far=0.25, residual=-0.5, mahalanobis=1.5)
    assert Shift.pooled([]).n_tiles == 0


def test_slides_that_were_inverted_are_named_in_their_records_and_others_are_not(tmp_path):
    simulate(
        tmp_path / "s",
        SimulateSpec(level="embeddings", n_discovery=20, n_validation=8, tiles_per_patient=60, dim=64),
    )
    study = Study.open(tmp_path / "s")
    path = study.paths.embeddings("V001")
    np.save(path, -np.load(path))
    find_phenotypes(study, PhenotypeSpec(k=8, runs=3))
    summaries = {r.unit: r for r in study.records("phenotypes") if not r.unit.startswith("_")}
    assert summaries["V001"].summary["unlike"] is True
    assert any("W_SHIFT" in w for w in summaries["V001"].warnings)
    others = [r for u, r in summaries.items() if u != "V001"]
    assert len(others) == 35 and sum(r.summary["unlike"] for r in others) <= 1
    assert not any(r.summary["unlike"] for r in others if r.unit.startswith("D"))

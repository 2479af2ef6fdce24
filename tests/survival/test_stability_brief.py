"""A brief stability selection chooses what the full one chooses, and stops early if nothing can be chosen."""

import numpy as np
import pytest

from pathosig.survival.stability import stability_selection


def cohort(seed, effect):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(70, 12))
    return x, rng.exponential(np.exp(-effect * x[:, 3])), rng.random(70) < 0.7


@pytest.mark.parametrize("lowest", [0.55, 0.9])
@pytest.mark.parametrize(("seed", "effect"), [(0, 0.0), (1, 0.0), (2, 0.5), (3, 1.5), (4, 3.0)])
def test_brief_selection_is_the_full_one(seed, effect, lowest):
    x, time, event = cohort(seed, effect)
    full, brief = (
        stability_selection(x, time, event, lowest=lowest, q=4, seed=seed, brief=b) for b in (False, True)
    )
    assert brief.selected == full.selected
    if full.selected:
        np.testing.assert_array_equal(brief.frequency, full.frequency)
        assert brief.threshold == full.threshold


def test_brief_selection_ends_early_on_noise():
    x, time, event = cohort(0, 0.0)
    brief = stability_selection(x, time, event, lowest=0.9, q=4, brief=True)
    full = stability_selection(x, time, event, lowest=0.9, q=4)
    assert not full.selected
    assert brief.q != full.q  # estimated from fewer half-samples
    assert (full.cluster_frequency < 0.9).all()

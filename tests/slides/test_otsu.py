"""Otsu's threshold equals that of scikit-image."""

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from pathosig.slides.otsu import otsu


@pytest.mark.parametrize("seed", range(20))
def test_the_bin_is_that_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(60, 10, 4000), rng.normal(rng.uniform(110, 200), 15, 3000)])
    counts = np.bincount(np.clip(values, 0, 255).astype(int), minlength=256)
    assert otsu(counts, np.arange(256)) == threshold_otsu(hist=(counts, np.arange(256)))


def test_one_value_alone_is_no_error():
    assert otsu(np.eye(1, 256, 9)[0], np.arange(256)) >= 0

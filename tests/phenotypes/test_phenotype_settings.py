"""Settings of the phenotypes: each does what it is for."""

import numpy as np
import pytest

from pathosig.core.study import Study
from pathosig.phenotypes import PhenotypeSpec
from pathosig.phenotypes.projection import find_projection, principal_components
from pathosig.phenotypes.reading import read_discovery, read_embeddings, training_tiles
from pathosig.synthetic import SimulateSpec, simulate


@pytest.mark.parametrize(("whiten", "power"), [(0.0, 0.5), (0.5, 0.25), (1.0, 0.0)])
def test_whitening_divides_each_component_by_a_power_of_its_variance(whiten, power):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, 6)) * [9, 6, 4, 3, 2, 1]).astype(np.float32)
    pca = principal_components(x, 4)
    spec = PhenotypeSpec(whiten=whiten, spatial="never")
    slide = np.zeros(len(x), int)
    projection, _ = find_projection(x, pca, slide=slide, neighbours=None, spec=spec)
    spread = ((x - pca.mean) @ projection).std(axis=0)
    np.testing.assert_allclose(spread, pca.values**power, rtol=0.02)


@pytest.mark.parametrize("most", [10, 1000])
def test_no_more_tiles_of_a_slide_are_learned_from_than_asked_for(tmp_path, most):
    spec = SimulateSpec(level="embeddings", n_discovery=4, n_validation=0, tiles_per_patient=60, dim=16)
    simulate(tmp_path / "s", spec)
    discovery = read_discovery(Study.open(tmp_path / "s"))
    there = [len(read_embeddings(discovery.root / slide.embeddings)) for slide in discovery.slides]
    assert 10 < min(there) <= max(there) < 1000
    tiles, _ = training_tiles(discovery.root, discovery.slides, PhenotypeSpec(tiles_per_slide=most))
    assert np.bincount(tiles.slide).tolist() == [min(most, n) for n in there]

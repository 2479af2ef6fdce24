from dataclasses import replace

import numpy as np
import pytest

from pathosig.phenotypes import Codebook, PhenotypeSpec, TrainingTiles, fit_codebook, nearest
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.nearest import TOGETHER, best_of_columns, blocks, projected, read_rows
from pathosig.phenotypes.refine import Residual


@pytest.fixture(scope="module")
def codebook():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(9, 20)) * 2)[rng.integers(0, 9, 900)] + rng.normal(size=(900, 20))
    slide = rng.integers(0, 20, len(x))
    tiles = TrainingTiles(embeddings=x.astype(np.float32), slide=slide, patient=slide, site=slide * 0)
    return fit_codebook(tiles, PhenotypeSpec(k=12, runs=3, landmarks=300))[0]


@pytest.fixture(params=[True, False], ids=["compiled", "numpy"])
def compiled(request, monkeypatch):
    if request.param and not nearest.COMPILED:
        pytest.skip("installed where there was no compiler, or on another processor")
    monkeypatch.setattr(nearest, "COMPILED", request.param)


@pytest.mark.usefixtures("compiled")
def test_half_precision_is_widened_exactly_and_infinities_stay_what_they_are():
    rng = np.random.default_rng(0)
    half = np.concatenate([rng.normal(size=500), [0, -0.0, 6e-8, -6e-8, 65504, 1e-5]]).astype(np.float16)
    for rows in (half[None], np.array([[1, np.inf, np.nan, -np.inf]], np.float16)):
        out = np.empty(rows.shape, np.float32)
        squared = read_rows(rows, out)
        np.testing.assert_array_equal(out, rows.astype(np.float32))
        np.testing.assert_allclose(squared, np.einsum("ij,ij->i", out, out), rtol=1e-6)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("k", [1, 2, 3, 50, 127, 128, 300])
def test_the_best_three_are_those_of_a_stable_sort_whatever_the_number_of_phenotypes(k):
    rng = np.random.default_rng(k)
    similarity = rng.integers(-5, 5, size=(k, 403)).astype(np.float32)  # many ties
    order = np.argsort(-similarity, axis=0, kind="stable")
    values = np.sort(similarity, axis=0)[::-1]
    best, found = best_of_columns(similarity.copy(), min(3, k))
    np.testing.assert_array_equal(best, order[:3])
    np.testing.assert_array_equal(found, values[:3])


@pytest.mark.skipif(not nearest.COMPILED, reason="installed where there was no compiler")
def test_an_assignment_is_bit_for_bit_the_same_compiled_and_in_numpy(monkeypatch):
    book = some_codebook(50, 40, 16)
    x = np.random.default_rng(5).normal(size=(5003, 40)).astype(np.float16)
    x[7] = np.nan
    compiled = book.assign(x)
    monkeypatch.setattr(nearest, "COMPILED", False)
    plain = book.assign(x)
    for name in ("hpc", "confidence", "distance"):
        np.testing.assert_array_equal(getattr(compiled, name), getattr(plain, name))


@pytest.mark.skipif(not nearest.COMPILED, reason="installed where there was no compiler")
def test_arrays_of_other_kinds_are_refused():
    half, single = np.zeros((2, 3), np.float16), np.zeros((2, 3), np.float32)
    for wrong in ((single, single), (half, half), (half, single[:1]), (half, single.T)):
        with pytest.raises((ValueError, BufferError)):
            nearest._nearest.widen(*wrong)
    with pytest.raises(ValueError, match=r"\[3, m\]"):
        nearest._nearest.best_three(single, np.zeros((2, 3), np.float32), np.zeros((3, 3), np.int32))


def test_a_column_that_is_not_a_number_has_a_phenotype_that_exists():
    similarity = np.full((4, 3), np.nan, np.float32)
    similarity[:, 1] = [0, 3, 1, 2]
    best, _ = best_of_columns(similarity, 2)
    assert best[:, 1].tolist() == [1, 3]
    assert ((best >= 0) & (best < 4)).all()


@pytest.mark.parametrize(("n", "d"), [(0, 8), (1, 8), (5000, 8), (700, 1280), (300, 5000)])
def test_blocks_cover_every_row_once(n, d):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float16)
    again = [(rows, block.copy(), squared) for rows, block, squared in blocks(x)]
    assert sum(rows.stop - rows.start for rows, _, _ in again) == n
    for rows, block, squared in again:
        np.testing.assert_array_equal(block, x[rows].astype(np.float32))
        np.testing.assert_allclose(squared, (block.astype(float) ** 2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "d"), [(0, 8), (1, 8), (2 * TOGETHER, 300), (2 * TOGETHER + 1, 200), (700, 1280)]
)
def test_products_of_blocks_are_those_of_all_rows(n, d):
    rng = np.random.default_rng(n)
    x, matrix = rng.normal(size=(n, d)).astype(np.float16), rng.normal(size=(d, 5)).astype(np.float32)
    found = [(rows, z.copy(), length.copy()) for rows, z, length in projected(x, matrix)]
    assert [rows.start for rows, _, _ in found] == list(range(0, n, TOGETHER))
    assert sum(len(z) for _, z, _ in found) == n
    for rows, z, length in found:
        np.testing.assert_allclose(z, x[rows].astype(float) @ matrix, atol=1e-4)
        np.testing.assert_allclose(length, np.linalg.norm(x[rows].astype(float), axis=1), rtol=1e-6)


def some_codebook(k, d=24, p=10, *, temperature=0.05, refined=False):
    rng = np.random.default_rng(k)
    centroids = normalise(rng.normal(size=(k, p)))
    centroids[k // 2 :: 7] = centroids[0]  # HPCs that coincide
    network = {"w1": rng.normal(size=(p, 6)), "b1": rng.normal(size=6), "w2": rng.normal(size=(6, p))}
    return Codebook(
        mean=rng.normal(size=d).astype(np.float32) * 0.1, projection=rng.normal(size=(d, p)).astype(np.float32),
        centroids=centroids, radius=rng.uniform(0.5, 2, k).astype(np.float32), temperature=temperature,
        linkage=np.empty((0, 4)),
        residual=Residual(**{n: w.astype(np.float32) for n, w in network.items()}) if refined else None,
    )  # fmt: skip


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 50, 200])
@pytest.mark.parametrize("n", [0, 1, 777, TOGETHER, 2 * TOGETHER + 913])
def test_an_assignment_is_what_the_formula_says(k, n, refined):
    codebook = some_codebook(k, refined=refined)
    x = np.random.default_rng(n).normal(size=(n, 24)).astype(np.float16)
    x[n // 2 :: 5] = x[:1]  # tiles that coincide, far apart
    cosine = codebook.project(x).astype(float) @ codebook.centroids.T.astype(float)
    found = codebook.assign(x)
    top = min(3, k)
    assert found.hpc.shape == found.confidence.shape == (n, 3) and found.distance.shape == (n,)
    assert (found.hpc[:, top:] == -1).all() and (found.confidence[:, top:] == 0).all()
    hpc = found.hpc[:, :top].astype(int)
    assert all(len(set(row)) == top for row in hpc.tolist())
    chosen = np.take_along_axis(cosine, hpc, axis=1)
    np.testing.assert_allclose(chosen, -np.sort(-cosine, axis=1)[:, :top], atol=2e-6)
    soft = np.exp(cosine / 0.05)
    wanted = np.take_along_axis(soft, hpc, axis=1) / soft.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.confidence[:, :top], wanted, rtol=2e-4)
    np.testing.assert_allclose(found.distance, (1 - chosen[:, 0]) / codebook.radius[hpc[:, 0]], atol=1e-5)
    same = codebook.assign(x.astype(np.float32))
    np.testing.assert_array_equal(same.hpc, found.hpc)
    np.testing.assert_array_equal(same.confidence, found.confidence)


def test_a_tile_near_phenotypes_that_coincide_has_three_of_them():
    codebook = some_codebook(50)
    twins = [0, *range(25, 50, 7)]
    hpc = codebook.assign(np.random.default_rng(0).normal(size=(5000, 24)).astype(np.float32)).hpc
    near = np.isin(hpc[:, 0], twins)
    assert near.any() and np.isin(hpc[near], twins).all()
    exact = (hpc[near] == twins[:3]).mean()
    assert exact > 0.9  # all, but for a BLAS that rounds its last rows otherwise


def test_a_tile_that_is_not_a_number_changes_no_other():
    codebook = some_codebook(50)
    x = np.random.default_rng(0).normal(size=(3000, 24)).astype(np.float16)
    whole = codebook.assign(x)
    x[[5, 2999]] = np.nan
    found = codebook.assign(x)
    others = np.delete(np.arange(3000), [5, 2999])
    np.testing.assert_array_equal(found.hpc[others], whole.hpc[others])
    np.testing.assert_array_equal(found.confidence[others], whole.confidence[others])
    assert np.isnan(found.distance[[5, 2999]]).all() and np.isnan(found.confidence[[5, 2999]]).all()
    assert ((found.hpc >= 0) & (found.hpc < 50)).all()


def test_where_a_tile_stands_changes_its_assignment_by_rounding_at_most():
    codebook = some_codebook(50)
    x = np.random.default_rng(0).normal(size=(5000, 24)).astype(np.float16)
    whole, part = codebook.assign(x), codebook.assign(x[1237:4001])
    assert (whole.hpc[1237:4001] == part.hpc).mean() > 0.999
    np.testing.assert_allclose(whole.distance[1237:4001], part.distance, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.05, 0.0126, 0.0124, 0.001])
def test_confidence_is_the_softmax_at_any_temperature(codebook, temperature):
    x = np.random.default_rng(1).normal(size=(300, 20)).astype(np.float32)
    codebook = replace(codebook, temperature=temperature)
    similarity = (codebook.project(x) @ codebook.centroids.T).astype(float)
    soft = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
    soft /= soft.sum(axis=1, keepdims=True)
    found = codebook.assign(x)
    wanted = np.take_along_axis(soft, found.hpc.astype(int), axis=1)
    np.testing.assert_allclose(found.confidence, wanted, rtol=2e-5 / temperature, atol=1e-7)


def test_a_tile_without_any_embedding_has_the_phenotype_of_the_zero_vector(codebook):
    x = np.zeros((3, 20), np.float16)
    x[1] = 1
    found = codebook.assign(x)
    nearest = codebook.project(x.astype(np.float32)) @ codebook.centroids.T
    np.testing.assert_array_equal(found.hpc[:, 0], nearest.argmax(axis=1))
    np.testing.assert_array_equal(codebook.labels(x), found.hpc[:, 0])
    assert np.isfinite(found.confidence).all() and np.isfinite(found.distance).all()

from dataclasses import replace

import numpy as np
import pytest

from pathosig.phenotypes import Codebook, PhenotypeSpec, TrainingTiles, fit_codebook
from pathosig.phenotypes.distance import Distance
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.nearest import ROWS, ExactMatrix, _read_rows, products


@pytest.fixture(scope="module")
def codebook():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(9, 20)) * 2)[rng.integers(0, 9, 900)] + rng.normal(size=(900, 20))
    slide = rng.integers(0, 20, len(x))
    tiles = TrainingTiles(embeddings=x.astype(np.float32), slide=slide, patient=slide, site=slide * 0)
    return fit_codebook(tiles, PhenotypeSpec(k=12, runs=3, landmarks=300))[0]


def test_half_precision_is_widened_exactly_and_infinities_stay_what_they_are():
    rng = np.random.default_rng(0)
    half = np.concatenate([rng.normal(size=500), [0, -0.0, 6e-8, -6e-8, 65504, 1e-5]]).astype(np.float16)
    for rows in (half[None], np.array([[1, np.inf, np.nan, -np.inf]], np.float16)):
        out = np.empty(rows.shape, np.float32)
        squared = _read_rows(rows, out)
        np.testing.assert_array_equal(out, rows.astype(np.float32))
        np.testing.assert_allclose(squared, np.einsum("ij,ij->i", out, out), rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "d"), [(0, 8), (1, 8), (ROWS, 300), (ROWS + 1, 200), (3 * ROWS, 16), (700, 1280)]
)
def test_products_and_lengths_are_those_of_all_rows(n, d):
    rng = np.random.default_rng(n)
    x, matrix = rng.normal(size=(n, d)).astype(np.float16), rng.normal(size=(d, 5)).astype(np.float32)
    blocks = [(rows, z.copy(), length.copy()) for rows, z, length in products(x, matrix)]
    assert [rows.start for rows, _, _ in blocks] == list(range(0, n, ROWS))
    assert sum(rows.stop - rows.start for rows, _, _ in blocks) == n
    for rows, z, length in blocks:
        count = rows.stop - rows.start
        lengths = np.linalg.norm(x[rows].astype(float), axis=1)
        np.testing.assert_allclose(z[:count], x[rows].astype(float) @ matrix, atol=1e-3)
        np.testing.assert_allclose(length[:count], lengths, rtol=1e-6)
        assert not z[count:].any()


def some_codebook(k, d=24, p=10, *, temperature=0.05):
    rng = np.random.default_rng(k)
    centroids = normalise(rng.normal(size=(k, p)))
    centroids[k // 2 :: 7] = centroids[0]  # HPCs that coincide
    basis = rng.normal(size=(d, 5)).astype(np.float32)
    distance = Distance(
        mean=rng.normal(size=d).astype(np.float32) * 0.1, basis=basis, variance=np.full(5, 0.001, np.float32), rest=0.5,
        threshold=np.array([0.3, 0.2]), centre=np.zeros(2), between=np.ones(2), within=np.ones(2), groups=9, tiles=40.0,
    )  # fmt: skip
    return Codebook(
        mean=rng.normal(size=d).astype(np.float32) * 0.1, projection=rng.normal(size=(d, p)).astype(np.float32),
        centroids=centroids, radius=rng.uniform(0.5, 2, k).astype(np.float32), temperature=temperature,
        linkage=np.empty((0, 4)), sums=centroids, coarse=normalise(rng.normal(size=(3, p))), distance=distance,
    )  # fmt: skip


def columns_of(assignment):
    unlike = assignment.unlike
    return {
        "hpc": assignment.hpc, "confidence": assignment.confidence, "distance": assignment.distance,
        "coarse": assignment.coarse, "residual": unlike.residual, "mahalanobis": unlike.mahalanobis,
    }  # fmt: skip


@pytest.mark.parametrize("k", [1, 2, 3, 50, 200])
@pytest.mark.parametrize("n", [0, 1, 777, ROWS, 2 * ROWS + 913])
def test_an_assignment_is_what_the_formula_says(k, n):
    codebook = some_codebook(k)
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


def test_of_equal_similarities_the_first_wins_where_every_sum_is_exact():
    rng = np.random.default_rng(3)
    book = replace(
        some_codebook(40, 12, 8), mean=np.zeros(12, np.float32),
        projection=rng.integers(-2, 3, size=(12, 8)).astype(np.float32),
        centroids=rng.integers(-1, 2, size=(40, 8)).astype(np.float32),
    )  # fmt: skip
    x = rng.integers(-3, 4, size=(2000, 12)).astype(np.float16)
    exact = x.astype(int) @ book.projection.astype(int) @ book.centroids.T.astype(int)
    order = np.argsort(-exact, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(exact, order[:, :4], axis=1)) == 0).any(axis=1).mean() > 0.25
    np.testing.assert_array_equal(book.assign(x).hpc, order[:, :3])
    np.testing.assert_array_equal(book.labels(x), order[:, 0])


@pytest.mark.parametrize("temperature", [0.05, 0.001])
@pytest.mark.parametrize("k", [2, 50])
def test_rows_that_are_not_finite_have_the_last_phenotype_and_no_confidence(k, temperature):
    book = some_codebook(k, temperature=temperature)
    x = np.random.default_rng(0).normal(size=(200, 24)).astype(np.float16)
    x[3], x[50, 7], x[70, 0], x[90, [0, 5]], x[199] = np.nan, np.nan, np.inf, [np.inf, -np.inf], -np.inf
    strange = [3, 50, 70, 90, 199]
    with np.errstate(all="ignore"):
        found, label = book.assign(x), book.labels(x)
    top = min(3, k)
    assert (found.hpc[strange, :top] == k - 1).all() and (found.hpc[:, top:] == -1).all()
    assert np.isnan(found.confidence[strange, :top]).all() and (found.confidence[:, top:] == 0).all()
    assert np.isnan(found.distance[strange]).all()
    assert (label[[3, 50]] == 0).all() and ((label >= 0) & (label < k)).all()
    others = np.delete(np.arange(200), strange)
    assert np.isfinite(found.confidence[others]).all() and np.isfinite(found.distance[others]).all()


@pytest.mark.parametrize("d", [1, 7, 64, 1280, 4096])
def test_exact_products_do_not_depend_on_the_order_of_their_sums(d):
    """As they would if a BLAS of another processor summed in another order."""
    rng = np.random.default_rng(d)
    x = (rng.normal(size=(30, d)) * np.exp(rng.normal(size=(30, d)) * 3)).astype(np.float32)
    x[3], x[4], x[5, 0] = 0, 1e-30, np.nan
    matrix = (rng.normal(size=(d, 9)) * np.exp(rng.normal(size=9) * 3)).astype(np.float32)
    product = ExactMatrix.of(matrix).after(x)
    for _ in range(5):
        order = rng.permutation(d)
        again = ExactMatrix.of(matrix[order]).after(x[:, order])
        np.testing.assert_array_equal(again, product)
    assert np.isnan(product[5]).all() and not product[3].any()
    others = np.delete(np.arange(30), [4, 5])
    terms = np.abs(x[others]).max(axis=1)[:, None] * np.abs(matrix).max(axis=0)
    exact = x[others].astype(float) @ matrix.astype(float)
    assert (np.abs(product[others] - exact) <= terms * np.maximum(d * 2.0**-20, 2.0**-23)).all()


@pytest.mark.parametrize(("d", "p"), [(40, 21), (1280, 64), (7, 3)])
def test_a_tile_has_the_same_bits_wherever_it_stands_and_however_it_is_stored(d, p):
    book = some_codebook(50, d, p)
    x = np.random.default_rng(0).normal(size=(1300, d)).astype(np.float16)
    whole, labels = columns_of(book.assign(x)), book.labels(x)
    np.testing.assert_array_equal(labels, whole["hpc"][:, 0])
    np.testing.assert_array_equal(book.coarse_labels(x), whole["coarse"])
    alone = book.distance.of(x)
    np.testing.assert_allclose(alone.residual, whole["residual"], rtol=1e-5)
    np.testing.assert_allclose(alone.mahalanobis, whole["mahalanobis"], rtol=1e-4)
    wide = np.zeros((1300, 2 * d), np.float16)
    wide[:, ::2] = x
    shifted = np.frombuffer(b"-" + x.tobytes(), np.uint8)[1:].view(np.float16).reshape(x.shape)
    assert not shifted.flags.aligned
    same = [
        x.astype(np.float32),
        x.astype(float),
        x.astype(">f2"),
        np.asfortranarray(x),
        wide[:, ::2],
        shifted,
    ]
    for stored in (*same, np.ascontiguousarray(x[::-1])[::-1]):
        for name, column in columns_of(book.assign(stored)).items():
            np.testing.assert_array_equal(column, whole[name])
        np.testing.assert_array_equal(book.labels(stored), labels)
    order = np.random.default_rng(1).permutation(1300)
    for name, column in columns_of(book.assign(x[order])).items():
        np.testing.assert_array_equal(column, whole[name][order])
    for size in (1, 47, 333):
        parts = [columns_of(book.assign(x[start : start + size])) for start in range(0, 1300, size)]
        for name, column in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), column)


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

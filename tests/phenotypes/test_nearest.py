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


AVAILABLE = nearest._nearest.LANES if nearest.LANES else ()


def with_lanes(*lanes):
    return pytest.mark.parametrize(
        "lanes",
        [
            pytest.param(
                n,
                id={16: "avx512", 8: "avx2", 0: "numpy"}[n],
                marks=pytest.mark.skipif(
                    n not in (*AVAILABLE, 0), reason="no compiler, or another processor"
                ),
            )
            for n in lanes
        ],
    )


@pytest.fixture
def use(lanes, monkeypatch):
    monkeypatch.setattr(nearest, "LANES", lanes)


compiled = with_lanes(16, 8)
everywhere = with_lanes(16, 8, 0)


def test_half_precision_is_widened_exactly_and_infinities_stay_what_they_are():
    rng = np.random.default_rng(0)
    half = np.concatenate([rng.normal(size=500), [0, -0.0, 6e-8, -6e-8, 65504, 1e-5]]).astype(np.float16)
    for rows in (half[None], np.array([[1, np.inf, np.nan, -np.inf]], np.float16)):
        out = np.empty(rows.shape, np.float32)
        squared = read_rows(rows, out)
        np.testing.assert_array_equal(out, rows.astype(np.float32))
        np.testing.assert_allclose(squared, np.einsum("ij,ij->i", out, out), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 50, 127, 128, 300])
def test_the_best_three_are_those_of_a_stable_sort_whatever_the_number_of_phenotypes(k):
    rng = np.random.default_rng(k)
    similarity = rng.integers(-5, 5, size=(k, 403)).astype(np.float32)  # many ties
    order = np.argsort(-similarity, axis=0, kind="stable")
    values = np.sort(similarity, axis=0)[::-1]
    best, found = best_of_columns(similarity.copy(), min(3, k))
    np.testing.assert_array_equal(best, order[:3])
    np.testing.assert_array_equal(found, values[:3])


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


@everywhere
@pytest.mark.usefixtures("use")
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


SHAPES = [
    (1, 1, 1), (1, 1, 2), (2, 5, 3), (7, 3, 4), (15, 16, 16), (16, 15, 17), (31, 48, 33), (33, 129, 17), (47, 64, 64),
    (100, 63, 65), (256, 64, 50), (1280, 64, 50), (3000, 600, 300),
]  # fmt: skip


@compiled
@pytest.mark.usefixtures("use")
@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("d", "p", "k"), SHAPES)
def test_the_compiled_kernel_agrees_with_double_precision_and_with_numpy(
    d, p, k, dtype, refined, monkeypatch
):
    book = some_codebook(k, d, p, refined=refined)
    x = np.random.default_rng(d).normal(size=(203, d)).astype(dtype)
    found, label, top = book.assign(x), book.labels(x), min(3, k)
    monkeypatch.setattr(nearest, "LANES", 0)
    plain, plain_label = book.assign(x), book.labels(x)

    z = x / np.linalg.norm(x.astype(float), axis=1, keepdims=True) - book.mean.astype(float)
    z = z @ book.projection.astype(float)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    if refined:
        z += np.maximum(z @ book.residual.w1 + book.residual.b1, 0) @ book.residual.w2.astype(float)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
    cosine = z @ book.centroids.T.astype(float)
    chosen = np.take_along_axis(cosine, found.hpc[:, :top].astype(int), axis=1)
    np.testing.assert_allclose(chosen, -np.sort(-cosine, axis=1)[:, :top], atol=1e-6)
    soft = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / 0.05)
    wanted = np.take_along_axis(soft, found.hpc[:, :top].astype(int), axis=1) / soft.sum(1, keepdims=True)
    np.testing.assert_allclose(found.confidence[:, :top], wanted, rtol=2e-5)
    distance = (1 - chosen[:, 0]) / book.radius[found.hpc[:, 0]]
    np.testing.assert_allclose(found.distance, distance, atol=1e-6)

    gap = -np.diff(-np.sort(-cosine, axis=1)[:, :4], axis=1)
    clear = (gap > 1e-5).all(axis=1)
    np.testing.assert_array_equal(found.hpc[clear], plain.hpc[clear])
    np.testing.assert_array_equal(label[clear], plain_label[clear])
    np.testing.assert_allclose(found.confidence[clear], plain.confidence[clear], rtol=4e-5)
    np.testing.assert_allclose(found.distance[clear], plain.distance[clear], atol=2e-6)


@everywhere
@pytest.mark.usefixtures("use")
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


@compiled
@pytest.mark.usefixtures("use")
@pytest.mark.parametrize("refined", [False, True])
def test_compiled_a_tile_has_the_same_bits_wherever_it_stands_and_however_it_is_stored(refined, monkeypatch):
    book = some_codebook(50, 40, 21, refined=refined)
    x = np.random.default_rng(0).normal(size=(1000, 40)).astype(np.float16)
    columns = ("hpc", "confidence", "distance")
    whole, labels = book.assign(x), book.labels(x)
    wide = np.zeros((1000, 80), np.float16)
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
        again = book.assign(stored)
        for name in columns:
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
        np.testing.assert_array_equal(book.labels(stored), labels)
    for size in (1, 5, 47, 48, 49, 333):
        parts = [book.assign(x[start : start + size]) for start in range(0, 1000, size)]
        for name in columns:
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(whole, name))
    monkeypatch.setattr(nearest, "_AT_ONCE", 100)
    np.testing.assert_array_equal(book.assign(x).confidence, whole.confidence)


@everywhere
@pytest.mark.usefixtures("use")
@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("temperature", [0.05, 0.001])
@pytest.mark.parametrize("k", [2, 50])
def test_rows_that_are_not_finite_have_the_last_phenotype_and_no_confidence(k, temperature, refined):
    book = some_codebook(k, temperature=temperature, refined=refined)
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


@compiled
@pytest.mark.usefixtures("use")
@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("p", [1, 10])
def test_a_row_with_an_infinity_has_the_label_that_numpy_gives_it(p, refined, monkeypatch):
    book = some_codebook(20, 24, p, refined=refined)
    x = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float16)
    x[np.arange(300), np.arange(300) % 24] = np.where(np.arange(300) % 2, np.inf, -np.inf)
    found, label = book.assign(x), book.labels(x)
    monkeypatch.setattr(nearest, "LANES", 0)
    with np.errstate(all="ignore"):
        plain, plain_label = book.assign(x), book.labels(x)
    np.testing.assert_array_equal(label, plain_label)
    for name in ("hpc", "confidence", "distance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


@pytest.mark.skipif(not AVAILABLE, reason="no compiler, or another processor")
def test_arrays_of_other_kinds_are_refused():
    n, d, p, k, h = 4, 3, 5, 6, 2

    def single(*shape):
        return np.zeros(shape, np.float32)

    good = {
        "rows": np.zeros((n, d), np.float16),
        "matrices": (single(d + 1, p), single(p + 1, h), single(h, p), single(p, k)),
        "radius": single(k) + 1, "sharpness": 20.0, "start": 1,
        "columns": (np.zeros((3, n + 1), np.int16), single(3, n + 1), single(n + 1)), "lanes": AVAILABLE[0],
    }  # fmt: skip
    nearest._nearest.assign(*good.values())
    projection, w1, w2, centroids = good["matrices"]
    hpc, confidence, distance = good["columns"]
    frozen = confidence.copy()
    frozen.flags.writeable = False
    wrong = {
        "rows": [np.zeros((n, d)), np.zeros((n, d), np.int16), np.zeros((d, n), np.float16).T, np.zeros(d, np.float16),
                 np.zeros((n, d + 1), np.float16), np.zeros((n + 1, d), np.float16), np.zeros((n, 0), np.float16)],
        "matrices": [(), (projection, w1, centroids), (projection.astype(float), centroids), (projection[:-1], centroids),
                     (projection, centroids[:-1]), (projection, np.asfortranarray(centroids)), (projection,),
                     (projection, w1[1:], w2, centroids), (projection, w1, w2[1:], centroids),
                     (projection, w1, single(h, p - 1), centroids), (projection, single(p, 0))],
        "radius": [single(k - 1), single(k, 1), single(k).astype(float)],
        "start": [-1, 2, 2**62],
        "columns": [(), (hpc,), (hpc[:1], confidence, distance), (hpc.astype(np.int32), confidence, distance),
                    (hpc, confidence[:, 1:], distance), (hpc, confidence[:2], distance), (hpc, confidence, distance[1:]),
                    (hpc, frozen, distance), (hpc[:, ::-1], confidence, distance)],
        "lanes": [0, 4, 32],
    }  # fmt: skip
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError):
                nearest._nearest.assign(*{**good, name: value}.values())
    with pytest.raises(TypeError):
        nearest._nearest.assign(*{**good, "radius": None}.values())


@everywhere
@pytest.mark.usefixtures("use")
def test_a_tile_near_phenotypes_that_coincide_has_three_of_them():
    codebook = some_codebook(50)
    twins = [0, *range(25, 50, 7)]
    hpc = codebook.assign(np.random.default_rng(0).normal(size=(5000, 24)).astype(np.float32)).hpc
    near = np.isin(hpc[:, 0], twins)
    assert near.any() and np.isin(hpc[near], twins).all()
    exact = (hpc[near] == twins[:3]).mean()
    assert exact > 0.9  # all, but for a BLAS that rounds its last rows otherwise


@everywhere
@pytest.mark.usefixtures("use")
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


@everywhere
@pytest.mark.usefixtures("use")
def test_where_a_tile_stands_changes_its_assignment_by_rounding_at_most():
    codebook = some_codebook(50)
    x = np.random.default_rng(0).normal(size=(5000, 24)).astype(np.float16)
    whole, part = codebook.assign(x), codebook.assign(x[1237:4001])
    assert (whole.hpc[1237:4001] == part.hpc).mean() > 0.999
    np.testing.assert_allclose(whole.distance[1237:4001], part.distance, atol=1e-5)


@everywhere
@pytest.mark.usefixtures("use")
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


@everywhere
@pytest.mark.usefixtures("use")
def test_a_tile_without_any_embedding_has_the_phenotype_of_the_zero_vector(codebook):
    x = np.zeros((3, 20), np.float16)
    x[1] = 1
    found = codebook.assign(x)
    nearest = codebook.project(x.astype(np.float32)) @ codebook.centroids.T
    np.testing.assert_array_equal(found.hpc[:, 0], nearest.argmax(axis=1))
    np.testing.assert_array_equal(codebook.labels(x), found.hpc[:, 0])
    assert np.isfinite(found.confidence).all() and np.isfinite(found.distance).all()

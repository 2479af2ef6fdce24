import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from pathosig.core.errors import InputError, NotEstimableError, PathosigError
from pathosig.core.records import read_parquet
from pathosig.core.study import Study
from pathosig.phenotypes import (
    Codebook,
    PhenotypeSpec,
    TrainingTiles,
    batch_diagnostic,
    cut_tree,
    find_phenotypes,
    fit_codebook,
    spherical_kmeans,
    tree_nodes,
    ward_tree,
)
from pathosig.phenotypes.atlas import AtlasTiles, Candidates, atlas_table, choose_exemplars, map_of_tiles
from pathosig.phenotypes.health import _occupancy, artefact_hpcs, assess
from pathosig.phenotypes.kmeans import normalise
from pathosig.phenotypes.reading import read_discovery
from pathosig.phenotypes.stability_curve import stability_over_k
from pathosig.phenotypes.steadiness import _matched_jaccard, disjoint_halves, stability
from pathosig.synthetic import SimulateSpec, simulate

SPEC = PhenotypeSpec(k=16, runs=6, landmarks=600, max_iter=15)


def planted(n=1500, types=8, dim=24, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(types, dim)) * 2
    labels = rng.integers(0, types, n)
    return (centres[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels


def training(x, seed=0):
    slide = np.random.default_rng(seed).integers(0, 20, len(x))
    return TrainingTiles(embeddings=x, slide=slide, patient=slide // 2, site=np.zeros(len(x), int))


def test_kmeans_repeats_with_its_seed_and_finds_what_is_there():
    x, labels = planted()
    unit = normalise(x)
    first = spherical_kmeans(unit, 8, np.random.default_rng(3))
    again = spherical_kmeans(unit, 8, np.random.default_rng(3))
    assert np.array_equal(first[1], again[1])
    assert (
        max(
            adjusted_rand_score(labels, spherical_kmeans(unit, 8, np.random.default_rng(s))[1])
            for s in range(5)
        )
        > 0.9
    )


def test_ward_with_equal_weights_is_scipys_ward():
    points = np.random.default_rng(0).normal(size=(12, 5))
    ours, theirs = ward_tree(points, np.ones(12)), linkage(points, "ward")
    for k in range(2, 12):
        from scipy.cluster.hierarchy import fcluster

        assert adjusted_rand_score(cut_tree(ours, k), fcluster(theirs, k, "maxclust")) == 1.0


def test_every_node_but_the_root_is_named_and_its_leaves_nest():
    nodes = tree_nodes(ward_tree(np.random.default_rng(0).normal(size=(9, 3)), np.ones(9)))
    assert len(nodes) == 7
    assert all(2 <= len(n["leaves"]) < 9 for n in nodes)


def test_the_consensus_cut_finds_planted_phenotypes():
    x, labels = planted()
    codebook, _ = fit_codebook(training(x), SPEC)
    assert adjusted_rand_score(labels, cut_tree(codebook.linkage, 8)[codebook.labels(x)]) >= 0.9


def test_a_fit_repeats_and_a_codebook_survives_the_disk(tmp_path):
    x, _ = planted()
    codebook, _ = fit_codebook(training(x), SPEC)
    again, _ = fit_codebook(training(x), SPEC)
    codebook.save(tmp_path / "a")
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = Codebook.load(tmp_path / "a")
    one, all_ = loaded.assign(x[:1]), codebook.assign(x)
    assert one.hpc[0].tolist() == all_.hpc[0].tolist()
    assert np.allclose(one.confidence[0], all_.confidence[0], atol=1e-5)
    (tmp_path / "c").write_bytes(b"nonsense")
    with pytest.raises(PathosigError):
        Codebook.load(tmp_path / "c")


def test_no_bit_of_a_codebook_depends_on_the_number_of_threads(tmp_path, monkeypatch):
    x, _ = planted(dim=640)
    for threads in (1, 2, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        with threadpool_limits(limits=threads, user_api="blas"):
            fit_codebook(training(x), SPEC)[0].save(tmp_path / str(threads))
    assert len({(tmp_path / str(threads)).read_bytes() for threads in (1, 2, 3)}) == 1


def test_embeddings_of_another_encoder_are_refused():
    codebook, _ = fit_codebook(training(planted()[0]), SPEC)
    with pytest.raises(InputError) as caught:
        codebook.assign(np.zeros((3, 7), np.float32))
    assert caught.value.code == "E_DIM"


def test_what_was_never_seen_is_far():
    x, _ = planted()
    codebook, _ = fit_codebook(training(x), SPEC)
    strange = np.random.default_rng(9).normal(size=(200, 24)).astype(np.float32) * 3
    assert np.median(codebook.assign(strange).distance) > 1.2 * np.median(codebook.assign(x).distance)


def test_too_few_tiles_are_not_estimable():
    with pytest.raises(NotEstimableError):
        fit_codebook(training(planted(n=12)[0]), SPEC)


def test_the_batch_diagnostic_sees_slides_that_differ():
    x, _ = planted(dim=24)
    slide = np.random.default_rng(0).integers(0, 30, len(x))
    shifted = x + np.random.default_rng(1).normal(size=(30, 24))[slide] * 6
    rng = np.random.default_rng(0)
    assert batch_diagnostic(normalise(x), slide, rng)["ratio"] < 1.5
    assert batch_diagnostic(normalise(shifted), slide, rng)["ratio"] > 10


def test_health_counts_occupancy_artefacts_and_matches_clusters():
    labels = np.array([0] * 50 + [1] * 50)
    assert _occupancy(labels, 4).empty == 2
    assert _occupancy(labels, 2).perplexity == pytest.approx(1)
    assert artefact_hpcs(labels, {"pen": np.array([0.0] * 50 + [0.9] * 50)}, 2).keys() == {1}
    assert _matched_jaccard(labels, 1 - labels, 2).tolist() == [1.0, 1.0]


def atlas_tiles(n, patients=4, hpcs=1, seed=0):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), n // patients)
    return AtlasTiles(
        hpc=rng.integers(0, hpcs, n), coarse=np.zeros(n, int), confidence=rng.random(n), distance=rng.random(n), slide=patient,
        patient=patient, tile_id=np.arange(n), x=np.arange(n), y=np.arange(n),
    )  # fmt: skip


def test_exemplars_come_from_many_patients():
    exemplars = choose_exemplars(Candidates.of(atlas_tiles(40)), 1, exemplars=4)
    assert sorted(int(e.tile.patient[0]) for e in exemplars if e.kind == "exemplar") == [0, 1, 2, 3]
    assert sum(e.kind == "border" for e in exemplars) == 4


def test_an_atlas_gathered_slide_by_slide_is_that_of_all_tiles_and_holds_few_of_them():
    tiles = atlas_tiles(6000, patients=6, hpcs=3)
    whole = choose_exemplars(Candidates.of(tiles, most=6000), 3)
    gathered = None
    for slide in range(6):
        here = Candidates.of(tiles.take(np.flatnonzero(tiles.slide == slide)))
        gathered = here if gathered is None else gathered.plus(here)
    assert len(gathered.near.hpc) == len(gathered.divided.hpc) == 3 * 800
    names = ["hpc", "rank", "kind", "slide_id", "tile_id"]
    first, second = (
        atlas_table(e, list("abcdef")).select(names).to_pylist()
        for e in (whole, choose_exemplars(gathered, 3))
    )
    assert first == second and len(first) == 3 * 16


def test_a_new_validation_slide_changes_no_byte_of_the_codebook(tmp_path):
    simulate(
        tmp_path / "s",
        SimulateSpec(level="embeddings", n_discovery=6, n_validation=3, tiles_per_patient=60, dim=16),
    )
    study = Study.open(tmp_path / "s")
    spec = PhenotypeSpec(k=6, runs=3)
    table = (study.root / "slides.csv").read_text()
    (study.root / "slides.csv").write_text(
        "".join(r for r in table.splitlines(True) if not r.startswith("V001"))
    )
    find_phenotypes(Study.open(study.root), spec)
    before = (study.root / "phenotypes/codebook.safetensors").read_bytes()
    (study.root / "slides.csv").write_text(table)
    report = find_phenotypes(Study.open(study.root), spec)
    assert report.done == ("V001",)
    assert (study.root / "phenotypes/codebook.safetensors").read_bytes() == before


def test_tiles_that_could_not_be_decoded_are_left_out_and_the_others_keep_their_ids(tmp_path):
    simulate(
        tmp_path / "s",
        SimulateSpec(level="embeddings", n_discovery=6, n_validation=0, tiles_per_patient=60, dim=16),
    )
    path = tmp_path / "s" / "embeddings" / "D001.npy"
    embeddings = np.load(path)
    embeddings[[2, 7]] = np.nan
    np.save(path, embeddings)
    study = Study.open(tmp_path / "s")
    find_phenotypes(study, PhenotypeSpec(k=6, runs=3))
    assigned = read_parquet(study.file("phenotypes", "D001", ".parquet"))
    wanted = [i for i in range(len(embeddings)) if i not in (2, 7)]
    assert assigned.column("tile_id").to_pylist() == wanted
    assert np.isfinite(assigned.column("confidence").to_numpy()).all()


def test_assignment_equals_projecting_and_multiplying():
    x = planted()
    codebook, _ = fit_codebook(training(x[0]), PhenotypeSpec(k=12, runs=4))
    similarity = codebook.project(x[0]) @ codebook.centroids.T
    found = codebook.assign(x[0].astype(np.float16))
    order = np.argsort(-similarity, axis=1)[:, :3]
    assert (found.hpc == order).mean() > 0.99
    assert found.distance == pytest.approx(
        (1 - similarity.max(axis=1)) / codebook.radius[found.hpc[:, 0]], abs=0.05
    )
    soft = np.exp(similarity / codebook.temperature)
    soft /= soft.sum(axis=1, keepdims=True)
    wanted = np.take_along_axis(soft, found.hpc.astype(int), axis=1)
    np.testing.assert_allclose(found.confidence, wanted, atol=5e-3)
    np.testing.assert_array_equal(codebook.labels(x[0].astype(np.float16)), found.hpc[:, 0])


def test_the_curve_over_k_knows_where_phenotypes_are_stable(tmp_path):
    simulate(
        tmp_path / "s",
        SimulateSpec(
            level="embeddings",
            n_discovery=20,
            n_validation=0,
            tiles_per_patient=60,
            dim=16,
            types=5,
            subtypes=1,
        ),
    )
    study = Study.open(tmp_path / "s")
    with pytest.raises(InputError, match="no codebook"):
        stability_over_k(read_discovery(study))
    find_phenotypes(study, PhenotypeSpec(k=10, runs=5))
    found = stability_over_k(read_discovery(study), [5, 20])
    curve = {row["k"]: row for row in found["curve"]}
    assert set(curve) == {5, 20, found["k"]}
    assert curve[5]["seed_ari"] > 0.95
    assert curve[5]["prediction_strength"] > 0.8  # the usual bar of Tibshirani & Walther
    assert curve[20]["prediction_strength"] < 0.3


def test_refits_ask_for_as_many_phenotypes_as_the_fit_did():
    x, _ = planted()
    spec, tiles = SPEC.replace(min_share=0.04), training(x)
    codebook, _ = fit_codebook(tiles, spec)
    assert codebook.k < spec.k  # small ones were merged
    unit = codebook.project(x)
    labels = (unit @ codebook.centroids.T).argmax(axis=1)
    health = assess(codebook, tiles, {}, spec)
    asked, fewer = (stability(unit, tiles.patient, spec, labels, asked=k) for k in (spec.k, None))
    assert health.stability.seed_ari == asked.seed_ari != fewer.seed_ari


def test_planted_types_are_steady_across_disjoint_halves_of_the_patients_and_their_splinters_are_not():
    x, _ = planted(n=3000, types=4)
    tiles, spec = training(x), SPEC.replace(k=24)
    codebook, _ = fit_codebook(tiles, spec)
    health = assess(codebook, tiles, {}, spec)
    steadiness = health.halves.steadiness
    assert len(codebook.coarse) == 4
    coarse = [v for name, v in steadiness.items() if name.startswith("coarse_")]
    leaves = [steadiness[f"hpc_{i:02d}"] for i in range(codebook.k)]
    assert len(coarse) == 4 and min(coarse) > 0.9 > 0.6 > np.mean(leaves)
    assert health.halves.coarse_ari > 0.95 > 0.6 > health.halves.ari
    assert set(steadiness) >= {node["id"] for node in tree_nodes(codebook.linkage)}
    raw = health.to_dict()
    assert raw["steadiness"] == health.steadiness == pytest.approx(steadiness, abs=5e-5)
    assert raw["hpcs"][0]["halves"] == leaves[0]
    assert sorted(hpc for group in health.groups for hpc in group.hpcs) == list(range(codebook.k))
    assert [group.halves for group in health.groups] == coarse
    assert sum(group.share for group in health.groups) == pytest.approx(1)
    few = disjoint_halves(
        x, np.arange(len(x)) % 5, spec, codebook.labels(x), linkage=codebook.linkage, coarse=None, asked=24
    )
    assert few is None


def test_a_tile_belongs_at_any_level_to_the_nearest_of_that_levels_own_centroids():
    x, _ = planted(n=1500, types=4)
    codebook, _ = fit_codebook(training(x), SPEC.replace(k=12))
    unit = codebook.project(x)
    own = (unit @ codebook.centroids.T).argmax(axis=1)
    for groups in (2, 4, 7):
        cut = cut_tree(codebook.linkage, groups)
        centres = np.stack([unit[cut[own] == g].mean(axis=0) for g in range(groups)])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        np.testing.assert_array_equal(codebook.level_labels(x, groups), (unit @ centres.T).argmax(axis=1))
    chosen = len(codebook.coarse)
    np.testing.assert_array_equal(codebook.level_labels(x, chosen), codebook.coarse_labels(x))


def test_the_map_shows_the_two_directions_of_most_variance_and_never_more_tiles_than_asked():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6)).astype(np.float32) * [0.1, 5, 0.1, 0.1, 2, 0.1]
    rows, points = map_of_tiles(x, at_most=200)
    assert len(rows) == len(points) == 200 and rows[0] == 0 and rows[-1] == 499
    assert abs(np.corrcoef(points[:, 0], x[rows, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], x[rows, 4])[0, 1]) > 0.99
    np.testing.assert_allclose(np.abs(map_of_tiles(-x)[1]), np.abs(map_of_tiles(x)[1]), atol=1e-4)


def test_the_map_of_a_space_with_one_dimension_is_flat():
    rows, points = map_of_tiles(np.arange(5, dtype=np.float32)[:, None])
    assert points.shape == (5, 2) and (points[:, 1] == 0).all()

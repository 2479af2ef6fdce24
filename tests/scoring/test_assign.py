"""Phenotypes that travel: to another study, to new slides, to features made elsewhere."""

import shutil

import h5py
import numpy as np
import pytest

from pathosig.commands.pipeline import run_all
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.records import read_json, read_parquet
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.phenotypes import PhenotypeSpec, find_phenotypes
from pathosig.phenotypes.frozen import FrozenPhenotypes
from pathosig.scoring import assign_phenotypes, score_slides, write_bundle
from pathosig.synthetic import SimulateSpec, simulate

SPEC = SimulateSpec(n_discovery=6, n_validation=1, types=3, tiles_per_patient=16)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("travel") / "study"
    simulate(root, SPEC)
    text = (root / "study.toml").read_text()
    (root / "study.toml").write_text(text + "\n[phenotypes]\nk = 5\nruns = 3\n")
    study = Study.open(root)
    report = run_all(study, until="phenotypes")
    assert report.exit_code == 0, report.to_text()
    return study


@pytest.fixture(scope="module")
def bundle(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "lung.psig"
    report = write_bundle(study, out=path, phenotypes_only=True)
    assert "pathosig assign" in report.to_text() and report.weights_inside
    return path


def features_of(study, folder, *, encoder="efficientnet-lite0", px=224):
    """The study's embeddings as files of TRIDENT."""
    folder.mkdir()
    for specimen in study.specimens():
        table = read_parquet(study.paths.tiles(specimen.id))
        coords = np.stack([table.column(c).to_numpy() for c in "xy"], axis=1)
        with h5py.File(folder / f"{specimen.id}.h5", "w") as f:
            f["features"] = np.load(study.paths.embeddings(specimen.id))
            f["features"].attrs["encoder"] = encoder
            f["coords"] = coords
            f["coords"].attrs.update({"patch_size": px, "patch_size_level0": px})
    return folder


def test_slides_and_their_features_get_the_same_phenotypes_as_in_the_study_byte_for_byte(
    study, bundle, tmp_path
):
    slides = study.specimens()[-3:]
    by_slide = assign_phenotypes(bundle, *(s.path for s in slides), out=tmp_path / "slides")
    assert by_slide.exit_code == 0 and by_slide.slides == tuple(s.id for s in slides)
    features = features_of(study, tmp_path / "h5")
    by_features = assign_phenotypes(bundle, features=features, out=tmp_path / "features")
    assert set(by_features.slides) == {s.id for s in study.specimens()}
    for s in slides:
        ours = study.paths.assignments(s.id).read_bytes()
        name = study.paths.assignments(s.id).name
        assert (tmp_path / "slides" / "phenotypes" / name).read_bytes() == ours
        assert (tmp_path / "features" / "phenotypes" / name).read_bytes() == ours
    rows = read_csv_rows(tmp_path / "slides" / "slides.csv")
    assert len(rows) == 3
    for row in rows:
        assert sum(float(v) for k, v in row.items() if k.startswith("hpc_")) == pytest.approx(1, abs=1e-4)


def test_another_study_takes_the_phenotypes_over_and_fits_nothing(study, bundle, tmp_path):
    root = tmp_path / "other"
    shutil.copytree(study.root, root, ignore=shutil.ignore_patterns("phenotypes"))
    shutil.copy(bundle, root / "lung.psig")
    other = Study.open(root)
    spec = PhenotypeSpec(codebook="lung.psig")
    report = find_phenotypes(other, spec)
    assert any("lung.psig" in f for f in report.findings)
    for s in study.specimens():
        assert other.paths.assignments(s.id).read_bytes() == study.paths.assignments(s.id).read_bytes()
    assert other.paths.codebook.read_bytes() == study.paths.codebook.read_bytes()
    health = read_json(other.paths.health)
    assert {row["flag"] for row in health["hpcs"]} <= {"taken over", "artefact", "near empty", "dominated"}
    assert health["codebook"] == "lung.psig" and "seed_ari" not in health["stability"]
    assert not find_phenotypes(other, spec).done
    with pytest.raises(ConfigError, match="is not a file"):
        find_phenotypes(other, PhenotypeSpec(codebook="none.psig"))


def test_embeddings_of_another_encoder_or_magnification_are_refused(study, bundle, tmp_path):
    with pytest.raises(InputError, match="belong to encoder efficientnet-lite0") as caught:
        assign_phenotypes(
            bundle,
            features=features_of(study, tmp_path / "a", encoder="of-the-laboratory"),
            out=tmp_path / "o",
        )
    assert caught.value.code == "E_MIXED"
    frozen = FrozenPhenotypes.read(bundle)
    card = read_json(study.paths.encoder_card)
    frozen.check(card, mpp=frozen.mpp)
    frozen.check({**card, "weights_sha256": "imported:efficientnet-lite0"}, mpp=None)
    with pytest.raises(InputError, match="micrometres per pixel"):
        frozen.check(card, mpp=frozen.mpp * 2)
    for wrong in ({"dim": 7}, {"weights_sha256": "0" * 64}):
        with pytest.raises(InputError, match="Embed the slides with the encoder of the bundle"):
            frozen.check({**card, **wrong}, mpp=frozen.mpp)


def test_a_bundle_without_a_signature_scores_nobody(study, bundle, tmp_path):
    with pytest.raises(InputError, match="some missing"):
        score_slides(bundle, study.specimens()[0].path, out=tmp_path / "s.csv")


def test_slides_or_features_have_to_be_given_and_to_exist(bundle, tmp_path):
    with pytest.raises(ConfigError, match="either slides or"):
        assign_phenotypes(bundle)
    with pytest.raises(InputError, match="no such file"):
        assign_phenotypes(bundle, tmp_path / "no.svs")

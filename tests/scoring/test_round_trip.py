"""Fit, validate, bundle, score: a bundle says of new slides what the study says of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

from pathosig.commands.export import export
from pathosig.core.errors import ConfigError, InputError, NotEstimableError, PathosigWarning
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.phenotypes import PhenotypeSpec, find_phenotypes
from pathosig.profiles import build_profiles
from pathosig.profiles.reading import read_profiles
from pathosig.scoring import read_bundle, score_slides, write_bundle
from pathosig.scoring.clinical import read_clinical
from pathosig.scoring.score import read_new
from pathosig.scoring.work import NewSlides, open_work, run_stages, work_study
from pathosig.signature import SignatureSpec, build_signature
from pathosig.signature.contributions import risk_of_tiles
from pathosig.signature.model import Signature
from pathosig.signature.reading import tile_places
from pathosig.synthetic import SimulateSpec, simulate
from pathosig.validation import ValidateSpec, read_results, validate_signature

SPEC = SignatureSpec(selection="ridge", bootstraps=0, n_subsamples=20, min_tiles=20)
POLICIES = ["pooled", "mean", "worst", "per_core"]
SELECTIONS = ["auto", "tree", "completed", "lasso", "stepwise", "paper", "logcontrast"]


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        return function(*args, **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """85 patients of two slides each, all from embeddings."""
    root = tmp_path_factory.mktemp("study")
    spec = SimulateSpec(
        level="embeddings", n_discovery=120, n_validation=50, tiles_per_patient=60, types=4, subtypes=2, dim=32, harm=2.0,
        protect=-2.0, second_slide=0.0,
    )  # fmt: skip
    quietly(simulate, root / "s", spec)
    patients = pd.read_csv(root / "s" / "patients.csv", dtype={"patient_id": str})
    slides = pd.read_csv(root / "s" / "slides.csv", dtype=str)
    patients = patients.sort_values(["cohort", "os_time"]).reset_index(drop=True)
    owner = {p: patients["patient_id"][i - i % 2] for i, p in enumerate(patients["patient_id"])}
    slides.assign(patient_id=slides["patient_id"].map(owner)).to_csv(root / "s" / "slides.csv", index=False)
    patients[patients["patient_id"].isin(set(owner.values()))].to_csv(
        root / "s" / "patients.csv", index=False
    )
    study = Study.open(root / "s")
    quietly(find_phenotypes, study, PhenotypeSpec(k=8))
    quietly(build_profiles, study)
    return study


@pytest.fixture(scope="module")
def features(study, tmp_path_factory):
    """The slides of the validation cohort as HDF5 files, and the table of their owners."""
    folder = tmp_path_factory.mktemp("features")
    export(study, to="h5", out=folder)
    inside = set(study.patients().query("cohort != 'discovery'")["patient_id"])
    owners = {s.id: s.patient_id for s in study.specimens()}
    for path in folder.glob("*.h5"):
        if owners[path.stem] not in inside:
            path.unlink()
    rows = [{"slide": s, "patient_id": p} for s, p in owners.items() if p in inside]
    pd.DataFrame(rows).to_csv(folder / "owners.csv", index=False)
    assert len(list(folder.glob("*.h5"))) == len(rows) > 20
    return folder


def freeze(study: Study, spec: SignatureSpec, out):
    quietly(build_signature, study, spec)
    quietly(
        validate_signature,
        study,
        ValidateSpec(bootstraps=4, imputations=0, forest=False, permutations=0, instability=0),
    )
    return quietly(write_bundle, study, out=out)


@pytest.fixture(scope="module")
def work(study, features, tmp_path_factory):
    """A work folder in which the new slides have their phenotypes: bundles of the same codebook score in it."""
    root = tmp_path_factory.mktemp("work")
    freeze(study, SPEC, root / "a.psig")
    bundle = open_work(root / "a.psig", root / "w", trust=None)
    owners = dict(pd.read_csv(features / "owners.csv", dtype=str).to_numpy())
    new = NewSlides(slides=(), owners=owners, features=features)
    made = work_study(bundle, new)
    run_stages(made, bundle, new, Execution())
    return made


@pytest.mark.parametrize(
    "change", [*({"policy": p} for p in POLICIES), *({"selection": s} for s in SELECTIONS)], ids=str
)
def test_a_bundle_scores_as_its_study_did_for_every_policy_and_selection(study, work, tmp_path, change):
    if change.get("selection") == "logcontrast":
        change = {**change, "scale": "logratio"}
    freeze(study, SPEC.replace(**change), tmp_path / "b.psig")
    bundle = read_bundle(tmp_path / "b.psig", work.root)
    readings = {r.patient_id: r for r in read_new(work, bundle, Execution())}
    own = pd.read_csv(study.paths.scores, dtype={"patient_id": str}, float_precision="round_trip")
    own = own[own["cohort"] != "discovery"].set_index("patient_id")
    assert set(readings) == set(own.index)
    given = [p for p, r in readings.items() if r.score is not None]
    assert len(given) > 20
    for patient in given:
        reading = readings[patient]
        assert reading.score == own.loc[patient, "score"]
        assert reading.group == own.loc[patient, "group"]
        assert reading.core_agreement == own.loc[patient, "core_agreement"]
        assert sum(reading.contributions.values()) == pytest.approx(reading.score, abs=1e-12)
        assert reading.lower <= reading.upper
    signature = Signature.load(study.paths.signature)
    assert {bundle.signature.transform.policy, signature.transform.policy} == {change.get("policy", "pooled")}
    if change.get("policy") == "worst":
        assert any(
            readings[p].score != own.loc[p, "ridge_score"] or own.loc[p, "n_slides"] > 1 for p in given
        )


def test_a_bundle_carries_the_clinical_model_of_its_signature_and_of_no_other(study, tmp_path):
    freeze(study, SPEC, tmp_path / "b.psig")
    frozen = read_results(study.paths.results).clinical_histology
    bundle = read_bundle(tmp_path / "b.psig", tmp_path / "in")
    assert bundle.clinical == frozen.model
    assert bundle.clinical.score_scale == bundle.signature.sd
    patients = study.patients().query("cohort != 'discovery'").head(5)
    score = np.linspace(-1, 1, 5)
    risks = bundle.clinical.risks(patients, score)
    assert risks.risk.shape == (5, len(bundle.clinical.horizons))
    assert (np.diff(risks.risk[:, 0]) != 0).all()
    quietly(build_signature, study, SPEC.replace(cutoff="median", min_tiles=25))
    quietly(write_bundle, study, out=tmp_path / "c.psig")  # validate has not run since
    assert read_bundle(tmp_path / "c.psig", tmp_path / "in").clinical is None


def test_nothing_found_is_not_frozen_unless_somebody_insists(study, tmp_path):
    freeze(study, SPEC, tmp_path / "a.psig")
    record = study.record("validate", "_validate")
    path = study.record_path("validate", "_validate")
    before = path.read_text()
    said = {**record.summary, "nothing_found": "Cross-validation selected nothing in any fold (os)."}
    dataclasses.replace(record, summary=said).write(path)
    try:
        with pytest.raises(NotEstimableError, match="selected nothing in any fold .*--anyway") as caught:
            quietly(write_bundle, study, out=tmp_path / "b.psig")
        assert caught.value.code == "E_NOTHING_FOUND"
        assert not (tmp_path / "b.psig").exists()
        quietly(write_bundle, study, out=tmp_path / "b.psig", anyway=True)
        insisted = read_bundle(tmp_path / "b.psig", tmp_path / "in").card
        assert "selected nothing in any fold" in insisted["intended_use"]
        quietly(write_bundle, study, out=tmp_path / "c.psig", phenotypes_only=True)
        quietly(build_signature, study, SPEC.replace(cutoff="median", min_tiles=25))
        quietly(write_bundle, study, out=tmp_path / "d.psig")  # the verdict is on another signature
    finally:
        path.write_text(before)


def test_the_card_holds_the_performance_that_validate_found(study, tmp_path):
    freeze(study, SPEC, tmp_path / "b.psig")
    card = read_bundle(tmp_path / "b.psig", tmp_path / "in").card
    assert {row["role"] for row in card["performance"]} <= {"validation", "cross-validated"}
    assert card["performance"]
    assert " to " in card["performance"][0]["c_index"]
    text = (tmp_path / "in" / "CARD.md").read_text()
    assert card["equation"] in text
    assert "Research use only" in text
    same = freeze(study, SPEC, tmp_path / "c.psig").sha256
    assert same == freeze(study, SPEC, tmp_path / "b.psig").sha256


@pytest.fixture(scope="module")
def bundle(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "b.psig"
    freeze(study, SPEC, path)
    return path


def test_features_are_scored_from_the_command_and_a_second_run_resumes(bundle, features, tmp_path):
    out = tmp_path / "scores.csv"
    report = score_slides(
        bundle, features=features, patients=features / "owners.csv", out=out, report=tmp_path / "pages"
    )
    first = out.read_bytes()
    table = pd.read_csv(out)
    assert len(table) == len(report.readings) > 10
    assert table["score"].notna().any()
    work = next(tmp_path.glob("*.work"))
    times = {p: p.stat().st_mtime_ns for p in (work / "embeddings").iterdir()}
    assert len(times) > 20
    score_slides(bundle, features=features, patients=features / "owners.csv", out=out)
    assert out.read_bytes() == first
    assert {p: p.stat().st_mtime_ns for p in (work / "embeddings").iterdir()} == times
    pages = sorted((tmp_path / "pages").glob("*.html"))
    assert len(pages) == len(table) + 1
    text = pages[0].read_text()
    assert "Research use only" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    numbers = json.loads((tmp_path / "pages" / f"{table['patient_id'][0]}.json").read_text())
    assert numbers["bundle_sha256"] == report.bundle_sha256
    with pytest.raises(ConfigError, match="not empty") as caught:
        score_slides(bundle, features=features, out=out, work=tmp_path)
    assert caught.value.code == "E_WORK"


def test_shards_do_their_part_and_the_last_run_writes_the_table(bundle, features, tmp_path):
    out = tmp_path / "scores.csv"
    first = score_slides(bundle, features=features, out=out, execution=Execution(shard="1/2"))
    assert first.waiting > 0
    assert not out.exists()
    score_slides(bundle, features=features, out=out, execution=Execution(shard="2/2"))
    score_slides(bundle, features=features, out=out)
    whole = tmp_path / "whole.csv"
    score_slides(bundle, features=features, out=whole)
    assert out.read_bytes() == whole.read_bytes()


def test_features_of_another_encoder_are_refused(bundle, features, tmp_path):
    import h5py

    for key, value in (("encoder", "of-the-laboratory"), ("weights_sha256", "1" * 64)):
        folder = shutil.copytree(features, tmp_path / key)
        for path in folder.glob("*.h5"):
            with h5py.File(path, "r+") as file:
                del file.attrs["weights_sha256"]  # then the encoder is known by its name
                file.attrs[key] = value
        with pytest.raises(InputError) as caught:
            score_slides(bundle, features=folder, out=tmp_path / f"{key}.csv")
        assert caught.value.code == "E_MIXED"


def test_slides_of_another_kind_get_no_score_and_a_reason(bundle, features, tmp_path):
    import h5py

    rng = np.random.default_rng(0)
    folder = shutil.copytree(features, tmp_path / "other")
    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file["features"][:] = rng.normal(size=file["features"].shape)
    report = score_slides(bundle, features=folder, out=tmp_path / "scores.csv")
    assert len(report.readings) > 20
    assert all(r.score is None and r.group == "not assessable" for r in report.readings)
    assert all("unlike" in r.remark and r.similarity < 0.5 for r in report.readings)
    assert all(len(r.nearest) for r in report.readings)


def write_tiles(path, template, rows):
    """A file of tile features on a grid."""
    import h5py

    with h5py.File(template) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        row, column = np.divmod(np.arange(len(rows)), 10)
        step = np.diff(np.unique(source["coords"][:, 0])).min()
        file["coords"], file["features"] = np.stack([column, row], axis=1) * step, rows
        for name in ("coords", "features"):
            file[name].attrs.update(source[name].attrs)


def test_a_score_outside_the_discovery_range_and_slides_that_disagree_are_remarks(
    bundle, work, features, tmp_path
):
    signature = read_bundle(bundle, tmp_path / "in").signature
    profiles = read_profiles(work)
    weights = risk_of_tiles(signature, profiles.slides.iloc[[0]], profiles.columns)
    tiles = [(tile_places(work, s.id), np.load(work.paths.embeddings(s.id))) for s in work.specimens()]
    ends = {
        name: np.concatenate([rows[places.hpc == hpc] for places, rows in tiles])[:80]
        for name, hpc in (("high", int(np.argmax(weights))), ("low", int(np.argmin(weights))))
    }
    template, folder = next(features.glob("*.h5")), tmp_path / "h5"
    folder.mkdir()
    for name in ("extreme", "two_a", "two_b"):
        rows = ends["low" if name == "two_b" else "high"]
        assert len(rows) >= 40
        write_tiles(folder / f"{name}.h5", template, rows)
    owners = tmp_path / "owners.csv"
    owners.write_text("slide,patient_id\nextreme,extreme\ntwo_a,two\ntwo_b,two\n")
    report = score_slides(bundle, features=folder, patients=owners, out=tmp_path / "s.csv")
    found = {r.patient_id: r for r in report.readings}
    assert "outside the range of the discovery patients" in found["extreme"].remark
    assert found["extreme"].score > signature.trained_on.percentiles[-1]
    assert found["extreme"].lower is None  # tiles that are all alike do not tell how much tissue varies
    assert found["two"].core_agreement == "heterogeneous"
    assert "slides or cores disagree" in found["two"].remark


def test_no_score_is_given_where_no_phenotype_of_the_signature_is_present(bundle, work):
    contents = read_bundle(bundle, work.root)
    patients = read_profiles(work).patients
    rare = next(n for n in contents.signature.hpcs if (patients[n] == 0).any() and (patients[n] > 0).any())
    whole = contents.signature
    place = whole.hpcs.index(rare)
    alone = dataclasses.replace(
        whole, hpcs=(rare,), coef=(whole.coef[place],), center=(whole.center[place],),
        transform=dataclasses.replace(whole.transform, leaves={rare: whole.transform.leaves[rare]}),
    )  # fmt: skip
    readings = read_new(work, dataclasses.replace(contents, signature=alone), Execution())
    share = dict(zip(patients["patient_id"], patients[rare], strict=True))
    absent = [r for r in readings if share[r.patient_id] == 0]
    assert absent
    assert all(r.score is None and "none of the phenotypes of the signature" in r.remark for r in absent)
    assert any(r.score is not None for r in readings)


def test_covariates_are_used_where_they_are_known_and_named_where_they_are_not(
    bundle, study, features, tmp_path
):
    new = study.patients().query("cohort != 'discovery'")
    table = new[["patient_id", "age", "sex", "stage"]].astype(object)
    ids = table["patient_id"].tolist()
    table.loc[table["patient_id"] == ids[0], "stage"] = ""
    table.loc[table["patient_id"] == ids[1], "stage"] = "V"
    table.loc[table["patient_id"] == ids[2], "age"] = 108
    table[table["patient_id"] != ids[3]].to_csv(tmp_path / "clinical.csv", index=False)
    options = {"features": features, "patients": features / "owners.csv", "work": tmp_path / "work"}
    report = score_slides(
        bundle,
        out=tmp_path / "s.csv",
        clinical=tmp_path / "clinical.csv",
        report=tmp_path / "pages",
        **options,
    )
    found = {r.patient_id: r for r in report.readings}
    model = read_bundle(bundle, tmp_path / "in").clinical
    scored = [p for p in ids if found[p].score is not None]
    assert set(ids[:4]) <= set(scored) and len(scored) > 10
    for patient, said in zip(
        ids, ("missing stage", "stage 'V' is unknown", "age 108 lies outside", "no row"), strict=False
    ):
        assert said in found[patient].remark
        assert bool(found[patient].clinical.survival) == (patient == ids[2])
    rows = new[new["patient_id"].isin(scored[4:])]
    risks = model.risks(rows, np.array([found[p].score for p in rows["patient_id"]]))
    for i, patient in enumerate(rows["patient_id"]):
        clinical = found[patient].clinical
        assert clinical.remark == "" or "outside" in clinical.remark
        assert clinical.survival["1"][0] == pytest.approx(1 - risks.risk[i, 0])
        assert clinical.survival["1"][1] <= clinical.survival["1"][0] <= clinical.survival["1"][2]
        predictor = model.linear_predictor(rows.iloc[[i]], np.array([found[patient].score]))
        assert sum(t.part for t in clinical.terms) == pytest.approx(float(predictor[0]))
    written = pd.read_csv(tmp_path / "s.csv").set_index("patient_id")
    assert written.loc[scored[5], "clinical_survival_1y"] == found[scored[5]].clinical.survival["1"][0]
    page = (tmp_path / "pages" / f"{scored[5]}.html").read_text()
    assert "Clinical variables" in page and "clinical + histology" in page
    score_slides(bundle, out=tmp_path / "plain.csv", **options)
    assert not any(c.startswith("clinical") for c in pd.read_csv(tmp_path / "plain.csv"))
    (tmp_path / "none.csv").write_text("patient_id,weight\nA,3\n")
    with pytest.raises(InputError, match="expected columns patient_id, age"):
        score_slides(bundle, out=tmp_path / "n.csv", clinical=tmp_path / "none.csv", **options)
    with pytest.raises(ConfigError, match="no clinical"):
        read_clinical(tmp_path / "clinical.csv", None)


def test_few_tiles_get_no_score_and_a_reason(bundle, features, tmp_path):
    import h5py

    folder = tmp_path / "few"
    folder.mkdir()
    whole = next(features.glob("*.h5"))
    with h5py.File(whole) as source, h5py.File(folder / whole.name, "w") as file:
        file.attrs.update(source.attrs)
        for name in ("coords", "features"):
            file[name] = source[name][:10]
            file[name].attrs.update(source[name].attrs)
    reading = score_slides(bundle, features=folder, out=tmp_path / "s.csv").readings[0]
    assert reading.score is None
    assert reading.remark == "only 10 tiles; 20 are needed"


def test_a_signed_bundle_names_its_signer_and_only_the_trusted_one_passes(study, features, tmp_path):
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    for name in ("ours", "theirs"):
        key = Ed25519PrivateKey.generate()
        (tmp_path / f"{name}.pem").write_bytes(
            key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        )
        (tmp_path / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        )
    path = tmp_path / "b.psig"
    made = quietly(write_bundle, study, out=path, sign=tmp_path / "ours.pem")
    assert made.signer.startswith("ed25519:")
    assert made.signer in read_bundle(path, tmp_path / "in").header()
    assert "the key you trust" in read_bundle(path, tmp_path / "in", trust=tmp_path / "ours.pub").header()
    with pytest.raises(InputError) as caught:
        score_slides(path, features=features, out=tmp_path / "s.csv", trust=tmp_path / "theirs.pub")
    assert caught.value.code == "E_UNTRUSTED"
    quietly(write_bundle, study, out=tmp_path / "plain.psig")
    with pytest.raises(InputError, match="unsigned") as caught:
        score_slides(
            tmp_path / "plain.psig", features=features, out=tmp_path / "s.csv", trust=tmp_path / "ours.pub"
        )
    assert caught.value.code == "E_UNTRUSTED"
    assert not (tmp_path / "s.csv").exists()
    with pytest.raises(ConfigError) as caught:
        quietly(write_bundle, study, out=path, sign=tmp_path / "ours.pub")
    assert caught.value.code == "E_KEY"

"""The signature and validate stages on a small study with outside features."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pathosig.audits import audit
from pathosig.audits.spec import AuditSpec
from pathosig.core.errors import InputError, NotEstimableError, PathosigWarning
from pathosig.core.records import read_json
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.phenotypes import find_phenotypes
from pathosig.phenotypes.reading import read_discovery
from pathosig.phenotypes.refit import refit_codebook
from pathosig.profiles import build_profiles
from pathosig.signature import SignatureSpec, build_signature
from pathosig.synthetic import SimulateSpec, simulate
from pathosig.validation import ValidateSpec, read_results, validate_signature
from pathosig.validation.values import NOT_COMPUTED, NotEstimable

QUICK = SignatureSpec(bootstraps=10, n_subsamples=20)


def make_study(root: Path, *, cohorts: tuple[str, ...], effect: float = 1.2, n: int = 240) -> Study:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6))
    time = rng.exponential(20, n) * np.exp(-effect * x[:, 0])
    Study.create(
        root,
        {
            "endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}},
            "columns": {"covariates": ["age"], "treatments": [], "subgroups": ["sex"]},
            "primary": {"endpoint": "os", "discovery": "discovery", "covariates": ["age"]},
        },
    )
    ids = [f"P{i:03d}" for i in range(n)]
    cohort = [cohorts[i * len(cohorts) // n] for i in range(n)]
    clinical = {
        "patient_id": ids,
        "cohort": cohort,
        "os_time": np.minimum(time, 50),
        "os_event": (time < 50).astype(int),
    }
    clinical |= {"age": rng.normal(60, 9, n).round(), "sex": rng.choice(["F", "M"], n)}
    pd.DataFrame(clinical).to_csv(root / "patients.csv", index=False)
    features = pd.DataFrame(x, columns=[f"f{j}" for j in range(6)])
    features.insert(0, "patient_id", ids)
    features.to_csv(root / "features.csv", index=False)
    return Study.open(root)


def run(study: Study, spec: SignatureSpec = QUICK, **options) -> Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        build_profiles(study, features=study.root / "features.csv")
        study = Study.open(study.root)
        build_signature(study, spec)
        validate_signature(study, ValidateSpec(**{"permutations": 0, "instability": 0, **options}))
    return study


def test_missing_covariates_are_imputed_inside_the_resamples_of_added_value(tmp_path):
    study = make_study(tmp_path / "s", cohorts=("discovery", "validation_1"))
    patients = pd.read_csv(study.root / "patients.csv")
    patients.loc[::7, "age"] = np.nan
    patients.to_csv(study.root / "patients.csv", index=False)
    study = run(Study.open(study.root), imputations=5, bootstraps=20)
    added = read_results(study.paths.results).analysis("validation_1", "os").added_value
    assert added.imputed.n == 120 > added.n
    assert added.imputed.m == 5
    assert added.imputed.difference_c.lower > 0
    table = pd.read_csv(study.root / "validation/tables/added_value.csv")
    assert "difference_c imputed" in set(table["measure"])


def test_external_validation_writes_results_tables_and_scores(tmp_path):
    study = run(make_study(tmp_path / "s", cohorts=("discovery", "validation_1")))
    results = read_results(study.paths.results)
    assert results.kind == "external"
    assert results.signature.hpcs[0] == "f0"
    roles = {(a.cohort, a.role) for a in results.analyses}
    assert roles == {("discovery", "discovery"), ("validation_1", "validation")}
    assert -0.2 < results.against_ridge.difference < 0.2
    assert results.candidates_test.candidate == "f0"
    assert results.candidates_test.p == pytest.approx(1e-4)
    assert "Adjusted for testing 6 candidates" in results.candidates_test.sentence()
    assert results.selection_test == NOT_COMPUTED
    assert [(v.endpoint, v.verdict) for v in results.verdicts] == [("os", "holds")]
    assert [h.cohort for h in results.headline] == ["validation_1"]
    added = results.analysis("validation_1", "os").added_value
    assert added.uno_c["combined"].estimate > added.uno_c["clinical"].estimate + 0.1
    assert added.difference_c.lower > 0
    assert added.lr_test.p < 1e-4
    scores = pd.read_csv(study.root / "signature/scores.csv")
    assert len(scores) == 240
    assert set(scores["group"]) <= {"low", "high", "not assessable"}
    assert (study.root / "validation/tables/performance.csv").is_file()
    again = Study.open(study.root)
    assert build_signature(again, QUICK).fresh == ("_fit", "_scores")
    assert validate_signature(again, ValidateSpec(permutations=0, instability=0)).fresh == ("_validate",)


def test_a_further_validation_patient_never_changes_signature_json(tmp_path):
    study = run(make_study(tmp_path / "s", cohorts=("discovery", "validation_1")))
    before = (study.root / "signature/signature.json").read_bytes()
    for name, line in (
        ("patients.csv", "Z999,validation_1,12,1,60,F\n"),
        ("features.csv", "Z999,9,9,9,9,9,9\n"),
    ):
        with (study.root / name).open("a") as handle:
            handle.write(line)
    study = Study.open(study.root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        build_profiles(study)
        report = build_signature(study, QUICK)
    assert report.fresh == ("_fit",)
    assert report.done == ("_scores",)
    assert (study.root / "signature/signature.json").read_bytes() == before
    assert len(pd.read_csv(study.root / "signature/scores.csv")) == 241


def test_one_cohort_is_cross_validated_and_labelled_internal(tmp_path):
    study = run(make_study(tmp_path / "s", cohorts=("discovery",), n=120), repeats=1, folds=3)
    results = read_results(study.paths.results)
    assert results.kind == "internal"
    assert results.internal.harrell_c.estimate > 0.65
    assert results.against_ridge.ridge_c.estimate == results.internal.ridge_c.estimate
    assert {a.role for a in results.analyses} == {"discovery", "cross-validated"}
    assert [(v.basis, v.verdict) for v in results.verdicts] == [("cross-validated", "holds")]


def test_no_signature_exits_5_and_still_writes_the_descriptive_results(tmp_path):
    study = make_study(tmp_path / "s", cohorts=("discovery", "validation_1"), effect=0.0)
    strict = QUICK.replace(min_threshold=1.0)
    with pytest.raises(NotEstimableError, match="no signature") as caught:
        run(study, strict)
    assert caught.value.exit_code == 5
    study = Study.open(study.root)
    with pytest.raises(NotEstimableError):
        validate_signature(study)
    results = read_results(study.paths.results)
    assert results.kind == "none"
    assert len(results.univariate) == 6
    assert isinstance(results.signature, NotEstimable)
    assert results.verdicts[0].verdict == "nothing found"
    assert results.candidates_test.p > 0.05
    assert not (study.root / "signature/signature.json").exists()


def test_a_whole_procedure_p_is_given_where_permutations_are_asked_for(tmp_path):
    study = run(make_study(tmp_path / "s", cohorts=("discovery", "v1"), n=100), permutations=30, bootstraps=5)
    test = read_results(study.paths.results).selection_test
    assert test.permutations == 30
    assert test.p <= 0.1
    assert not test.significant  # 30 permutations cannot prove it
    assert "a preview of 30 permutations" in test.sentence()


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    names = ("signature/signature.json", "signature/scores.csv", "validation/results.json")
    studies = [run(make_study(tmp_path / k, cohorts=("discovery", "v1"), n=120)) for k in "ab"]
    for name in names:
        assert (studies[0].root / name).read_bytes() == (studies[1].root / name).read_bytes()


def test_an_audit_is_kept_beside_the_validation(tmp_path):
    study = run(make_study(tmp_path / "s", cohorts=("discovery", "v1"), n=120))
    made = audit(study, "null", AuditSpec(permutations=10))
    assert made.result.verdict == "preview"
    assert read_json(study.root / "validation/audits/null.json")["permutations"] == 10


def test_optimism_of_outside_features_says_that_there_is_no_codebook_to_refit(tmp_path):
    study = run(make_study(tmp_path / "s", cohorts=("discovery", "v1"), n=120))
    made = audit(study, "optimism", AuditSpec(resamples=10, repeats=1, folds=2))
    assert (
        made.result.codebook_refit
        == "not done: profiles come from an outside table, so that there is no codebook"
    )


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A small cohort of tile features, as far as profiles."""
    root = tmp_path_factory.mktemp("embedded") / "study"
    simulate(
        root,
        SimulateSpec(
            level="embeddings",
            n_discovery=60,
            n_validation=2,
            tiles_per_patient=60,
            types=3,
            dim=16,
            harm=1.2,
        ),
    )
    config = root / "study.toml"
    config.write_text(
        config.read_text() + '\n[phenotypes]\nk = 6\nruns = 2\n\n[signature]\nselection = "ridge"\n'
    )
    study = Study.open(root)
    find_phenotypes(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        build_profiles(study)
    return study


def test_optimism_refits_the_codebook_on_each_resamples_patients_for_any_number_of_workers(embedded):
    made = [
        audit(
            embedded,
            "optimism",
            AuditSpec(resamples=10, repeats=1, folds=2, codebook_resamples=4),
            execution=Execution(workers=workers),
        ).result.codebook_refit
        for workers in (1, 2)
    ]
    assert made[0] == made[1]
    found = made[0]
    assert found.resamples == 4
    assert found.out_of_bag_c.estimate != found.fixed_c.estimate
    assert found.difference.estimate == pytest.approx(found.out_of_bag_c.estimate - found.fixed_c.estimate)
    assert 0.3 < found.agreement < 1
    assert found.out_of_bag_c.estimate > 0.55
    skipped = audit(embedded, "optimism", AuditSpec(resamples=10, repeats=1, folds=2, codebook_resamples=0))
    assert skipped.result.codebook_refit == "not done: codebook_resamples = 0"


def test_a_refitted_codebook_knows_only_the_patients_it_was_given(embedded):
    patients = embedded.cohort("discovery")
    some = refit_codebook(read_discovery(embedded), patients[:30])
    assert set(some.patient_ids) == set(patients)
    assert some.counts.sum() == refit_codebook(read_discovery(embedded), patients).counts.sum()
    same = refit_codebook(read_discovery(embedded), patients)
    own = np.stack(
        [
            np.bincount(
                pq.read_table(embedded.file("phenotypes", i, ".parquet")).column("hpc").to_numpy(),
                minlength=same.counts.shape[1],
            )
            for i in same.slide_ids
        ]
    )
    np.testing.assert_array_equal(same.counts, own)  # all patients: the study's own codebook
    assert same.agreement == 1.0 > some.agreement
    with pytest.raises(InputError, match="none of these patients"):
        refit_codebook(read_discovery(embedded), ["nobody"])


def test_stages_say_what_they_found_in_words(tmp_path):
    study = make_study(tmp_path / "s", cohorts=("discovery", "v1"), n=240)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        build_profiles(study, features=study.root / "features.csv")
        study = Study.open(study.root)
        made = build_signature(study, QUICK)
        proved = validate_signature(study, ValidateSpec(repeats=1, folds=2, permutations=0, instability=0))
    assert any("f0" in line for line in made.findings)
    c = read_results(study.paths.results).analysis("v1", "os").harrell_c.estimate
    assert any(f"C {c:.3f} [" in line for line in proved.findings), proved.findings
    assert made.findings[0] in made.to_text()
    again = build_signature(study, QUICK)
    assert again.fresh
    assert again.findings == made.findings

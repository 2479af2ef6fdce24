"""What a notebook sees: one line per answer, values that show themselves."""

import numpy as np
import pandas as pd
import pytest

import pathosig as ps
from pathosig.commands.table import COMMANDS
from pathosig.core.errors import ConfigError, InputError
from pathosig.figures import svg_bytes
from pathosig.phenotypes.codebook import Codebook
from pathosig.synthetic import SimulateSpec

SPEC = SimulateSpec(
    level="embeddings", n_discovery=40, n_validation=16, tiles_per_patient=50, types=3, dim=16
)
VERBS = {
    "embed": "embed_tiles",
    "phenotypes": "find_phenotypes",
    "profiles": "build_profiles",
    "report": "build_report",
    "signature": "build_signature",
    "tiles": "cut_tiles",
    "tissue": "find_tissue",
    "tma": "find_cores",
    "train": "train_encoder",
    "validate": "validate_signature",
}
NO_FUNCTION = {"slurm", "weights", "completion"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook") / "study"
    ps.simulate(folder, SPEC)
    config = folder / "study.toml"
    config.write_text(
        config.read_text() + '\n[phenotypes]\nk = 6\nruns = 2\n\n[signature]\nselection = "ridge"\n'
    )
    study = ps.Study.open(folder)
    ps.run(study, until="validate")
    return ps.Study.open(folder)


def test_every_command_is_a_function_at_the_top():
    for row in COMMANDS:
        if row.name not in NO_FUNCTION:
            assert callable(getattr(ps, VERBS.get(row.name, row.name))), row.name
    with pytest.raises(AttributeError):
        _ = ps.nonsense


def test_names_are_the_same_things_in_short_and_in_full():
    assert ps.run is ps.run_all
    assert ps.score is ps.score_slides
    assert set(dir(ps)) >= {"run", "score", "bundle", "assign", "Study", "km_plot"}


class TestStudy:
    def test_a_study_shows_its_cohorts(self, study):
        assert "72 slides, 72 patients, endpoints os, dfs" in repr(study)
        html = study._repr_html_()
        assert "<th>os events</th>" in html
        for name, n in (("discovery", 40), ("validation_1", 16), ("validation_2", 16)):
            events = int(
                study.survival("os").merge(pd.DataFrame({"patient_id": study.cohort(name)}))["event"].sum()
            )
            assert f"<td>{name}</td><td>{n}</td><td>{n}</td><td>{events}</td>" in html

    def test_a_damaged_study_still_has_a_name(self, study, tmp_path):
        (tmp_path / "study.toml").write_text(study.paths.config.read_text())
        assert "not readable" in repr(ps.Study.open(tmp_path))
        assert "not readable" in ps.Study.open(tmp_path)._repr_html_()

    def test_profiles_hold_the_nodes_too(self, study):
        table = study.profiles()
        leaves = [c for c in table.columns if c.startswith("hpc_")]
        nodes = [c for c in table.columns if c.startswith("node_")]
        assert (len(table), len(leaves)) == (72, 6)
        assert nodes
        assert np.allclose(table[leaves].sum(axis=1), 1)

    def test_results_are_a_frame_and_a_sentence(self, study):
        results = study.results()
        frame = results.to_frame()
        assert {"cohort", "endpoint", "measure", "estimate", "lower", "upper"} <= set(frame.columns)
        assert "harrell_c" in set(frame["measure"])
        assert results.verdicts[0].sentence in repr(results)
        assert len(repr(results)) < 1000
        assert "<table>" in results._repr_html_()

    def test_a_signature_and_a_codebook_say_what_they_are(self, study):
        signature = study.signature()
        assert repr(signature).startswith("Signature(os: score = ")
        assert f"high risk above {signature.cutoff:.6g}" in signature._repr_html_()
        codebook = Codebook.load(study.paths.codebook)
        assert repr(codebook).startswith("Codebook(6 HPCs, ")

    def test_stage_reports_show_themselves(self, study):
        assert ps.status(study)._repr_html_().startswith("<pre>stage ")

    def test_curves_by_group_by_phenotype_and_by_variable(self, study):
        group = svg_bytes(study.km()).decode()
        assert "by risk group" in group
        feature = svg_bytes(study.km("hpc_03", cohort="validation_1")).decode()
        cut = study.profiles().set_index("patient_id").loc[study.cohort("discovery"), "hpc_03"].median()
        assert f"≤ {cut:.3g}" in feature
        assert f"&gt; {cut:.3g}" in feature
        assert "Stage" in svg_bytes(study.km("stage", endpoint="dfs")).decode()
        with pytest.raises(ConfigError, match="did you mean 'hpc_00'"):
            study.km("hpc_0")
        with pytest.raises(ConfigError, match="no feature or variable 'nonsense'"):
            study.km("nonsense")
        with pytest.raises(ConfigError, match="no cohort 'x'"):
            study.km(cohort="x")

    def test_what_is_not_there_names_the_command_that_makes_it(self, study, tmp_path):
        other = ps.Study.create(tmp_path / "new", study.paths.config.read_text())
        for read, command in (
            (other.signature, "signature"),
            (other.results, "validate"),
            (other.profiles, "profiles"),
        ):
            with pytest.raises(InputError, match=f"pathosig {command}"):
                read()

    def test_a_map_of_a_study_without_slides_is_refused_in_words(self, study):
        with pytest.raises(ConfigError, match="no slide 'nobody'"):
            study.map("nobody")


def test_curves_from_plain_arrays_agree_with_the_estimates():
    from pathosig.figures.style import p_text
    from pathosig.survival import cox, logrank

    rng = np.random.default_rng(1)
    group = np.repeat(["b", "a"], 40)
    time = rng.exponential(np.where(group == "b", 10, 20))
    event = rng.random(80) < 0.8
    text = svg_bytes(ps.km_plot(time, event, group, unit="days", title="Trial")).decode()
    fit = cox((group == "b").astype(float)[:, None], time, event)
    assert f"HR b vs a {fit.hr[0]:.2f}" in text
    assert p_text(logrank(time, event, group).p) in text
    assert "Time (days)" in text


def test_curves_of_one_group_of_an_ordered_group_and_with_missing_labels():
    time, event = [1, 2, 3, 4, 5, 6], [1, 0, 1, 1, 0, 1]
    assert "All, n = 6" in svg_bytes(ps.km_plot(time, event)).decode()
    stages = pd.Series(["I", "III", "II", "I", None, "II"]).astype(pd.CategoricalDtype(["III", "II", "I"]))
    text = svg_bytes(ps.km_plot(time, event, stages)).decode()
    assert text.index("III, n = 1") < text.index("II, n = 2") < text.index("I, n = 2")
    with pytest.raises(TypeError, match="times and events"):
        ps.km_plot(time)

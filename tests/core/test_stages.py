import pytest

from pathosig.core.errors import ConfigError
from pathosig.core.stages import STAGES, refuse_left_out, stages_of
from pathosig.core.study import Study
from pathosig.tiles import cut_tiles


def study_at(tmp_path, level):
    return Study.create(tmp_path / level, {"study": {"level": level}, "endpoints": {}})


def test_python_calls_are_refused_as_commands_are(tmp_path):
    with pytest.raises(ConfigError, match="starts from embeddings"):
        cut_tiles(study_at(tmp_path, "embeddings"))


@pytest.mark.parametrize(
    ("level", "first"), [("slides", "tissue"), ("embeddings", "phenotypes"), ("features", "profiles")]
)
def test_a_study_has_the_stages_from_its_level_on(tmp_path, level, first):
    study = study_at(tmp_path, level)
    rows = stages_of(study)
    assert rows[0].name == first
    assert rows[-1].name == "report"
    for row in rows:
        refuse_left_out(study, row.name)


def test_an_unknown_level_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected one of slides, embeddings, features"):
        stages_of(study_at(tmp_path, "pixels"))


def test_every_stage_has_a_function():
    assert len(STAGES) == 10
    assert all(callable(row.function()) for row in STAGES)

"""The table of all stages in order, which the commands, the pipeline, the status and the report share."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pathosig.core.errors import ConfigError

if TYPE_CHECKING:
    from pathosig.core.study import Study

Level = Literal["slides", "embeddings", "features"]
LEVELS: tuple[Level, ...] = ("slides", "embeddings", "features")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """One stage.

    Attributes
    ----------
    name
        The command, and the folder of its records.
    target
        ``module:function`` of its public function.
    help
        What it does, in one line.
    level
        The latest level that a study with this stage can start from; a study that starts from embeddings has no tiles to cut.
    per_specimen
        Whether it has one unit per slide or core, so that shards can share them; other stages are fits over the whole study.
    section
        Its table in study.toml, if that has another name.
    """

    name: str
    target: str
    help: str
    level: Level = "features"
    per_specimen: bool = False
    section: str = ""

    @property
    def table(self) -> str:
        """The name of its table in study.toml."""
        return self.section or self.name

    def function(self) -> Callable[..., Any]:
        """Import the module of the public function, and return the function."""
        module, name = self.target.split(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function


STAGES = (
    StageRow(
        name="tma",
        target="pathosig.tma.stage:find_cores",
        help="Find and label the cores of tissue microarrays.",
        level="slides",
        per_specimen=True,
    ),
    StageRow(
        name="tissue",
        target="pathosig.tissue.stage:find_tissue",
        help="Find tissue, and write its polygons for QuPath.",
        level="slides",
        per_specimen=True,
    ),
    StageRow(
        name="tiles",
        target="pathosig.tiles.stage:cut_tiles",
        help="Lay tiles of a physical size over the tissue.",
        level="slides",
        per_specimen=True,
    ),
    StageRow(
        name="train",
        target="pathosig.encoder.training.stage:train_encoder",
        help="Train a DL-CC encoder on discovery slides.",
        level="slides",
    ),
    StageRow(
        name="embed",
        target="pathosig.commands.embed:embed",
        help="Turn tiles into embeddings.",
        level="slides",
        per_specimen=True,
        section="encoder",
    ),
    StageRow(
        name="phenotypes",
        target="pathosig.phenotypes.stage:find_phenotypes",
        help="Find phenotypes (HPCs), and assign tiles to them.",
        level="embeddings",
    ),
    StageRow(
        name="profiles",
        target="pathosig.profiles.stage:build_profiles",
        help="Compute each patient's mixture of phenotypes.",
    ),
    StageRow(
        name="signature",
        target="pathosig.signature.stage:build_signature",
        help="Fit and freeze the Cox signature.",
    ),
    StageRow(
        name="validate",
        target="pathosig.validation.stage:validate_signature",
        help="Validate the signature on other cohorts.",
    ),
    StageRow(
        name="report",
        target="pathosig.report.stage:build_report",
        help="Write one offline HTML file with every result.",
    ),
)
STAGE_NAMES = tuple(row.name for row in STAGES)


def stages_of(study: Study) -> list[StageRow]:
    """The stages that a study has, in order; those before its level are left out."""
    start = LEVELS.index(_level(study))
    rows = [row for row in STAGES if LEVELS.index(row.level) >= start]
    if not any(slide.kind == "tma" for slide in study.slides()):
        rows = [row for row in rows if row.name != "tma"]
    if study.config.get("encoder", {}).get("method", "frozen") != "dlcc":
        rows = [row for row in rows if row.name != "train"]
    return rows


def refuse_left_out(study: Study, name: str) -> None:
    """Refuse a stage whose inputs a study does not have, before a failure is recorded for every slide.

    Raises
    ------
    ConfigError
        If study.toml says that the study starts after the stage `name`.
    """
    level = _level(study)
    if any(row.name == name and LEVELS.index(row.level) < LEVELS.index(level) for row in STAGES):
        raise ConfigError(
            f"{name}: this study starts from {level} (level under [study] in study.toml) and has no such stage. "
            f"Its stages are {', '.join(row.name for row in stages_of(study))}."
        )


def _level(study: Study) -> Level:
    for level in LEVELS:
        if level == study.level:
            return level
    raise ConfigError(f"study.toml: [study] level {study.level!r}; expected one of {', '.join(LEVELS)}.")

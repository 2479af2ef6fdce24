"""The stages of a study in their order: one table that the commands, the pipeline, the status and the report read."""

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
        What it does, in a line.
    level
        The latest start of a study that still has this stage: one that starts from embeddings has no tiles to cut.
    per_specimen
        One unit per slide or core, which shards may share; the others are fits over the whole study.
    section
        Its table of study.toml where that has another name.
    """

    name: str
    target: str
    help: str
    level: Level = "features"
    per_specimen: bool = False
    section: str = ""

    @property
    def table(self) -> str:
        """Name of its table in study.toml."""
        return self.section or self.name

    def function(self) -> Callable[..., Any]:
        """The public function; imports its module."""
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
        help="Find tissue; write polygons that QuPath opens.",
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
        help="Find phenotypes (HPCs); assign tiles.",
        level="embeddings",
    ),
    StageRow(
        name="profiles",
        target="pathosig.profiles.stage:build_profiles",
        help="Each patient's mixture of phenotypes.",
    ),
    StageRow(
        name="signature",
        target="pathosig.signature.stage:build_signature",
        help="Fit and freeze the Cox signature.",
    ),
    StageRow(
        name="validate",
        target="pathosig.validation.stage:validate_signature",
        help="Prove it on other cohorts.",
    ),
    StageRow(
        name="report",
        target="pathosig.report.stage:build_report",
        help="One offline HTML file with every result.",
    ),
)
STAGE_NAMES = tuple(row.name for row in STAGES)


def stages_of(study: Study) -> list[StageRow]:
    """The stages a study needs, in order; those before its level are left out."""
    start = LEVELS.index(_level(study))
    rows = [row for row in STAGES if LEVELS.index(row.level) >= start]
    if not any(slide.kind == "tma" for slide in study.slides()):
        rows = [row for row in rows if row.name != "tma"]
    if study.config.get("encoder", {}).get("method", "frozen") != "dlcc":
        rows = [row for row in rows if row.name != "train"]
    return rows


def refuse_left_out(study: Study, name: str) -> None:
    """Refuse a stage whose inputs this study does not have, before it records a failure per slide.

    Raises
    ------
    ConfigError
        If study.toml says that the study starts after the stage `name`.
    """
    level = _level(study)
    if any(row.name == name and LEVELS.index(row.level) < LEVELS.index(level) for row in STAGES):
        raise ConfigError(
            f"{name}: this study starts from {level} ([study] level in study.toml) and has no such stage. "
            f"Its stages are {', '.join(row.name for row in stages_of(study))}."
        )


def _level(study: Study) -> Level:
    for level in LEVELS:
        if level == study.level:
            return level
    raise ConfigError(f"study.toml: [study] level {study.level!r}; expected one of {', '.join(LEVELS)}.")

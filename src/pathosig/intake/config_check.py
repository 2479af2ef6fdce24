"""Checks study.toml as a whole: unknown tables and keys, the settings of every stage, and columns that do not exist."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from pathosig.core.errors import ConfigError, PathosigError
from pathosig.core.spec import Spec
from pathosig.core.study import Study

SPECS = (
    "pathosig.tma.dearray:TmaSpec",
    "pathosig.tissue.spec:TissueSpec",
    "pathosig.tiles.spec:TileSpec",
    "pathosig.encoder.spec:EncoderSpec",
    "pathosig.encoder.spec:TrainSpec",
    "pathosig.phenotypes.spec:PhenotypeSpec",
    "pathosig.profiles.spec:ProfilesSpec",
    "pathosig.signature.spec:SignatureSpec",
    "pathosig.validation.spec:ValidateSpec",
    "pathosig.audits.spec:AuditSpec",
    "pathosig.report.spec:ReportSpec",
)
"""The Spec of every table of study.toml that a stage reads."""

_DECLARATIONS = ("endpoints", "columns", "primary", "treatment", "study", "hpc_names")
_STUDY_KEYS = ("level", "name")
_LEVELS = ("slides", "embeddings", "features")


def spec_classes() -> dict[str, type[Spec]]:
    """Name of each table in study.toml -> its Spec."""
    out: dict[str, type[Spec]] = {}
    for target in SPECS:
        module, name = target.split(":")
        spec: type[Spec] = getattr(importlib.import_module(module), name)
        out[spec.section] = spec
    return out


def config_problems(study: Study) -> list[str]:
    """Problems in study.toml, each beginning with its code."""
    specs = spec_classes()
    out: list[str] = []
    for name, value in study.config.items():
        tables = (*specs, *_DECLARATIONS, *_simulated())
        if name not in tables:
            kind = "table" if isinstance(value, Mapping) else "key outside of a table"
            out.append(f"E_CONFIG study.toml: unknown {kind} [{name}]{_nearest(name, tables)}.")
        elif not isinstance(value, Mapping):
            out.append(f"E_CONFIG study.toml: {name} = {value!r}: expected a table [{name}].")
    out += _of_specs(study, specs)
    out += _of_declarations(study)
    return out


def _simulated() -> tuple[str, ...]:
    """Tables that only a simulated cohort has."""
    return ("simulate",)


def _nearest(name: str, tables: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, tables, n=1, cutoff=0.5)
    return f"; did you mean [{near[0]}]?" if near else f"; expected one of {', '.join(tables)}"


def _of_specs(study: Study, specs: Mapping[str, type[Spec]]) -> list[str]:
    out: list[str] = []
    for section, spec in specs.items():
        if not isinstance(study.config.get(section, {}), Mapping):
            continue
        try:
            study.spec(spec)
        except PathosigError as error:
            out.append(f"{error.code} {_named(section, str(error))}")
        except (TypeError, ValueError) as error:
            out.append(f"E_CONFIG study.toml: [{section}]: {error}.")
    return out


def _named(section: str, message: str) -> str:
    return message if f"[{section}]" in message else f"study.toml: [{section}]: {message}"


def _of_declarations(study: Study) -> list[str]:
    out: list[str] = []
    declared = study.config.get("study", {})
    if isinstance(declared, Mapping):
        for key in declared:
            if key not in _STUDY_KEYS:
                near = difflib.get_close_matches(str(key), _STUDY_KEYS, n=1)
                hint = (
                    f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(_STUDY_KEYS)}."
                )
                out.append(f"E_CONFIG study.toml: [study] has no key {key!r}{hint}")
        level = declared.get("level", "slides")
        if level not in _LEVELS:
            out.append(f"E_CONFIG study.toml: [study] level {level!r}; expected one of {', '.join(_LEVELS)}.")
    for read in (study.endpoints, lambda: study.columns, lambda: study.primary):
        try:
            read()
        except ConfigError as error:
            text = f"{error.code} {error}"
            if text not in out:
                out.append(text)
        except (AttributeError, TypeError) as error:  # a value in place of a table is reported above
            if not out:
                out.append(f"E_CONFIG study.toml: {error}.")
    return out


def declared_columns(study: Study) -> dict[str, tuple[str, bool]]:
    """Columns of patients.csv that study.toml names -> (the key that names it, whether models need it)."""
    columns, primary = study.columns, study.primary
    out: dict[str, tuple[str, bool]] = {}
    groups: tuple[tuple[str, Any, bool], ...] = (
        ("[columns] covariates", columns.covariates, True),
        ("[primary] covariates", primary.covariates, True),
        ("[columns] treatments", columns.treatments, True),
        ("[primary] treatment", (primary.treatment,), True),
        ("[columns] subgroups", columns.subgroups, False),
        ("[columns] site", (columns.site,), False),
    )
    for where, names, is_needed in groups:
        for name in names:
            if name and name not in out:
                out[name] = (where, is_needed)
    return out

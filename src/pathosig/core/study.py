"""The study folder: access to its files, its tables and the settings in study.toml."""

from __future__ import annotations

import functools
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pathosig.core import clinical, patients
from pathosig.core.clinical import Columns, Endpoint, Primary
from pathosig.core.config import changed_toml, to_toml
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.identities import Identities
from pathosig.core.journal import Journal
from pathosig.core.layout import Layout
from pathosig.core.records import Record, read_records, write_text
from pathosig.core.remote import path_of
from pathosig.core.spec import Spec
from pathosig.core.tables import read_csv_rows
from pathosig.core.units import SlideInput

if TYPE_CHECKING:
    import pandas as pd

SpecT = TypeVar("SpecT", bound=Spec)
KINDS = ("wsi", "core", "tma")


@dataclass(frozen=True, kw_only=True, slots=True)
class Specimen:
    """One slide, or one core of a TMA slide, over which stages iterate.

    Attributes
    ----------
    id
        slide_id, or ``<tma>#R-C`` for a core in row R and column C.
    slide_id
        Id of the slide; for a core, that of its TMA slide.
    patient_id
        Id of the patient.
    path
        Absolute path of the slide file or DICOM folder, or its address (see `remote.url_of`).
    mpp
        Micrometres per level-0 pixel, if slides.csv states it.
    kind
        wsi | core | tma.
    site, cohort
        Hospital and cohort; None if unknown.
    region
        (x, y, width, height) in level-0 pixels for a core, else None.
    is_discovery
        Whether the patient is in the cohort that models are fitted on.
    """

    id: str
    slide_id: str
    patient_id: str
    path: Path
    mpp: float | None = None
    kind: str = "wsi"
    site: str | None = None
    cohort: str | None = None
    region: tuple[int, int, int, int] | None = None
    is_discovery: bool = False

    def as_input(self, *, decides: bool = True, read_by: str | None = None) -> SlideInput:
        """The slide as an input of a unit (see `SlideInput`)."""
        return SlideInput(path=self.path, mpp=self.mpp, region=self.region, decides=decides, read_by=read_by)


class Study:
    """An open study folder.

    Use `Study.open` or `Study.create` to get one. Tables are read when they are first needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Layout(root, lambda: self._twins)

    @classmethod
    def open(cls, root: Path | str) -> Self:
        """Open an existing study folder.

        Raises
        ------
        ConfigError
            If the folder or its study.toml is missing or is not TOML.
        """
        path = Path(root).expanduser().resolve()
        if not (path / "study.toml").is_file():
            raise ConfigError(
                f"{root}: no study.toml there. Make a study with "
                "`pathosig init DIR --slides GLOB --clinical TABLE`, or try `pathosig demo`.",
                code="E_NO_STUDY",
            )
        study = cls(path)
        _ = study.config
        return study

    @classmethod
    def create(cls, root: Path | str, config: Mapping[str, object] | str | None = None) -> Self:
        """Make a study folder with the given study.toml, and open it.

        Parameters
        ----------
        root
            The folder.
        config
            Tables of study.toml, or its text; by default a minimal configuration.

        Raises
        ------
        ConfigError
            If the folder has a study.toml already.
        """
        path = Path(root).expanduser().resolve()
        if (path / "study.toml").exists():
            raise ConfigError(f"{root}: the folder has a study.toml already. Choose another folder.")
        write_text(
            path / "study.toml", config if isinstance(config, str) else to_toml(config or DEFAULT_CONFIG)
        )
        return cls.open(path)

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """study.toml as nested dicts."""
        try:
            text = self.paths.config.read_text(encoding="utf-8-sig")
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"study.toml: not valid TOML: {error}.") from error

    def spec(self, spec_class: type[SpecT]) -> SpecT:
        """The Spec of a stage: the defaults, overridden by its table in study.toml.

        Raises
        ------
        ConfigError
            If the table has unknown keys or wrong values.
        """
        table = self.config.get(spec_class.section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"study.toml: [{spec_class.section}] must be a table.")
        return spec_class.from_mapping(table)

    def update(self, section: str, **changes: Any) -> None:
        """Change keys of one table of study.toml, or remove those given as None; comments and everything else stay.

        The file is not written if nothing changes.
        """
        text = self.paths.config.read_text(encoding="utf-8-sig")
        new = changed_toml(text, section, changes)
        if new != text:
            write_text(self.paths.config, new)
            self.__dict__.pop("config", None)

    def save_spec(self, spec: Spec) -> None:
        """Save a Spec in study.toml: write values that differ from the defaults, and remove those that equal them."""
        table = self.config.get(spec.section, {})
        defaults = type(spec)().to_dict()
        changes = {
            key: None if value == defaults[key] else value
            for key, value in spec.to_dict().items()
            if value != table.get(key, defaults[key])
        }
        self.update(spec.section, **changes)

    @property
    def level(self) -> str:
        """Where the study starts: ``slides``, ``embeddings`` or ``features``."""
        return str(self.config.get("study", {}).get("level", "slides"))

    # -- tables ---------------------------------------------------------------------------

    @functools.cached_property
    def _slide_rows(self) -> list[dict[str, str]]:
        path = self.paths.slides
        return read_csv_rows(path) if path.is_file() else []

    @functools.cached_property
    def _patient_rows(self) -> list[dict[str, str]]:
        rows = read_csv_rows(self.paths.patients)
        return patients.unique_patients(rows)

    def slides(self) -> list[Specimen]:
        """Rows of slides.csv, sorted by slide_id, TMA slides included.

        Raises
        ------
        InputError
            If columns are missing, ids are repeated, an mpp is not a number, or a kind is unknown.
        """
        return list(self._slides)

    @functools.cached_property
    def _slides(self) -> tuple[Specimen, ...]:
        rows = self._slide_rows
        for name in ("slide_id", "patient_id", "path") if rows else ():
            if name not in rows[0]:
                raise InputError(f"slides.csv: column {name} is missing; found {list(rows[0])}.")
        repeated = [k for k, n in Counter(r["slide_id"] for r in rows).items() if n > 1]
        if repeated:
            raise InputError(
                f"slides.csv: slide_id {repeated[0]!r} appears more than once "
                f"({len(repeated)} such ids). Every slide needs a unique id.",
                code="E_DUP_ID",
            )
        cohorts = {r["patient_id"]: r.get("cohort", "") for r in self._patient_rows} if rows else {}
        out = [self._specimen(row, cohorts) for row in rows]
        return tuple(sorted(out, key=lambda s: s.id))

    def _specimen(self, row: Mapping[str, str], cohorts: Mapping[str, str]) -> Specimen:
        kind = row.get("kind") or "wsi"
        if kind not in KINDS:
            raise InputError(f"slide {row['slide_id']}: kind {kind!r}; expected one of {KINDS}.")
        if not row["slide_id"]:
            raise InputError("slides.csv: a row has an empty slide_id.")
        patient = row["patient_id"]
        return Specimen(
            id=row["slide_id"],
            slide_id=row["slide_id"],
            patient_id=patient,
            path=path_of(row["path"], self.root),
            mpp=clinical.parse_mpp(row.get("mpp", ""), row["slide_id"]),
            kind=kind,
            site=row.get("site") or None,
            cohort=cohorts.get(patient),
            is_discovery=cohorts.get(patient) == self.primary.discovery,
        )

    def specimens(self) -> list[Specimen]:
        """Slides and TMA cores sorted by id, over which tissue, tiles, embed and phenotypes iterate."""
        slides = self.slides()
        by_id = {s.id: s for s in slides if s.kind == "tma"}
        out = [s for s in slides if s.kind != "tma"]
        cores = self.paths.cores
        if by_id and cores.is_file():
            patients = {r["patient_id"]: r.get("cohort", "") for r in self._patient_rows}
            for row in read_csv_rows(cores):
                parent = by_id.get(row["parent"])
                if parent is not None and row["status"] == "ok" and row.get("patient_id"):
                    out.append(self._core(row, parent, patients))
        return sorted(out, key=lambda s: s.id)

    def _core(self, row: Mapping[str, str], parent: Specimen, cohorts: Mapping[str, str]) -> Specimen:
        patient = row["patient_id"]
        x, y, width, height = (round(float(row[k])) for k in ("x", "y", "width", "height"))
        return Specimen(
            id=row["slide_id"],
            slide_id=parent.id,
            patient_id=patient,
            path=parent.path,
            mpp=parent.mpp,
            kind="core",
            site=parent.site,
            cohort=cohorts.get(patient),
            region=(x, y, width, height),
            is_discovery=cohorts.get(patient) == self.primary.discovery,
        )

    def patients(self) -> pd.DataFrame:
        """patients.csv as a table: ids, cohort and words stay text, numeric columns become numbers."""
        return patients.to_frame(self._patient_rows, self.text_columns(), self.columns)

    def text_columns(self) -> frozenset[str]:
        """Columns of patients.csv that are never turned into numbers."""
        return frozenset({"patient_id", "cohort"}) | ({self.columns.site} if self.columns.site else set())

    def survival(self, endpoint: str) -> pd.DataFrame:
        """patient_id, time and event of one endpoint; patients without an outcome are left out.

        Raises
        ------
        ConfigError
            If study.toml has no such endpoint.
        InputError
            E_TIME or E_EVENT if values are wrong; the message names the rows.
        """
        endpoints = self.endpoints()
        if endpoint not in endpoints:
            raise ConfigError(
                f"study.toml: no endpoint {endpoint!r} in [endpoints]; found {sorted(endpoints)}."
            )
        return patients.survival_frame(self._patient_rows, endpoints[endpoint], self.columns)

    def cohort(self, name: str) -> list[str]:
        """Sorted patient ids of one cohort."""
        return sorted(r["patient_id"] for r in self._patient_rows if r.get("cohort", "") == name)

    def cohorts(self) -> list[str]:
        """Names of the cohorts: discovery first, then the others in alphabetical order."""
        names = {r.get("cohort", "") for r in self._patient_rows} - {""}
        first = [self.primary.discovery] if self.primary.discovery in names else []
        return first + sorted(names - set(first))

    # -- declarations ---------------------------------------------------------------------

    def endpoints(self) -> dict[str, Endpoint]:
        """[endpoints] of study.toml, in its order.

        Raises
        ------
        ConfigError
            If an endpoint lacks its columns or its unit.
        """
        return clinical.parse_endpoints(self.config.get("endpoints", {}))

    @functools.cached_property
    def columns(self) -> Columns:
        """[columns] of study.toml."""
        return clinical.parse_columns(self.config.get("columns", {}))

    @functools.cached_property
    def primary(self) -> Primary:
        """[primary] of study.toml: the one primary analysis."""
        return clinical.parse_primary(self.config.get("primary", {}), self.config.get("endpoints", {}))

    # -- files and records ----------------------------------------------------------------

    @functools.cached_property
    def _twins(self) -> frozenset[str]:
        counts = Counter(i.lower() for i in {r["slide_id"] for r in self._slide_rows})
        return frozenset(name for name, n in counts.items() if n > 1)

    def file(self, folder: str, unit: str, suffix: str) -> Path:
        """The file of a unit in a folder of the study."""
        return self.paths.file(folder, unit, suffix)

    def record_path(self, stage: str, unit: str) -> Path:
        """The path of the record of a unit."""
        return self.paths.record(stage, unit)

    def record(self, stage: str, unit: str) -> Record | None:
        """The record of a unit, or None if there is none."""
        return Record.read(self.record_path(stage, unit))

    def records(self, stage: str) -> list[Record]:
        """All records of a stage, sorted by unit."""
        return read_records(self.paths.records / stage)

    def upstream(self, stage: str, unit: str) -> str | None:
        """Fingerprint of a finished upstream unit; None if it is missing or failed."""
        record = self.record(stage, unit)
        return record.fingerprint if record is not None and record.status != "failed" else None

    @functools.cached_property
    def identities(self) -> Identities:
        """Identities of slides that were hashed before, by path, size and time."""
        return Identities(self.paths.identities)

    @functools.cached_property
    def journal(self) -> Journal:
        """The log of this process's work on the study."""
        return Journal(self.root)


DEFAULT_CONFIG: dict[str, Any] = {
    "endpoints": {
        "os": {"time": "os_time", "event": "os_event", "unit": "months"},
    },
    "columns": {"covariates": [], "treatments": [], "subgroups": []},
    "primary": {"endpoint": "os", "discovery": "discovery"},
}

"""The work folder for new slides: a study around the unpacked bundle, which a later run resumes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pathosig.core.config import to_toml
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.execution import run_each, run_once
from pathosig.core.pool import apart
from pathosig.core.records import read_json
from pathosig.core.remote import shown
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.core.units import Execution, Job, Outcome, StageReport, Unit
from pathosig.encoder import engines
from pathosig.encoder.graph_cache import file_sha256
from pathosig.encoder.quick_check import is_ready
from pathosig.encoder.spec import EncoderSpec
from pathosig.phenotypes.frozen import FrozenPhenotypes
from pathosig.phenotypes.reading import SlideFiles, tile_mpp
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.scoring.contents import Bundle, FrozenStudy, read_bundle
from pathosig.scoring.owners import slide_paths
from pathosig.tiles.spec import TileSpec
from pathosig.tma.maps import COLUMNS as MAP_COLUMNS
from pathosig.tma.maps import read_tma_map

_STAMP = "bundle.sha256"
_SAME_TILE = 0.1
"""Relative difference in tile size and resolution up to which features of other programs suit a codebook."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSlides:
    """The slides to score or assign.

    Attributes
    ----------
    slides
        Slide files or DICOM folders. With `features` only their names matter, and an empty tuple means every file.
    owners
        Name of a slide -> patient_id.
    mpp
        Micrometres per pixel of slides whose header has no value.
    features
        Folder of tile features (<slide>.h5) to use instead of slides.
    tma_map
        Map of the cores (see `pathosig.tma.maps.read_tma_map`), if the slides are tissue microarrays.
    weights
        Local weights of the encoder.
    tile_mpp
        Micrometres per pixel of the tiles, for features that do not state it.
    """

    slides: tuple[Path, ...]
    owners: Mapping[str, str]
    mpp: float | None = None
    features: Path | None = None
    tma_map: Path | None = None
    weights: Path | None = None
    tile_mpp: float | None = None


def work_beside(out: Path, bundle: Path) -> Path:
    """The default work folder for a table and a bundle; its name contains the digest of the bundle."""
    digest = file_sha256(bundle)[:12] if bundle.is_file() else "none"
    return out.with_name(f"{out.stem}-{digest}.work")


def open_work(bundle: Path, folder: Path, *, trust: Path | None) -> Bundle:
    """Unpack a bundle into a work folder, which an earlier run with the same bundle may have left.

    Parameters
    ----------
    bundle
        A .psig file.
    folder
        The work folder.
    trust
        Public key (PEM) that must have signed the bundle.

    Raises
    ------
    ConfigError
        E_WORK if the folder belongs to another bundle, or holds something else.
    InputError
        As in `read_bundle`.
    """
    stamp = folder / _STAMP
    used = stamp.is_file()
    if not used and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"--work {folder}: the folder is not empty and was not made by `score`. Give a new folder.",
            code="E_WORK",
        )
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        contents = read_bundle(bundle, folder, trust=trust)
    except BaseException:
        if created:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if used and stamp.read_text(encoding="ascii").strip() != contents.sha256:
        raise ConfigError(
            f"--work {folder}: the folder belongs to another bundle. Give a new folder.", code="E_WORK"
        )
    stamp.write_text(contents.sha256 + "\n", encoding="ascii")
    return contents


def work_study(bundle: FrozenStudy, new: NewSlides) -> Study:
    """Write study.toml, slides.csv and patients.csv for the new slides into the work folder, and open it as a study.

    Parameters
    ----------
    bundle
        The bundle, unpacked into the work folder.
    new
        The new slides.

    Raises
    ------
    ConfigError
        E_DUP_ID if two slides have the same name.
    InputError
        E_NOT_FILE if a slide is missing; E_WEIGHTS if the encoder's weights are neither in the bundle nor given.
    """
    names, folder = slide_paths(new.slides, new.features), bundle.folder
    if not new.features:
        _require_pixels(bundle, new.weights)
    encoder = bundle.specs.encoder.to_dict()
    if new.weights is not None:
        encoder["weights"] = str(new.weights.absolute())
    profiles = bundle.specs.profiles.to_dict()
    config = {
        "endpoints": {"os": {"time": "os_time", "event": "os_event", "unit": "months"}},
        "primary": {"endpoint": "os", "discovery": "none"},
        "tma": _stated(bundle.specs.tma.to_dict()),
        "tissue": _stated(bundle.specs.tissue.to_dict()),
        "tiles": _stated(bundle.specs.tiles.to_dict()),
        "encoder": _stated(encoder),
        "profiles": _stated(profiles),
    }
    if new.features:
        config["study"] = {"level": "embeddings"}
    (folder / "study.toml").write_text(to_toml(config), encoding="utf-8")
    study = Study.open(folder)
    kind = "tma" if new.tma_map else "wsi"
    rows = [
        {
            "slide_id": name,
            "patient_id": "" if new.tma_map else new.owners.get(name, name),
            "path": shown(path),
            "mpp": new.mpp,
            "kind": kind,
        }
        for name, path in names.items()
    ]
    patients = {str(r["patient_id"]) for r in rows}
    if new.tma_map:
        cells = read_tma_map(new.tma_map, names).rows
        patients = {str(r["patient_id"]) for r in cells}
        write_csv_rows(study.paths.tma_map, cells, MAP_COLUMNS)
    write_csv_rows(study.paths.slides, rows, ("slide_id", "patient_id", "path", "mpp", "kind"))
    everyone = [{"patient_id": p, "cohort": "new"} for p in sorted(patients - {""})]
    write_csv_rows(study.paths.patients, everyone, ("patient_id", "cohort"))
    return Study.open(folder)


def _stated(spec: Mapping[str, object]) -> dict[str, object]:
    return {k: v for k, v in spec.items() if v is not None}


def _require_pixels(bundle: FrozenStudy, weights: Path | None) -> None:
    name = bundle.encoder["name"]
    if not bundle.specs.pixels:
        raise InputError(
            f"this bundle comes from a study that started from embeddings ({name}), so it does not state how to make "
            "tissue, tiles and embeddings from a slide. Give tile features of that encoder with --features, or use a "
            "bundle from a study that started from slides.",
            code="E_BUNDLE",
        )
    if not bundle.weights_inside and weights is None:
        raise InputError(
            f"the weights of {name} are not in the bundle. Give --weights FILE; their digest must be "
            f"{bundle.encoder['weights_sha256']}.",
            code="E_WEIGHTS",
        )


def run_stages(
    study: Study, bundle: FrozenStudy, new: NewSlides, execution: Execution, *, strict: bool = True
) -> list[StageReport]:
    """Run the stages from slides, microarrays or features to the phenotypes of every tile; nothing is fitted.

    Parameters
    ----------
    study
        The work folder with the new slides.
    bundle
        The bundle.
    new
        The new slides.
    execution
        Workers, device and shard.
    strict
        Whether features must state the size of their tiles, and it must be that of the bundle.

    Returns
    -------
    list[StageReport]
        One per stage.
    """
    from pathosig.phenotypes.stage import STAGE as PHENOTYPES  # the libraries for pixels take long to import
    from pathosig.phenotypes.stage import assign_units

    if new.features:
        reports = _features(study, bundle, new, execution, strict=strict)
    else:
        reports = _pixels(study, new, execution)
    run_once(study, PHENOTYPES, PhenotypeSpec(), Unit(id="_codebook"), _as_it_is, execution=_whole(execution))
    units, task = assign_units(study)
    reports.append(run_each(study, PHENOTYPES, PhenotypeSpec(), units, task, execution=execution))
    return reports


def _pixels(study: Study, new: NewSlides, execution: Execution) -> list[StageReport]:
    from pathosig.encoder.stage import STAGE as EMBED
    from pathosig.encoder.stage import check_encoder, embed_units
    from pathosig.tiles.stage import cut_tiles
    from pathosig.tissue.stage import find_tissue

    # Workers may find an exported graph and never open the weights, so their digest is checked here.
    if not _is_ready(study, execution.device):
        apart(check_encoder, study.root, study.spec(EncoderSpec).weights, label="encoder")
    reports = []
    if new.tma_map:
        from pathosig.tma.stage import find_cores

        reports.append(find_cores(study, execution=_whole(execution)))
    reports += [find_tissue(study, execution=execution), cut_tiles(study, execution=execution)]
    spec = study.spec(EncoderSpec)
    run_once(study, EMBED, spec, Unit(id="_encoder"), _as_it_is, execution=_whole(execution))
    units, task = embed_units(study)
    reports.append(run_each(study, EMBED, spec, units, task, execution=execution))
    return reports


def _is_ready(study: Study, device: str) -> bool:
    """Whether the encoder was checked and exported by an earlier run and its weights are unchanged, so that torch is not needed."""
    spec = study.spec(EncoderSpec)
    if spec.weights is not None or engines.has_cuda_driver():
        return False
    return engines.resolve(spec.engine, device)[0] == "ort" and is_ready(
        study.root, study.spec(TileSpec).size_px
    )


def _features(
    study: Study, bundle: FrozenStudy, new: NewSlides, execution: Execution, *, strict: bool
) -> list[StageReport]:
    """Import features of other programs, provided that encoder, length and tiles are those of the codebook.

    Raises
    ------
    InputError
        E_MIXED if they are not, or the files do not state them.
    """
    from pathosig.encoder.features.stage import import_features

    folder = new.features
    if folder is None or not folder.is_dir():
        raise InputError(f"--features {folder}: no such folder.", code="E_MISSING")
    report = import_features(study, folder, mpp=new.tile_mpp, execution=execution)
    slides = [s for s in study.specimens() if study.paths.tiles(s.id).is_file()]
    mpp = tile_mpp(study.root, [SlideFiles.of(study, s) for s in slides])
    FrozenPhenotypes.read(bundle.path).check(read_json(study.paths.encoder_card), mpp=mpp)
    if strict and bundle.specs.pixels:
        for slide in slides:
            _check_tiles(study, bundle, slide.id)
    return [report]


def _check_tiles(study: Study, bundle: FrozenStudy, slide: str) -> None:
    facts = read_slide_tiles(study.paths.tiles(slide)).facts
    if facts.mpp is None or facts.size_px is None:
        raise InputError(
            f"slide {slide}: its features do not state size and micrometres per pixel of a tile. Give the micrometres per "
            "level-0 pixel of the slide with --mpp.",
            code="E_MPP",
        )
    sides = facts.mpp * facts.size_px, bundle.specs.tiles.mpp * bundle.specs.tiles.size_px
    if abs(sides[0] / sides[1] - 1) > _SAME_TILE or abs(facts.mpp / bundle.specs.tiles.mpp - 1) > _SAME_TILE:
        raise InputError(
            f"slide {slide}: its tiles are {sides[0]:.0f} um wide at {facts.mpp:g} um per pixel; this bundle needs "
            f"{sides[1]:.0f} um at {bundle.specs.tiles.mpp:g} um per pixel.",
            code="E_MIXED",
        )


def _whole(execution: Execution) -> Execution:
    """The same execution without shards and without force, for steps that every shard takes in the same way."""
    return replace(execution, shard=None, force=False)


def _as_it_is(job: Job) -> Outcome:
    """Stand for a fit that the bundle already contains."""
    return Outcome(summary={"from": "bundle"})

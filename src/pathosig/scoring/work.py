"""The folder in which new slides are worked on: a study of its own around the unpacked bundle, which a later run resumes."""

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
from pathosig.encoder.graph_cache import file_sha256
from pathosig.encoder.spec import EncoderSpec
from pathosig.phenotypes.frozen import FrozenPhenotypes
from pathosig.phenotypes.reading import SlideFiles, tile_mpp
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.scoring.contents import Bundle, FrozenStudy, read_bundle
from pathosig.scoring.owners import slide_paths
from pathosig.tma.maps import COLUMNS as MAP_COLUMNS
from pathosig.tma.maps import read_tma_map

_STAMP = "bundle.sha256"
_SAME_TILE = 0.1
"""Relative difference of tile sides up to which features of other programs fit a codebook."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSlides:
    """What is to be scored.

    Attributes
    ----------
    slides
        Slide files or DICOM folders; with `features` only their names matter, and none means every file.
    owners
        Name of a slide -> patient_id.
    mpp
        Micrometres per pixel of slides whose header has none.
    features
        Folder of tile features (<slide>.h5), in place of reading slides.
    tma_map
        The map of the cores, see `pathosig.tma.maps.read_tma_map`: the slides are tissue microarrays.
    weights
        Local weights of the encoder.
    tile_mpp
        Micrometres per pixel of the tiles behind features that do not say; then nothing else is asked of them.
    """

    slides: tuple[Path, ...]
    owners: Mapping[str, str]
    mpp: float | None = None
    features: Path | None = None
    tma_map: Path | None = None
    weights: Path | None = None
    tile_mpp: float | None = None


def work_beside(out: Path, bundle: Path) -> Path:
    """The work folder of a table and a bundle: another bundle works in another folder."""
    digest = file_sha256(bundle)[:12] if bundle.is_file() else "none"
    return out.with_name(f"{out.stem}-{digest}.work")


def open_work(bundle: Path, folder: Path, *, trust: Path | None) -> Bundle:
    """Unpack a bundle into a work folder, which may have been used with it before.

    Raises
    ------
    ConfigError
        E_WORK if the folder belongs to another bundle, or holds something else.
    InputError
        See `read_bundle`.
    """
    stamp = folder / _STAMP
    used = stamp.is_file()
    if not used and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"--work {folder}: not empty, and no work of `score`. Give a new folder.", code="E_WORK"
        )
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        contents = read_bundle(bundle, folder, trust=trust)
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if used and stamp.read_text(encoding="ascii").strip() != contents.sha256:
        raise ConfigError(f"--work {folder}: made with another bundle. Give a new folder.", code="E_WORK")
    stamp.write_text(contents.sha256 + "\n", encoding="ascii")
    return contents


def work_study(bundle: FrozenStudy, new: NewSlides) -> Study:
    """The study around the new slides, its tables written anew.

    Raises
    ------
    ConfigError
        E_DUP_ID if two slides have the same name.
    InputError
        E_NOT_FILE if a slide is missing; E_WEIGHTS if the encoder's weights are neither inside nor given.
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
            f"this bundle comes from a study that started from embeddings ({name}), so it does not know how "
            "tissue, tiles and embeddings of a slide are made. Give --features with tile features of that encoder, or a "
            "bundle of a study that started from slides.",
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
    """From slides, microarrays or features to phenotypes of every tile; nothing is fitted.

    Parameters
    ----------
    strict
        Whether features must say how large their tiles are.
    """
    from pathosig.phenotypes.stage import STAGE as PHENOTYPES  # the pixel half is heavy
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


def _features(
    study: Study, bundle: FrozenStudy, new: NewSlides, execution: Execution, *, strict: bool
) -> list[StageReport]:
    """Features of other programs, where encoder, length and tiles are those of the codebook.

    Raises
    ------
    InputError
        E_MIXED if they are not, or the files do not say.
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
            f"slide {slide}: its features say neither size nor micrometres per pixel of a tile. Give --mpp, the "
            "micrometres per level-0 pixel of the slide.",
            code="E_MPP",
        )
    sides = facts.mpp * facts.size_px, bundle.specs.tiles.mpp * bundle.specs.tiles.size_px
    if abs(sides[0] / sides[1] - 1) > _SAME_TILE or abs(facts.mpp / bundle.specs.tiles.mpp - 1) > _SAME_TILE:
        raise InputError(
            f"slide {slide}: tiles of {sides[0]:.0f} um at {facts.mpp:g} um per pixel; this bundle needs {sides[1]:.0f} um at "
            f"{bundle.specs.tiles.mpp:g}.",
            code="E_MIXED",
        )


def _whole(execution: Execution) -> Execution:
    """The same without shards: what is settled once is settled by every shard alike."""
    return replace(execution, shard=None, force=False)


def _as_it_is(job: Job) -> Outcome:
    """The fit of a bundle is never made again."""
    return Outcome(summary={"from": "bundle"})

"""The phenotypes stage: fits a codebook on discovery patients, assigns every tile, writes the atlas and the health."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pathosig.core.errors import ConfigError, NotEstimableError, PathosigWarning
from pathosig.core.execution import run_each, run_once
from pathosig.core.fingerprints import identity
from pathosig.core.layout import Layout
from pathosig.core.records import atomic_path, read_json, write_json
from pathosig.core.schema import ASSIGNMENTS, ATLAS, TILE_MAP, read_table, write_table
from pathosig.core.study import Specimen, Study
from pathosig.core.threads import one_blas_thread
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.core.words import counted
from pathosig.encoder.training.heads import head_probabilities, read_heads
from pathosig.phenotypes.atlas import AtlasTiles, Candidates, atlas_table, choose_exemplars, map_of_tiles
from pathosig.phenotypes.codebook import Assignment, Codebook
from pathosig.phenotypes.consensus import assign
from pathosig.phenotypes.distance import FALSE_ALARMS, Distance
from pathosig.phenotypes.fit import fit_codebook
from pathosig.phenotypes.frozen import FrozenPhenotypes
from pathosig.phenotypes.health import assess
from pathosig.phenotypes.reading import (
    SlideFiles,
    numbers,
    read_embeddings,
    readable_rows,
    tile_mpp,
    training_tiles,
)
from pathosig.phenotypes.shift import SlideShift, cohort_shift
from pathosig.phenotypes.spec import PhenotypeSpec
from pathosig.phenotypes.tree import cut_tree, tree_nodes

STAGE = Stage(name="phenotypes", version=11)


def find_phenotypes(
    study: Study,
    spec: PhenotypeSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Find phenotypes on discovery patients, freeze the codebook, and assign every tile of every slide.

    Parameters
    ----------
    study
        An open study with embeddings.
    spec
        Number of HPCs, method and space; from study.toml by default.
    execution
        Number of workers, and what to do with slides that are already done or that fail.

    Returns
    -------
    StageReport
        On the assignments; the fit itself is in the record ``_codebook``.

    Raises
    ------
    NotEstimableError
        E_TOO_FEW_TILES if no slide of a discovery patient has embeddings, or they have too few tiles.
    ConfigError
        E_MISSING if the bundle that `codebook` names does not exist.
    InputError
        E_MIXED if the phenotypes of that bundle do not fit the embeddings.

    Examples
    --------
    >>> import tempfile
    >>> from pathosig.synthetic import SimulateSpec, simulate
    >>> root = Path(tempfile.mkdtemp()) / "study"
    >>> planted = SimulateSpec(level="embeddings", n_discovery=4, n_validation=0, types=3, tiles_per_patient=40, dim=16)
    >>> _ = simulate(root, planted)
    >>> report = find_phenotypes(Study.open(root), PhenotypeSpec(method="kmeans", k=4, pca_dim=4))
    >>> len(report.done), report.findings
    (4, ('4 HPCs (3 coarse groups) from 158 tiles of 4 slides; 0 artefacts',))
    """
    spec = spec or study.spec(PhenotypeSpec)
    specimens = study.specimens()
    training = [s for s in specimens if s.is_discovery and _n_tiles(study, s) > 0]
    if not training:
        raise NotEstimableError(
            "phenotypes: no slide of a discovery patient has embeddings. Run `pathosig embed`, and check that "
            f"patients.csv has a cohort {study.primary.discovery!r}.",
            code="E_TOO_FEW_TILES",
        )
    upstream = {f"embed:{s.id}": study.upstream("embed", s.id) for s in training}
    who = {s.id: [s.patient_id, s.site] for s in training}
    payload: dict[str, object] = {"training": [SlideFiles.of(study, s).to_dict() for s in training]}
    inputs: dict[str, object] = {"training": who}
    if spec.codebook is not None:
        bundle = _bundle_path(study, spec.codebook)
        inputs["codebook"] = identity(bundle)
        payload["bundle"] = str(bundle)
    fit = Unit(id="_codebook", inputs=inputs, upstream=upstream, payload=payload)
    task = _fit if spec.codebook is None else _adopt
    fitted = run_once(study, STAGE, spec, fit, task, execution=execution)
    codebook = study.upstream("phenotypes", "_codebook")
    units, _ = assign_units(study)
    report = run_each(study, STAGE, spec, units, _assign_one, execution=execution)
    atlas = Unit(
        id="_atlas",
        inputs={"training": who},
        upstream={"_codebook": codebook, **{s.id: study.upstream("phenotypes", s.id) for s in training}},
        payload=payload,
    )
    run_once(study, STAGE, spec, atlas, _atlas, execution=execution)
    _warn_of_shifted_cohorts(study)
    return replace(report, findings=fitted.findings)


def _bundle_path(study: Study, name: str) -> Path:
    path = Path(name).expanduser()
    path = path if path.is_absolute() else study.root / path
    if not path.is_file():
        raise ConfigError(
            f"[phenotypes] codebook: {name} is not a file. Relative paths start at the study folder.",
            code="E_MISSING",
        )
    return path


def _warn_of_shifted_cohorts(study: Study) -> None:
    """Warn (W_SHIFT) of every cohort whose tiles or whose proportions of phenotypes differ from discovery."""
    slides: dict[str, list[SlideShift]] = {}
    for s in study.specimens():
        record = study.record(STAGE.name, s.id)
        if record is not None and record.status == "ok":
            slide = SlideShift(unlike=bool(record.summary["unlike"]), coarse=tuple(record.summary["coarse"]))
            slides.setdefault(s.cohort or "", []).append(slide)
    reference = slides.pop(study.primary.discovery, [])
    for cohort, there in sorted(slides.items()):
        for finding in cohort_shift(there, reference):
            message = f"cohort {cohort or '(none)'}: {finding}"
            warnings.warn(PathosigWarning(message, code="W_SHIFT"), stacklevel=3)


def assign_units(study: Study) -> tuple[list[Unit], Callable[[Job], Outcome]]:
    """One unit of work for the assignment of each specimen, and the task that processes a unit.

    Parameters
    ----------
    study
        An open study with a codebook.

    Returns
    -------
    (list of Unit, task)
    """
    codebook = study.upstream("phenotypes", "_codebook")
    units = [
        Unit(
            id=s.id,
            upstream={"embed": study.upstream("embed", s.id), "_codebook": codebook},
            payload=SlideFiles.of(study, s).to_dict(),
        )
        for s in study.specimens()
    ]
    return units, _assign_one


def _n_tiles(study: Study, specimen: Specimen) -> int:
    record = study.record("embed", specimen.id)
    return int(record.summary.get("n_tiles", 0)) if record is not None and record.status == "ok" else 0


@one_blas_thread()
def _adopt(job: Job) -> Outcome:
    """Use the phenotypes of a bundle; only their health and the map are computed from this study's tiles."""
    spec: PhenotypeSpec = job.spec
    training = [SlideFiles(**slide) for slide in job.payload["training"]]
    frozen = FrozenPhenotypes.read(Path(job.payload["bundle"]))
    frozen.check(read_json(job.paths.encoder_card), mpp=tile_mpp(job.root, training))
    with atomic_path(job.paths.codebook) as temporary:
        temporary.write_bytes(frozen.codebook)
    with atomic_path(job.paths.tree) as temporary:
        temporary.write_bytes(frozen.tree)
    codebook = Codebook.load(job.paths.codebook)
    tiles, quality = training_tiles(job.root, training, spec.replace(spatial="never"))
    health = assess(codebook, tiles, quality, spec, refits=False)
    write_json(
        job.paths.health,
        {**health.to_dict(), "codebook": frozen.name, "distance": _distance_facts(codebook.distance)},
    )
    x = codebook.project(tiles.embeddings)
    nearest = codebook.labels(tiles.embeddings)
    _write_map(job.paths.tile_map, x, nearest, codebook, [training[i].id for i in tiles.slide])
    coarse = len(codebook.coarse)
    return Outcome(
        outputs=(Layout.codebook, Layout.tree, Layout.health, Layout.tile_map),
        summary={
            "k": codebook.k,
            "coarse_k": coarse,
            "codebook": frozen.name,
            "said": [
                f"{codebook.k} HPCs ({coarse} coarse groups) from {frozen.name}; no codebook was fitted"
            ],
        },
    )


@one_blas_thread()
def _fit(job: Job) -> Outcome:
    spec: PhenotypeSpec = job.spec
    training = [SlideFiles(**slide) for slide in job.payload["training"]]
    tiles, quality = training_tiles(job.root, training, spec)
    labels = _head_labels(job.root, tiles.embeddings) if spec.method == "dlcc" else None
    codebook, fit = fit_codebook(tiles, spec, labels)
    encoder = job.paths.encoder_card
    card = read_json(encoder) if encoder.is_file() else {}
    identity = {key: card[key] for key in ("name", "weights_sha256", "mpp", "dim") if key in card}
    codebook = replace(codebook, meta={**codebook.meta, "encoder": identity})
    health = assess(codebook, tiles, quality, spec)
    x = codebook.project(tiles.embeddings)
    nearest = (x @ codebook.centroids.T).argmax(axis=1)
    coarse_k = len(codebook.coarse)
    tree = {
        "k": codebook.k,
        "nodes": tree_nodes(codebook.linkage),
        "linkage": np.round(codebook.linkage, 9).tolist(),
        "coarse": {"k": coarse_k, "groups": cut_tree(codebook.linkage, coarse_k).tolist()},
        "artefact_hpcs": list(health.artefacts),
        "sizes": codebook.meta["sizes"],
        "steadiness": health.steadiness,
    }
    codebook.save(job.paths.codebook)
    write_json(job.paths.tree, tree)
    write_json(
        job.paths.health,
        {**health.to_dict(), "fit": asdict(fit), "distance": _distance_facts(codebook.distance)},
    )
    _write_map(job.paths.tile_map, x, nearest, codebook, [training[i].id for i in tiles.slide])
    notes = []
    if codebook.k < spec.k:
        notes.append(f"{codebook.k} HPCs instead of {spec.k}: too few tiles, or small groups were merged")
    if fit.batch_tripped:
        remedy = (
            "slide means were removed before clustering"
            if fit.centred
            else 'centre = "never" keeps the effect'
        )
        notes.append(
            f"nearest neighbours come from the same slide {fit.batch['ratio']:.0f} times as often as by chance, "
            f"which indicates a slide effect (stain, scanner); {remedy}"
        )
    if not codebook.distance.calibrated:
        notes.append("fewer than three patients: tiles unlike the training tiles cannot be recognised")
    return Outcome(
        outputs=(Layout.codebook, Layout.tree, Layout.health, Layout.tile_map),
        warnings=tuple(notes),
        summary={
            "k": codebook.k,
            "coarse_k": coarse_k,
            "n_training_tiles": fit.n_training_tiles,
            "batch_ratio": round(fit.batch["ratio"], 6),
            **health.numbers(),
            "said": [
                f"{codebook.k} HPCs ({counted(coarse_k, 'coarse group')}) from {len(x)} tiles of {counted(len(training), 'slide')}; "
                f"{counted(len(health.artefacts), 'artefact')}"
            ],
        },
    )


def _distance_facts(distance: Distance) -> dict[str, float]:
    """Numbers about the distance for health.json."""
    return {
        "calibrated_on": distance.groups,
        "components": distance.basis.shape[1],
        "false_alarms": FALSE_ALARMS,
    }


def _write_map(path: Path, x: np.ndarray, nearest: np.ndarray, codebook: Codebook, slides: list[str]) -> None:
    rows, points = map_of_tiles(x)
    coarse = assign(x[rows], codebook.coarse) if len(codebook.coarse) else np.full(len(rows), -1)
    table = pa.table(
        {
            "x": points[:, 0],
            "y": points[:, 1],
            "hpc": nearest[rows].astype(np.int16),
            "coarse": coarse.astype(np.int16),
            "slide_id": [slides[i] for i in rows],
        }
    )
    write_table(path, table, TILE_MAP)


def _head_labels(root: Path, embeddings: np.ndarray) -> np.ndarray:
    tensors = read_heads(Layout(root).encoder_weights)
    return np.asarray(head_probabilities(embeddings, tensors).argmax(axis=1))


def _head_assignment(root: Path, codebook: Codebook, embeddings: np.ndarray) -> Assignment:
    assignment = codebook.assign(embeddings)
    if not len(embeddings):
        return assignment
    c = head_probabilities(embeddings, read_heads(Layout(root).encoder_weights))
    best = np.argsort(-c, axis=1, kind="stable")[:, :3]
    missing = ((0, 0), (0, 3 - best.shape[1]))
    cosine = np.einsum("ij,ij->i", codebook.project(embeddings), codebook.centroids[best[:, 0]])
    return replace(
        assignment,
        hpc=np.pad(best, missing, constant_values=-1).astype(np.int16),
        confidence=np.pad(np.take_along_axis(c, best, axis=1), missing).astype(np.float32),
        distance=((1 - cosine) / codebook.radius[best[:, 0]]).astype(np.float32),
    )


def _assign_one(job: Job) -> Outcome:
    slide = SlideFiles(**job.payload)
    codebook = Codebook.load(job.paths.codebook)
    path = job.root / slide.embeddings
    if not path.is_file():
        return Outcome(status="empty", summary={"n_tiles": 0, "reason": "no tiles"})
    stored = read_embeddings(path)
    rows = readable_rows(stored) if len(stored) else np.zeros(0, int)
    if not len(rows):
        return Outcome(status="empty", summary={"n_tiles": 0, "reason": "no tiles"})
    embeddings, tile_id = np.asarray(stored[rows]), rows.astype(np.int32)
    if codebook.meta["method"] == "dlcc":
        assignment = _head_assignment(job.root, codebook, np.asarray(embeddings, np.float32))
    else:
        assignment = codebook.assign(embeddings)
    hpc, confidence = assignment.hpc.T, assignment.confidence.T
    table = pa.table(
        {
            "tile_id": tile_id,
            "hpc": hpc[0],
            "coarse": assignment.coarse,
            "confidence": confidence[0],
            "hpc_2": hpc[1],
            "confidence_2": confidence[1],
            "hpc_3": hpc[2],
            "confidence_3": confidence[2],
            "distance": assignment.distance,
            "residual": assignment.unlike.residual,
            "mahalanobis": assignment.unlike.mahalanobis,
        }
    )
    write_table(job.root / slide.assigned, table, ASSIGNMENTS, {"pathosig": {"k": codebook.k}})
    shift = assignment.shift
    # The PCA was fitted on the discovery slides themselves, so that only other slides can be judged.
    judged = not slide.is_discovery or job.spec.codebook is not None
    unlike = judged and codebook.distance.unlike(shift)
    summary = {
        "n_tiles": len(embeddings),
        "far": round(shift.far, 6),
        "mean_confidence": round(float(confidence[0].mean()), 6),
        "shift": shift.to_dict(),
        "unlike": unlike,
        "coarse": np.bincount(assignment.coarse, minlength=len(codebook.coarse)).tolist(),
    }
    warning = (
        f"W_SHIFT unlike the discovery slides ({shift.far:.0%} of the tiles are far from them). "
        "Check whether tissue, stain or magnification differ."
    )
    return Outcome(outputs=(slide.assigned,), summary=summary, warnings=(warning,) if unlike else ())


def _atlas(job: Job) -> Outcome:
    training = [SlideFiles(**slide) for slide in job.payload["training"]]
    patients = numbers(s.patient for s in training)
    candidates: Candidates | None = None
    for number, slide in enumerate(training):
        assigned = read_table(job.root / slide.assigned, ASSIGNMENTS)
        tiles = read_slide_tiles(job.root / slide.tiles)
        tile_id = assigned.column("tile_id").to_numpy()
        here = Candidates.of(
            AtlasTiles(
                hpc=assigned.column("hpc").to_numpy(),
                coarse=assigned.column("coarse").to_numpy(),
                confidence=assigned.column("confidence").to_numpy(),
                distance=assigned.column("distance").to_numpy(),
                slide=np.full(len(tile_id), number),
                patient=np.full(len(tile_id), patients[number]),
                tile_id=tile_id,
                x=tiles.column("x")[tile_id],
                y=tiles.column("y")[tile_id],
            )
        )
        candidates = here if candidates is None else candidates.plus(here)
    exemplars = choose_exemplars(candidates, Codebook.load(job.paths.codebook).k) if candidates else []
    write_table(job.paths.atlas, atlas_table(exemplars, [s.id for s in training]), ATLAS)
    return Outcome(outputs=(Layout.atlas,), summary={"n_tiles": len(exemplars)})

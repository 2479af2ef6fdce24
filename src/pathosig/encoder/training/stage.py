"""The train stage: deep contrastive clustering on the tiles of discovery patients."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.execution import is_due, run_once
from pathosig.core.fingerprints import identity, sha256_value
from pathosig.core.layout import Layout
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.encoder import engines
from pathosig.encoder.reading import TileTable, opened_tiles, read_tile_table, specimen_facts
from pathosig.encoder.spec import EncoderSpec, TrainSpec
from pathosig.encoder.stain import fit_stain, in_reference_colours, sample_tiles
from pathosig.encoder.training.observers import TrainingObserver, observer_in
from pathosig.encoder.training.store import TileStore, open_store, write_store

if TYPE_CHECKING:
    from pathosig.encoder.training.train import TrainState
    from pathosig.encoder.training.trained import TrainingFacts

STAGE = Stage(name="train", version=3)
UNIT = "_train"
DEFAULT_EXECUTION = Execution()
CHECKPOINT_SECONDS = 60.0


def train_encoder(
    study: Study,
    spec: TrainSpec | None = None,
    *,
    log_to: Path | None = None,
    execution: Execution = DEFAULT_EXECUTION,
) -> StageReport:
    """Train an encoder with a cluster head on the tiles of discovery patients (DL-CC).

    It runs only if [encoder] method is dlcc, and resumes from its last checkpoint. Under torchrun all
    processes train together, and the first one writes.

    Parameters
    ----------
    study
        An open study whose tiles stage has run.
    spec
        Settings of the training; from study.toml by default.
    log_to
        Folder for the numbers of every epoch, in addition to logs/train.csv: events for TensorBoard if it is installed,
        otherwise epochs.jsonl.
    execution
        Device, and whether to ignore an earlier result and the checkpoint.

    Returns
    -------
    StageReport

    Raises
    ------
    NotEstimableError
        If there are too few tiles, or training collapses or diverges.
    """
    observers = () if log_to is None or _rank() > 0 else (observer_in(log_to),)
    return train_observed(study, spec, observers=observers, execution=execution)


def train_observed(
    study: Study,
    spec: TrainSpec | None = None,
    *,
    observers: Sequence[TrainingObserver] = (),
    execution: Execution = DEFAULT_EXECUTION,
) -> StageReport:
    """Train as `train_encoder` does, and pass the numbers of every epoch to observers.

    Parameters
    ----------
    study, spec, execution
        As for `train_encoder`.
    observers
        Each receives the numbers of every epoch that is trained now, and is closed at the end; results do not depend on them.

    Returns
    -------
    StageReport

    Raises
    ------
    NotEstimableError
        If there are too few tiles, or training collapses or diverges.
    """
    try:
        return _run(study, spec, observers, execution)
    finally:
        for observer in observers:
            observer.close()


def _run(
    study: Study, spec: TrainSpec | None, observers: Sequence[TrainingObserver], execution: Execution
) -> StageReport:
    spec = spec or study.spec(TrainSpec)
    encoder = study.spec(EncoderSpec)
    if encoder.method != "dlcc":
        return StageReport(stage=STAGE.name)
    slides = []
    upstream: dict[str, str | None] = {}
    for s in study.specimens():
        if not s.is_discovery:
            continue
        record = study.record("tiles", s.id)
        if record is None:
            upstream[f"tiles/{s.id}"] = None
        elif record.status == "ok":
            upstream[f"tiles/{s.id}"] = record.fingerprint
            name = study.paths.tiles(s.id).name
            slides.append({"id": s.id, "patient": s.patient_id, "tiles": name, **specimen_facts(s)})
    weights = _backbone_weights(study, spec)
    stain = {"method": encoder.stain, "tiles": encoder.calibration_tiles, "seed": encoder.seed}
    unit = Unit(
        id=UNIT,
        inputs={
            "weights": identity(weights) if weights else None,
            "patients": {s["id"]: s["patient"] for s in slides},
            **({} if encoder.stain == "none" else {"stain": stain}),
        },
        upstream=upstream,
        payload={"slides": slides, "weights": str(weights) if weights else None, "stain": stain},
    )
    if _rank() > 0:  # takes part in the training, but only the first process writes
        if is_due(study, STAGE, spec, unit, execution=execution):
            _train(
                Job(root=study.root, unit=UNIT, spec=spec, payload=dict(unit.payload), execution=execution)
            )
        return StageReport(stage=STAGE.name)
    # Observers are objects of this process, and under torchrun this process takes part in the training.
    is_apart = not observers and "RANK" not in os.environ
    task = partial(_train, observers=observers)
    return run_once(study, STAGE, spec, unit, task, execution=execution, is_apart=is_apart)


def _rank() -> int:
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def _backbone_weights(study: Study, spec: TrainSpec) -> Path | None:
    if spec.backbone_weights is None:
        return None
    path = Path(spec.backbone_weights).expanduser()
    path = path if path.is_absolute() else study.root / path
    if not path.is_file():
        message = (
            f"[train] backbone_weights: {spec.backbone_weights} is not a file. Relative paths start at "
            "the study folder."
        )
        raise InputError(message, code="E_WEIGHTS")
    return path


def _train(job: Job, *, observers: Sequence[TrainingObserver] = ()) -> Outcome:
    import torch

    from pathosig.encoder.backbones import load_encoder
    from pathosig.encoder.training import augment, checkpoint, parallel, train, trained

    spec: TrainSpec = job.spec
    torch.set_num_threads(spec.threads)
    rank, _ = parallel.start_from_environment()
    _, device = engines.resolve("fp32", job.execution.device)
    tables = {s["id"]: read_tile_table(job.root / "tiles" / s["tiles"]) for s in job.payload["slides"]}
    rows = choose_rows({k: len(t.xy) for k, t in tables.items()}, spec)
    mpp = _one_mpp(tables)
    key = sha256_value({**_what_is_seen(job), "spec": spec.to_dict(), "mpp": mpp, "device": device})
    stain = _stain_reference(job) if rank == 0 else None
    store = _packed(job, tables, rows, rank, stain)
    patients = [s["patient"] for s in job.payload["slides"]]
    held_out = split_patients(patients, spec)
    owner = np.array([patients[i] in held_out for i in store.slide], bool)
    rows_of = train.rows_on_device(store.rows, len(store), device)
    data = train.Data(rows=rows_of, train=np.flatnonzero(~owner), held_out=np.flatnonzero(owner))
    start = load_encoder(
        spec.backbone, weights=job.payload["weights"], random_start=spec.random_start, seed=spec.seed
    )
    state = train.start(trained.new_network(start, spec), spec, device=device)
    checkpoint_path = job.paths.train_checkpoint
    if not job.execution.force:
        checkpoint.restore(checkpoint_path, state, key=key)
    log = _Log(job.paths.train_log, state, observers, writes=rank == 0)
    saver = _Saver(checkpoint_path, key, checkpoint.save, writes=rank == 0)
    views = augment.Views(spec.preset, mean=start.mean, std=start.std)
    trainer = train.Trainer(
        state, data, spec, views=views, device=device, on_epoch=log.write, on_step=saver.after_step
    )
    trainer.run()
    summary: TrainingFacts = {
        "mpp": mpp,
        "n_tiles": len(data.train),
        "n_held_out": len(data.held_out),
        "best_epoch": state.best_epoch,
        "held_out_patients": len(held_out),
        "steps": state.step,
        "device": device.split(":")[0],
    }
    if rank == 0:
        card = trained.write_trained(job.root, state.best, start, spec, summary, stain=stain)
        summary["weights_sha256"] = card["weights_sha256"]
        checkpoint_path.unlink(missing_ok=True)
    last = {
        k: state.history[state.best_epoch - 1][k]
        for k in ("total", "held_out", "perplexity", "empty", "confidence")
    }
    return Outcome(
        outputs=(Layout.trained_card, Layout.trained_weights),
        summary={**summary, **last},
        warnings=tuple(state.warnings),
    )


def choose_rows(counts: Mapping[str, int], spec: TrainSpec) -> dict[str, np.ndarray]:
    """Rows of the table of tiles sampled from every slide, sorted; the sample of a slide depends only on that slide."""
    limit = spec.max_tiles_per_slide
    if counts and sum(min(n, limit) for n in counts.values()) > spec.max_tiles:
        limit = max(1, spec.max_tiles // len(counts))
    out = {}
    for slide, n in sorted(counts.items()):
        digest = int(sha256_value(slide)[:8], 16)
        rng = np.random.default_rng([spec.seed, 0, digest])
        out[slide] = np.sort(rng.permutation(n)[:limit])
    return out


def split_patients(patients: list[str], spec: TrainSpec) -> set[str]:
    """Patients held out to choose the best epoch; at least one patient is left for training."""
    unique = sorted(set(patients))
    n = min(round(spec.val_share * len(unique)), len(unique) - 1)
    if spec.val_share and len(unique) > 1:
        n = max(n, 1)
    order = np.random.default_rng([spec.seed, 4]).permutation(len(unique))
    return {unique[i] for i in order[:n]}


def _one_mpp(tables: Mapping[str, TileTable]) -> float | None:
    geometries = sorted({(t.mpp, t.size_px) for t in tables.values()})
    if len(geometries) > 1:
        message = (
            f"training: tiles differ in (mpp, size): {geometries}. Run `pathosig tiles` on all slides again."
        )
        raise InputError(message, code="E_MIXED")
    return geometries[0][0] if geometries else None


def _what_is_seen(job: Job) -> dict[str, object]:
    """Slides and stain, which are part of the keys of checkpoints and packed tiles."""
    stain = job.payload["stain"]
    return {
        "slides": job.payload["slides"],
        **({} if stain["method"] == "none" else {"stain": stain}),
    }


def _stain_reference(job: Job) -> dict[str, object] | None:
    wanted = job.payload["stain"]
    if wanted["method"] == "none":
        return None
    tiles = sample_tiles(job.root, job.payload["slides"], n=wanted["tiles"], seed=wanted["seed"])
    return fit_stain(tiles, wanted["method"])


def _packed(
    job: Job,
    tables: Mapping[str, TileTable],
    rows: Mapping[str, np.ndarray],
    rank: int,
    stain: Mapping[str, object] | None,
) -> TileStore:
    """The packed tiles, which the first process writes, and which are reused while slides and rows are the same."""
    folder = job.paths.tile_store
    chosen = {k: sha256_value([tables[k].xy[v].tolist(), tables[k].mpp]) for k, v in rows.items()}
    key = sha256_value({**_what_is_seen(job), "rows": chosen})
    store = open_store(folder, key=key)
    if store is None and rank == 0:
        store = write_store(folder, _slide_tiles(job, tables, rows, stain), key=key)
    while store is None:
        time.sleep(1.0)
        store = open_store(folder, key=key)
    return store


def _slide_tiles(
    job: Job,
    tables: Mapping[str, TileTable],
    rows: Mapping[str, np.ndarray],
    stain: Mapping[str, object] | None,
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    for slide in job.payload["slides"]:
        name = slide["id"]
        if len(rows[name]):
            with opened_tiles(slide, tables[name], rows=rows[name]) as blocks:
                yield name, in_reference_colours(blocks, stain)
        else:
            yield name, iter(())


class _Log:
    """Writes logs/train.csv with one line for each epoch, and shows the last epoch on a terminal.

    When training resumes, the file starts with the epochs in the checkpoint.
    """

    def __init__(
        self, path: Path, state: TrainState, observers: Sequence[TrainingObserver], *, writes: bool
    ) -> None:
        self.path, self.writes = path, writes
        self.observers: Sequence[TrainingObserver] = ()
        if writes:
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            for line in state.history:
                self.write({**line, "tiles_per_s": float("nan")})
        self.observers = observers

    def write(self, line: Mapping[str, float]) -> None:
        if not self.writes:
            return
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(
                f"\rtrain  epoch {line['epoch']:.0f}  {line['tiles_per_s']:.0f} tiles/s  "
                f"loss {line['total']:.3f}  held out {line['held_out']:.3f}  "
                f"occupancy {line['perplexity']:.2f}  {line['empty']:.0f} empty  "
                f"confidence {line['confidence']:.2f}  "
            )
            sys.stderr.flush()
        new = not self.path.is_file()
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(line))
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in line.items()})
        for observer in self.observers:
            observer.epoch(line)


class _Saver:
    """Writes a checkpoint if a minute has passed since the last one."""

    def __init__(self, path: Path, key: str, save: Callable[..., None], *, writes: bool) -> None:
        self.path, self.key, self.save, self.writes = path, key, save, writes
        self.last = time.monotonic()

    def after_step(self, state: TrainState) -> None:
        if self.writes and time.monotonic() - self.last >= CHECKPOINT_SECONDS:
            self.save(self.path, state, key=self.key)
            self.last = time.monotonic()

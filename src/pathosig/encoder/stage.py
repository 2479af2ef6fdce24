"""The embed stage: runs the encoder on the tiles of every specimen; it can be resumed slide by slide."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import ConfigError, PathosigWarning, SlideError
from pathosig.core.execution import run_each, run_once
from pathosig.core.fingerprints import identity
from pathosig.core.layout import Layout
from pathosig.core.pool import apart
from pathosig.core.records import atomic_path, read_json, write_json, write_npy
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.encoder import engines
from pathosig.encoder.cards import EncoderCard, embedding_card
from pathosig.encoder.embed import embed_blocks
from pathosig.encoder.graph_cache import Baked, is_kept, onnx_file
from pathosig.encoder.reading import opened_tiles, read_tile_table, specimen_facts
from pathosig.encoder.self_test import check_self_test, self_test
from pathosig.encoder.spec import EncoderSpec
from pathosig.encoder.stain import fit_stain, in_reference_colours, sample_tiles
from pathosig.encoder.zoo import note_on

if TYPE_CHECKING:
    from pathosig.encoder.backbones import Encoder

STAGE = Stage(name="embed", version=2)
ENCODER_UNIT = "_encoder"
DEFAULT_EXECUTION = Execution()
SMALL_BYTES = 64 << 20
INT8_RULE = "layers chosen by held-out cosine, biases shifted"  # changes when the graph would


def embed_tiles(
    study: Study,
    spec: EncoderSpec | None = None,
    *,
    execution: Execution = DEFAULT_EXECUTION,
) -> StageReport:
    """Compute an embedding for every tile, and write embeddings/<id>.npy, float16[tiles, dim], for every slide.

    Row i belongs to row i of the table of tiles; a tile that cannot be decoded has a row of NaN. The encoder is determined
    first: encoder/encoder.json has the digest of its weights, and the weights are copied to the study if they are small or
    were trained in it.

    Parameters
    ----------
    study
        An open study whose tiles stage has run.
    spec
        The encoder and its arithmetic; from study.toml by default.
    execution
        Number of workers, device, and what to do with slides that are already done or that fail.

    Returns
    -------
    StageReport

    Raises
    ------
    ConfigError
        If the encoder, its weights or the device are unavailable.
    """
    spec = spec or study.spec(EncoderSpec)
    specimens = study.specimens()
    settled = _settle(study, spec, execution)
    if settled.waiting:
        return StageReport(stage=STAGE.name, waiting=tuple(s.id for s in specimens))
    units, task = embed_units(study)
    cut = next((str(u.payload["tiles"]) for u in units if u.upstream["tiles"]), None)
    _prepare_engine(study, spec, execution.device, tiles=cut)
    report = run_each(study, STAGE, spec, units, task, execution=execution)
    _warn_of_mixed_devices(study)
    card = read_json(study.paths.encoder_card)
    note = note_on(str(card["backbone"] if "backbone" in card else card["name"]))
    findings = (
        *((f"{card['name']}: {note}",) if note else ()),
        *(_int8_findings(study) if spec.engine == "int8" else ()),
    )
    return replace(report, findings=(*report.findings, *findings))


def _warn_of_mixed_devices(study: Study) -> None:
    """Warn (W_DEVICES) of embeddings from different devices, which differ slightly for the same tile."""
    examples: dict[str, str] = {}
    for record in study.records(STAGE.name):
        if record.status == "ok" and "device" in record.summary:
            examples.setdefault(f"{record.summary['device']}/{record.summary['engine']}", record.unit)
    if len(examples) > 1:
        kinds = ", ".join(f"{kind} (such as {unit})" for kind, unit in sorted(examples.items()))
        message = (
            f"embeddings were computed on different devices or engines: {kinds}. Use one for the whole study."
        )
        warnings.warn(PathosigWarning(message, code="W_DEVICES"), stacklevel=3)


def embed_units(study: Study) -> tuple[list[Unit], Callable[[Job], Outcome]]:
    """One unit of work for the embedding of each specimen, and the task that processes a unit."""
    encoder = study.upstream(STAGE.name, ENCODER_UNIT)
    tiles = {r.unit: float(r.summary.get("n_tiles", 1)) for r in study.records("tiles")}
    units = [
        Unit(
            id=s.id,
            upstream={"tiles": study.upstream("tiles", s.id), "encoder": encoder},
            payload={
                **specimen_facts(s),
                "tiles": study.paths.tiles(s.id).name,
                "out": study.paths.embeddings(s.id).name,
            },
            slide=s.as_input(decides=False, read_by="tiles"),
            work=max(1.0, tiles.get(s.id, 1.0)),
        )
        for s in study.specimens()
    ]
    return units, _embed_one


# -- the encoder ------------------------------------------------------------------------------


def _settle(study: Study, spec: EncoderSpec, execution: Execution) -> StageReport:
    """Write encoder/encoder.json, unless it is up to date."""
    upstream: dict[str, str | None] = {}
    calibration: list[dict[str, object]] = []
    if spec.method == "dlcc":
        upstream["train"] = study.upstream("train", "_train")
    if spec.engine == "int8" or (spec.stain != "none" and spec.method != "dlcc"):
        for s in study.specimens():
            if s.is_discovery and (record := study.record("tiles", s.id)) and record.status == "ok":
                upstream[f"tiles/{s.id}"] = record.fingerprint
                name = study.paths.tiles(s.id).name
                calibration.append({"id": s.id, "tiles": name, **specimen_facts(s)})
        if not calibration:
            upstream["tiles"] = None
    weights = _weights_path(study, spec.weights)
    unit = Unit(
        id=ENCODER_UNIT,
        inputs={
            "weights": identity(weights) if weights else None,
            **({"int8": INT8_RULE} if spec.engine == "int8" else {}),
        },
        upstream=upstream,
        payload={"calibration": calibration, "weights": str(weights) if weights else None},
    )
    return run_once(study, STAGE, spec, unit, _make_encoder, execution=execution, is_apart=True)


def _weights_path(study: Study, name: str | None) -> Path | None:
    if name is None:
        return None
    path = Path(name).expanduser()
    path = path if path.is_absolute() else study.root / path
    if not path.is_file():
        message = f"[encoder] weights: {name} is not a file. Relative paths start at the study folder."
        raise ConfigError(message, code="E_WEIGHTS")
    return path


def _make_encoder(job: Job) -> Outcome:
    from safetensors.torch import save_file

    from pathosig.encoder.backbones import load_encoder

    spec: EncoderSpec = job.spec
    outputs = [Layout.encoder_card]
    if spec.method == "dlcc":
        from pathosig.encoder.training.trained import copy_trained

        card = copy_trained(job.root)
        outputs.append(Layout.encoder_weights)
    else:
        encoder = load_encoder(spec.name, weights=job.payload["weights"])
        numbers = self_test(encoder)
        check_self_test(numbers, digest=encoder.weights_sha256)
        card = {**encoder.card(), "method": spec.method, "weights_file": None, "self_test": numbers}
        if spec.stain != "none":
            card["stain"] = fit_stain(_calibration_tiles(job), spec.stain)
        state = {f"backbone.{k}": v.contiguous() for k, v in encoder.module.state_dict().items()}
        if sum(v.numel() * v.element_size() for v in state.values()) <= SMALL_BYTES:
            with atomic_path(job.paths.encoder_weights) as temporary:
                save_file(state, temporary)
            card["weights_file"] = Path(Layout.encoder_weights).name
            outputs.append(Layout.encoder_weights)
    write_json(job.paths.encoder_card, card)
    if spec.engine == "int8":
        card["int8"] = _calibrate(job, card.get("stain"))
        write_json(job.paths.encoder_card, card)
        outputs.append(Layout.encoder_int8)
    return Outcome(
        outputs=tuple(outputs),
        summary={
            "name": card["name"],
            "weights_sha256": card["weights_sha256"],
            "dim": card["dim"],
            "licence": card["licence"],
        },
    )


def _calibration_tiles(job: Job) -> np.ndarray:
    slides, spec = job.payload["calibration"], job.spec
    return sample_tiles(job.root, slides, n=spec.calibration_tiles, seed=spec.seed)


def _calibrate(job: Job, stain: Mapping[str, object] | None) -> dict[str, object]:
    """Quantise the encoder on tiles sampled evenly from the discovery slides, and return the result for the card."""
    from pathosig.encoder.quantise import quantise

    tiles = np.concatenate(list(in_reference_colours([_calibration_tiles(job)], stain)))
    encoder = read_encoder(job.root, weights=job.payload["weights"])
    quantised = quantise(
        encoder,
        tiles,
        job.paths.encoder_int8,
        min_cosine=job.spec.int8_cosine,
        batch_size=job.spec.batch_size,
    )
    return asdict(quantised)


def _int8_findings(study: Study) -> tuple[str, ...]:
    """A sentence on how much of the network runs in int8, and how close the embeddings are to the exact ones."""
    int8 = read_json(study.paths.encoder_card).get("int8")
    if not int8:
        return ()
    return (
        f"int8: {int8['n_int8']} of {int8['n_layers']} layers ({int8['share_of_work']:.0%} of the "
        f"multiplications), the others stay in float32; cosine to the exact embedding on held-out "
        f"calibration tiles: mean {int8['cosine_mean']:.4f}, smallest {int8['cosine_min']:.4f}",
    )


def read_encoder(root: Path, *, weights: str | None = None) -> Encoder:
    """The encoder that encoder/encoder.json of a study folder describes, after checking its digest and its self-test.

    Parameters
    ----------
    root
        The study folder.
    weights
        Local weights file, for encoders that are too large to be copied to the study.

    Returns
    -------
    Encoder

    Raises
    ------
    InputError
        E_WEIGHTS if the weights are not those on the card; E_SELF_TEST if the network computes something else with them.
    """
    from pathosig.encoder import backbones
    from pathosig.encoder import weights as weight_files

    card = read_json(Layout(root).encoder_card)
    if card.get("weights_file"):  # the file always has the same name, so that a card cannot choose another
        encoder = backbones.encoder_from_state(card, weight_files.read_weights(Layout(root).encoder_weights))
    else:
        encoder = backbones.load_encoder(card["name"], weights=weights)
        where = f"encoder {card['name']}"
        weight_files.check_digest(encoder.weights_sha256, card["weights_sha256"], where=where)
    if "self_test" in card:
        check_self_test(self_test(encoder), digest=encoder.weights_sha256, expected=card["self_test"])
    return encoder


def check_encoder(root: Path, weights: str | None) -> None:
    """Check the encoder of a study as `read_encoder` does, and raise the same errors."""
    read_encoder(root, weights=weights)


def _prepare_engine(study: Study, spec: EncoderSpec, device: str, *, tiles: str | None) -> None:
    """Refuse a device that does not exist, and export the graph once before all workers need it.

    If this needs torch, another process loads it, because this one only waits for workers.
    """
    size_px = read_tile_table(study.root / "tiles" / tiles).size_px if tiles else None
    baked = Baked.of_card(read_json(study.paths.encoder_card))
    if not engines.has_cuda_driver():
        engine, _ = engines.resolve(spec.engine, device)
        if engine != "ort" or size_px is None or is_kept(baked, size_px):
            return
    weights = _weights_path(study, spec.weights)
    path = str(weights) if weights else None
    apart(_settle_engine, study.root, spec.engine, device, baked, size_px, path, label="embed")


def _settle_engine(
    root: Path, engine: str, device: str, baked: Baked, size_px: int | None, weights: str | None
) -> None:
    if engines.resolve(engine, device)[0] == "ort" and size_px is not None:
        onnx_file(baked, size_px, functools.partial(read_encoder, root, weights=weights))


# -- one specimen -----------------------------------------------------------------------------


def _embed_one(job: Job) -> Outcome:
    spec: EncoderSpec = job.spec
    table = read_tile_table(job.root / "tiles" / job.payload["tiles"])
    if not len(table.xy):
        return Outcome(status="empty", summary={"n_tiles": 0})
    card = read_json(job.paths.encoder_card)
    engine, device = engines.resolve(spec.engine, job.execution.device)
    plan = engines.EnginePlan(
        engine=engine, device=device, size_px=table.size_px, batch_size=spec.batch_size, threads=spec.threads
    )
    run = _engine(job.root, Baked.of_card(card), spec.weights, plan)
    lost: list[int] = []
    places: list[int] = []
    block = max(64, spec.batch_size)
    with opened_tiles(job.payload, table, block=block, lost=lost, places=places) as blocks:
        seen = in_reference_colours(blocks, card.get("stain"))
        embedded = embed_blocks(run, seen, n=len(table.xy), dim=card["dim"], batch_size=spec.batch_size)
    out = np.empty_like(embedded)
    out[places] = embedded
    out[lost] = np.nan
    notes = [*_lost_warning(job.unit, len(lost), len(out)), *_mpp_warning(card, table.mpp, spec)]
    relative = f"embeddings/{job.payload['out']}"
    write_npy(job.root / relative, out)
    summary = {
        "n_tiles": len(out),
        "n_lost": len(lost),
        **embedding_card(card, tile_mpp=table.mpp, engine=engine, device=device.split(":")[0]),
    }
    return Outcome(outputs=(relative,), summary=summary, warnings=tuple(notes))


@functools.lru_cache(maxsize=2)
def _engine(root: Path, baked: Baked, weights: str | None, plan: engines.EnginePlan) -> engines.Run:
    """The engine of this worker, which is cached from slide to slide."""

    def load() -> Encoder:
        path = _weights_path(Study.open(root), weights)
        return read_encoder(root, weights=str(path) if path else None)

    return engines.make_engine(plan, baked=baked, load=load, int8_model=Layout(root).encoder_int8)


def _lost_warning(unit: str, lost: int, n: int) -> list[str]:
    """A warning about tiles that could not be decoded, whose rows are NaN.

    Raises
    ------
    SlideError
        E_PIXELS if these are more than half of the tiles.
    """
    if not lost:
        return []
    if lost > n / 2:
        message = (
            f"slide {unit}: {lost} of {n} tiles cannot be decoded. Copy the file again, or drop the slide."
        )
        raise SlideError(message, code="E_PIXELS")
    return [f"W_LOST_TILES {lost} of {n} tiles cannot be decoded and {'is' if lost == 1 else 'are'} left out"]


def _mpp_warning(card: EncoderCard, tile_mpp: float, spec: EncoderSpec) -> list[str]:
    wanted = card.get("mpp")
    if wanted is None or abs(tile_mpp / wanted - 1) <= spec.mpp_tolerance:
        return []
    return [
        f"W_MPP encoder {card['name']} was trained for {wanted} um per pixel, but the tiles have {tile_mpp}. "
        f"Set [tiles] mpp = {wanted}, or raise [encoder] mpp_tolerance to accept this."
    ]

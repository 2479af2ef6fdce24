"""Imports features of tiles that TRIDENT, CLAM or STAMP computed, in place of embedding slides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pathosig.core.errors import InputError
from pathosig.core.execution import run_each
from pathosig.core.fingerprints import identity
from pathosig.core.records import write_json, write_npy
from pathosig.core.schema import TILES, write_table
from pathosig.core.study import Study
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.encoder.features.hdf5 import TileFeatures, read_features
from pathosig.encoder.spec import EncoderSpec
from pathosig.encoder.zoo import ENCODERS

DEFAULT_EXECUTION = Execution()

IMPORTED = Stage(name="embed", version=1, from_elsewhere=True)  # allowed for studies of any level


def import_features(
    study: Study,
    folder: Path | str,
    *,
    encoder: str | None = None,
    mpp: float | None = None,
    execution: Execution = DEFAULT_EXECUTION,
) -> StageReport:
    """Import features of tiles from a folder of HDF5 files, with one <slide_id>.h5 for each slide.

    This writes tiles/<id>.parquet, embeddings/<id>.npy and encoder/encoder.json. The command `pathosig embed DIR
    --features FOLDER` also sets ``level = "embeddings"`` in study.toml, so that `pathosig run` continues from there.

    Parameters
    ----------
    study
        An open study.
    folder
        The folder with the files.
    encoder
        Name of the encoder, if the files do not state it.
    mpp
        Micrometres per pixel of the tiles, if it follows neither from the files nor from slides.csv.
    execution
        Number of workers, and what to do with slides that are already done or that fail.

    Returns
    -------
    StageReport

    Raises
    ------
    InputError
        E_NO_MATCH if no file belongs to a slide, E_DIM if the features are not as long as the embeddings of the encoder that they
        are said to come from; also if the first file cannot be read. Faults in the file of a slide, such as another encoder
        (E_MIXED), are failures of that slide.
    """
    spec = study.spec(EncoderSpec)
    root = Path(folder).expanduser()
    specimens = study.specimens()
    files = {s.id: path for s in specimens if (path := _file_of(root, s.id)) is not None}
    if not files:
        names = [s.id for s in specimens[:5]]
        there = sorted(p.name for p in root.glob("*.h5"))[:5] if root.is_dir() else []
        message = f"{root.name}: no features for any slide. Found {there}; expected <slide_id>.h5 for slides such as {names}."
        raise InputError(message, code="E_NO_MATCH")
    first = read_features(next(iter(files.values())))
    name = encoder or first.encoder or "imported"
    entry = ENCODERS.get(name)
    if entry is not None and first.features.shape[1] != entry.dim:
        raise InputError(
            f"{root.name}: the features have {first.features.shape[1]} columns, but embeddings of {name} have {entry.dim}. "
            "Name what made them with --encoder: any name of your own if the embeddings were pooled in another way.",
            code="E_DIM",
        )
    card = {
        "name": name,
        "dim": int(first.features.shape[1]),
        "method": "imported",
        "mpp": mpp,
        "weights_file": None,
        "weights_sha256": first.weights_sha256 or f"imported:{name}",
        "licence": entry.licence if entry else "see its authors",
    }
    write_json(study.paths.encoder_card, card)
    units = [
        Unit(
            id=s.id,
            inputs={"features": identity(files[s.id]), "encoder": encoder, "mpp": mpp, "slide_mpp": s.mpp},
            payload={
                "h5": str(files[s.id]),
                "card": card,
                "mpp": mpp,
                "slide_mpp": s.mpp,
                "named": encoder,
                "tiles": study.paths.tiles(s.id).name,
                "out": study.paths.embeddings(s.id).name,
            },
        )
        for s in specimens
        if s.id in files
    ]
    return run_each(study, IMPORTED, spec, units, _import_one, execution=execution)


def start_from_embeddings(study: Study) -> None:
    """Record in study.toml that this study starts from embeddings and has no slides to read."""
    study.update("study", level="embeddings")


def _file_of(folder: Path, specimen: str) -> Path | None:
    for suffix in (".h5", ".hdf5"):
        path = folder / f"{specimen}{suffix}"
        if path.is_file():
            return path
    return None


def _import_one(job: Job) -> Outcome:
    import pyarrow as pa

    payload, card = job.payload, job.payload["card"]
    tiles = read_features(Path(payload["h5"]))
    _check_encoder(job.unit, tiles, card, payload["named"])
    if not len(tiles.features):
        return Outcome(status="empty", summary={"n_tiles": 0})
    scale, tile_mpp = _geometry(job.unit, tiles, slide_mpp=payload["slide_mpp"], mpp=payload["mpp"])
    xy = np.rint(tiles.coords * scale).astype(np.int32)
    n = len(xy)
    table = pa.table(
        {
            "tile_id": pa.array(np.arange(n, dtype=np.int32)),
            "x": pa.array(xy[:, 0]),
            "y": pa.array(xy[:, 1]),
            "tissue": pa.array(np.ones(n, np.float32)),
        }
    )
    side = tiles.tile_level0_px or (tiles.tile_um or 0.0) * scale
    metadata = {
        "spec": {"size_px": tiles.tile_px, "mpp": tile_mpp},
        "mpp": tile_mpp,
        "read_plan": None,
        "tile_level0_px": side or None,
        "imported_from": tiles.program,
    }
    table_path, out = f"tiles/{payload['tiles']}", f"embeddings/{payload['out']}"
    write_table(job.root / table_path, table, TILES, {"pathosig": metadata})
    write_npy(job.root / out, tiles.features)
    summary = {
        "n_tiles": n,
        "encoder": card["name"],
        "weights_sha256": card["weights_sha256"],
        "dim": card["dim"],
        "mpp": tile_mpp,
        "engine": f"imported from {tiles.program}",
        "device": "unknown",
    }
    return Outcome(outputs=(table_path, out), summary=summary)


def _check_encoder(unit: str, tiles: TileFeatures, card: Mapping[str, object], named: str | None) -> None:
    dim = int(tiles.features.shape[1])
    name = named or tiles.encoder or card["name"]
    same = tiles.weights_sha256 in ("", card["weights_sha256"])
    if dim != card["dim"] or name != card["name"] or not same:
        message = (
            f"slide {unit}: its features come from {name} and have {dim} columns; those of the first slide come from "
            f"{card['name']} and have {card['dim']}. One study needs one encoder."
        )
        raise InputError(message, code="E_MIXED")


def _geometry(
    unit: str, tiles: TileFeatures, *, slide_mpp: float | None, mpp: float | None
) -> tuple[float, float | None]:
    """Level-0 pixels per unit of the coordinates, and micrometres per pixel of the tiles."""
    mpp = mpp if mpp is not None else tiles.mpp
    if tiles.unit == "um":
        if slide_mpp is None:
            message = (
                f"slide {unit}: its coordinates are in micrometres. Give the slide's micrometres per pixel in the mpp column "
                "of slides.csv."
            )
            raise InputError(message, code="E_MPP")
        tile_mpp = tiles.tile_um / tiles.tile_px if tiles.tile_um and tiles.tile_px else mpp
        return 1 / slide_mpp, tile_mpp
    if mpp is None and slide_mpp and tiles.tile_level0_px and tiles.tile_px:
        mpp = slide_mpp * tiles.tile_level0_px / tiles.tile_px
    return 1.0, mpp

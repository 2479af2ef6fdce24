"""The metadata of an OME-Zarr folder (NGFF 0.4 and 0.5), checked before a pixel is decoded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pathosig.core.errors import SlideError
from pathosig.core.words import counted
from pathosig.slides.backends.bounds import check_declared, check_decoded
from pathosig.slides.backends.zarr_codecs import ShardIndex, chunks_of_shards, codec_names, index_of_shards

_ENOUGH = 50
"""Pixels per stored byte up to which the size of a level is plausible without counting all its files."""

_MAX_CHUNK_BYTES = 256_000_000
_MAX_LEVELS = 40
_MAX_METADATA_BYTES = 20_000_000
_CODECS = {
    "blosc",
    "bytes",
    "bz2",
    "crc32c",
    "gzip",
    "lz4",
    "numcodecs.lz4",
    "numcodecs.zlib",
    "sharding_indexed",
    "shuffle",
    "transpose",
    "zlib",
    "zstd",
}
"""The codecs that are decoded. All others are refused, because some of them unpickle data."""

_COMPRESSORS = {"blosc", "bz2", "gzip", "lz4", "zlib", "zstd"}

_UNITS = {
    "angstrom": 1e-4,
    "centimeter": 1e4,
    "meter": 1e6,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
}


_Table = Mapping[str, Any]
"""A JSON object from an untrusted file. Unexpected contents raise an exception, which `read_facts` reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """How the chunks of a level are stored.

    Attributes
    ----------
    compressor
        Name of the compressor of each chunk; empty if there is none.
    chunk_bytes
        Size of a decoded chunk in bytes.
    shard_chunks
        Number of chunks in a file (a shard); 0 if each chunk is a file.
    index
        How the index of a shard is stored; None if there are no shards.
    """

    compressor: str
    chunk_bytes: int
    shard_chunks: int
    index: ShardIndex | None = None

    @property
    def file_bytes(self) -> int:
        """Size of the decoded contents of a file."""
        return self.chunk_bytes * max(1, self.shard_chunks)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZarrLevel:
    """One array of the pyramid.

    Attributes
    ----------
    folder
        The folder of its metadata and chunks.
    version
        Zarr format, 2 or 3.
    shape
        Length along each axis.
    scale
        Physical size of a pixel along (x, y), in the axes' units.
    storage
        How its chunks are stored.
    """

    folder: Path
    version: int
    shape: tuple[int, ...]
    scale: tuple[float, float]
    storage: Storage


@dataclass(frozen=True, kw_only=True, slots=True)
class ZarrFacts:
    """The pyramid of an OME-Zarr slide.

    Attributes
    ----------
    axes
        Names of the axes (among t, c, z, y, x), in the order of the arrays.
    levels
        Finest first.
    mpp
        Micrometres per level-0 pixel in (x, y); None for an axis without a unit of length.
    """

    axes: tuple[str, ...]
    levels: tuple[ZarrLevel, ...]
    mpp: tuple[float | None, float | None]

    def size(self, level: int) -> tuple[int, int]:
        """(width, height) of a level."""
        shape = self.levels[level].shape
        return shape[self.axes.index("x")], shape[self.axes.index("y")]


def is_zarr(folder: Path) -> bool:
    """Whether a path is the folder of a Zarr store, judged by the metadata files in it.

    Parameters
    ----------
    folder
        Any path.

    Returns
    -------
    Whether there is metadata of Zarr, version 2 or 3.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> before = is_zarr(folder)
    >>> _ = (folder / "zarr.json").write_text("{}")
    >>> before, is_zarr(folder)
    (False, True)
    """
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def read_facts(path: Path) -> ZarrFacts:
    """The pyramid of a store, with its shapes, chunks, pixel type and codecs checked.

    Parameters
    ----------
    path
        The folder of the store.

    Returns
    -------
    `ZarrFacts`.

    Raises
    ------
    SlideError
        E_FORMAT, E_BITDEPTH, E_PHOTOMETRIC, E_CODEC, E_TOO_LARGE.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> axes = [{"name": "c"}, {"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}]
    >>> scale = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    >>> image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    >>> _ = (folder / ".zattrs").write_text(json.dumps({"multiscales": [image]}))
    >>> (folder / "0").mkdir()
    >>> array = {"zarr_format": 2, "shape": [3, 40, 60], "chunks": [3, 40, 60], "dtype": "|u1", "compressor": None,
    ...          "fill_value": 255, "order": "C", "filters": None, "dimension_separator": "/"}
    >>> _ = (folder / "0" / ".zarray").write_text(json.dumps(array))
    >>> facts = read_facts(folder)
    >>> facts.mpp, facts.levels[0].shape
    ((0.5, 0.5), (3, 40, 60))
    """
    try:
        pyramid = _facts(path)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _refuse(
            path, f"has damaged OME-Zarr metadata ({type(error).__name__}: {error}). Copy it again."
        ) from error
    width, height = pyramid.size(0)
    stored, chunks = _stored(pyramid.levels[0], width * height)
    check_declared((width, height), stored, path.name)
    check_decoded(chunks * pyramid.levels[0].storage.file_bytes // 3, stored, path.name)
    return pyramid


def _facts(path: Path) -> ZarrFacts:
    root, attributes = _image(path)
    multiscale = attributes["multiscales"][0]
    axes = tuple(str(axis["name"]) if isinstance(axis, Mapping) else str(axis) for axis in multiscale["axes"])
    if len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes) <= set("tczyx"):
        raise _refuse(path, f"has the axes {list(axes)}; expected y, x and c, with t and z only of length 1.")
    if "c" not in axes:
        raise _refuse(path, "has no colour axis; expected RGB (an axis c of length 3).", "E_PHOTOMETRIC")
    datasets = multiscale["datasets"]
    if not 1 <= len(datasets) <= _MAX_LEVELS:
        raise _refuse(path, f"has {counted(len(datasets), 'level')}.")
    common = _scale(multiscale, len(axes))
    levels = []
    for dataset in datasets:
        scale = [a * b for a, b in zip(common, _scale(dataset, len(axes)), strict=True)]
        folder = root / _inside(path, str(dataset["path"]))
        version, shape, storage = _array(path, folder, axes)
        pair = (scale[axes.index("x")], scale[axes.index("y")])
        levels.append(ZarrLevel(folder=folder, version=version, shape=shape, scale=pair, storage=storage))
    x, y = axes.index("x"), axes.index("y")
    levels.sort(key=lambda level: -level.shape[x])
    factors = {name: _unit(multiscale["axes"][i]) for name, i in (("x", x), ("y", y))}
    fx, fy = factors["x"], factors["y"]
    first = levels[0].scale
    return ZarrFacts(
        axes=axes,
        levels=tuple(levels),
        mpp=(None if fx is None else first[0] * fx, None if fy is None else first[1] * fy),
    )


def _image(path: Path) -> tuple[Path, _Table]:
    """The group of the slide's image and its attributes. Of several images it is the first; another may be the label."""
    root = path
    attributes = _attributes(root)
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        root = path / "0"
        attributes = _attributes(root)
    if "plate" in attributes:
        raise _refuse(path, "is a plate of many images. Give the folder of one of its images.")
    if not attributes.get("multiscales"):
        raise _refuse(
            path,
            "is a Zarr store without OME-Zarr metadata (multiscales, NGFF 0.4 or 0.5). Give the folder of the image itself.",
        )
    return root, attributes


def _attributes(group: Path) -> _Table:
    if (group / "zarr.json").is_file():
        document = _json(group / "zarr.json").get("attributes", {})
        attributes = document.get("ome", document)
    elif (group / ".zattrs").is_file():
        attributes = _json(group / ".zattrs")
    else:
        return {}
    if not isinstance(attributes, Mapping):
        raise TypeError("its attributes are not a JSON object")
    return attributes


def _json(file: Path) -> _Table:
    if not file.is_file() or file.stat().st_size > _MAX_METADATA_BYTES:
        raise ValueError(f"{file.name} is missing or larger than {_MAX_METADATA_BYTES // 1_000_000} MB")
    document = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise TypeError(f"{file.name} is not a JSON object")
    return document


def _inside(path: Path, name: str) -> PurePosixPath:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or ":" in name:
        raise _refuse(path, f"names a level outside its own folder ({name!r}).")
    return relative


def _scale(entry: _Table, n: int) -> list[float]:
    """The scale of a dataset or of the whole image along each axis; 1 if none is given."""
    for transform in entry.get("coordinateTransformations") or ():
        if transform.get("type") == "scale":
            values = [float(v) for v in transform["scale"]]
            if len(values) != n or not all(math.isfinite(v) and v > 0 for v in values):
                raise ValueError(f"scale {values} for {n} axes")
            return values
    return [1.0] * n


def _unit(axis: object) -> float | None:
    unit = axis.get("unit") if isinstance(axis, Mapping) else None
    return _UNITS.get(str(unit).lower())


def _array(path: Path, folder: Path, axes: Sequence[str]) -> tuple[int, tuple[int, ...], Storage]:
    """(zarr version, shape, storage) of a level."""
    if (folder / "zarr.json").is_file():
        version, metadata = 3, _json(folder / "zarr.json")
        dtype, chunks = str(metadata["data_type"]), metadata["chunk_grid"]["configuration"]["chunk_shape"]
        codecs = list(codec_names(metadata["codecs"]))
        eight_bit = dtype == "uint8"
    elif (folder / ".zarray").is_file():
        version, metadata = 2, _json(folder / ".zarray")
        dtype, chunks = str(metadata["dtype"]), metadata["chunks"]
        codecs = list(codec_names([metadata.get("compressor"), *(metadata.get("filters") or ())]))
        eight_bit = dtype in ("|u1", "<u1", ">u1", "u1")
    else:
        raise _refuse(path, f"has no level {folder.name!r}, which its metadata list. Copy the folder again.")
    if not eight_bit:
        raise _refuse(path, f"has pixels of type {dtype}; expected 8 bits per channel.", "E_BITDEPTH")
    unknown = sorted(set(codecs) - _CODECS)
    if unknown:
        raise _refuse(path, f"is compressed with {unknown[0]}, which is not supported.", "E_CODEC")
    shape, chunk = (tuple(int(v) for v in values) for values in (metadata["shape"], chunks))
    if len(shape) != len(axes) or len(chunk) != len(axes) or min(*shape, *chunk) < 1:
        raise ValueError(f"shape {shape} and chunks {chunk} for the axes {list(axes)}")
    _check_axes(path, dict(zip(axes, shape, strict=True)))
    if "sharding_indexed" not in codecs and math.prod(chunk) > _MAX_CHUNK_BYTES:
        raise _refuse(
            path,
            f"has chunks of {chunk} pixels, which are too large to decode. Write it with chunks of 256 to 1024.",
            "E_TOO_LARGE",
        )
    for inner in chunks_of_shards(metadata.get("codecs") or ()):
        if math.prod(inner) > _MAX_CHUNK_BYTES:
            raise _refuse(
                path,
                f"has chunks of {inner} pixels, which are too large to decode. Write it with chunks of 256 to 1024.",
                "E_TOO_LARGE",
            )
    compressors = [name for name in codecs if name.rpartition(".")[2] in _COMPRESSORS]
    if len(compressors) > 1:
        raise _refuse(
            path, f"is compressed twice ({', '.join(compressors)}), which is not supported.", "E_CODEC"
        )
    inner_chunks = list(chunks_of_shards(metadata.get("codecs") or ()))
    if len(inner_chunks) > 1:
        raise _refuse(path, "has shards within shards, which are not supported.", "E_CODEC")
    inside = inner_chunks[0] if inner_chunks else chunk
    shards = math.prod(-(-a // b) for a, b in zip(chunk, inside, strict=True)) if inner_chunks else 0
    storage = Storage(
        compressor=compressors[0] if compressors else "",
        chunk_bytes=math.prod(inside),
        shard_chunks=shards,
        index=index_of_shards(metadata.get("codecs") or ()),
    )
    return version, shape, storage


def _check_axes(path: Path, lengths: Mapping[str, int]) -> None:
    if lengths["c"] != 3:
        raise _refuse(
            path,
            f"has {lengths['c']} channels; expected the 3 of RGB. Fluorescence images are not H&E.",
            "E_PHOTOMETRIC",
        )
    for name in "tz":
        if lengths.get(name, 1) != 1:
            raise _refuse(path, f"has {lengths[name]} planes along {name}; expected one. Export one of them.")


def _stored(level: ZarrLevel, pixels: int) -> tuple[int, int]:
    """Bytes and number of a level's files, counted only until the bytes suffice. The bytes of hard links count once."""
    seen: set[tuple[int, int]] = set()
    stored, files = 0, 0
    for file in level.folder.rglob("*"):
        if not file.is_file():
            continue
        files += 1
        state = file.stat()
        if not state.st_ino or (state.st_dev, state.st_ino) not in seen:
            seen.add((state.st_dev, state.st_ino))
            stored += state.st_size
        if stored * _ENOUGH >= pixels:
            break
    return stored, files


def _refuse(path: Path, what: str, code: str = "E_FORMAT") -> SlideError:
    advice = "" if code == "E_FORMAT" else " Convert it to 8-bit RGB with JPEG, zstd or blosc chunks."
    return SlideError(f"{path.name}: {what}{advice if code != 'E_TOO_LARGE' else ''}", code=code)

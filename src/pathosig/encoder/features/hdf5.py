"""Reads features of tiles from the HDF5 files of TRIDENT, CLAM and STAMP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pathosig.core.errors import InputError

FEATURES = ("features", "feats", "patch_embeddings")
_MOST_PACKED = 1100
"""A little more than the largest compression ratio of Deflate, which is 1,032."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TileFeatures:
    """Features of one slide.

    Attributes
    ----------
    program
        The program that wrote the file: trident, clam or stamp.
    features
        float16[n, dim].
    coords
        float64[n, 2]: top-left corners (x, y), in `unit`.
    unit
        ``px`` (level-0 pixels) or ``um``.
    tile_level0_px, tile_um
        Side of a tile in level-0 pixels or micrometres; None if the file does not state it.
    tile_px
        Side of a tile in pixels as it was embedded; None if the file does not state it.
    encoder
        Name of the encoder in the file; "" if it has none.
    mpp
        Micrometres per pixel of a tile as it was embedded; None if the file does not state it.
    weights_sha256
        Digest of the encoder's weights, which files from `export --to h5` state; otherwise "".
    """

    program: str
    features: np.ndarray
    coords: np.ndarray
    unit: str
    tile_level0_px: float | None
    tile_um: float | None
    tile_px: int | None
    encoder: str
    mpp: float | None = None
    weights_sha256: str = ""


def read_features(path: Path) -> TileFeatures:
    """Read one HDF5 file with features of tiles.

    Parameters
    ----------
    path
        The file of one slide.

    Returns
    -------
    TileFeatures

    Raises
    ------
    InputError
        E_FORMAT if the file is not HDF5; E_FEATURES if features or coordinates are missing or invalid, or differ in number.
    """
    import h5py

    try:
        with h5py.File(path, "r") as stored:
            name = next((n for n in FEATURES if n in stored), None)
            if name is None or "coords" not in stored:
                message = (
                    f"{path.name}: no tile features in it. Found {sorted(stored)}; expected one of {FEATURES} and coords, as "
                    "TRIDENT, CLAM and STAMP write them."
                )
                raise InputError(message, code="E_FEATURES")
            features = np.asarray(_own_array(stored, name, path.name))
            coords = np.asarray(_own_array(stored, "coords", path.name), np.float64)
            attributes = {**_attributes(stored), **_attributes(stored[name]), **_attributes(stored["coords"])}
    except (OSError, KeyError, RuntimeError) as error:
        message = f"{path.name}: not a readable HDF5 file. Give a file with the features of one slide."
        raise InputError(message, code="E_FORMAT") from error
    features = features.reshape(-1, features.shape[-1])  # CLAM and TRIDENT may keep an axis of length 1
    coords = coords.reshape(-1, coords.shape[-1])[:, :2]
    if len(features) != len(coords):
        message = f"{path.name}: {len(features)} features but {len(coords)} coordinates. The file is damaged."
        raise InputError(message, code="E_FEATURES")
    if not np.isfinite(features).all():
        message = f"{path.name}: some features are not finite. Extract this slide again."
        raise InputError(message, code="E_FEATURES")
    return _described(features.astype(np.float16), coords, attributes)


def _own_array(stored: Any, name: str, file: str) -> Any:
    """A dataset of numbers that is stored in the file itself and not larger than the file can contain.

    Raises
    ------
    InputError
        E_FEATURES for a link, data in another file, a group, text, or a size that was declared but never written.
    """
    import h5py

    def refuse(reason: str) -> InputError:
        return InputError(f"{file}: {name} {reason}. Extract this slide again.", code="E_FEATURES")

    if not isinstance(stored.get(name, getlink=True), h5py.HardLink):
        raise refuse("is a link; expected the numbers themselves")
    data = stored[name]
    if not isinstance(data, h5py.Dataset) or data.ndim not in (2, 3) or data.dtype.kind not in "fiu":
        raise refuse("is not a table of numbers")
    if data.external or data.is_virtual:
        raise refuse("is stored in another file")
    if data.nbytes > _MOST_PACKED * max(data.id.get_storage_size(), 1):
        raise refuse(
            f"declares {data.nbytes:,} bytes, but the file has only {data.id.get_storage_size():,} for it"
        )
    return data


def _attributes(node: Any) -> dict[str, Any]:
    plain = {}
    for key, value in node.attrs.items():
        value = value.decode() if isinstance(value, bytes) else value
        plain[str(key)] = value.item() if hasattr(value, "item") and np.size(value) == 1 else value
    return plain


def _described(features: np.ndarray, coords: np.ndarray, attributes: Mapping[str, Any]) -> TileFeatures:
    if "stamp_version" in attributes or attributes.get("unit") == "um" or "tile_size_um" in attributes:
        tile_um = attributes.get("tile_size_um", attributes.get("tile_size"))
        return TileFeatures(
            program="stamp",
            features=features,
            coords=coords,
            unit="um",
            tile_level0_px=None,
            tile_um=float(tile_um) if tile_um is not None else None,
            tile_px=_int(attributes.get("tile_size_px")),
            encoder=str(attributes.get("encoder", attributes.get("extractor", ""))),
        )
    trident = "patch_size_level0" in attributes
    level0 = attributes.get("patch_size_level0")
    if level0 is None and "patch_size" in attributes:
        level0 = float(attributes["patch_size"]) * _downsample(attributes)
    return TileFeatures(
        program="trident" if trident else "clam",
        features=features,
        coords=coords,
        unit="px",
        tile_level0_px=float(level0) if level0 is not None else None,
        tile_um=None,
        tile_px=_int(attributes.get("patch_size")),
        encoder=str(attributes.get("encoder", "")),
        mpp=float(attributes["mpp"]) if "mpp" in attributes else None,
        weights_sha256=str(attributes.get("weights_sha256", "")),
    )


def _downsample(attributes: Mapping[str, Any]) -> float:
    value = attributes.get("downsample", 1.0)
    return float(np.ravel(value)[0])


def _int(value: Any) -> int | None:
    return None if value is None else int(value)

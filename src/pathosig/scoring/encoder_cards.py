"""Checks the card of the encoder in a bundle: its types and ranges, and that it names no file, host or plug-in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathosig.core import plugins
from pathosig.core.layout import Layout
from pathosig.encoder.graph_cache import check_sha256
from pathosig.encoder.zoo import ENCODERS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def encoder_card(raw: Mapping[str, Any], *, inside: bool) -> dict[str, Any]:
    """The card of an encoder with checked types and no other fields.

    Parameters
    ----------
    raw
        The card as it was read.
    inside
        Whether the bundle contains the encoder's weights.

    Raises
    ------
    ValueError, KeyError, TypeError
        If a field is missing or malformed.
    """
    for key in ("name", "backbone"):
        name = raw.get(key, "x")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{key} {str(name)[:60]!r} is not a plain name of an encoder")
    name = str(raw.get("backbone", raw["name"]))
    if inside and name not in ENCODERS and name in plugins.available("pathosig.encoders"):
        raise ValueError(f"{name!r} is built by a plug-in; such encoders need local weights")
    if not inside and "mean" not in raw:
        return _card_of_features(raw)
    check_sha256(str(raw["weights_sha256"]), where="encoder card")
    out: dict[str, Any] = {
        "name": str(raw["name"]),
        "dim": _whole(raw["dim"], 1, 100_000),
        "mpp": None if raw["mpp"] is None else checked_number(raw["mpp"], 0.01, 100),
        "mean": [checked_number(v, -1e3, 1e3) for v in raw["mean"]],
        "std": [checked_number(v, 1e-6, 1e3) for v in raw["std"]],
        "weights_sha256": str(raw["weights_sha256"]),
        "licence": str(raw["licence"])[:200],
        "input_px": None if raw["input_px"] is None else _whole(raw["input_px"], 16, 4096),
        "method": "pretrained",
        "weights_file": Path(Layout.encoder_weights).name if inside else None,
    }
    if len(out["mean"]) != 3 or len(out["std"]) != 3:
        raise ValueError("mean and std do not have three colours")
    if "backbone" in raw:
        out["backbone"] = str(raw["backbone"])
    if raw.get("stain") is not None:
        out["stain"] = _stain(raw["stain"])
    return out


def _card_of_features(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The card of an encoder that only another program can run; a bundle with it scores features, not slides."""
    digest, name = str(raw["weights_sha256"]), str(raw["name"])
    if digest != f"imported:{name}":
        check_sha256(digest, where="encoder card")
    return {
        "name": name,
        "dim": _whole(raw["dim"], 1, 100_000),
        "mpp": None if raw["mpp"] is None else checked_number(raw["mpp"], 0.01, 100),
        "weights_sha256": digest,
        "licence": str(raw["licence"])[:200],
        "method": "imported",
        "weights_file": None,
    }


def _stain(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A stain reference: names and numbers only."""
    out: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, str):
            if not _NAME.fullmatch(value):
                raise ValueError(f"stain: {key[:20]} is not a plain word")
            out[key] = value
        elif isinstance(value, list):
            out[key] = [
                [checked_number(v, -1e6, 1e6) for v in row]
                if isinstance(row, list)
                else checked_number(row, -1e6, 1e6)
                for row in value
            ]
        else:
            out[key] = checked_number(value, -1e6, 1e6)
    return out


def checked_number(value: Any, low: float, high: float) -> float:
    """A finite number within a range.

    Raises
    ------
    TypeError, ValueError
        If the value is not a number, or lies outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"expected a number, found {str(value)[:20]!r}")
    if not low <= value <= high:
        raise ValueError(f"{value} lies outside {low} to {high}")
    return float(value)


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise TypeError(f"expected a whole number from {low} to {high}, found {str(value)[:20]!r}")
    return value

"""One study, one encoder: the identity that every embedding carries, and the refusal to mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.core.errors import InputError

IDENTITY = ("weights_sha256", "dim", "mpp")


def embedding_card(
    encoder: Mapping[str, Any], *, tile_mpp: float, engine: str, device: str
) -> dict[str, Any]:
    """What the record of an embedding says of its making."""
    return {
        "encoder": encoder["name"],
        "weights_sha256": encoder["weights_sha256"],
        "dim": encoder["dim"],
        "mpp": tile_mpp,
        "engine": engine,
        "device": device,
    }


def one_encoder(cards: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The identity that all embeddings share.

    Parameters
    ----------
    cards
        Specimen id -> the summary of its embed record.

    Returns
    -------
    The common card; ``devices`` lists the device classes found.

    Raises
    ------
    InputError
        E_MIXED, naming two specimens, when encoders or micrometres per pixel differ.
    """
    if not cards:
        message = "no embeddings yet. Run `pathosig embed`."
        raise InputError(message, code="E_MISSING")
    first_id, first = min(cards.items())
    for specimen, card in sorted(cards.items()):
        for name in IDENTITY:
            if card.get(name) != first.get(name):
                message = (
                    f"slide {specimen}: its embeddings have {name} {_short(card.get(name))} "
                    f"(encoder {card.get('encoder')}), slide {first_id} has {_short(first.get(name))} "
                    f"(encoder {first.get('encoder')}). One study needs one encoder at one mpp: run "
                    "`pathosig embed` "
                    "again, or import features of the same encoder."
                )
                raise InputError(message, code="E_MIXED")
    devices = sorted(
        {str(c.get("device", "")).split(":")[0] + "/" + str(c.get("engine")) for c in cards.values()}
    )
    return {**{k: first.get(k) for k in ("encoder", *IDENTITY)}, "devices": devices}


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)

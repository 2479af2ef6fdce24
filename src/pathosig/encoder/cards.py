"""One study, one encoder: the identity that every embedding carries, and the refusal to mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from pathosig.core.errors import InputError

IDENTITY = ("weights_sha256", "dim", "mpp")


class EncoderCard(TypedDict):
    """What encoder/encoder.json says of an encoder; the keys after ``input_px`` depend on how it came about."""

    name: str
    dim: int
    mpp: float | None
    mean: list[float]
    std: list[float]
    weights_sha256: str
    licence: str
    input_px: int | None
    method: NotRequired[str]
    weights_file: NotRequired[str | None]
    stain: NotRequired[Mapping[str, object] | None]
    int8: NotRequired[Mapping[str, object]]
    self_test: NotRequired[list[float]]
    backbone: NotRequired[str]
    start_sha256: NotRequired[str]
    heads_sha256: NotRequired[str]
    n_clusters: NotRequired[int]
    train: NotRequired[Mapping[str, object]]


class EmbeddingCard(TypedDict):
    """What the record of an embedding says of its making."""

    encoder: str
    weights_sha256: str
    dim: int
    mpp: float
    engine: str
    device: str


def embedding_card(encoder: EncoderCard, *, tile_mpp: float, engine: str, device: str) -> EmbeddingCard:
    """What the record of an embedding says of its making."""
    return {
        "encoder": encoder["name"],
        "weights_sha256": encoder["weights_sha256"],
        "dim": encoder["dim"],
        "mpp": tile_mpp,
        "engine": engine,
        "device": device,
    }


def one_encoder(cards: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
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


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)

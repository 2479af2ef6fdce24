"""The identity of the encoder that every embedding records, and the check that a study uses only one encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from pathosig.core.errors import InputError

IDENTITY = ("weights_sha256", "dim", "mpp")


class EncoderCard(TypedDict):
    """The content of encoder/encoder.json; the keys after ``input_px`` depend on where the encoder comes from."""

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
    """How embeddings were computed, for the record of a slide."""

    encoder: str
    weights_sha256: str
    dim: int
    mpp: float
    engine: str
    device: str


def embedding_card(encoder: EncoderCard, *, tile_mpp: float, engine: str, device: str) -> EmbeddingCard:
    """The card of embeddings from an encoder on tiles of `tile_mpp` micrometres per pixel."""
    return {
        "encoder": encoder["name"],
        "weights_sha256": encoder["weights_sha256"],
        "dim": encoder["dim"],
        "mpp": tile_mpp,
        "engine": engine,
        "device": device,
    }


def one_encoder(cards: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The identity of the encoder that all embeddings of a study have in common.

    Parameters
    ----------
    cards
        Specimen id -> summary of its embed record.

    Returns
    -------
    dict
        The common card; ``devices`` lists the kinds of device and engine that were used.

    Raises
    ------
    InputError
        E_MIXED if encoders or micrometres per pixel differ; the message names two specimens. E_MISSING without embeddings.
    """
    if not cards:
        message = "the study has no embeddings yet. Run `pathosig embed`."
        raise InputError(message, code="E_MISSING")
    first_id, first = min(cards.items())
    for specimen, card in sorted(cards.items()):
        for name in IDENTITY:
            if card.get(name) != first.get(name):
                message = (
                    f"slide {specimen}: its embeddings have {name} {_short(card.get(name))} "
                    f"(encoder {card.get('encoder')}), but slide {first_id} has {_short(first.get(name))} "
                    f"(encoder {first.get('encoder')}). A study needs one encoder at one mpp: run `pathosig embed` again, or "
                    "import features from the same encoder."
                )
                raise InputError(message, code="E_MIXED")
    devices = sorted(
        {str(c.get("device", "")).split(":")[0] + "/" + str(c.get("engine")) for c in cards.values()}
    )
    return {**{k: first.get(k) for k in ("encoder", *IDENTITY)}, "devices": devices}


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)

"""A test tile, what known weights make of it, and the refusal of an encoder that makes something else of it.

A digest says that the weights are the same; this says that the network around them, its normalisation and the library that runs
it are the same as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import InputError
from pathosig.encoder.engines import EnginePlan, engine_of

if TYPE_CHECKING:
    from pathosig.encoder.backbones import Encoder

_SIDE, _PARTS = 224, 8
_TOLERANCE = 1e-3
"""Relative to the largest number: float32 sums differ by less between machines, a wrong pooling or normalisation by far more."""

KNOWN: Mapping[str, tuple[float, ...]] = {
    # efficientnet-lite0, as shipped
    "6ecdc3f8ed41617c8b443ee508b496165e5cccda5203220611cdf8653e2d8e84": (
        0.18005,
        0.291107,
        0.24415,
        0.182829,
        0.174951,
        0.293156,
        0.182627,
        0.173121,
    ),
}
"""Digest of weights to what `self_test` gives with them."""


def test_tile() -> np.ndarray:
    """The tile, uint8[1, 224, 224, 3]: stripes and gradients of every colour, from a formula, so that it is the same everywhere."""
    row, column, channel = np.ogrid[:_SIDE, :_SIDE, :3]
    return ((3 * row + 5 * column * (channel + 1) + row * column // 16) % 256).astype(np.uint8)[None]


test_tile.__test__ = False  # type: ignore[attr-defined]  # a name for people; pytest should not collect it


def self_test(encoder: Encoder) -> list[float]:
    """Means of the eight parts of the embedding of the test tile, in float32 on the CPU, rounded to six digits."""
    run = engine_of(encoder, EnginePlan(engine="fp32", device="cpu", batch_size=1))
    return [float(f"{part.mean():.6g}") for part in np.array_split(run(test_tile())[0], _PARTS)]


def check_self_test(
    numbers: Sequence[float], *, digest: str, expected: Sequence[float] | None = None
) -> bool:
    """Refuse an encoder that makes something else of the test tile than its weights are known to.

    Parameters
    ----------
    numbers
        What `self_test` gave.
    digest
        SHA-256 of the weights.
    expected
        The numbers on a card; without it those in `KNOWN`.

    Returns
    -------
    bool
        Whether there was something to compare with.

    Raises
    ------
    InputError
        E_SELF_TEST.

    Examples
    --------
    >>> check_self_test([0.5, 1.0], digest="ab" * 32, expected=[0.5, 1.0])
    True
    >>> check_self_test([0.5, 1.0], digest="ab" * 32)
    False
    """
    known = KNOWN.get(digest) if expected is None else expected
    if known is None:
        return False
    off = np.abs(np.subtract(numbers, known)) if len(numbers) == len(known) else np.array([np.inf])
    if not off.max() <= _TOLERANCE * max(np.abs(known).max(), 1e-6):
        message = (
            f"encoder with weights {digest[:12]}: its self-test gives {list(numbers)[:3]}, expected "
            f"{list(known)[:3]}. The network around the weights is another one: update timm, or install the version that made them."
        )
        raise InputError(message, code="E_SELF_TEST")
    return True

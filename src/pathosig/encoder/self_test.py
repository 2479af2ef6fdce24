"""A test that an encoder computes what it should: its embedding of a test tile must have known values.

A digest shows that the weights are the same. This test shows that the network with these weights, its normalisation and the
library that runs it are the same as well.
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
"""Relative to the largest value. Differences between machines in float32 are smaller; a wrong pooling or normalisation changes
the values far more."""

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
"""Digest of weights -> the values that `self_test` returns with them."""


def test_tile() -> np.ndarray:
    """The test tile, uint8[1, 224, 224, 3]: stripes and gradients in all colours, computed from a formula."""
    row, column, channel = np.ogrid[:_SIDE, :_SIDE, :3]
    return ((3 * row + 5 * column * (channel + 1) + row * column // 16) % 256).astype(np.uint8)[None]


test_tile.__test__ = False  # type: ignore[attr-defined]  # pytest should not collect it because of its name


def self_test(encoder: Encoder) -> list[float]:
    """Means of eight parts of the test tile's embedding, computed in float32 on the CPU and rounded to six digits."""
    run = engine_of(encoder, EnginePlan(engine="fp32", device="cpu", batch_size=1))
    return [float(f"{part.mean():.6g}") for part in np.array_split(run(test_tile())[0], _PARTS)]


def check_self_test(
    numbers: Sequence[float], *, digest: str, expected: Sequence[float] | None = None
) -> bool:
    """Refuse an encoder whose embedding of the test tile differs from the expected one.

    Parameters
    ----------
    numbers
        From `self_test`.
    digest
        SHA-256 of the weights.
    expected
        Expected values, from the card of an encoder; by default those in `KNOWN`.

    Returns
    -------
    bool
        Whether there were expected values to compare with.

    Raises
    ------
    InputError
        E_SELF_TEST if the values differ.

    Examples
    --------
    >>> check_self_test([0.5, 1.0], digest="ab" * 32, expected=[0.5, 1.0])
    True
    >>> check_self_test([0.5, 1.0], digest="ab" * 32)
    False
    """
    reference = KNOWN.get(digest) if expected is None else expected
    if reference is None:
        return False
    off = np.abs(np.subtract(numbers, reference)) if len(numbers) == len(reference) else np.array([np.inf])
    if not off.max() <= _TOLERANCE * max(np.abs(reference).max(), 1e-6):
        message = (
            f"encoder with weights {digest[:12]}: its self-test gives {list(numbers)[:3]}, expected "
            f"{list(reference)[:3]}. The installed timm builds another network for these weights: update it, or install the version "
            "that they were saved with."
        )
        raise InputError(message, code="E_SELF_TEST")
    return True

"""Micrometres per pixel: parsed, checked for plausibility, never guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pathosig.core.errors import SlideError

MPP_MIN, MPP_MAX = 0.05, 100.0
"""Beyond these a number is a wrong unit (72 dpi tags give 352.8), not a microscope."""

_ANISOTROPY = 0.05


def parse_number(text: str | float | None) -> float | None:
    """A number with point or comma, or None."""
    if text is None:
        return None
    try:
        value = float(str(text).strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def checked_mpp(
    x: float | None, y: float | None, *, given: float | None, name: str
) -> tuple[float | None, str]:
    """The mpp to use and where it comes from.

    Parameters
    ----------
    x, y
        Header values in micrometres per pixel.
    given
        Value of the user's table; it wins over the header.

    Returns
    -------
    (mpp, source) with source ``given``, ``header`` or ``missing``

    Raises
    ------
    SlideError
        E_MPP_RANGE for implausible values, E_MPP_ANISO where x and y differ by more than 5 %.
    """
    if given is not None:
        _plausible(given, name, "given for it")
        return given, "given"
    x, y = x or y, y or x
    if x is None or y is None:
        return None, "missing"
    _plausible(x, name, "in its header")
    _plausible(y, name, "in its header")
    if abs(x - y) > _ANISOTROPY * max(x, y):
        raise SlideError(
            f"{name}: pixels are not square (mpp {x:g} by {y:g}). Resample the slide, or give one mpp in slides.csv.",
            code="E_MPP_ANISO",
        )
    return (x + y) / 2, "header"


def _plausible(value: float, name: str, where: str) -> None:
    if not MPP_MIN <= value <= MPP_MAX:
        raise SlideError(
            f"{name}: mpp {value:g} {where}; expected {MPP_MIN} to {MPP_MAX:g} micrometres per pixel. "
            "Give the right value in the mpp column of slides.csv.",
            code="E_MPP_RANGE",
        )


def power_warning(mpp: float | None, power: float | None) -> tuple[str, ...]:
    """A warning where objective power and mpp disagree by more than a factor of 1.6."""
    if not mpp or not power:
        return ()
    ratio = mpp * power / 10.0
    if 1 / 1.6 <= ratio <= 1.6:
        return ()
    return (
        f"mpp {mpp:g} and objective power {power:g} disagree (a {power:g}x scan has about {10 / power:g})",
    )


def from_resolution_tags(tags: Mapping[str, float | int | None]) -> tuple[float | None, float | None]:
    """Mpp from TIFF resolution tags (``x``, ``y`` in pixels per unit, ``unit`` 2 inch or 3 cm)."""
    per_unit = {2: 25_400.0, 3: 10_000.0}.get(int(tags.get("unit") or 0))
    if per_unit is None:
        return None, None
    values = [tags.get("x"), tags.get("y")]
    x, y = (per_unit / v if v else None for v in values)
    return x, y

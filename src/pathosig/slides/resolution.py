"""Micrometres per pixel, which are read from the fields of a header, checked for plausibility and never guessed."""

from __future__ import annotations

import math
import re

from pathosig.core.errors import SlideError

MPP_MIN, MPP_MAX = 0.05, 100.0
"""Range of plausible values; others indicate a wrong unit."""

_ANISOTROPY = 0.05
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_GOES_ON = re.compile(r"[/*^:]|[eE][-+]?\d|[.,]?\d")
_BRACKETS = re.compile(r"[\[\](){}]")
_PER_PIXEL = re.compile(r"\s*(?:/|per\b)\s*(?:px|pixels?|pix)\b.*$", re.IGNORECASE)
_NEXT_FIELD = re.compile(r"[^=:]{1,40}[=:]")
_UNITS = {
    "pm": 1e-6,
    "picometer": 1e-6,
    "picometre": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "âµm": 1.0,  # UTF-8 that was read as Latin-1
    "micron": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "\\u00b5m": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "in": 25_400.0,
    "inch": 25_400.0,
    "ft": 304_800.0,
    "thou": 25.4,
    "mil": 25.4,
    "li": 25_400.0 / 12,
    "pt": 25_400.0 / 72,
}
_PRINTER_MIN, _PRINTER_MAX = 25_400 / 601, 25_400 / 71.9
"""Micrometres per pixel of 72 to 600 dots per inch, which are resolutions of printers and screens."""
_ADVICE = "Give the right value in the mpp column of slides.csv (or with --mpp): a scan at 20x has about 0.5, at 40x 0.25."


def parse_number(text: str | float | None) -> float | None:
    """A positive number with a decimal point or comma, with or without an exponent; None for any other text.

    Parameters
    ----------
    text
        Text of a header field.

    Returns
    -------
    The number, finite and above 0, or None.

    Examples
    --------
    >>> parse_number("0,2527"), parse_number("2.5e-1"), parse_number("n/a")
    (0.2527, 0.25, None)
    """
    if text is None:
        return None
    try:
        value = float(str(text).strip().strip('"').replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def first_number(text: str) -> float | None:
    """The number with which a text begins; None if there is none.

    Parameters
    ----------
    text
        Such as ``0.2527 um`` or ``2,5e-1``.

    Returns
    -------
    The number, finite and above 0, or None.

    Examples
    --------
    >>> first_number(" 0.2527 um"), first_number("2,5E-1|Left = 3")
    (0.2527, 0.25)
    """
    match = _NUMBER.match(text.strip()[:64])
    return parse_number(match.group()) if match else None


def length(text: str) -> float | None:
    """The length in micrometres that a field of a header gives; None if there is none, or anything but its unit follows.

    Parameters
    ----------
    text
        Such as ``0.2527``, ``250 nm``, ``0.25 um/pixel`` or ``"2,5e-1"``; a number without a unit is in micrometres. Another
        ``key = value`` may follow.

    Returns
    -------
    Micrometres or None.

    Examples
    --------
    >>> [length(text) for text in (" 0.2527 um", "250nm/px", "2,5E-1", "0.25 AppMag = 40", "0.25 [um per pixel]")]
    [0.2527, 0.25, 0.25, 0.25, 0.25]
    >>> [length(text) for text in ("1/4", "2.5 e-1", "4 px/um", "4 pixels per micron", "0.5 x 0.25")]
    [None, None, None, None, None]
    """
    text = text.strip()[:64].strip("\"' ")
    match = _NUMBER.match(text)
    rest = text[match.end() :].strip() if match else ""
    if match is None or _GOES_ON.match(rest):
        return None
    rest = _PER_PIXEL.sub("", _BRACKETS.sub(" ", rest)).strip()
    unit, _, more = rest.partition(" ")
    if _NEXT_FIELD.match(rest):
        unit, more = ("", rest) if micrometres(1.0, unit) is None else (unit, more)
    if more.strip() and not _NEXT_FIELD.match(more.strip()):
        return None
    return micrometres(match.group(), unit)


def micrometres(value: str | float | None, unit: str) -> float | None:
    """A length in micrometres; None if the number or its unit cannot be interpreted.

    Parameters
    ----------
    value
        The number, or its text.
    unit
        Its unit, such as ``nm``, ``um``, ``mm`` or ``inch``; case does not matter.

    Returns
    -------
    Micrometres or None.

    Examples
    --------
    >>> micrometres("250", "nm"), micrometres("5e-7", "m"), micrometres("1", "pixel")
    (0.25, 0.5, None)
    """
    name = unit.strip().lower()
    number, factor = parse_number(value), _UNITS.get(name, _UNITS.get(name.removesuffix("s")))
    return None if number is None or factor is None else float(f"{number * factor:.12g}")


def checked_mpp(
    x: float | None, y: float | None, *, given: float | None, name: str, tags: bool = False
) -> tuple[float | None, str]:
    """The mpp of a slide and its source.

    Parameters
    ----------
    x, y
        Values of the header in micrometres per pixel.
    given
        Value in the table of the user, which takes precedence over the header.
    name
        Name of the slide, for error messages.
    tags
        Whether the values come from resolution tags. If software does not know the resolution, it often sets them to that of a
        printer or screen (72 to 600 dots per inch).

    Returns
    -------
    (mpp, source), where source is ``given``, ``header`` or ``missing``

    Raises
    ------
    SlideError
        E_MPP_RANGE if a value is implausible, E_MPP_ANISO if x and y differ by more than 5 %.

    Examples
    --------
    >>> checked_mpp(0.252, 0.250, given=None, name="S01.svs")
    (0.251, 'header')
    >>> checked_mpp(0.252, 0.250, given=0.5, name="S01.svs")
    (0.5, 'given')
    >>> checked_mpp(0.25, 0.5, given=None, name="S01.svs")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.svs: pixels are not square (mpp 0.25 by 0.5). Resample the slide, ...
    """
    if given is not None:
        if not (math.isfinite(given) and MPP_MIN <= given <= MPP_MAX):
            raise _implausible(given, name, "given for it")
        return given, "given"
    x, y = x or y, y or x
    if x is None or y is None:
        return None, "missing"
    if tags and any(_PRINTER_MIN <= value <= _PRINTER_MAX for value in (x, y)):
        raise SlideError(
            f"{name}: its header has the resolution of a printer or screen ({25_400 / x:.0f} dots per inch), not that of a "
            f"microscope. {_ADVICE}",
            code="E_MPP_RANGE",
        )
    for value in (x, y):
        if not (math.isfinite(value) and MPP_MIN <= value <= MPP_MAX):
            raise _implausible(value, name, "in its header")
    if abs(x - y) > _ANISOTROPY * max(x, y):
        raise SlideError(
            f"{name}: pixels are not square (mpp {x:g} by {y:g}). Resample the slide, or give one mpp in the mpp column of "
            "slides.csv.",
            code="E_MPP_ANISO",
        )
    return (x + y) / 2, "header"


def _implausible(value: float, name: str, where: str) -> SlideError:
    return SlideError(
        f"{name}: mpp {value:g} {where}; expected {MPP_MIN} to {MPP_MAX:g} micrometres per pixel. {_ADVICE}",
        code="E_MPP_RANGE",
    )


def power_warning(mpp: float | None, power: float | None) -> tuple[str, ...]:
    """A warning if objective power and mpp disagree by more than a factor of 1.6.

    Parameters
    ----------
    mpp
        Micrometres per pixel, or None.
    power
        Magnification of the objective, or None.

    Returns
    -------
    One sentence, or none.

    Examples
    --------
    >>> power_warning(0.5, 20), len(power_warning(0.5, 40))
    ((), 1)
    """
    if not mpp or not power:
        return ()
    ratio = mpp * power / 10.0
    if 1 / 1.6 <= ratio <= 1.6:
        return ()
    return (
        f"mpp {mpp:g} and objective power {power:g} disagree (a {power:g}x scan has about {10 / power:.3g}). If the mpp is wrong, "
        "give the right one in the mpp column of slides.csv",
    )


def from_resolution_tags(x: float | None, y: float | None, unit: int) -> tuple[float | None, float | None]:
    """The mpp in x and y from the resolution tags of TIFF.

    Parameters
    ----------
    x, y
        Pixels per unit of length, or None.
    unit
        ResolutionUnit: 2 for inches, 3 for centimetres; anything else gives None.

    Returns
    -------
    Micrometres per pixel in x and in y; None for a direction without a resolution.

    Examples
    --------
    >>> from_resolution_tags(40_000.0, 40_000.0, 3)
    (0.25, 0.25)
    """
    per_unit = {2: 25_400.0, 3: 10_000.0}.get(unit)
    if per_unit is None:
        return None, None
    return (per_unit / x if x else None), (per_unit / y if y else None)

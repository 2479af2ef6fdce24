"""The names of images in a TIFF: which are labels, macro images or thumbnails, and which are red, green and blue."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORDS = r"(?:labels?|macro|thumb|thumbnail|overview|barcode|slide ?image|preview)"
_MENTIONED = re.compile(rf"\b{_WORDS}\b", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?:(?:associated|slide|whole slide|the) )?{_WORDS}(?:[ -](?:image|photo|page))?[ #,:()\-\dx]*",
    re.IGNORECASE,
)
_APART = re.compile(r"_|(?<=[a-z])(?=[A-Z])")
_COLOUR = re.compile(
    r"(?:(?:channel|ch|c|band)[ :-]*)?(red|green|blue|r|g|b)(?: (?:channel|band))?", re.IGNORECASE
)
_NUMBERED = re.compile(r"(?:(?:channel|ch|c|band|image|series|page)[ :#-]*)?[\d:]*", re.IGNORECASE)
_LIGHT = re.compile(r"\b(bright ?field|transmitted|rgb|bf|tl|h ?& ?e)\b", re.IGNORECASE)


def is_no_slide(text: str, *, largest: bool = False) -> bool:
    r"""Whether the name of an image says that it is a label, macro image or thumbnail.

    Parameters
    ----------
    text
        The name or description of the image.
    largest
        Whether the image is the largest of the file. If so, a line must consist of such a name; mentioning the word is not
        enough.

    Returns
    -------
    True for a label, macro image or thumbnail.

    Examples
    --------
    >>> [is_no_slide(text) for text in ("Aperio Image Library\r\nlabel 387x463", "MacroImage", "slide_label", "scan 1")]
    [True, True, True, False]
    >>> is_no_slide("Slide label: S12-345"), is_no_slide("Slide label: S12-345", largest=True)
    (True, False)
    """
    if text.lstrip().startswith("<"):
        return False
    said = _APART.sub(" ", text[:400].partition("|")[0])
    if not _MENTIONED.search(said):
        return False
    return not largest or any(_NAMED.fullmatch(line.strip()) for line in said.splitlines())


def rgb_order(names: Sequence[str]) -> tuple[int, ...] | None:
    """Which of three gray images are red, green and blue, by their names; None if these name something else.

    Parameters
    ----------
    names
        Three names. If they are empty or numbered, the order is taken to be red, green, blue.

    Returns
    -------
    Positions of red, green and blue, from 0, or None.

    Examples
    --------
    >>> rgb_order(["Blue", "Green", "Red"]), rgb_order(["Channel 0", "Channel 1", "Channel 2"])
    ((2, 1, 0), (0, 1, 2))
    >>> rgb_order(["hematoxylin", "eosin", "residual"])
    """
    plain = [_APART.sub(" ", name).strip() if len(name) < 40 else name.strip() for name in names]
    matches = [_COLOUR.fullmatch(name) for name in plain]
    colours = [match.group(1)[0].lower() for match in matches if match]
    if sorted(colours) == ["b", "g", "r"]:
        return tuple(colours.index(colour) for colour in "rgb")
    if all(_NUMBERED.fullmatch(name) or _LIGHT.search(name) for name in plain):
        return tuple(range(len(names)))
    return None

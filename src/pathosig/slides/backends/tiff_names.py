"""The names of images in a TIFF: which are labels, macro images or thumbnails, and which are red, green and blue."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_WORDS = r"(?:labels?|macro|thumb|thumbnail|overview|barcode|slide ?image|preview)"
_MENTIONED = re.compile(rf"\b{_WORDS}\b", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?:(?:associated|slide|whole slide|the) )?{_WORDS}(?:[ -](?:image|photo|page))?(?:[ #,:()\-\dx]*| (?:of|for|from) .*)",
    re.IGNORECASE,
)
_TYPED = re.compile(r"<ImageType>\s*(?:label|overview|macro|thumbnail)\s*</ImageType>", re.IGNORECASE)
_APART = re.compile(r"_|(?<=[a-z])(?=[A-Z])")
_COLOUR = re.compile(
    r"(?:(?:channel|ch|c|band)[ :-]*)?(red|green|blue|r|g|b)(?: (?:channel|band))?", re.IGNORECASE
)
_NUMBERED = re.compile(r"(?:(?:channel|ch|c|band|image|series|page)[ :#-]*)?[\d:]*", re.IGNORECASE)
_SHAPED = re.compile(r'\{"shape": \[([\d, ]{1,200})\]')
_STACKED = re.compile(r"^images=(\d{1,9})$", re.MULTILINE)
_LIGHT = re.compile(r"\b(bright ?field|transmitted|rgb|bf|tl|h ?& ?e)\b", re.IGNORECASE)


def is_no_slide(text: str, *, largest: bool = False) -> bool:
    r"""Whether the name of an image says that it is a label, macro image or thumbnail.

    Parameters
    ----------
    text
        The name or description of the image; of XML, only the element ImageType counts.
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
    >>> is_no_slide("<PerkinElmer-QPI-ImageDescription><ImageType>Label</ImageType>")
    True
    >>> is_no_slide("Slide label: S12-345"), is_no_slide("Slide label: S12-345", largest=True)
    (True, False)
    """
    if text.lstrip().startswith("<"):
        return bool(_TYPED.search(text[:10_000]))
    said = _APART.sub(" ", text[:400].partition("|")[0])
    if not _MENTIONED.search(said):
        return False
    return not largest or any(_NAMED.fullmatch(line.strip()) for line in said.splitlines())


def is_reduced(description: str, size: tuple[int, int]) -> bool:
    r"""Whether Aperio's description of a page says that it is the slide reduced to its size.

    Parameters
    ----------
    description
        The tag ImageDescription.
    size
        (width, height) of the page.

    Returns
    -------
    True if the text says so.

    Examples
    --------
    >>> is_reduced("Aperio Image Library\r\n46920x33014 [0,100 46000x32914] (256x256) -> 11500x8228 JPEG", (11500, 8228))
    True
    >>> is_reduced("Aperio Image Library\r\n387x463", (387, 463))
    False
    """
    return description.startswith("Aperio") and f"-> {size[0]}x{size[1]}" in description[:1000]


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


def planes_declared(description: str, samples: int) -> int:
    r"""Number of planes in the description of the first page by ImageJ or tifffile, which may store all of them in one page.

    Parameters
    ----------
    description
        The tag ImageDescription.
    samples
        Number of samples of the page: width times height times samples per pixel.

    Returns
    -------
    The number of planes; 1 for other descriptions.

    Examples
    --------
    >>> planes_declared("ImageJ=1.54f\nimages=3\nchannels=3", 64), planes_declared('{"shape": [3, 8, 8]}', 64)
    (3, 3)
    >>> planes_declared("a slide", 64)
    1
    """
    if description.startswith("ImageJ="):
        stacked = _STACKED.search(description[:4000])
        return int(stacked.group(1)) if stacked else 1
    shaped = _SHAPED.match(description)
    if not shaped:
        return 1
    return math.prod(int(n) for n in shaped.group(1).split(",") if n.strip().isdigit()) // samples

"""The page: sections made of a few kinds of blocks, rendered to one offline HTML file.

Nothing here knows of a study. Every text is escaped by the template; images are data URIs; the page's
own Content-Security-Policy forbids scripts and every request, so opening it can reach no other host.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pathosig.figures.style import with_dark_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Number:
    """An estimate as printed; `uncertain` says why it is too uncertain to mean anything, and shows it small and grey."""

    value: str
    uncertain: str = ""


Cell = str | int | float | Number | None


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A boxed sentence.

    Attributes
    ----------
    level
        ``info``, ``warning``, ``error`` or ``good``.
    """

    text: str
    level: Literal["info", "warning", "error", "good"] = "info"
    title: str = ""
    kind: str = "note"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and values side by side."""

    rows: Sequence[tuple[str, str | Number]]
    kind: str = "facts"


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Large single numbers in a row: label, value, small print."""

    items: Sequence[tuple[str, str, str]]
    kind: str = "tiles"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; numbers align right.

    Attributes
    ----------
    columns
        Headings.
    rows
        Cells; None is printed as a dash.
    folded
        Whether it is hidden behind its caption until opened.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure with its caption.

    Attributes
    ----------
    name
        File name without suffix, in figures/.
    data
        The bytes of the SVG or JPEG.
    alt
        What it shows, for those who cannot see it.
    figure
        What `data` was drawn from, for other formats.
    slide
        The slide it shows, for the link that the viewer puts in its place.
    kind
        ``picture``, or ``file`` for one that is written but not shown.
    """

    name: str
    data: bytes
    caption: str
    alt: str
    wide: bool = True
    media: str = "image/svg+xml"
    figure: Figure | None = None
    slide: str = ""
    kind: str = "picture"

    @property
    def width(self) -> str:
        """Width on the page, the same for every inch of a figure: text then has one size everywhere."""
        if self.figure is None:
            return "100%"
        return f"{8.4 * float(self.figure.get_size_inches()[0]):.2f}rem"

    @property
    def uri(self) -> str:
        """The image as a data URI; a drawing follows the page into the dark, the file beside it stays as it is."""
        return data_uri(with_dark_mode(self.data) if self.media == "image/svg+xml" else self.data, self.media)


@dataclass(frozen=True, kw_only=True)
class TileImage:
    """One tile as a JPEG data URI.

    `bar` is the length of the scale bar in per cent of its width, None without mpp. `slide` and `place` (corner and width
    in level-0 pixels) are for the link that the viewer lays over it.
    """

    uri: str
    alt: str
    bar: float | None = None
    slide: str = ""
    place: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class AtlasEntry:
    """One HPC or coarse group of the atlas: where it stands on the page, name, colour, facts and its tiles."""

    anchor: str
    hpc: str
    colour: str
    facts: Sequence[str]
    tiles: Sequence[TileImage]


@dataclass(frozen=True, kw_only=True)
class DriverCard:
    """One feature of the signature.

    Attributes
    ----------
    name
        As printed.
    direction, colour
        ``higher risk``, ``lower risk`` or ``hardly any effect``, and its colour.
    swatches
        Colours of the HPCs inside.
    facts
        Name and value.
    caution
        A caution about it; empty where there is none.
    tiles, bar_text
        Its tiles, and the text of their scale bars.
    """

    name: str
    direction: str
    colour: str
    swatches: Sequence[str]
    facts: Sequence[tuple[str, str]]
    caution: str
    tiles: Sequence[TileImage]
    bar_text: str = ""


@dataclass(frozen=True, kw_only=True)
class DriverGrid:
    """Features of the signature as cards with tiles."""

    cards: Sequence[DriverCard]
    kind: str = "drivers"


@dataclass(frozen=True, kw_only=True)
class TissueRow:
    """One group of tissue and what it does to the score.

    Attributes
    ----------
    name, small
        As printed, and what stands below it.
    direction, colour
        ``higher risk`` or ``lower risk``, and its colour.
    effect, length
        The effect as printed, and the length of its bar in per cent of the longest; below 0 it points to the left.
    swatches
        Colours of the HPCs inside.
    tiles
        Its tiles.
    """

    name: str
    small: str
    direction: str
    colour: str
    effect: str
    length: float
    swatches: Sequence[str]
    tiles: Sequence[TileImage]


@dataclass(frozen=True, kw_only=True)
class TissueRows:
    """Groups of tissue as rows with tiles and bars, the one that raises the score most on top."""

    title: str
    lead: str
    rows: Sequence[TissueRow]
    note: str = ""
    bar_text: str = ""
    kind: str = "tissue_rows"


@dataclass(frozen=True, kw_only=True)
class VerdictLine:
    """The answer for one endpoint.

    Attributes
    ----------
    tone
        ``good``, ``unsure``, ``bad`` or ``none``: the colour of its mark, which also has a word.
    word
        The verdict in two or three words, such as ``Holds``.
    sentence
        The verdict as one plain sentence.
    columns, rows
        The numbers behind it as a small table: a name and one cell per column in each row.
    note
        What stands below the table.
    """

    title: str
    tone: Literal["good", "unsure", "bad", "none"]
    word: str
    sentence: str
    columns: Sequence[str] = ()
    rows: Sequence[tuple[str, Sequence[Number]]] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The answers on top of the report, with the gravest warnings beside them."""

    lines: Sequence[VerdictLine]
    warnings: Sequence[tuple[str, str]] = ()
    more: int = 0
    kind: str = "verdicts"


@dataclass(frozen=True, kw_only=True)
class AtlasGrid:
    """The atlas as a grid of real images."""

    entries: Sequence[AtlasEntry]
    kind: str = "atlas"


@dataclass(frozen=True, kw_only=True)
class CheckItem:
    """One item of the reporting checklist.

    Attributes
    ----------
    anchors
        (section id, text) of the places where it is met.
    missing
        Why it is not available, when it is not.
    """

    item: str
    guideline: str
    anchors: Sequence[tuple[str, str]] = ()
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """A reporting checklist under its caption."""

    items: Sequence[CheckItem]
    caption: str = "What this report holds"
    kind: str = "checklist"


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Blocks behind a line of text until opened; on paper they are open.

    Attributes
    ----------
    title
        The line that is always seen.
    small
        What is inside, beside the title.
    """

    title: str
    blocks: Sequence[Block]
    small: str = ""
    kind: str = "folded"


Block = (
    Text
    | Note
    | Facts
    | Tiles
    | Table
    | Picture
    | AtlasGrid
    | DriverGrid
    | TissueRows
    | Verdicts
    | Checklist
    | Folded
)

LONG = 60
"""A folded table of more rows than this is left out on paper."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a chapter; its id is the target of links."""

    id: str
    title: str
    blocks: Sequence[Block] = ()
    lead: str = ""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A chapter: a title, the question it answers, and its sections."""

    id: str
    title: str
    question: str
    sections: Sequence[Section]
    appendix: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole report."""

    title: str
    subtitle: str
    chapters: Sequence[Chapter]
    footer: Sequence[str] = field(default_factory=tuple)

    @property
    def sections(self) -> list[Section]:
        """All sections in reading order."""
        return [s for chapter in self.chapters for s in chapter.sections]


def every_block(blocks: Iterable[Block]) -> Iterator[Block]:
    """All blocks in reading order, those inside folded ones included."""
    for block in blocks:
        yield block
        if isinstance(block, Folded):
            yield from every_block(block.blocks)


def folded(title: str, blocks: Sequence[Block], *, small: str = "") -> list[Block]:
    """The blocks behind one line; nothing when there are none."""
    return [Folded(title=title, blocks=blocks, small=small)] if blocks else []


def data_uri(data: bytes, media: str) -> str:
    """Bytes as a data URI."""
    return f"data:{media};base64,{base64.b64encode(data).decode('ascii')}"

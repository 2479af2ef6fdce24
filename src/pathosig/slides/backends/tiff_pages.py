"""Which page of a TIFF is the slide and which are its levels. Labels, macro images and thumbnails are neither.

A page is a level if the file says so (it is a sub-image, belongs to the same OME image, or follows the order of Aperio or
Philips) or if it looks like the slide at lower resolution. The right shape alone is not enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pathosig.core.errors import SlideError
from pathosig.slides.backends.colour import BLACK_IS_ZERO, WHITE_IS_ZERO
from pathosig.slides.backends.ome import OmeImage, is_ome, is_part, read_images
from pathosig.slides.backends.tiff_names import is_no_slide, is_reduced, rgb_order
from pathosig.slides.backends.tiff_tags import Page

_MASK, _MACRO = 4, 9
_SCAN_SHARE = 0.25
"""A page with less than this share of the slide's pixels is not a scan of its own."""

_TILED_SHARE = 0.25
"""A tiled page with less than this share of the pixels of a larger page in strips is not taken for the slide."""

_COUNTS = [re.compile(rf"\b{axis}=(\d+)") for axis in ("slices", "channels", "frames")]

Level = tuple[Page, ...]
"""One page, or three gray pages for red, green and blue."""

Alike = Callable[[Level, Level], bool]
"""Whether the second level looks like the first at lower resolution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """One slide of a file.

    Attributes
    ----------
    levels
        Finest first.
    name
        The name in the file, often empty.
    image
        The OME image of the scan if the file is an OME-TIFF, else None.
    composed
        Whether red, green and blue are separate pages.
    """

    levels: tuple[Level, ...]
    name: str = ""
    image: OmeImage | None = None
    composed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The scans of a file, the index of the one that is read by default, and warnings about the choice."""

    scans: tuple[Scan, ...]
    default: int
    warnings: tuple[str, ...] = ()


def choose_scans(pages: Sequence[Page], name: str, alike: Alike) -> Choice:
    """The scans of a TIFF.

    Parameters
    ----------
    pages
        All images of the file.
    name
        Name of the file, for messages.
    alike
        Whether a second level looks like a first at lower resolution; it compares pixels.

    Returns
    -------
    `Choice`.

    Raises
    ------
    SlideError
        E_PHOTOMETRIC for channels of fluorescence, E_FORMAT if the file is one of several that make up an OME-TIFF.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from pathosig.slides.backends.tiff_tags import read_pages
    >>> path = Path(tempfile.mkdtemp()) / "S01.tif"
    >>> Image.new("RGB", (640, 480)).save(path, save_all=True, append_images=[Image.new("RGB", (320, 240))])
    >>> choice = choose_scans(read_pages(path), "S01.tif", lambda fine, coarse: True)
    >>> [[level[0].size for level in scan.levels] for scan in choice.scans]
    [[(640, 480), (320, 240)]]
    """
    first = pages[0]
    images = read_images(first.description) if is_ome(first.description) else ()
    if images and (choice := _by_ome(pages, images, name, alike)) is not None:
        return choice
    if not images and first.samples == 1 and is_ome(first.description) and is_part(first.description):
        raise _in_parts(name)
    if "DPUfsImport" in first.description[:2000]:
        return Choice(scans=(Scan(levels=_philips(pages)),), default=0)
    return _by_looks(pages, name, alike)


def _no_slide(page: Page, *, largest: bool = False) -> bool:
    """Whether a page is marked or named as a label, macro image, thumbnail or mask."""
    if page.subfile & _MASK or page.subfile == _MACRO:
        return True
    return any(is_no_slide(text, largest=largest) for text in (page.description, page.title))


def _philips(pages: Sequence[Page]) -> tuple[Level, ...]:
    """The levels of a Philips slide: its tiled pages in order, without label and macro image."""
    base = pages[0]
    tiled = [
        p
        for p in pages
        if p.tiled and p.piece == base.piece and p.photometric == base.photometric and not _no_slide(p)
    ]
    levels = [p for k, p in enumerate(tiled) if min(base.size[0] >> k, base.size[1] >> k) > 0]
    return tuple((p,) for p in levels) or ((base,),)


# -- OME ---------------------------------------------------------------------------------------------------------------------


def _by_ome(pages: Sequence[Page], images: tuple[OmeImage, ...], name: str, alike: Alike) -> Choice | None:
    """The scans that the OME-XML lists; None if its planes are not pages of this file."""
    main = {page.number: page for page in pages if not page.parent}
    scans: list[Scan] = []
    warnings: list[str] = []
    refusals: list[SlideError] = []
    most = max(image.size[0] * image.size[1] for image in images)
    slides = [i for i in images if not is_no_slide(i.name, largest=i.size[0] * i.size[1] == most)]
    for image in slides or images:
        if image.elsewhere:
            refusals.append(_in_parts(name))
            continue
        bands = _bands(image, main)
        if bands is None:
            continue
        try:
            bands, composed = _checked_channels(image, bands, name)
        except SlideError as error:
            refusals.append(error)
            continue
        inner = [[p for p in pages if p.parent and p.number == band.number] for band in bands]
        smaller = tuple(zip(*inner, strict=True)) if len({len(levels) for levels in inner}) == 1 else ()
        levels = _decreasing((bands, *smaller))
        scans.append(Scan(levels=levels, name=image.name, image=image, composed=composed))
        if image.depth > 1:
            warnings.append(f"{image.depth} focal planes; the middle one is read")
        if image.times > 1:
            warnings.append(f"{image.times} points in time; the first one is read")
    if not scans:
        if refusals:
            raise refusals[0]
        return None
    largest = max(range(len(scans)), key=lambda i: _area(scans[i].levels[0]))
    kept, default = _without_levels_of(scans, largest, alike)
    return _said(kept, default, tuple(dict.fromkeys(warnings)))


def _in_parts(name: str) -> SlideError:
    return SlideError(
        f"{name}: is one of several files of an OME-TIFF; the others hold planes of its image. Export the slide as one file.",
        code="E_FORMAT",
    )


def _bands(image: OmeImage, main: dict[int, Page]) -> Level | None:
    """The pages of the middle focal plane: one, or one for each channel; None if they are not in this file."""
    channels = sorted({c for _, c, _ in image.planes})
    depths = sorted({z for z, _, _ in image.planes})
    if not channels:
        return None
    middle = depths[len(depths) // 2]
    numbers = [image.planes.get((middle, c, 0)) for c in channels]
    bands = tuple(main[n] for n in numbers if n is not None and n in main)
    return bands if len(bands) == len(channels) and len({b.size for b in bands}) == 1 else None


def _checked_channels(image: OmeImage, bands: Level, name: str) -> tuple[Level, bool]:
    """The bands, and whether they are separate pages of red, green and blue (then in this order).

    Raises
    ------
    SlideError
        E_PHOTOMETRIC unless the bands are one image in colour or gray.
    """
    samples = bands[0].samples
    if image.fluorescent or not (len(bands) == 1 or (len(bands) == 3 and samples == 1)):
        raise fluorescence(name, f"{max(image.channels, len(bands))} channels")
    if len(bands) != 3:
        return bands, False
    order = rgb_order(image.names) if len(image.names) == 3 else (0, 1, 2)
    if order is None:
        raise fluorescence(name, f"channels named {', '.join(image.names)[:80]}")
    return tuple(bands[k] for k in order), True


def fluorescence(name: str, what: str) -> SlideError:
    """The error for images that are not H&E.

    Parameters
    ----------
    name
        Name of the file, for the message.
    what
        The contents that show it, as the object of "has".

    Returns
    -------
    `SlideError` with code E_PHOTOMETRIC, to be raised.

    Examples
    --------
    >>> error = fluorescence("S01.ome.tif", "channels named DAPI and FITC")
    >>> error.code, str(error)[:58]
    ('E_PHOTOMETRIC', 'S01.ome.tif: has channels named DAPI and FITC, as in fluor')
    """
    return SlideError(
        f"{name}: has {what}, as in fluorescence; expected H&E in red, green and blue. Export it as RGB if it is H&E, or leave "
        "the slide out.",
        code="E_PHOTOMETRIC",
    )


def _without_levels_of(scans: list[Scan], largest: int, alike: Alike) -> tuple[tuple[Scan, ...], int]:
    """The scans, after images that are only levels of the largest, as older writers list them, have become its levels."""
    base = scans[largest]
    taken: set[int] = set()
    levels = list(base.levels)
    if len(levels) == 1:
        smaller = [i for i in range(len(scans)) if i != largest and _fits(levels[0], scans[i].levels[0])]
        for i in sorted(smaller, key=lambda i: -_area(scans[i].levels[0])):
            candidate = scans[i].levels[0]
            if candidate[0].size[0] < levels[-1][0].size[0] and alike(levels[-1], candidate):
                levels.append(candidate)
                taken.add(i)
    area = _area(base.levels[0])
    kept = [
        Scan(levels=tuple(levels), name=s.name, image=s.image, composed=s.composed) if i == largest else s
        for i, s in enumerate(scans)
        if i not in taken and (i == largest or _area(s.levels[0]) >= _SCAN_SHARE * area)
    ]
    return tuple(kept), next(i for i, s in enumerate(kept) if s.levels[0] == base.levels[0])


# -- other files ----------------------------------------------------------------------------------------------------------------


def _by_looks(pages: Sequence[Page], name: str, alike: Alike) -> Choice:
    """The scans of a file that does not list them: its largest pages, with the pages that look like them, smaller."""
    aperio = pages[0].description.startswith("Aperio")
    of = {p.number: _area((p,)) for p in pages if not p.parent}  # a slide may be a sub-image of its label
    main = [p for p in pages if not p.parent or _area((p,)) > of.get(p.number, 0)]
    most = max(_area((p,)) for p in main)
    possible = (
        [p for p in main if not _no_slide(p, largest=_area((p,)) == most)]
        or [p for p in main if not p.subfile & _MASK]
        or main
    )
    bases = [p for p in possible if not p.subfile & 1] or possible
    tiled = [p for p in bases if p.tiled]
    largest_tiled = max(tiled, key=lambda p: _area((p,)), default=None)
    striped = largest = max(bases, key=lambda p: _area((p,)))
    if largest_tiled is not None and _area((largest_tiled,)) >= _TILED_SHARE * _area((largest,)):
        smaller = _fits((largest,), (largest_tiled,)) and alike((largest,), (largest_tiled,))
        largest = largest if smaller else largest_tiled
    same = [
        p
        for p in bases
        if p.size == largest.size and p.samples == largest.samples and p.tiled == largest.tiled
    ]
    if len(same) > 1 and largest.samples == 1 and largest.photometric in (BLACK_IS_ZERO, WHITE_IS_ZERO):
        return _gray_pages(pages, same, possible, name, alike)
    scans: list[Scan] = []
    rest = [p for p in possible if p is not largest]
    levels, rest = _levels_of((largest,), pages, rest, aperio, alike)
    scans.append(Scan(levels=levels))
    for page in list(rest):
        if (
            page in rest
            and page in bases
            and (page.tiled == largest.tiled or page is striped)
            and _area((page,)) >= _SCAN_SHARE * _area((largest,))
        ):
            rest.remove(page)
            levels, rest = _levels_of((page,), pages, rest, aperio, alike)
            scans.append(Scan(levels=levels))
    scans.sort(key=lambda s: s.levels[0][0].number)
    default = next(i for i, s in enumerate(scans) if s.levels[0][0] is largest)
    if len(same) > 2 and len(same) == len(scans):
        return _said(tuple(scans), len(scans) // 2, (), planes=True)
    return _said(tuple(scans), default, ())


def _gray_pages(
    pages: Sequence[Page], same: list[Page], possible: list[Page], name: str, alike: Alike
) -> Choice:
    """Several gray pages of one size: focal planes or points in time if the description says so, else red, green and blue."""
    text = same[0].description[:4000]
    slices, channels, frames = (field.search(text) for field in _COUNTS)
    for field, place, what in (
        (slices, len(same) // 2, "focal planes; the middle one is read"),
        (frames, 0, "points in time; the first one is read"),
    ):
        if field and not channels and int(field.group(1)) == len(same):
            return Choice(
                scans=(Scan(levels=((same[place],),)),), default=0, warnings=(f"{len(same)} {what}",)
            )
    if len(same) != 3:
        raise fluorescence(name, f"{len(same)} gray images of one size")
    order = rgb_order([p.title or p.description for p in same]) or (0, 1, 2)
    same = [same[k] for k in order]
    base: Level = tuple(same)
    subs = [[p for p in pages if p.parent and p.number == band.number] for band in same]
    smaller: list[Level] = list(zip(*subs, strict=True)) if len({len(s) for s in subs}) == 1 else []
    rest = [p for p in possible if p not in same]
    by_size: dict[tuple[int, int], list[Page]] = {}
    for page in rest:
        by_size.setdefault(page.size, []).append(page)
    smaller += [
        tuple(group)
        for group in by_size.values()
        if len(group) == 3 and _fits(base, tuple(group)) and alike(base, tuple(group))
    ]
    return Choice(scans=(Scan(levels=_decreasing((base, *smaller)), composed=True),), default=0)


def _levels_of(
    base: Level, pages: Sequence[Page], rest: list[Page], aperio: bool, alike: Alike
) -> tuple[tuple[Level, ...], list[Page]]:
    """The levels of a page, and the pages that remain."""
    levels: list[Level] = [base]
    inner = [p for p in pages if p.parent and p.number == base[0].number and not _no_slide(p)]
    for page in sorted(inner, key=lambda p: -p.size[0]):
        if page.size[0] < levels[-1][0].size[0] and _fits(base, (page,)):
            levels.append((page,))
    taken: list[Page] = []
    for page in sorted(rest, key=lambda p: -p.size[0]):
        level = (page,)
        if (
            page.size[0] >= levels[-1][0].size[0]
            or not _fits(base, level)
            or (base[0].tiled and not page.tiled)
        ):
            continue
        if (aperio and is_reduced(page.description, page.size)) or alike(levels[-1], level):
            levels.append(level)
            taken.append(page)
    return tuple(levels), [p for p in rest if p not in taken]


def _fits(base: Level, level: Level) -> bool:
    """Whether a page can be a level by its shape: smaller, with the same aspect ratio up to rounding, and as many colours."""
    (w, h), (width, height) = level[0].size, base[0].size
    slack = 0.02 + 2 / min(w, h)
    colours = {1: 1, 2: 1}.get(base[0].samples, 3) == {1: 1, 2: 1}.get(level[0].samples, 3)
    return w < width and h <= height and colours and abs(w / h / (width / height) - 1) < slack


def _decreasing(levels: Sequence[Level]) -> tuple[Level, ...]:
    kept = [levels[0]]
    for level in sorted(levels[1:], key=lambda v: -v[0].size[0]):
        if level[0].size[0] < kept[-1][0].size[0] and _fits(levels[0], level):
            kept.append(level)
    return tuple(kept)


def _area(level: Level) -> int:
    return level[0].size[0] * level[0].size[1]


def _said(
    scans: tuple[Scan, ...], default: int, warnings: tuple[str, ...], *, planes: bool = False
) -> Choice:
    """The choice, with a warning if there are several scans."""
    if len(scans) > 1:
        what = (
            f"has {len(scans)} images of one size, which may be focal planes"
            if planes
            else f"has {len(scans)} scans"
        )
        sizes = ", ".join(
            f"#{i + 1} {s.levels[0][0].size[0]} x {s.levels[0][0].size[1]}" for i, s in enumerate(scans[:8])
        )
        warnings = (
            *warnings,
            f"{what} ({sizes}); #{default + 1} is read. To read another, add #1, #2, ... to the path",
        )
    return Choice(scans=scans, default=default, warnings=warnings)

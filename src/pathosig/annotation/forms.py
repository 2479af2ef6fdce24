"""Blinded forms on HPCs and coarse groups: the tiles that a reader sees, their order, and the HTML page with the questions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from pathosig.core.errors import InputError
from pathosig.core.words import counted

if TYPE_CHECKING:
    import numpy as np

    TileIndex = Mapping[int, Sequence[int]]

Level = Literal["hpc", "coarse"]

TISSUES = (
    "tumour",
    "stroma",
    "immune cells",
    "necrosis",
    "normal epithelium",
    "muscle",
    "fat",
    "mucus",
    "vessels or blood",
    "nerve",
    "background",
    "mixed",
    "cannot say",
)
PATTERNS = (
    "glandular",
    "papillary",
    "cribriform",
    "solid",
    "single cells",
    "spindled",
    "fibrous",
    "inflamed",
    "necrotic",
    "mucinous",
    "oedematous",
    "none",
    "cannot say",
)
ALIKE = 3
"""Tiles of the same HPC in an odd-one-out test, to which one tile of another HPC is added."""
LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One question about an HPC or coarse group: its tiles in the order shown, as indices into the exemplars."""

    hpc: int
    tiles: tuple[int, ...]
    level: Level = "hpc"

    @property
    def name(self) -> str:
        """``hpc_07`` or ``coarse_0``."""
        return column_of(self.level, self.hpc)


@dataclass(frozen=True, kw_only=True, slots=True)
class OddTest:
    """Three tiles of an HPC or coarse group, and one of another at `place` (from 0), as indices into the exemplars."""

    hpc: int
    other: int
    place: int
    tiles: tuple[int, ...]
    level: Level = "hpc"


@dataclass(frozen=True, kw_only=True, slots=True)
class FormKey:
    """What a form hides: the HPC or coarse group of each question. `form` identifies the form in a file of answers."""

    form: str
    panels: tuple[Panel, ...]
    odd: tuple[OddTest, ...]


def column_of(level: Level, number: int) -> str:
    """Name of an HPC or coarse group in tables and in hpc_names.csv: ``hpc_07`` or ``coarse_0``."""
    return f"hpc_{number:02d}" if level == "hpc" else f"coarse_{number}"


def blinded(
    exemplars: TileIndex, *, reader: str, seed: int, at_most: int, groups: TileIndex | None = None
) -> FormKey:
    """The questions of one reader, with HPCs, groups, tiles and places in random order.

    The order is the same for the same seed and reader. Odd-one-out tests use tiles that are not in the panels, if there
    are enough, so that a test cannot be solved by comparing it with a panel.

    Parameters
    ----------
    exemplars
        Indices of the tiles of each HPC, the most typical first.
    reader
        The reader's name, which determines the order together with the seed.
    seed
        Seed of the order.
    at_most
        Largest number of tiles of a panel, at least 1.
    groups
        Indices of the tiles of each coarse group, the most typical first; the form does not show which rows are groups.

    Returns
    -------
    FormKey

    Raises
    ------
    InputError
        If fewer than two HPCs have tiles.

    Examples
    --------
    >>> key = blinded({0: range(0, 8), 1: range(8, 16)}, reader="A", seed=0, at_most=5)
    >>> sorted(p.hpc for p in key.panels), [len(p.tiles) for p in key.panels], [len(o.tiles) for o in key.odd]
    ([0, 1], [5, 5], [4, 4])
    """
    import numpy as np

    hpcs = sorted(h for h, tiles in exemplars.items() if len(tiles))
    if len(hpcs) < 2:
        raise InputError(
            f"annotate: {counted(len(hpcs), 'HPC has', 'HPCs have')} exemplars that can be read; at least 2 are needed. Check that the slides are "
            "where slides.csv says."
        )
    digest = hashlib.sha256(f"{seed}\0{reader}".encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    tiles: dict[tuple[Level, int], Sequence[int]] = {("hpc", h): exemplars[h] for h in hpcs}
    if groups is not None and sum(map(bool, groups.values())) > 1:
        tiles |= {("coarse", g): groups[g] for g in sorted(groups) if len(groups[g])}
    asked = list(tiles)
    panels = tuple(
        Panel(
            level=asked[i][0],
            hpc=asked[i][1],
            tiles=_shuffled(rng, list(tiles[asked[i]])[:at_most]),
        )
        for i in _shuffled(rng, range(len(asked)))
    )
    odd = tuple(
        _odd_test(rng, asked[i], tiles)
        for i in _shuffled(rng, range(len(asked)))
        if len(tiles[asked[i]]) >= ALIKE
    )
    content = repr((seed, reader, panels, odd)).encode("utf-8", "surrogatepass")
    return FormKey(form=hashlib.sha256(content).hexdigest()[:16], panels=panels, odd=odd)


def _shuffled(rng: np.random.Generator, values: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(values[i]) for i in rng.permutation(len(values)))


def _odd_test(
    rng: np.random.Generator, of: tuple[Level, int], tiles: Mapping[tuple[Level, int], Sequence[int]]
) -> OddTest:
    level, number = of
    others = [n for its, n in tiles if its == level and n != number]
    other = others[int(rng.integers(len(others)))]
    place = int(rng.integers(ALIKE + 1))
    shown = list(_shuffled(rng, list(tiles[of])[-ALIKE:]))
    shown.insert(place, int(tiles[level, other][-1]))
    return OddTest(hpc=number, other=other, place=place, tiles=tuple(shown), level=level)


def form_html(key: FormKey, pictures: Sequence[bytes], *, reader: str, width_um: float | None) -> str:
    """The form as one HTML document, which needs no other file and no network, and names no HPC or slide.

    Parameters
    ----------
    key
        The questions.
    pictures
        The exemplars as JPEG.
    reader
        The reader's name.
    width_um
        Width of a tile in micrometres; None if it differs between tiles.

    Returns
    -------
    str
        The HTML.
    """
    from markupsafe import Markup

    from pathosig.core.templates import environment

    style, script = (
        files("pathosig.annotation").joinpath(f"templates/form.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js")
    )
    shown = [q.tiles for q in key.panels] + [q.tiles for q in key.odd]
    used = sorted({tile for tiles in shown for tile in tiles})
    # Only the style sheet and the script, which belong to this package, are not escaped; the policy names their hashes.
    return (
        environment("pathosig.annotation")
        .get_template("form.html.j2")
        .render(
            key=key,
            reader=reader,
            width_um=width_um,
            tissues=TISSUES,
            patterns=PATTERNS,
            longest=LONGEST_NAME,
            pictures={t: f"data:image/jpeg;base64,{base64.b64encode(pictures[t]).decode()}" for t in used},
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            policy=f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
            "base-uri 'none'; form-action 'none'",
        )
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

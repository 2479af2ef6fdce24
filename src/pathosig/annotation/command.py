"""The command `annotate`: writes forms for readers, and evaluates their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pathosig.annotation.forms import FormKey, blinded, column_of, form_html
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.labels import read_names, write_names
from pathosig.core.records import read_json, write_json, write_text
from pathosig.core.typed_json import from_plain, to_plain
from pathosig.core.words import counted

if TYPE_CHECKING:
    from pathosig.annotation.answers import Agreement
    from pathosig.core.study import Study

_TILE_PX = 224
_LEFT_FOR_TESTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """The content of annotation/key.json: reader -> what their form hides. Readers must not see it."""

    readers: dict[str, FormKey]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forms:
    """The forms that were written, and the number of HPCs and coarse groups in them."""

    forms: tuple[str, ...]
    hpcs: int
    groups: int = 0

    def to_text(self) -> str:
        """The files, and what to do with them."""
        lines = [
            *self.forms,
            f"{self.hpcs} HPCs and {self.groups} coarse groups. Send each reader their own form, and do not show "
            "annotation/key.json to readers.",
        ]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Agreement of the readers, the names that were written for HPCs and coarse groups, and earlier names that were kept."""

    agreement: Agreement
    names: dict[str, str]
    kept: dict[str, str]

    def to_text(self) -> str:
        """The agreement in a few lines."""
        lines = [f"{len(self.agreement.readers)} readers: {', '.join(self.agreement.readers)}"]
        coarse = self.agreement.coarse
        asked = [("HPCs", q) for q in self.agreement.questions]
        asked += [("coarse groups", q) for q in coarse.questions] if coarse else []
        for units, q in asked:
            lines.append(
                f"{q.question:<9} {q.agreed} of {q.complete} {units} agreed; Fleiss' kappa {_number(q.fleiss_kappa)}, "
                f"Krippendorff's alpha {_number(q.krippendorff_alpha)}"
            )
        whole = replace(self.agreement.odd_one_out, of="HPCs")
        tests = [whole] + ([replace(coarse.odd_one_out, of="coarse groups")] if coarse else [])
        for odd in (*tests, *self.agreement.by_reader):
            a = odd.accuracy
            lines.append(
                f"odd one out, {odd.of}: {odd.solved} of {odd.tests} solved, {_number(a.estimate)} "
                f"(95 % CI {_number(a.lower)} to {_number(a.upper)}; chance 0.25)"
            )
        lines.append(f"{counted(len(self.names), 'name')} written to hpc_names.csv")
        if self.kept:
            lines.append(
                f"{counted(len(self.kept), 'earlier name was', 'earlier names were')} kept; --force replaces them"
            )
        return "\n".join(lines)


def _number(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.2f}"


def annotate(
    study: Study,
    *,
    readers: Sequence[str] = ("reader-1", "reader-2"),
    tiles: int = 6,
    seed: int = 0,
    answers: Sequence[Path] = (),
    force: bool = False,
) -> Forms | Reading:
    """Write blinded forms on which pathologists name HPCs and coarse groups, or evaluate their answers.

    Each reader gets one HTML file. With answers, their agreement is computed, and the names that readers agree on are written.

    Parameters
    ----------
    study
        An open study with an atlas.
    readers
        Names of the readers, who each get their own form.
    tiles
        Largest number of tiles shown for an HPC or group, from 1 to 24.
    seed
        Seed of the order of questions and tiles.
    answers
        Files that the forms saved; agreement.json and hpc_names.csv are then written instead of forms.
    force
        Replace forms that differ, and names that exist already.

    Returns
    -------
    Forms or Reading

    Raises
    ------
    ConfigError
        If readers or tiles are invalid, or other forms exist already.
    InputError
        If there is no atlas (E_MISSING), too few tiles can be read, or answers do not fit the forms (E_ANSWERS).
    """
    if answers:
        return _read_back(study, answers, force=force)
    names = [r.strip() for r in readers]
    if (
        not names
        or len({n.casefold() for n in names}) < len(names)
        or not all(n and n.isprintable() for n in names)
    ):
        raise ConfigError(f"annotate: readers {list(readers)}; expected names that differ and are not empty.")
    if not 1 <= tiles <= 24:
        raise ConfigError(f"annotate: tiles {tiles}; expected 1 to 24.")
    return _write_forms(study, names, tiles=tiles, seed=seed, force=force)


def _write_forms(study: Study, readers: Sequence[str], *, tiles: int, seed: int, force: bool) -> Forms:
    from pathosig.report.images import jpeg  # slow to import, and not needed for --help
    from pathosig.report.reading import atlas_tiles

    if not study.paths.atlas.is_file():
        message = "annotate: phenotypes/atlas.parquet: no such file. Run `pathosig phenotypes` first."
        raise InputError(message, code="E_MISSING")
    exemplars = atlas_tiles(study, study.specimens(), per_hpc=tiles + _LEFT_FOR_TESTS, size_px=_TILE_PX)
    of_hpc: dict[int, list[int]] = defaultdict(list)
    of_group: dict[int, list[int]] = defaultdict(list)
    for index in sorted(range(len(exemplars)), key=lambda i: exemplars[i].rank):
        of_hpc[exemplars[index].hpc].append(index)
        if exemplars[index].coarse >= 0:
            of_group[exemplars[index].coarse].append(index)
    groups = {g: indices[: tiles + _LEFT_FOR_TESTS] for g, indices in of_group.items()}
    keys = Keys(
        readers={r: blinded(of_hpc, groups=groups, reader=r, seed=seed, at_most=tiles) for r in readers}
    )
    if study.paths.annotation_key.is_file() and not force and _read_keys(study) != keys:
        message = (
            "annotate: annotation/key.json belongs to other forms, whose answers could no longer be read. --force replaces "
            "them."
        )
        raise ConfigError(message)
    pictures = [jpeg(t.pixels, quality=88) for t in exemplars]
    widths = {round(t.width_um) if t.width_um else None for t in exemplars}
    width = widths.pop() if len(widths) == 1 else None
    write_json(study.paths.annotation_key, to_plain(keys))
    written = []
    for reader, key in keys.readers.items():
        path = study.paths.annotation_form(reader)
        write_text(path, form_html(key, pictures, reader=reader, width_um=width))
        written.append(study.paths.relative(path))
    return Forms(forms=tuple(written), hpcs=len(of_hpc), groups=len(groups) if len(groups) > 1 else 0)


def _read_keys(study: Study) -> Keys:
    path = study.paths.annotation_key
    if not path.is_file():
        message = (
            "annotate: annotation/key.json: no such file. Write the forms first with `pathosig annotate`."
        )
        raise InputError(message, code="E_MISSING")
    return from_plain(Keys, read_json(path), where=path.name)


def _read_back(study: Study, files: Sequence[Path], *, force: bool) -> Reading:
    from pathosig.annotation.answers import agreement_of, read_answers  # imports SciPy and pandas

    keys = _read_keys(study).readers
    agreement = agreement_of([read_answers(path, keys) for path in files], keys)
    present = read_names(study)
    there = {column_of("hpc", n): name for n, name in present.hpcs.items()}
    there |= {column_of("coarse", n): name for n, name in present.coarse.items()}
    agreed = {column_of(c.level, c.hpc): c.name for c in agreement.consensus if c.name}
    kept = {of: there[of] for of, name in agreed.items() if of in there and there[of] != name and not force}
    fresh = {of: name for of, name in agreed.items() if of not in kept and there.get(of) != name}
    write_json(study.paths.agreement, to_plain(agreement))
    if fresh:
        write_names(study, present.with_names(fresh))
    return Reading(agreement=agreement, names=fresh, kept=kept)

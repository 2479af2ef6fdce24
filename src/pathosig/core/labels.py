"""Names that pathologists give to HPCs and to coarse groups."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathosig.core.errors import InputError
from pathosig.core.layout import Layout
from pathosig.core.tables import read_csv_rows, write_csv_rows

if TYPE_CHECKING:
    from pathosig.core.study import Study


@dataclass(frozen=True, kw_only=True, slots=True)
class PhenotypeNames:
    """Names of HPCs and coarse groups.

    Attributes
    ----------
    hpcs, coarse
        Number of the HPC or coarse group -> its name; those without a name are absent.
    """

    hpcs: Mapping[int, str] = field(default_factory=dict)
    coarse: Mapping[int, str] = field(default_factory=dict)

    def with_names(self, changes: Mapping[str, str]) -> PhenotypeNames:
        """These names with some of them changed or removed.

        Parameters
        ----------
        changes
            HPC or coarse group (``7``, ``hpc_07``, ``coarse_0``) -> its name; an empty name removes the present one.

        Raises
        ------
        InputError
            If a key is neither an HPC nor a coarse group.

        Examples
        --------
        >>> PhenotypeNames(hpcs={3: "fat"}).with_names({"hpc_03": "", "coarse_0": "tumour"})
        PhenotypeNames(hpcs={}, coarse={0: 'tumour'})
        """
        hpcs, coarse = dict(self.hpcs), dict(self.coarse)
        for key, name in changes.items():
            match = re.fullmatch(r"(?:(coarse)|hpc)?[ _]*(\d+)", str(key).strip().lower(), flags=re.ASCII)
            if match is None:
                raise InputError(
                    f"{Layout.hpc_names}: hpc {key!r}; expected a number such as 7 or hpc_07, or a coarse group such as coarse_0."
                )
            level = coarse if match.group(1) else hpcs
            level[int(match.group(2))] = str(name).strip()
        return PhenotypeNames(
            hpcs={n: name for n, name in hpcs.items() if name},
            coarse={n: name for n, name in coarse.items() if name},
        )

    def of(self, leaves: Collection[int], groups: Sequence[int] = ()) -> str:
        """The text to show after the number of an HPC or node: its name, or that of the coarse group around it, or "".

        Parameters
        ----------
        leaves
            The HPCs of a node; just one for an HPC.
        groups
            Coarse group of every HPC.

        Examples
        --------
        >>> names = PhenotypeNames(hpcs={2: "fat"}, coarse={1: "stroma"})
        >>> names.of([2], [0, 1, 1]), names.of([1, 2], [0, 1, 1]), names.of([0, 1], [0, 1, 1])
        ('fat', 'in stroma', '')
        """
        if len(leaves) == 1 and (given := self.hpcs.get(next(iter(leaves)), "")):
            return given
        inside = {groups[hpc] for hpc in leaves if hpc < len(groups)}
        group = self.coarse.get(inside.pop(), "") if len(inside) == 1 else ""
        return f"in {group}" if group else ""


def read_names(study: Study) -> PhenotypeNames:
    """Names of HPCs and coarse groups, from the table [hpc_names] of study.toml and from hpc_names.csv, which takes precedence.

    The file has the columns hpc (7, 07 or hpc_07; coarse_0 for a coarse group) and name; an empty name means none. No result
    depends on names.

    Raises
    ------
    InputError
        If the file lacks a column, or names something that is neither an HPC nor a coarse group.
    """
    names = PhenotypeNames().with_names(study.config.get("hpc_names") or {})
    path = study.paths.hpc_names
    if not path.is_file():
        return names
    rows = read_csv_rows(path)
    for column in ("hpc", "name") if rows else ():
        if column not in rows[0]:
            raise InputError(f"{Layout.hpc_names}: column {column} is missing; found {list(rows[0])}.")
    return names.with_names({r["hpc"]: r["name"] for r in rows})


def write_names(study: Study, names: PhenotypeNames) -> None:
    """Write hpc_names.csv: coarse groups first, then HPCs."""
    rows = [{"hpc": f"coarse_{n}", "name": name} for n, name in sorted(names.coarse.items())]
    rows += [{"hpc": str(n), "name": name} for n, name in sorted(names.hpcs.items())]
    write_csv_rows(study.paths.hpc_names, rows, ("hpc", "name"))

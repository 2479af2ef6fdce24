"""The tree over the phenotypes of a codebook (phenotypes/tree.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pathosig.core.errors import InputError
from pathosig.core.records import read_json


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeNode:
    """An inner node: its name, the HPCs below it and its height in Ward's tree."""

    id: str
    leaves: tuple[int, ...]
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PhenotypeTree:
    """K phenotypes, which of them are artefacts, and how they join.

    Attributes
    ----------
    k
        Number of HPCs, which are numbered from 0.
    artefacts
        HPCs that consist of pen marks, blur, folds or background.
    nodes
        Inner nodes, lowest first.
    linkage
        Rows of SciPy's linkage: two children, height, count.
    sizes
        Number of training tiles in each HPC.
    coarse
        Group of each HPC in the coarse cut of the tree; empty if there is none.
    steadiness
        ``hpc_00`` ..., ``node_00`` ... and ``coarse_0`` ... -> 0 to 1: how well codebooks of disjoint halves of the discovery
        patients recover the group (docs/explanation/phenotypes.md). Empty with fewer than six patients.
    """

    k: int
    artefacts: frozenset[int] = frozenset()
    nodes: tuple[TreeNode, ...] = ()
    linkage: tuple[tuple[float, ...], ...] = ()
    sizes: tuple[int, ...] = ()
    coarse: tuple[int, ...] = ()
    steadiness: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The tree from the content of tree.json."""
        return cls(
            k=int(raw["k"]),
            artefacts=frozenset(int(hpc) for hpc in raw.get("artefact_hpcs", ())),
            nodes=tuple(
                TreeNode(
                    id=str(n["id"]), leaves=tuple(map(int, n["leaves"])), height=float(n.get("height", 0))
                )
                for n in raw.get("nodes", ())
            ),
            linkage=tuple(tuple(map(float, row)) for row in raw.get("linkage", ())),
            sizes=tuple(map(int, raw.get("sizes", ()))),
            coarse=tuple(map(int, (raw.get("coarse") or {}).get("groups", ()))),
            steadiness={str(name): float(value) for name, value in raw.get("steadiness", {}).items()},
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The tree at `path`.

        Raises
        ------
        InputError
            If the file is missing or does not hold a tree.
        """
        try:
            return cls.from_dict(read_json(path))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"phenotypes/{path.name}: not a tree of phenotypes ({error}). Run `pathosig phenotypes` again."
            raise InputError(message, code="E_TREE") from error

    def to_dict(self) -> dict[str, object]:
        """The tree as plain values, for tree.json."""
        raw: dict[str, object] = {
            "k": self.k,
            "artefact_hpcs": sorted(self.artefacts),
            "nodes": [{"id": n.id, "leaves": list(n.leaves), "height": n.height} for n in self.nodes],
            "linkage": [list(row) for row in self.linkage],
            "sizes": list(self.sizes),
        }
        if self.coarse:
            raw["coarse"] = {"k": max(self.coarse) + 1, "groups": list(self.coarse)}
        if self.steadiness:
            raw["steadiness"] = dict(self.steadiness)
        return raw

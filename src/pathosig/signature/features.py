"""Candidates and design: from profiles to the columns a model sees, the same for one patient as for a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.profiles.composition import log_odds
from pathosig.profiles.tree import close_without, hpc_column, tree_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAF = "hpc_"


def leaf_columns(profiles: pd.DataFrame) -> list[str]:
    """Columns of leaf shares in order of their HPC."""
    found = [c for c in profiles.columns if str(c).startswith(_LEAF) and str(c)[len(_LEAF) :].isdigit()]
    return sorted(found, key=lambda c: int(c[len(_LEAF) :]))


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a selection may choose from.

    Attributes
    ----------
    names
        Candidates in order, leaves first.
    leaves
        Candidate -> its HPCs; empty for features of an outside table.
    transform
        What `design` needs to make the columns again.
    dropped
        Candidate -> why it is none.
    """

    names: tuple[str, ...]
    leaves: Mapping[str, tuple[int, ...]]
    transform: Mapping[str, Any]
    dropped: Mapping[str, str] = field(default_factory=dict)

    def leaf_names(self) -> list[str]:
        """Candidates that are single HPCs (all of them for outside features)."""
        return [n for n in self.names if len(self.leaves.get(n, (0,))) == 1]


def candidates(
    profiles: pd.DataFrame,
    *,
    tree: Mapping[str, Any] | None = None,
    artefacts: Sequence[int] = (),
    scale: str = "share",
    min_prevalence: float = 0.05,
    kind: str = "composition",
    columns: Sequence[str] = (),
) -> Candidates:
    """All nodes of the tree that vary enough in discovery, or all outside features; outcome-blind.

    Parameters
    ----------
    profiles
        Discovery patients, one row each.
    tree
        Content of tree.json; without it only leaves are candidates.
    artefacts
        HPCs taken out.
    scale
        share, logodds or logratio.
    min_prevalence
        HPCs seen in a smaller part of the patients are left out.
    kind, columns
        ``features`` and their names for an outside table.

    Raises
    ------
    NotEstimableError
        If nothing varies.
    """
    if kind == "features":
        names = list(columns) or [
            c for c in profiles.columns if c not in ("patient_id", "n_slides", "n_tiles")
        ]
        matrix = profiles[names].to_numpy(float)
        flat = {n: "constant" for n, s in zip(names, matrix.std(0), strict=True) if not s > 1e-12}
        kept = [n for n in names if n not in flat]
        return _some(Candidates(names=tuple(kept), leaves={}, transform={"scale": "feature"}, dropped=flat))
    leaves: dict[str, tuple[int, ...]] = {c: (int(c[len(_LEAF) :]),) for c in leaf_columns(profiles)}
    if not leaves:
        message = f"profiles: no columns hpc_00 ...; found {list(profiles.columns)[:8]}. Outside features need kind='features'."
        raise InputError(message)
    gone = {hpc_column(i) for i in artefacts}
    parts = {n: v for n, v in leaves.items() if n not in gone}
    parts |= tree_nodes(tree, without=artefacts) if tree else {}
    transform = {"scale": scale, "artefact_hpcs": sorted(artefacts), "k": len(leaves)}
    share = design(profiles, list(parts), {**transform, "scale": "share", "leaves": parts})
    present = (share > 0).mean(0)
    dropped = dict.fromkeys(sorted(gone), "artefact")
    keep: dict[str, tuple[int, ...]] = {}
    for j, (name, part) in enumerate(parts.items()):
        if present[j] < min_prevalence:
            dropped[name] = f"present in {present[j]:.1%} of discovery patients"
        elif not share[:, j].std() > 1e-9:
            dropped[name] = "constant in discovery"
        else:
            keep[name] = part
    return _some(Candidates(names=tuple(keep), leaves=keep, transform=transform, dropped=dropped))


def _some(found: Candidates) -> Candidates:
    if not found.names:
        message = f"signature: no candidate varies among discovery patients ({dict(list(found.dropped.items())[:3])})."
        raise NotEstimableError(message)
    return found


def design(profiles: pd.DataFrame, names: Sequence[str], transform: Mapping[str, Any]) -> NDArray[np.float64]:
    """Columns of a model: float[n, len(names)], every row by itself.

    Parameters
    ----------
    profiles
        Leaf shares ``hpc_00`` ... (and n_tiles where logs are taken), or outside features.
    names
        Features wanted.
    transform
        ``scale`` (share, logodds, logratio, feature), ``leaves`` (name -> HPCs), ``artefact_hpcs``.

    Raises
    ------
    InputError
        If a column or n_tiles is missing.
    """
    scale = transform["scale"]
    if scale == "feature":
        missing = [n for n in names if n not in profiles]
        if missing:
            message = f"profiles: no column {missing[0]!r}, which the signature needs; found {list(profiles.columns)[:8]}."
            raise InputError(message)
        return np.asarray(profiles[list(names)].to_numpy(float))
    columns = leaf_columns(profiles)
    place = {int(c[len(_LEAF) :]): j for j, c in enumerate(columns)}
    wanted = {n: transform["leaves"].get(n) or (int(n[len(_LEAF) :]),) for n in names}
    needed = sorted({int(i) for part in wanted.values() for i in part})
    absent = [i for i in needed if i not in place]
    if absent:
        message = (
            f"profiles: no column {hpc_column(absent[0])}, which the signature needs; found {columns[:5]}."
        )
        raise InputError(message)
    matrix = profiles[columns].to_numpy(float)
    gone = [place[i] for i in transform.get("artefact_hpcs", ()) if i in place]
    closed = close_without(matrix, gone)[0] if gone else matrix
    shares = np.stack([closed[:, [place[int(i)] for i in wanted[n]]].sum(1) for n in names], axis=1)
    shares = np.clip(shares, 0.0, 1.0)
    if scale == "share":
        return np.asarray(shares)
    if "n_tiles" not in profiles:
        message = "profiles: no column n_tiles, which zero replacement needs on a log scale."
        raise InputError(message)
    tiles = profiles["n_tiles"].to_numpy(float)
    if scale == "logodds":
        return log_odds(shares, tiles)
    return np.asarray(np.log(np.where(shares > 0, shares, 0.5 / np.maximum(tiles, 1.0)[:, None])))

"""Candidates and design: from profiles to the columns a model sees, the same for one patient as for a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.profiles.composition import log_odds
from pathosig.profiles.tree import close_without, hpc_column, leaf_columns, tree_nodes
from pathosig.signature.training import TrainingSet
from pathosig.signature.transform import Scale, Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAF = "hpc_"
_FLAT_FEATURE, _FLAT_SHARE = 1e-12, 1e-9
"""Standard deviations up to which a candidate counts as constant."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The candidates of a selection.

    Attributes
    ----------
    names
        Candidates in order, leaves first.
    transform
        What `design` needs to compute the columns again, with the leaves of every candidate.
    dropped
        Column -> why it is not a candidate.

    Examples
    --------
    >>> leaves = {"hpc_00": (0,), "hpc_01": (1,), "node_00": (0, 1)}
    >>> pool = Candidates(names=tuple(leaves), transform=Transform(leaves=leaves))
    >>> pool.leaf_names()
    ['hpc_00', 'hpc_01']
    """

    names: tuple[str, ...]
    transform: Transform
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def leaves(self) -> Mapping[str, tuple[int, ...]]:
        """Candidate -> its HPCs; empty for features of an outside table."""
        return self.transform.leaves

    def leaf_names(self) -> list[str]:
        """Candidates that are single HPCs; for features of an outside table, all of them."""
        return [n for n in self.names if len(self.leaves.get(n, (0,))) == 1]


def candidates(
    training: TrainingSet,
    *,
    scale: Scale = "share",
    min_prevalence: float = 0.05,
    min_steadiness: float = 0.0,
) -> Candidates:
    """All nodes of the tree that vary enough among the patients, or all outside features; the outcome plays no part.

    Parameters
    ----------
    training
        Patients to fit on; without a tree, only leaves are candidates.
    scale
        share, logodds or logratio.
    min_prevalence
        HPCs and nodes that occur in a smaller proportion of the patients are left out.
    min_steadiness
        HPCs and nodes with a lower steadiness in tree.json (0 to 1) are left out; a coarser node represents them if it is steady.

    Returns
    -------
    Candidates
        With the reason for each column that was dropped.

    Raises
    ------
    NotEstimableError
        If no candidate varies.
    InputError
        If the profiles have no columns of HPCs.

    Examples
    --------
    >>> from pathosig.signature.training import TrainingSet
    >>> ids = pd.DataFrame({"patient_id": list("abc")})
    >>> training = TrainingSet.of(ids.assign(grade=[1.0, 2, 3], ward=1.0), ids.assign(time=1.0, event=True), kind="features")
    >>> pool = candidates(training)
    >>> pool.names, pool.dropped
    (('grade',), {'ward': 'constant'})
    """
    profiles = training.profiles
    if training.kind == "features":
        names = training.features
        spread = profiles[names].to_numpy(float).std(0)
        flat = {n: "constant" for n, s in zip(names, spread, strict=True) if not s > _FLAT_FEATURE}
        varying = tuple(n for n in names if n not in flat)
        return _require_candidates(
            Candidates(names=varying, transform=Transform(scale="feature"), dropped=flat)
        )
    leaves: dict[str, tuple[int, ...]] = {c: (int(c[len(_LEAF) :]),) for c in leaf_columns(profiles)}
    if not leaves:
        message = f"profiles: no columns hpc_00 ...; found {list(profiles.columns)[:8]}."
        raise InputError(message)
    artefacts = training.artefacts
    removed = {hpc_column(i) for i in artefacts}
    nodes = {n: hpcs for n, hpcs in leaves.items() if n not in removed}
    nodes |= tree_nodes(training.tree, without=artefacts) if training.tree else {}
    transform = Transform(scale="share", leaves=nodes, artefact_hpcs=tuple(sorted(artefacts)), k=len(leaves))
    share = design(profiles, list(nodes), transform)
    present = (share > 0).mean(0)
    dropped = dict.fromkeys(sorted(removed), "artefact")
    keep: dict[str, tuple[int, ...]] = {}
    steadiness = training.steadiness
    for j, (name, hpcs) in enumerate(nodes.items()):
        if present[j] < min_prevalence:
            dropped[name] = f"present in {present[j]:.1%} of discovery patients"
        elif steadiness.get(name, 1.0) < min_steadiness:
            dropped[name] = f"steadiness {steadiness[name]:.2f} across disjoint halves of discovery patients"
        elif not share[:, j].std() > _FLAT_SHARE:
            dropped[name] = "constant in discovery"
        else:
            keep[name] = hpcs
    return _require_candidates(
        Candidates(names=tuple(keep), transform=replace(transform, scale=scale, leaves=keep), dropped=dropped)
    )


def _require_candidates(choice: Candidates) -> Candidates:
    if not choice.names:
        examples = dict(list(choice.dropped.items())[:3])
        message = f"signature: no candidate varies among discovery patients ({examples})."
        raise NotEstimableError(message)
    return choice


def design(profiles: pd.DataFrame, names: Sequence[str], transform: Transform) -> NDArray[np.float64]:
    """The columns of a model; each row is computed from its own profile only.

    Parameters
    ----------
    profiles
        Proportions of HPCs ``hpc_00`` ... (with n_tiles on a log scale), or outside features.
    names
        Features to compute.
    transform
        Scale, leaves of every feature, artefact HPCs.

    Returns
    -------
    float[n, len(names)], on the scale of `transform`.

    Raises
    ------
    InputError
        If a column or n_tiles is missing.

    Examples
    --------
    >>> profiles = pd.DataFrame({"hpc_00": [0.2, 0.5], "hpc_01": [0.3, 0.1], "hpc_02": [0.5, 0.4]})
    >>> transform = Transform(leaves={"hpc_00": (0,), "node_01": (1, 2)})
    >>> design(profiles, ["hpc_00", "node_01"], transform)
    array([[0.2, 0.8],
           [0.5, 0.5]])
    """
    if transform.scale == "feature":
        missing = [n for n in names if n not in profiles]
        if missing:
            message = f"profiles: no column {missing[0]!r}, which the signature needs; found {list(profiles.columns)[:8]}."
            raise InputError(message)
        return np.asarray(profiles[list(names)].to_numpy(float))
    columns = leaf_columns(profiles)
    place = {int(c[len(_LEAF) :]): j for j, c in enumerate(columns)}
    wanted = {n: transform.leaves.get(n) or (int(n[len(_LEAF) :]),) for n in names}
    needed = sorted({i for hpcs in wanted.values() for i in hpcs})
    absent = [i for i in needed if i not in place]
    if absent:
        message = (
            f"profiles: no column {hpc_column(absent[0])}, which the signature needs; found {columns[:5]}."
        )
        raise InputError(message)
    matrix = profiles[columns].to_numpy(float)
    removed = [place[i] for i in transform.artefact_hpcs if i in place]
    closed = close_without(matrix, removed)[0] if removed else matrix
    shares = np.stack([closed[:, [place[i] for i in wanted[n]]].sum(1) for n in names], axis=1)
    shares = np.clip(shares, 0.0, 1.0)
    if transform.scale == "share":
        return np.asarray(shares)
    if "n_tiles" not in profiles:
        message = "profiles: no column n_tiles, which zero replacement needs on a log scale."
        raise InputError(message)
    tiles = profiles["n_tiles"].to_numpy(float)
    if transform.scale == "logodds":
        return log_odds(shares, tiles)
    return np.asarray(np.log(np.where(shares > 0, shares, 0.5 / np.maximum(tiles, 1.0)[:, None])))

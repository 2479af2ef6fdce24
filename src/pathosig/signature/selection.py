"""Selections: from candidates to coefficients. Every method gives the same kind of answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import ConfigError, NotEstimableError, PathosigWarning
from pathosig.profiles.composition import ilr_basis
from pathosig.profiles.tree import coarse_groups
from pathosig.signature.features import Candidates
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.transform import Scale
from pathosig.survival.cox import cox
from pathosig.survival.net import cross_validated_net
from pathosig.survival.ridge import fold_of, partial_loglik, ridge_fit, ridge_fits
from pathosig.survival.stability import stability_selection
from pathosig.survival.stack import stack_shrinkage, stack_weights
from pathosig.survival.stepwise import stepwise
from pathosig.survival.univariate import cox_univariate

Array = np.ndarray
_CUTS = (4, 8, 16)
_CERTAIN = 0.9
_LEAST_GAIN = 2.0
_FEWEST_HALVES = 20
_FEWEST_GROUPS = 3
_BRIEF = ("auto", "completed", "tree")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The result of a selection.

    Attributes
    ----------
    method
        Its name.
    names
        Chosen candidates; empty when there is no signature.
    coef
        Coefficients on the scale of the design.
    scale
        Scale the coefficients belong to (logcontrast changes it).
    details
        Threshold, q, bound, clusters and penalty, as they are printed.
    """

    method: str
    names: tuple[str, ...]
    coef: tuple[float, ...]
    scale: Scale
    details: Mapping[str, Any] = field(default_factory=dict)


def select(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    *,
    pool: Candidates,
    spec: SignatureSpec,
    groups: Any = None,
    brief: bool = False,
) -> Selection:
    """Choose candidates and fit their coefficients.

    Parameters
    ----------
    x
        float[n, p]: `design` of ``pool.names``.
    time, event
        Outcome of the same patients.
    pool
        The candidates.
    spec
        Method and its settings.
    groups
        Labels whose rows stay in one fold of inner cross-validations.
    brief
        Whether half-samples that cannot change the choice are left out; frequencies are then of fewer.

    Raises
    ------
    NotEstimableError
        If there are too few events for the method.

    Examples
    --------
    >>> from pathosig.signature.transform import Transform
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> pool = Candidates(names=("grade", "size"), transform=Transform(scale="feature"), dropped={})
    >>> spec = SignatureSpec(selection="stepwise")
    >>> select(x, rng.exponential(np.exp(-x[:, 0])), np.ones(60), pool=pool, spec=spec).names
    ('grade',)
    """
    method = _METHODS[spec.selection]
    more = (brief,) if spec.selection in _BRIEF else ()
    return method(x, np.asarray(time, float), np.asarray(event, bool), pool, spec, groups, *more)


def _positions(pool: Candidates, names: Sequence[str]) -> list[int]:
    place = {n: i for i, n in enumerate(pool.names)}
    return [place[n] for n in names]


def _refit(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    columns: Sequence[int],
    spec: SignatureSpec,
    groups: Any,
) -> tuple[tuple[float, ...], float]:
    fit = ridge_fit(x[:, list(columns)], time, event, folds=spec.folds, seed=spec.seed, groups=groups)
    return tuple(float(b) for b in fit.coef), fit.penalty


def _tree(
    x: Array, time: Array, event: Array, pool: Candidates, spec: SignatureSpec, groups: Any, brief: bool
) -> Selection:
    return _refitted(_stable(x, time, event, pool, spec, brief), x, time, event, pool, spec, groups)


def _refitted(
    chosen: Selection, x: Array, time: Array, event: Array, pool: Candidates, spec: SignatureSpec, groups: Any
) -> Selection:
    """Ridge coefficients of what was chosen."""
    if not chosen.names:
        return chosen
    coef, penalty = _refit(x, time, event, _positions(pool, chosen.names), spec, groups)
    return replace(chosen, coef=coef, details={**chosen.details, "penalty": penalty})


def _stable(
    x: Array, time: Array, event: Array, pool: Candidates, spec: SignatureSpec, brief: bool
) -> Selection:
    """Nodes of the stability selection, without coefficients."""
    leaves = [pool.leaves[n] for n in pool.names] if pool.leaves else None
    result = stability_selection(
        x,
        time,
        event,
        leaves=leaves,
        q=spec.q,
        n_subsamples=spec.n_subsamples,
        expected_false=spec.expected_false,
        lowest=spec.min_threshold,
        correlation=spec.cluster_correlation,
        screen=spec.screen,
        seed=spec.seed,
        brief=brief,
    )
    chosen = list(result.selected)
    members: dict[int, list[str]] = {}
    for j, c in enumerate(result.cluster):
        members.setdefault(int(c), []).append(pool.names[j])
    order = np.argsort(-result.cluster_frequency, kind="stable")
    details: dict[str, Any] = {
        "q": result.q,
        "threshold": result.threshold,
        "expected_false": result.expected_false,
        "bound": "smaller of Meinshausen-Buhlmann and Shah-Samworth (r-concave)",
        "n_subsamples": spec.n_subsamples,
        "n_clusters": len(result.cluster_frequency),
        "frequency": {n: float(f) for n, f in zip(pool.names, result.frequency, strict=True)},
        "clusters": [
            {
                "features": members[int(c)],
                "frequency": float(result.cluster_frequency[c]),
                "representative": pool.names[result.representative[int(c)]],
                "selected": result.representative[int(c)] in chosen,
            }
            for c in order
        ],
    }
    names = tuple(pool.names[j] for j in chosen)
    return Selection(method="tree", names=names, coef=(), scale=pool.transform.scale, details=details)


def _ridge(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, pool: Candidates, spec: SignatureSpec, groups: Any
) -> Selection:
    names = pool.leaf_names()
    coef, penalty = _refit(x, time, event, _positions(pool, names), spec, groups)
    scale = pool.transform.scale
    return Selection(method="ridge", names=tuple(names), coef=coef, scale=scale, details={"penalty": penalty})


def _completed(
    x: Array, time: Array, event: Array, pool: Candidates, spec: SignatureSpec, groups: Any, brief: bool
) -> Selection:
    """Weighted sum of two ridge models: of the nodes that nine half-samples of ten select, and of the tree's groups (ADR 33).

    The tree is cut where the cross-validated likelihood is highest; weights are those of stacking. Without a certain node the
    groups stand alone if they gain over no model what noise gains in one study of twenty.
    """
    strict = spec.replace(min_threshold=max(spec.min_threshold, _CERTAIN))
    tree = replace(_stable(x, time, event, pool, strict, brief), method="completed")
    cuts = {c for k in _CUTS if len(c := tuple(coarse_groups(pool.leaves, k))) >= _FEWEST_GROUPS}
    if not cuts:
        return _refitted(tree, x, time, event, pool, strict, groups)
    summands = list(dict.fromkeys([*([tree.names] if tree.names else []), *sorted(cuts, key=len)]))
    columns = [x[:, _positions(pool, names)] for names in summands]
    fits = ridge_fits(columns, time, event, folds=spec.folds, seed=spec.seed, groups=groups)
    models = dict(zip(summands, fits, strict=True))
    coarse = max(sorted(cuts, key=len), key=lambda names: models[names].gain)
    if not tree.names and models[coarse].gain < _LEAST_GAIN:
        return tree
    summed = [names for names in models if names in (tree.names, coarse)]
    left_out = np.column_stack([models[n].left_out for n in summed])
    weights = stack_weights(left_out, time, event)
    shrinkage = stack_shrinkage(left_out, weights, time, event)
    total = dict.fromkeys([name for names in summed for name in names], 0.0)
    for names, weight in zip(summed, weights, strict=True):
        for name, b in zip(names, models[names].coef, strict=True):
            total[name] += float(shrinkage * weight * b)
    total = {name: b for name, b in total.items() if b}
    sums = {
        "stable": list(tree.names),
        "groups": list(coarse),
        "weights": weights.tolist(),
        "shrinkage": shrinkage,
    }
    refit = {"penalty": models[tree.names].penalty} if tree.names else {}
    penalty = {"groups_penalty": models[coarse].penalty, "groups_gain": models[coarse].gain}
    details = {**tree.details, **refit, **sums, **penalty}
    return replace(tree, names=tuple(total), coef=tuple(total.values()), details=details)


def _auto(
    x: Array, time: Array, event: Array, pool: Candidates, spec: SignatureSpec, groups: Any, brief: bool
) -> Selection:
    """Completed for compositions; for outside features tree or ridge, whichever predicts patients left out better."""
    if pool.transform.scale != "feature":
        return _completed(x, time, event, pool, spec, groups, brief)
    fold = fold_of(
        len(event), event, min(spec.folds, int(event.sum())), np.random.default_rng(spec.seed), groups
    )
    gain = {"tree": 0.0, "ridge": 0.0}
    quick = spec.replace(
        n_subsamples=max(_FEWEST_HALVES, spec.n_subsamples // 2)
    )  # enough to choose between two methods
    for k in np.unique(fold):
        train = fold != k
        if event[train].sum() < 2:
            continue
        labels = None if groups is None else np.asarray(groups)[train]
        inside = (x[train], time[train], event[train])
        for name in gain:
            named = quick.replace(selection=name)
            fit = select(*inside, pool=pool, spec=named, groups=labels, brief=True)
            score = x[:, _positions(pool, fit.names)] @ np.array(fit.coef)
            gain[name] += partial_loglik(score, time, event) - partial_loglik(score[train], *inside[1:])
    best = "tree" if gain["tree"] >= gain["ridge"] else "ridge"
    chosen = select(x, time, event, pool=pool, spec=spec.replace(selection=best), groups=groups, brief=brief)
    return replace(chosen, details={**chosen.details, "auto": gain})


def _paper(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, pool: Candidates, spec: SignatureSpec, groups: Any
) -> Selection:
    """Univariate p < .05, then multivariable p < .05, coefficients of the model of those kept."""
    names = pool.leaf_names()
    columns = np.array(_positions(pool, names))
    scale = x[:, columns].std(0)
    p = cox_univariate(x[:, columns] / scale, time, event)["p"].to_numpy()
    first = columns[np.nan_to_num(p, nan=1.0) < spec.p_value]
    details: dict[str, Any] = {"univariate": [pool.names[j] for j in first], "p_value": spec.p_value}
    kept: list[int] = []
    if len(first):
        if len(first) >= np.asarray(event, bool).sum():
            message = f"paper: {len(first)} HPCs for {int(event.sum())} events in one model."
            raise NotEstimableError(message)
        joint = cox(x[:, first] / x[:, first].std(0), time, event)
        kept = [int(j) for j, value in zip(first, joint.p, strict=True) if value < spec.p_value]
    coef: tuple[float, ...] = ()
    if kept:
        spread = x[:, kept].std(0)
        coef = tuple(float(b) for b in np.nan_to_num(cox(x[:, kept] / spread, time, event).coef) / spread)
    warnings.warn(
        PathosigWarning(
            "selection 'paper' screens by univariate p-values on closed proportions: its p-values are not valid "
            "afterwards and its C-index is optimistic. `pathosig audit DIR null` shows by how much.",
            code="W_PAPER",
        ),
        stacklevel=4,
    )
    names_ = tuple(pool.names[j] for j in kept)
    return Selection(method="paper", names=names_, coef=coef, scale=pool.transform.scale, details=details)


def _lasso(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, pool: Candidates, spec: SignatureSpec, groups: Any
) -> Selection:
    names = pool.leaf_names()
    columns = _positions(pool, names)
    coef, penalty = cross_validated_net(
        x[:, columns], time, event, folds=spec.folds, seed=spec.seed, groups=groups
    )
    kept = np.flatnonzero(coef)
    return Selection(
        method="lasso",
        names=tuple(names[j] for j in kept),
        coef=tuple(float(coef[j]) for j in kept),
        scale=pool.transform.scale,
        details={"penalty": penalty},
    )


def _stepwise(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, pool: Candidates, spec: SignatureSpec, groups: Any
) -> Selection:
    names = pool.leaf_names()
    columns = _positions(pool, names)
    scale = x[:, columns].std(0)
    result = stepwise(pd.DataFrame(x[:, columns] / scale, columns=names), time, event, direction="forward")
    kept: list[int] = []
    coef: tuple[float, ...] = ()
    if result.fit is not None and result.fit.names:
        kept = [names.index(n) for n in result.fit.names]
        coef = tuple(float(b) for b in np.nan_to_num(result.fit.coef) / scale[kept])
    return Selection(
        method="stepwise",
        names=tuple(names[j] for j in kept),
        coef=coef,
        scale=pool.transform.scale,
        details={"criterion": "AIC", "direction": "forward"},
    )


def _logcontrast(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, pool: Candidates, spec: SignatureSpec, groups: Any
) -> Selection:
    """Elastic net on centred log-ratios chooses parts; ridge in their own log-ratio space, so sum(beta) = 0."""
    if pool.transform.scale != "logratio":
        message = "selection 'logcontrast' works on log-ratios of HPC shares. Set scale = \"logratio\"."
        raise ConfigError(message)
    names = pool.leaf_names()
    columns = _positions(pool, names)
    logs = x[:, columns]
    centred = logs - logs.mean(1, keepdims=True)
    coef, penalty = cross_validated_net(
        centred, time, event, l1_ratio=0.5, folds=spec.folds, seed=spec.seed, groups=groups
    )
    kept = np.flatnonzero(coef)
    scale: Scale = "logratio"
    details = {"penalty": penalty, "l1_ratio": 0.5}
    if len(kept) < 2:
        return Selection(method="logcontrast", names=(), coef=(), scale=scale, details=details)
    basis = ilr_basis(len(kept))
    fit = ridge_fit(logs[:, kept] @ basis.T, time, event, folds=spec.folds, seed=spec.seed, groups=groups)
    beta = fit.coef @ basis
    return Selection(
        method="logcontrast",
        names=tuple(names[j] for j in kept),
        coef=tuple(float(b) for b in beta),
        scale=scale,
        details={**details, "ridge_penalty": fit.penalty},
    )


_METHODS: dict[str, Callable[..., Selection]] = {
    "auto": _auto,
    "tree": _tree,
    "completed": _completed,
    "ridge": _ridge,
    "paper": _paper,
    "lasso": _lasso,
    "stepwise": _stepwise,
    "logcontrast": _logcontrast,
}

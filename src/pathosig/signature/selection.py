"""Selections: from candidates to coefficients. Every method gives the same kind of answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
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


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The result of a selection.

    Attributes
    ----------
    method
        Name of the method.
    names
        Chosen candidates; empty if there is no signature.
    coef
        Coefficients on the scale of the design.
    scale
        Scale of the design.
    details
        Threshold, q, bound, clusters, penalty and other numbers that are reported.

    Examples
    --------
    >>> selection = Selection(method="lasso", names=("hpc_03",), coef=(1.2,), scale="share", details={"penalty": 0.1})
    >>> dict(zip(selection.names, selection.coef))
    {'hpc_03': 1.2}
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
        float[n] and bool[n]: outcomes of the same patients.
    pool
        The candidates.
    spec
        Method and its settings.
    groups
        Label of each row; rows with the same label stay in one fold of the inner cross-validations.
    brief
        Whether to leave out half-samples that cannot change the choice; frequencies then rest on fewer of them.

    Returns
    -------
    Selection

    Raises
    ------
    NotEstimableError
        If there are too few events for the method.
    ConfigError
        If the method does not work on the scale of the candidates.

    References
    ----------
    Meinshausen & Buhlmann (2010), JRSS B 72; Shah & Samworth (2013), JRSS B 75 (``tree``, ``completed``). R: glmnet (``lasso``,
    ``ridge``), MASS::stepAIC (``stepwise``). Bates & Tibshirani (2019), Biometrics 75 (``logcontrast``).

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
    time, event = np.asarray(time, float), np.asarray(event, bool)
    problem = _Problem(x=x, time=time, event=event, pool=pool, spec=spec, groups=groups, brief=brief)
    return _METHODS[spec.selection](problem)


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What `select` was given."""

    x: Array
    time: Array
    event: Array
    pool: Candidates
    spec: SignatureSpec
    groups: Any
    brief: bool

    def columns(self, names: Sequence[str]) -> Array:
        """Columns of the design: float[n, len(names)]."""
        place = {n: i for i, n in enumerate(self.pool.names)}
        return np.asarray(self.x[:, [place[n] for n in names]])

    def folded(self) -> dict[str, Any]:
        """Arguments of a cross-validation."""
        return {"folds": self.spec.folds, "seed": self.spec.seed, "groups": self.groups}

    def ridge(self, names: Sequence[str]) -> tuple[tuple[float, ...], float]:
        """Ridge coefficients of some candidates, and their penalty."""
        fit = ridge_fit(self.columns(names), self.time, self.event, **self.folded())
        return tuple(float(b) for b in fit.coef), fit.penalty

    def selection(self, names: Sequence[str], coef: Iterable[float], **details: Any) -> Selection:
        """The result of the method of `spec`."""
        coefficients = tuple(float(b) for b in coef)
        return Selection(
            method=self.spec.selection,
            names=tuple(names),
            coef=coefficients,
            scale=self.pool.transform.scale,
            details=details,
        )


def _tree(problem: _Problem) -> Selection:
    return _refitted(problem, _stable(problem))


def _refitted(problem: _Problem, chosen: Selection) -> Selection:
    """Ridge coefficients of what was chosen."""
    if not chosen.names:
        return chosen
    coef, penalty = problem.ridge(chosen.names)
    return replace(chosen, coef=coef, details={**chosen.details, "penalty": penalty})


def _stable(problem: _Problem) -> Selection:
    """Nodes of the stability selection, without coefficients."""
    pool, spec = problem.pool, problem.spec
    result = stability_selection(
        problem.x,
        problem.time,
        problem.event,
        leaves=[pool.leaves[n] for n in pool.names] if pool.leaves else None,
        q=spec.q,
        n_subsamples=spec.n_subsamples,
        expected_false=spec.expected_false,
        lowest=spec.min_threshold,
        correlation=spec.cluster_correlation,
        screen=spec.screen,
        seed=spec.seed,
        brief=problem.brief,
    )
    members: dict[int, list[str]] = {}
    for j, c in enumerate(result.cluster):
        members.setdefault(int(c), []).append(pool.names[j])
    clusters = [
        {
            "features": members[int(c)],
            "frequency": float(result.cluster_frequency[c]),
            "representative": pool.names[result.representative[int(c)]],
            "selected": result.representative[int(c)] in result.selected,
        }
        for c in np.argsort(-result.cluster_frequency, kind="stable")
    ]
    return problem.selection(
        [pool.names[j] for j in result.selected],
        (),
        q=result.q,
        threshold=result.threshold,
        expected_false=result.expected_false,
        bound="smaller of Meinshausen-Buhlmann and Shah-Samworth (r-concave)",
        n_subsamples=spec.n_subsamples,
        n_clusters=len(result.cluster_frequency),
        frequency={n: float(f) for n, f in zip(pool.names, result.frequency, strict=True)},
        clusters=clusters,
    )


def _ridge(problem: _Problem) -> Selection:
    names = problem.pool.leaf_names()
    coef, penalty = problem.ridge(names)
    return problem.selection(names, coef, penalty=penalty)


def _completed(problem: _Problem) -> Selection:
    """Weighted sum of two ridge models: of the nodes that 90 % of the half-samples select, and of the tree's groups (ADR 33).

    The tree is cut where the cross-validated likelihood is highest, and the weights are those of stacking. If no node is that
    frequent, the groups stand alone, provided that they gain more over no model than noise does in one study of twenty.
    """
    time, event, pool, spec = problem.time, problem.event, problem.pool, problem.spec
    strict = replace(problem, spec=spec.replace(min_threshold=max(spec.min_threshold, _CERTAIN)))
    tree = replace(_stable(strict), method="completed")
    cuts = {c for k in _CUTS if len(c := tuple(coarse_groups(pool.leaves, k))) >= _FEWEST_GROUPS}
    if not cuts:
        return _refitted(strict, tree)
    summands = list(dict.fromkeys([*([tree.names] if tree.names else []), *sorted(cuts, key=len)]))
    fits = ridge_fits([problem.columns(names) for names in summands], time, event, **problem.folded())
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
    details = {
        **tree.details,
        **({"penalty": models[tree.names].penalty} if tree.names else {}),
        "stable": list(tree.names),
        "groups": list(coarse),
        "weights": weights.tolist(),
        "shrinkage": shrinkage,
        "groups_penalty": models[coarse].penalty,
        "groups_gain": models[coarse].gain,
    }
    return replace(tree, names=tuple(total), coef=tuple(total.values()), details=details)


def _auto(problem: _Problem) -> Selection:
    """Completed for compositions; for outside features tree or ridge, whichever predicts left-out patients better."""
    x, time, event, pool, spec = problem.x, problem.time, problem.event, problem.pool, problem.spec
    if pool.transform.scale != "feature":
        return _completed(problem)
    folds, rng = min(spec.folds, int(event.sum())), np.random.default_rng(spec.seed)
    fold = fold_of(len(event), event, folds, rng, problem.groups)
    gain = {"tree": 0.0, "ridge": 0.0}
    few = max(_FEWEST_HALVES, spec.n_subsamples // 2)  # enough to choose between two methods
    for k in np.unique(fold):
        train = fold != k
        if event[train].sum() < 2:
            continue
        labels = None if problem.groups is None else np.asarray(problem.groups)[train]
        inside = (x[train], time[train], event[train])
        for name in gain:
            named = spec.replace(selection=name, n_subsamples=few)
            fit = select(*inside, pool=pool, spec=named, groups=labels, brief=True)
            score = problem.columns(fit.names) @ np.array(fit.coef)
            gain[name] += partial_loglik(score, time, event) - partial_loglik(score[train], *inside[1:])
    best = "tree" if gain["tree"] >= gain["ridge"] else "ridge"
    chosen = _METHODS[best](replace(problem, spec=spec.replace(selection=best)))
    return replace(chosen, details={**chosen.details, "auto": gain})


def _paper(problem: _Problem) -> Selection:
    """Univariate p < .05, then multivariable p < .05; the coefficients are those of a model of the HPCs that remain."""
    time, event, level = problem.time, problem.event, problem.spec.p_value
    names = problem.pool.leaf_names()
    x = problem.columns(names)
    p = cox_univariate(x / x.std(0), time, event)["p"].to_numpy()
    first = np.flatnonzero(np.nan_to_num(p, nan=1.0) < level)
    kept: list[int] = []
    if len(first):
        if len(first) >= event.sum():
            message = f"paper: {len(first)} HPCs for {int(event.sum())} events in one model."
            raise NotEstimableError(message)
        joint = cox(x[:, first] / x[:, first].std(0), time, event)
        kept = [int(j) for j, value in zip(first, joint.p, strict=True) if value < level]
    coef = np.zeros(0)
    if kept:
        spread = x[:, kept].std(0)
        coef = np.nan_to_num(cox(x[:, kept] / spread, time, event).coef) / spread
    warnings.warn(
        PathosigWarning(
            "selection 'paper' screens by univariate p-values on closed proportions: its p-values are not valid "
            "afterwards and its C-index is optimistic. `pathosig audit DIR null` shows by how much.",
            code="W_PAPER",
        ),
        stacklevel=4,
    )
    screened = [names[j] for j in first]
    return problem.selection([names[j] for j in kept], coef, univariate=screened, p_value=level)


def _lasso(problem: _Problem) -> Selection:
    names = problem.pool.leaf_names()
    coef, penalty = cross_validated_net(
        problem.columns(names), problem.time, problem.event, **problem.folded()
    )
    kept = np.flatnonzero(coef)
    return problem.selection([names[j] for j in kept], coef[kept], penalty=penalty)


def _stepwise(problem: _Problem) -> Selection:
    names = problem.pool.leaf_names()
    x = problem.columns(names)
    table = pd.DataFrame(x / x.std(0), columns=names)
    fit = stepwise(table, problem.time, problem.event, direction="forward").fit
    kept: list[int] = []
    coef = np.zeros(0)
    if fit is not None and fit.names:
        kept = [names.index(n) for n in fit.names]
        coef = np.nan_to_num(fit.coef) / x.std(0)[kept]
    return problem.selection([names[j] for j in kept], coef, criterion="AIC", direction="forward")


def _logcontrast(problem: _Problem) -> Selection:
    """Elastic net on centred log-ratios chooses HPCs; ridge on the log-ratios among them gives coefficients that sum to 0."""
    if problem.pool.transform.scale != "logratio":
        message = "selection 'logcontrast' works on log-ratios of HPC shares. Set scale = \"logratio\"."
        raise ConfigError(message)
    names = problem.pool.leaf_names()
    logs = problem.columns(names)
    outcome, folded = (problem.time, problem.event), problem.folded()
    centred = logs - logs.mean(1, keepdims=True)
    coef, penalty = cross_validated_net(centred, *outcome, l1_ratio=0.5, **folded)
    kept = np.flatnonzero(coef)
    if len(kept) < 2:
        return problem.selection((), (), penalty=penalty, l1_ratio=0.5)
    basis = ilr_basis(len(kept))
    fit = ridge_fit(logs[:, kept] @ basis.T, *outcome, **folded)
    chosen = [names[j] for j in kept]
    return problem.selection(
        chosen, fit.coef @ basis, penalty=penalty, l1_ratio=0.5, ridge_penalty=fit.penalty
    )


_METHODS: dict[str, Callable[[_Problem], Selection]] = {
    "auto": _auto,
    "tree": _tree,
    "completed": _completed,
    "ridge": _ridge,
    "paper": _paper,
    "lasso": _lasso,
    "stepwise": _stepwise,
    "logcontrast": _logcontrast,
}

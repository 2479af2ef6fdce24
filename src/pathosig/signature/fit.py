"""Fitting a signature on discovery patients: selection, refit, cut-off, baseline, univariate table, benchmark."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.core.threads import one_blas_thread
from pathosig.core.words import counted
from pathosig.signature.cutoff import Cutoff, choose_cutoff
from pathosig.signature.features import Candidates, candidates, design
from pathosig.signature.model import Signature, TrainedOn
from pathosig.signature.scores import training_scores
from pathosig.signature.selection import Selection, select
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet, training_set
from pathosig.signature.transform import FeatureRule, Scale
from pathosig.survival.baseline import Baseline, baseline_of
from pathosig.survival.univariate import univariate_per_sd

_FEWEST_EVENTS = 2


@dataclass(frozen=True, kw_only=True)
class SignatureFit:
    """A signature, or the reason why there is none, with everything that is reported about the fit.

    Attributes
    ----------
    signature
        The signature, or None if no candidate was selected.
    reason
        Why there is no signature.
    selection
        Which candidates were selected, and how.
    univariate
        One row per candidate: hazard ratio per SD, p and the q of Benjamini and Hochberg.
    benchmark
        Ridge on all leaves: the score that uses the whole profile.
    cutoff
        The cut-off, with its uncertainty.
    dropped
        Column -> why it is not a candidate.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60)})
    >>> training = training_set(table, pd.DataFrame({"time": rng.exponential(np.exp(-table["grade"])), "event": True}))
    >>> fit = fit_details(training, SignatureSpec(selection="ridge", bootstraps=0))
    >>> fit.signature.cutoff == fit.cutoff.value, fit.reason
    (True, '')
    """

    signature: Signature | None
    reason: str
    selection: Selection
    univariate: pd.DataFrame
    benchmark: Signature | None
    cutoff: Cutoff | None
    dropped: Mapping[str, str]


def fit_signature(
    profiles: Any,
    outcome: pd.DataFrame | None = None,
    *,
    spec: SignatureSpec | None = None,
    endpoint: str = "os",
    unit: str = "months",
    tree: Mapping[str, Any] | None = None,
    artefacts: Sequence[int] = (),
    columns: Sequence[str] = (),
) -> Signature:
    """The signature of discovery patients.

    Parameters
    ----------
    profiles
        A `TrainingSet`, or a table of profiles or raw features as for `training_set`.
    outcome
        As for `training_set`; not needed with a `TrainingSet`.
    spec
        Selection, fit and cut-off; by default those of `SignatureSpec`.
    endpoint, unit, tree, artefacts, columns
        As for `training_set`.

    Returns
    -------
    Signature

    Raises
    ------
    NotEstimableError
        If nothing is selected or there are too few events.
    InputError
        E_TIME, E_EVENT if an outcome is missing or of another type.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=200), "size": rng.normal(size=200)})
    >>> time = rng.exponential(np.exp(-table["grade"]))
    >>> outcome = pd.DataFrame({"time": np.minimum(time, 2), "event": time < 2})
    >>> signature = fit_signature(table, outcome, spec=SignatureSpec(selection="ridge"), unit="years")
    >>> bool(signature.coef[signature.hpcs.index("grade")] > 0.5)
    True
    """
    training = profiles
    if not isinstance(training, TrainingSet):
        if outcome is None:
            raise InputError("fit_signature: no outcome given; expected a table with time and event.")
        training = training_set(
            profiles, outcome, endpoint=endpoint, unit=unit, tree=tree, artefacts=artefacts, columns=columns
        )
    fit = fit_details(training, spec, benchmark=False, univariate=False)
    if fit.signature is None:
        raise NotEstimableError(fit.reason, code="E_NO_SIGNATURE")
    return fit.signature


@one_blas_thread()
def fit_details(
    training: TrainingSet,
    spec: SignatureSpec | None = None,
    *,
    benchmark: bool = True,
    univariate: bool = True,
    brief: bool = False,
) -> SignatureFit:
    """Select features, fit them and choose the cut-off on discovery patients, with everything that is reported about it.

    Parameters
    ----------
    training
        Patients to fit on.
    spec
        Settings.
    benchmark
        Whether ridge on all leaves is fitted too.
    univariate
        Whether every candidate is also tested in a model of its own; repeated fits do not need it.
    brief
        Whether to leave out what is only reported about the selection; the signature is the same.

    Returns
    -------
    SignatureFit

    Raises
    ------
    NotEstimableError
        If there are fewer than two events, or no candidate varies.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grade": rng.normal(size=60), "size": rng.normal(size=60)})
    >>> training = training_set(table, pd.DataFrame({"time": rng.exponential(np.exp(-table["grade"])), "event": True}))
    >>> fit = fit_details(training, SignatureSpec(selection="stepwise", bootstraps=0), benchmark=False)
    >>> fit.signature.hpcs, fit.univariate["hr"].round(2).tolist()
    (('grade',), [2.3, 0.78])
    """
    spec = spec or SignatureSpec()
    patients = assessable(training.under(spec.policy), spec)
    time, event = patients.time, patients.event
    scale: Scale = "logratio" if spec.selection == "logcontrast" else spec.scale
    pool = candidates(
        patients, scale=scale, min_prevalence=spec.min_prevalence, min_steadiness=spec.min_steadiness
    )
    x = design(patients.profiles, pool.names, pool.transform)
    table = pd.DataFrame({"feature": pool.names})
    if univariate:
        table = _univariate_table(x, time, event, pool)
    chosen = select(x, time, event, pool=pool, spec=spec, groups=patients.groups, brief=brief)
    table["selected"] = table["feature"].isin(chosen.names)
    table["steadiness"] = table["feature"].map(patients.steadiness).astype(float)
    table["frequency"] = table["feature"].map(chosen.details.get("frequency", {})).astype(float)
    reference = None
    if benchmark and chosen.method != "ridge":
        ridge_spec = spec.replace(
            selection="ridge", scale=spec.scale, cutoff="median", cutoff_value=None, bootstraps=0
        )
        all_leaves = select(x, time, event, pool=pool, spec=ridge_spec, groups=patients.groups)
        reference = _frozen(patients, all_leaves, pool, ridge_spec)[0]
    signature, cutoff = _frozen(patients, chosen, pool, spec) if chosen.names else (None, None)
    return SignatureFit(
        signature=signature,
        reason="" if signature else _nothing(chosen, len(pool.names), int(event.sum())),
        selection=chosen,
        univariate=table,
        benchmark=reference if chosen.method != "ridge" else signature,
        cutoff=cutoff,
        dropped=pool.dropped,
    )


def _nothing(chosen: Selection, candidates_: int, events: int) -> str:
    detail = ""
    if chosen.details.get("clusters"):
        top = chosen.details["clusters"][0]
        detail = (
            f" The most frequent, {top['representative']}, appeared in {top['frequency']:.0%} of half-samples; "
            f"the threshold is {chosen.details['threshold']:.0%}."
        )
    return (
        f"no signature: selection '{chosen.method}' chose none of {candidates_} candidates ({counted(events, 'event')}).{detail} "
        "This is a result; it is reported as such."
    )


def assessable(training: TrainingSet, spec: SignatureSpec) -> TrainingSet:
    """The patients who have enough tiles to be scored.

    Parameters
    ----------
    training, spec
        Patients to fit on, and the smallest number of tiles.

    Returns
    -------
    TrainingSet
        All patients if the training set has no HPCs.

    Raises
    ------
    NotEstimableError
        E_EVENTS if there are fewer than two events among them.

    Examples
    --------
    >>> table = pd.DataFrame({"patient_id": list("abc"), "n_tiles": [500, 2, 700], "hpc_00": [1.0, 1.0, 1.0]})
    >>> outcome = pd.DataFrame({"patient_id": list("abc"), "time": [1.0, 2.0, 3.0], "event": True})
    >>> len(assessable(TrainingSet.of(table, outcome), SignatureSpec(min_tiles=100)))
    2
    """
    patients = training
    if training.kind == "composition" and "n_tiles" in training.profiles:
        patients = training.take((training.profiles["n_tiles"] >= spec.min_tiles).to_numpy())
    events = int(patients.event.sum())
    if events < _FEWEST_EVENTS:
        message = (
            f"signature: endpoint {training.endpoint!r} has {counted(events, 'event')} among {len(patients)} assessable discovery "
            f"patients; at least {_FEWEST_EVENTS} are needed.{training.without_tiles(spec.min_tiles)} The descriptive report "
            "is written."
        )
        raise NotEstimableError(message, code="E_EVENTS")
    return patients


def _univariate_table(x: np.ndarray, time: np.ndarray, event: np.ndarray, pool: Candidates) -> pd.DataFrame:
    """Every candidate in a model of its own; see `univariate_per_sd`."""
    leaves = [pool.leaves.get(n, ()) for n in pool.names]
    kind = ["feature" if not hpcs else "leaf" if len(hpcs) == 1 else "node" for hpcs in leaves]
    names = {"feature": pool.names, "kind": kind, "leaves": [" ".join(map(str, hpcs)) for hpcs in leaves]}
    return pd.DataFrame(names).join(univariate_per_sd(x, time, event))


def _frozen(
    patients: TrainingSet, chosen: Selection, pool: Candidates, spec: SignatureSpec
) -> tuple[Signature, Cutoff]:
    transform = dataclasses.replace(
        pool.transform,
        scale=chosen.scale,
        leaves={n: pool.leaves[n] for n in chosen.names if n in pool.leaves},
        min_tiles=spec.min_tiles,
        policy=spec.policy,
        rules=FeatureRule.pick(patients.rules, chosen.names) if patients.rules else {},
    )
    center = design(patients.profiles, chosen.names, transform).mean(0)
    draft = Signature(
        endpoint=patients.endpoint,
        hpcs=chosen.names,
        coef=tuple(float(b) for b in chosen.coef),
        center=tuple(float(c) for c in center),
        transform=transform,
        cutoff=0.0,
        cutoff_rule="",
        baseline=Baseline(unit=patients.unit),
    )
    # Cut-off, baseline and spread belong to the scores patients will have, so they are taken under the same policy.
    every = training_scores(draft, patients)
    scored = np.isfinite(every)
    score, time, event = every[scored], patients.time[scored], patients.event[scored]
    other = None if patients.competing is None else patients.competing[scored]
    cutoff = choose_cutoff(score, time, event, spec)
    ids = patients.outcome["patient_id"].astype(str)[scored]
    signature = dataclasses.replace(
        draft,
        transform=dataclasses.replace(transform, raw=patients.apply_rules),
        cutoff=cutoff.value,
        cutoff_rule=cutoff.rule,
        baseline=baseline_of(score, time, event, patients.unit, horizons=spec.horizons, competing=other),
        trained_on=TrainedOn(
            cohort=patients.cohort,
            n=len(score),
            events=int(event.sum()),
            sd=float(score.std(ddof=1)),
            percentiles=tuple(float(v) for v in np.percentile(score, np.arange(101))),
            patients_sha256=hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            selection=chosen.method,
            details={k: v for k, v in chosen.details.items() if k not in ("frequency", "clusters")},
        ),
    )
    return signature, cutoff

"""Honesty checks of the whole procedure: null, optimism, site, depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pathosig.core.errors import NotEstimableError
from pathosig.signature.estimates import estimate, finite
from pathosig.signature.internal import Prepare, cross_validate
from pathosig.signature.repeats import Procedure, repeat
from pathosig.signature.spec import SignatureSpec
from pathosig.survival import harrell_c

_PASS = 0.07


def permuted_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of patients that mixes them within strata (cohort and site): int[n]."""
    order = np.arange(len(strata))
    for label in np.unique(strata):
        inside = np.flatnonzero(strata == label)
        order[inside] = rng.permutation(inside)
    return order


def aligned(rows: pd.DataFrame, outcome: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Profiles and outcomes of the patients who have both, sorted by patient."""
    table = outcome[outcome["patient_id"].isin(set(rows["patient_id"]))].sort_values("patient_id")
    data = rows.merge(table[["patient_id"]], on="patient_id").sort_values("patient_id")
    return data.reset_index(drop=True), table.reset_index(drop=True)


def audit_null(
    rows: pd.DataFrame,
    outcome: pd.DataFrame,
    *,
    spec: SignatureSpec,
    strata: Mapping[str, str] | None = None,
    permutations: int = 1000,
    seed: int = 0,
    workers: int = 1,
    **facts: Any,
) -> dict[str, Any]:
    """The whole procedure on permuted outcomes.

    Parameters
    ----------
    rows, outcome
        Discovery profiles; patient_id, time, event.
    spec
        The signature's settings.
    strata
        patient_id -> label within which outcomes are permuted (cohort and site).
    permutations
        1,000 for a verdict; fewer than 1,000 are a preview without one.
    seed
        Seed.
    workers
        Processes side by side; results do not depend on it.
    facts
        Further arguments of `fit_details`.

    Returns
    -------
    dict with ``any_signature``, ``naive_rejection``, ``reported_rejection`` (each with Monte-Carlo limits),
    ``observed_c``, ``p`` (rank of the observed apparent C among the permuted ones) and ``verdict``.
    """
    data, table = aligned(rows, outcome)
    procedure = Procedure(rows=data, outcome=table, spec=spec.replace(bootstraps=0), facts=facts)
    labels = table["patient_id"].map(strata or {}).fillna("").to_numpy(str)
    rng = np.random.default_rng(seed)
    observed = procedure.apparent(table)[0]
    orders = [permuted_order(labels, rng) for _ in range(permutations)]
    made = repeat(procedure, "permuted", orders, workers=workers)
    statistics, some = [c for c, _, _ in made], sum(found for _, _, found in made)
    naive = [p < 0.05 for _, p, _ in made]
    drawn = np.array(statistics)
    # p of each permuted data set among the others, exactly as the observed one is ranked; no signature never rejects
    ranks = np.array([(1 + (np.delete(drawn, i) >= c).sum()) / len(drawn) for i, c in enumerate(drawn)])
    rejected = int(((ranks < 0.05) & (drawn > 0.5)).sum())
    reported = _rate(rejected, permutations)
    verdict = "preview" if permutations < 1000 else "pass" if (reported["upper"] or 1) <= _PASS else "fail"
    return {
        "audit": "null",
        "permutations": permutations,
        "any_signature": _rate(some, permutations),
        "naive_rejection": _rate(int(np.sum(naive)), permutations),
        "reported_rejection": reported,
        "observed_c": observed,
        "null_c": estimate(drawn.mean(), *np.quantile(drawn, [0.025, 0.975])),
        "p": float((1 + (drawn >= observed).sum()) / (1 + permutations)) if observed > 0.5 else 1.0,
        "bar": _PASS,
        "verdict": verdict,
    }


def _rate(count: int, n: int) -> dict[str, Any]:
    lower = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    upper = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return estimate(count / n, lower, upper, n=n)


def audit_optimism(
    rows: pd.DataFrame,
    outcome: pd.DataFrame,
    *,
    spec: SignatureSpec,
    prepare: Prepare | None = None,
    resamples: int = 100,
    repeats: int = 5,
    folds: int = 5,
    seed: int = 0,
    workers: int = 1,
    **facts: Any,
) -> dict[str, Any]:
    """Apparent C, repeated nested cross-validation, out-of-bag C, .632+ and Harrell's optimism.

    Profiles to score: the codebook is fixed and outcome-blind. Repeats of a patient in a bootstrap sample stay in
    one inner fold. A model without a feature scores .50; how often that happens is given.

    Parameters
    ----------
    rows, outcome
        Discovery profiles; patient_id, time, event.
    prepare
        Training ids -> profiles (see `cross_validate`); `rows` for everyone by default.
    resamples, repeats, folds, seed
        How often.
    workers
        Processes side by side; results do not depend on it.
    """
    data, table = aligned(rows, outcome)
    procedure = Procedure(rows=data, outcome=table, spec=spec.replace(bootstraps=0), facts=facts)
    apparent = procedure.apparent(table)[0]
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(table), len(table)) for _ in range(resamples)]
    made = repeat(procedure, "bootstrapped", draws, workers=workers)
    out_of_bag, optimism = [c for c, _, _ in made], [gap for _, gap, _ in made]
    empty = sum(not found for _, _, found in made)
    bag = float(np.mean(out_of_bag))
    gap = max(0.0, (apparent - bag) / (apparent - 0.5)) if apparent > 0.5 and bag < apparent else 0.0
    weight = 0.632 / (1 - 0.368 * min(1.0, gap))
    validated = cross_validate(
        prepare or (lambda ids: data), table, spec=spec, repeats=repeats, folds=folds, seed=seed, **facts
    )
    return {
        "audit": "optimism",
        "what": "profiles-to-score (codebook fixed, outcome-blind)",
        "apparent_c": apparent,
        "cross_validated_c": estimate(validated.c, validated.lower, validated.upper),
        "out_of_bag_c": estimate(bag, *np.quantile(out_of_bag, [0.025, 0.975])),
        "c_632_plus": (1 - weight) * apparent + weight * max(bag, 0.5),
        "harrell_corrected_c": apparent - float(np.mean(optimism)),
        "optimism": estimate(np.mean(optimism), *np.quantile(optimism, [0.025, 0.975])),
        "share_empty": empty / resamples,
        "resamples": resamples,
        "monte_carlo_se": _monte_carlo(out_of_bag),
        "monte_carlo": {
            "out_of_bag_c": _monte_carlo(out_of_bag),
            "optimism": _monte_carlo(optimism),
            "cross_validated_c": _monte_carlo(validated.per_repeat),
        },
        "codebook_refit": "not done: see `codebook_resamples`",
    }


def _monte_carlo(values: Sequence[float]) -> float | None:
    """Standard error of a mean over repeats: how far another seed would be."""
    return finite(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def audit_site(
    rows: pd.DataFrame,
    outcome: pd.DataFrame,
    site: Mapping[str, str],
    *,
    spec: SignatureSpec,
    folds: int = 5,
    seed: int = 0,
    columns: Sequence[str] = (),
    **facts: Any,
) -> dict[str, Any]:
    """Preserved-site cross-validation, C within sites, C of the site alone, and how well profiles tell the site.

    Parameters
    ----------
    site
        patient_id -> site.
    columns
        Profile columns; leaf shares by default.

    Raises
    ------
    NotEstimableError
        With fewer than two sites.
    """
    table = (
        outcome[outcome["patient_id"].isin(set(rows["patient_id"]))]
        .sort_values("patient_id")
        .reset_index(drop=True)
    )
    sites = pd.Series({p: site.get(p, "") for p in table["patient_id"]})
    count = int(sites.nunique())
    if count < 2:
        message = f"audit site: {count} site among discovery patients. Name the column in [columns] site."
        raise NotEstimableError(message)
    folds = min(folds, count)
    kept = cross_validate(
        lambda ids: rows,
        table,
        spec=spec,
        repeats=1,
        folds=folds,
        seed=seed,
        groups=sites,
        columns=columns,
        **facts,
    )
    time, event = table["time"].to_numpy(float), table["event"].to_numpy(bool)
    score = table["patient_id"].map(kept.scores.set_index("patient_id")["score"]).to_numpy(float)
    label = sites.to_numpy(str)
    inside = []
    for name in np.unique(label):
        part = label == name
        if event[part].sum() >= 5:
            found = harrell_c(score[part], time[part], event[part])
            inside.append((found.c, found.concordant + found.discordant + found.tied))
    within = (
        float(np.average([c for c, _ in inside], weights=[w for _, w in inside])) if inside else float("nan")
    )
    rate = {s: event[label == s].sum() / max(time[label == s].sum(), 1e-9) for s in np.unique(label)}
    alone = float(harrell_c(np.array([rate[s] for s in label]), time, event).c)
    names = list(columns) or [c for c in rows.columns if str(c).startswith("hpc_")]
    matrix = rows.set_index("patient_id").loc[table["patient_id"], names].to_numpy(float)
    return {
        "audit": "site",
        "sites": count,
        "preserved_site_c": estimate(kept.c, kept.lower, kept.upper),
        "within_site_c": finite(within),
        "site_only_c": alone,
        "site_predictability": _site_accuracy(matrix, label, np.random.default_rng(seed)),
    }


def _site_accuracy(matrix: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Leave-one-out nearest-neighbour accuracy of the site against labels permuted 200 times."""
    spread = matrix.std(0)
    z = (matrix - matrix.mean(0)) / np.where(spread > 0, spread, 1.0)
    distance = (z**2).sum(1)[:, None] - 2 * z @ z.T + (z**2).sum(1)[None]
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    observed = float((label[nearest] == label).mean())
    chance = [
        float((mixed[nearest] == mixed).mean()) for mixed in (rng.permutation(label) for _ in range(200))
    ]
    p = (1 + sum(c >= observed for c in chance)) / 201
    return {"accuracy": observed, "chance": float(np.mean(chance)), "p": p}


def audit_depth(
    score: Callable[[pd.DataFrame], np.ndarray],
    group_of: Callable[[np.ndarray], np.ndarray],
    counts: pd.DataFrame,
    *,
    depths: Sequence[int] = (30, 60, 120, 300),
    draws: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """Score with fewer tiles: bias, ICC with the full score, and how many patients change group.

    Parameters
    ----------
    score, group_of
        The frozen signature's, without its minimum of tiles.
    counts
        patient_id and tile counts ``hpc_00`` ... per patient.
    """
    rng = np.random.default_rng(seed)
    names = [c for c in counts.columns if str(c).startswith("hpc_")]
    matrix = np.rint(counts[names].to_numpy(float)).astype(int)
    tiles = matrix.sum(1)

    def scored(part: np.ndarray) -> np.ndarray:
        table = pd.DataFrame(part / np.maximum(part.sum(1, keepdims=True), 1), columns=names)
        return score(table.assign(n_tiles=part.sum(1)))

    full = scored(matrix)
    out = []
    for depth in depths:
        enough = tiles >= depth
        if enough.sum() < 10:
            continue
        drawn = [
            scored(np.stack([rng.multivariate_hypergeometric(row, depth) for row in matrix[enough]]))
            for _ in range(draws)
        ]
        few = np.stack(drawn)
        between, within = full[enough].var(), ((few - full[enough]) ** 2).mean()
        flips = np.mean([(group_of(f) != group_of(full[enough])).mean() for f in few])
        out.append(
            {
                "tiles": depth,
                "patients": int(enough.sum()),
                "bias": float((few - full[enough]).mean()),
                "icc": float(between / (between + within)) if between > 0 else None,
                "group_flips": float(flips),
            }
        )
    return {"audit": "depth", "depths": out, "draws": draws}

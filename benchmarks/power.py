"""C in new patients of selections and their competitors, over planted truths (docs/adr/0033). Prints one JSON object as its last line.

    python benchmarks/power.py [--generators logistic,...] [--truths linear,...] [--sizes 100,200,400] [--runs 30[,30,30]] [--first-seed 5000]
                               [--methods groups,lasso_nodes,tree,completed] [--rows FILE.jsonl]

The same cohorts serve every method. With --rows every cohort is appended to a file as it is done, and cohorts that are there are
not done again (only methods that are missing there are). No signature counts as C = .50 and has no calibration slope.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pathosig.core.errors import PathosigError, PathosigWarning
from pathosig.core.threads import one_blas_thread
from pathosig.profiles.tree import coarse_groups
from pathosig.signature import SignatureSpec, TrainingSet
from pathosig.signature.features import candidates, design
from pathosig.signature.selection import Selection, select
from pathosig.survival import cox, harrell_c
from pathosig.survival.half_paths import gradient, half_samples_of, quadratic_at
from pathosig.survival.ridge import Likelihood, fold_of, ridge_fit
from power_cohorts import TRUTHS, simulate

COMPETITORS = ("lasso_nodes", "groups")
Row = dict[str, dict[str, float | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """Linear in shares of HPCs: weight of each candidate, and which of them counts as selected."""

    weight: np.ndarray
    selected: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Whether it says the same about everybody."""
        return not self.weight.any()


class Cohort:
    """One cohort's designs, and the parts that candidates and competitors are put together from."""

    def __init__(self, old: TrainingSet, new: TrainingSet) -> None:
        self.pool = candidates(old, scale="share", min_prevalence=0.05)
        self.x, self.later = (design(t.profiles, self.pool.names, self.pool.transform) for t in (old, new))
        self.time, self.event = old.time, old.event
        self.new = new
        self.chosen: dict[str, Selection | None] = {}

    def shipped(self, selection: str) -> Model:
        """A selection of the package; what it calls stable, or else all it chose, counts as selected."""
        chosen = self.selected(selection)
        if chosen is None:
            return self.model((), np.array([]))
        model = self.model(chosen.names, np.array(chosen.coef), selected=True)
        stable = chosen.details.get("stable", chosen.names)
        return replace(model, selected=tuple(self.pool.names.index(n) for n in stable))

    def selected(self, selection: str) -> Selection | None:
        """What a selection of the package chose; None where there are too few events for it."""
        if selection not in self.chosen:
            spec = SignatureSpec(selection=selection, bootstraps=0)
            try:
                self.chosen[selection] = select(self.x, self.time, self.event, pool=self.pool, spec=spec)
            except PathosigError:
                self.chosen[selection] = None
        return self.chosen[selection]

    def unshrunk(self) -> Model:
        """`completed` without its shrinkage."""
        model = self.shipped("completed")
        return (
            model
            if model.empty
            else replace(model, weight=model.weight / self.selected("completed").details["shrinkage"])
        )

    def groups(self, k: int = 8) -> Model:
        """Ridge on the tree cut at k."""
        names = coarse_groups(self.pool.leaves, k)
        columns = [self.pool.names.index(n) for n in names]
        fit = ridge_fit(self.x[:, columns], self.time, self.event)
        return self.model(names, fit.coef)

    def lasso(self, *, n_lambda: int = 20, min_ratio: float = 0.15, folds: int = 5) -> Model:
        """Lasso on all nodes, penalty by cross-validated partial likelihood.

        All folds are climbed together, so each loses the few patients that the shortest one lacks.
        """
        d = self.event
        fold = fold_of(len(d), d, folds, np.random.default_rng(0))
        short = min((fold != k).sum() for k in range(folds))
        rows = [np.flatnonzero(fold != k)[:short] for k in range(folds)]
        grid = np.geomspace(1.0, min_ratio, n_lambda)
        whole, top = _path(self.x, self.time, d, np.arange(len(d))[None, :], grid, None)
        inside, _ = _path(self.x, self.time, d, np.stack(rows), grid, top)
        everybody = Likelihood(self.time, d)
        parts = [Likelihood(self.time[these], d[these]) for these in rows]
        score = np.einsum("np,jkp->jkn", self.x, np.array(inside))
        gain = [
            sum(
                everybody.of(s) - part.of(s[these])
                for s, part, these in zip(scores, parts, rows, strict=True)
            )
            for scores in score
        ]
        best = int(np.argmax(gain))
        beta = whole[best][0]
        return Model(weight=beta, selected=tuple(np.flatnonzero(beta)))

    def model(self, names: Sequence[str], coef: np.ndarray, *, selected: bool = False) -> Model:
        """A model that weighs some candidates."""
        weight = np.zeros(len(self.pool.names))
        columns = [self.pool.names.index(n) for n in names]
        weight[columns] = coef
        return Model(weight=weight, selected=tuple(columns) if selected else ())

    def judged(self, model: Model, planted: np.ndarray) -> dict[str, float | None]:
        """C and calibration slope in new patients, terms, and the proportion of selected terms that are planted."""
        if model.empty:
            return {"c": 0.5, "slope": None, "terms": 0.0, "planted": None, "empty": 1.0}
        score = self.later @ model.weight
        leaves = [list(self.pool.leaves[self.pool.names[j]]) for j in model.selected]
        right = [planted[hpcs].mean() > 0.5 for hpcs in leaves]
        return {
            "c": harrell_c(score, self.new.time, self.new.event).c,
            "slope": float(cox(score, self.new.time, self.new.event).coef[0]),
            "terms": float(np.count_nonzero(model.weight)),
            "planted": float(np.mean(right)) if right else None,
            "empty": 0.0,
        }


def _path(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    rows: np.ndarray,
    grid: np.ndarray,
    top: float | None,
) -> tuple[list[np.ndarray], float]:
    """Coefficients[len(rows), p] on the scale of x at each penalty, a share of the largest; two Newton models a penalty."""
    halves = half_samples_of(x, time, event, rows)
    beta = np.zeros((len(rows), x.shape[1]))
    largest = float(np.abs(gradient(halves, beta)).max()) if top is None else top
    spread = np.stack([x[r].std(0) for r in rows])
    out = []
    for value in grid * largest:
        for _ in range(2):
            beta = quadratic_at(halves, beta).lasso(beta, np.full(len(rows), value))
        out.append(np.where(spread > 1e-9, beta / np.maximum(spread, 1e-9), 0.0))
    return out, largest


METHODS: dict[str, Callable[[Cohort], Model]] = {
    "groups": Cohort.groups,
    "lasso_nodes": Cohort.lasso,
    "tree": lambda cohort: cohort.shipped("tree"),
    "completed": lambda cohort: cohort.shipped("completed"),
    "completed_unshrunk": Cohort.unshrunk,
}
DEFAULT = ("groups", "lasso_nodes", "tree", "completed")


@one_blas_thread()
def one_run(seed: int, n: int, truth: str, generator: str, methods: Sequence[str]) -> Row:
    """What methods say about the new patients of one cohort."""
    old, new, planted = simulate(seed, n, truth, generator)
    cohort = Cohort(old, new)
    return {name: cohort.judged(METHODS[name](cohort), planted) for name in methods}


def summary(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Means over cohorts, and paired differences to competitors and to `tree` with their standard errors."""
    out: dict[str, dict[str, float]] = {}
    for name in rows[0]:
        cell = {}
        for key in ("c", "slope", "terms", "planted", "empty"):
            values = [r[name][key] for r in rows if r[name][key] is not None]
            if values:
                cell[key] = round(float(np.mean(values)), 4)
        cell["median_terms"] = float(np.median([r[name]["terms"] for r in rows]))
        for other in [o for o in (*COMPETITORS, "tree") if o in rows[0]]:
            gap = np.array([r[name]["c"] - r[other]["c"] for r in rows])
            error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.nan
            cell[f"minus_{other}"], cell[f"minus_{other}_se"] = (
                round(float(gap.mean()), 4),
                round(float(error), 4),
            )
        out[name] = cell
    return out


def main() -> None:
    """All cells; then over sizes, truths and generators."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generators", default="logistic,dirichlet_tree,embeddings")
    parser.add_argument("--truths", default=",".join(TRUTHS))
    parser.add_argument("--sizes", default="100,200,400")
    parser.add_argument("--runs", default="30", help="one number, or one for each size")
    parser.add_argument("--first-seed", type=int, default=5000)
    parser.add_argument("--methods", default=",".join(DEFAULT))
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    methods = options.methods.split(",")
    sizes = [int(n) for n in options.sizes.split(",")]
    each = [int(r) for r in options.runs.split(",")]
    runs = dict(zip(sizes, each if len(each) > 1 else each * len(sizes), strict=True))
    done: dict[str, Row] = {}
    if options.rows is not None and options.rows.exists():
        done = dict(json.loads(line) for line in options.rows.read_text().splitlines())
    rows: dict[tuple[str, str, int], list[Row]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        for seed in range(options.first_seed, options.first_seed + max(runs.values())):
            wanted = [n for n in sizes if seed < options.first_seed + runs[n]]
            for cell in itertools.product(options.generators.split(","), options.truths.split(","), wanted):
                key = " ".join(map(str, (*cell, seed)))
                wanting = [m for m in methods if m not in done.get(key, {})]
                if wanting:
                    row = one_run(seed, cell[2], cell[1], cell[0], wanting)
                    done[key] = {m: (done.get(key, {}) | row)[m] for m in methods}
                    if options.rows is not None:
                        with options.rows.open("a") as file:
                            file.write(json.dumps([key, done[key]]) + "\n")
                rows.setdefault(cell, []).append(done[key])
            sys.stderr.write(f"seed {seed} done\n")
    found = {" ".join(map(str, cell)): summary(these) for cell, these in rows.items()}
    real = {cell: these for cell, these in rows.items() if cell[1] != "null"}
    for place, kind in enumerate(("generator", "truth", "size")):
        for value in dict.fromkeys(cell[place] for cell in real):
            found[f"{kind} {value}"] = summary(
                [r for c, these in real.items() if c[place] == value for r in these]
            )
    if real:
        found["all"] = summary([r for these in real.values() for r in these])
    noise = [r for cell, these in rows.items() if cell[1] == "null" for r in these]
    if noise:
        found["noise"] = summary(noise)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

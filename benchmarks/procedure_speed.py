"""CPU-seconds of what internal validation repeats, beside the same work done one by one. Prints one JSON object as its last line.

`ridge`: a cross-validated ridge model, all folds at once, and the same coefficients from a Cox model for each fold and
penalty. `concordance`: the interval of a difference in C from 200 resamples, at once and one by one. `selection`: a
stability selection on permuted outcomes, ended once nothing can be chosen, and with all half-samples.

    python benchmarks/procedure_speed.py [--patients 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import sys
import time as clock
from collections.abc import Callable

import numpy as np

from pathosig.core.threads import one_blas_thread
from pathosig.survival import cox, harrell_c
from pathosig.survival.resampled import counts_of, resampled_c
from pathosig.survival.ridge import PENALTIES, fold_of, ridge_fit
from pathosig.survival.stability import stability_selection


def seconds(work: Callable[[], object], repeats: int) -> float:
    """CPU-seconds of one repeat, after one that warms up."""
    work()
    begin = clock.process_time()
    for _ in range(repeats):
        work()
    return (clock.process_time() - begin) / repeats


def main() -> None:
    """All three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rng, n = np.random.default_rng(0), options.patients
    x = rng.normal(size=(n, 16))
    time, event = rng.exponential(np.exp(-x[:, 0])), rng.random(n) < 0.6
    fold, order = fold_of(n, event, 5, np.random.default_rng(0)), rng.permutation(n)
    draws = rng.integers(0, n, (200, n))

    def models() -> None:
        for k in range(5):
            for penalty in PENALTIES:
                cox(x[fold != k], time[fold != k], event[fold != k], penalty=penalty)

    def selection(brief: bool) -> None:
        stability_selection(x, time[order], event[order], lowest=0.9, brief=brief)

    pairs = {
        "ridge": (lambda: ridge_fit(x, time, event), models),
        "concordance": (
            lambda: resampled_c(x.T[:2], time, event, counts_of(draws, n)),
            lambda: [harrell_c(s[rows], time[rows], event[rows]) for rows in draws for s in x.T[:2]],
        ),
        "selection": (lambda: selection(True), lambda: selection(False)),
    }
    results = {}
    with one_blas_thread():
        for name, works in pairs.items():
            new, plain = (seconds(work, options.repeats) for work in works)
            results[name] = {
                "s": round(new, 4),
                "one_by_one_s": round(plain, 4),
                "ratio": round(new / plain, 3),
            }
    sys.stdout.write(json.dumps({"patients": n, **results}) + "\n")


if __name__ == "__main__":
    main()

"""Cox screens and bootstraps against lifelines and R, and how far the numbers lie from R's.

    python benchmarks/survival.py [--rounds 5] [--wide 10000]

A simulated cohort of 380 patients. CPU seconds, medians of interleaved rounds: 43 univariate Cox models; a
screen of 10,000 columns (lifelines on 100 of them, scaled); 1,000 bootstraps of a two-column model
(lifelines on 50 of them, scaled); the shipped signature with 50 HPCs as `pipeline_seconds`. R (survival) is
measured in one process of its own, a loop of coxph.fit, and null where Rscript or survival is missing.
`max_difference_from_r` is the largest absolute difference of a coefficient or standard error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pathosig.survival import bootstrap_cox, cox_univariate

N, COLUMNS, WIDE_SAMPLE, BOOTSTRAPS, BOOT_SAMPLE = 380, 43, 100, 1000, 50

R_SCRIPT = """
suppressMessages(library(survival))
args <- commandArgs(TRUE)
d <- as.matrix(read.csv(args[1])); time <- d[, 1]; event <- d[, 2]; x <- d[, -(1:2)]
y <- Surv(time, event); control <- coxph.control(); n <- as.integer(args[2])
one <- function(j) {
  f <- coxph.fit(x[, j, drop = FALSE], y, NULL, NULL, NULL, control, NULL, "efron", NULL)
  c(f$coefficients, sqrt(f$var))
}
r <- sapply(seq_len(n), one)
took <- sapply(1:7, function(i) system.time(for (k in 1:20) sapply(seq_len(n), one))[["user.self"]] / 20)
cat(median(took), "\\n"); cat(format(r[1, ], digits = 17), "\\n"); cat(format(r[2, ], digits = 17), "\\n")
"""


def cohort(columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x float[380, columns], time, event): exponential survival, two columns with an effect, tied times."""
    rng = np.random.default_rng(20261123)
    x = rng.normal(size=(N, columns))
    death = rng.exponential(40 * np.exp(-0.5 * x[:, 0] + 0.4 * x[:, 1]))
    censoring = rng.uniform(5, 90, N)
    return x, np.ceil(np.minimum(death, censoring) * 2) / 2, death <= censoring


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def by_lifelines(x: np.ndarray, t: np.ndarray, d: np.ndarray) -> None:
    """A univariate lifelines model of every column."""
    from lifelines import CoxPHFitter

    for j in range(x.shape[1]):
        CoxPHFitter().fit(pd.DataFrame({"x": x[:, j], "t": t, "d": d}), "t", "d")


def lifelines_bootstrap(x: np.ndarray, t: np.ndarray, d: np.ndarray, draws: np.ndarray) -> None:
    """A lifelines model of every resample."""
    from lifelines import CoxPHFitter

    for rows in draws:
        frame = pd.DataFrame({"a": x[rows, 0], "b": x[rows, 1], "t": t[rows], "d": d[rows]})
        CoxPHFitter().fit(frame, "t", "d")


def by_r(x: np.ndarray, t: np.ndarray, d: np.ndarray) -> tuple[float, float] | None:
    """(seconds of coxph.fit over the columns, largest difference of coefficient or standard error)."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        table = np.column_stack([t, d.astype(float), x])
        path = Path(folder) / "d.csv"
        header = ",".join(["time", "event", *(f"x{j}" for j in range(x.shape[1]))])
        np.savetxt(path, table, delimiter=",", header=header, comments="", fmt="%.17g")
        script = Path(folder) / "s.R"
        script.write_text(R_SCRIPT, encoding="utf-8")
        answer = subprocess.run([rscript, script, path, str(x.shape[1])], capture_output=True, text=True)
    if answer.returncode:
        return None
    lines = answer.stdout.splitlines()
    ours = cox_univariate(x, t, d)
    theirs = [np.array(line.split(), float) for line in lines[1:3]]
    gaps = [np.abs(np.asarray(ours[name]) - r).max() for name, r in zip(("coef", "se"), theirs, strict=True)]
    return float(lines[0]), float(max(gaps))


def pipeline_seconds(t: np.ndarray, d: np.ndarray) -> float:
    """CPU seconds of the shipped signature on 50 shares."""
    from pathosig.signature import TrainingSet, fit_details

    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(50, 0.7), size=N)
    x = pd.DataFrame(shares, columns=[f"hpc_{j:02d}" for j in range(50)])
    x["patient_id"] = [f"P{i:04d}" for i in range(N)]
    outcome = pd.DataFrame({"patient_id": x["patient_id"], "time": t, "event": d})
    return cpu(lambda: fit_details(TrainingSet.of(x, outcome)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wide", type=int, default=10_000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    x, t, d = cohort(given.wide)
    narrow = x[:, :COLUMNS]
    draws = np.random.default_rng(2).integers(0, N, (BOOTSTRAPS, N))
    cox_univariate(narrow, t, d)
    bootstrap_cox(x[:, :2], t, d, draws[:5])
    by_lifelines(narrow[:, :1], t, d)
    seconds: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for name, work in {
            "narrow": lambda: [cox_univariate(narrow, t, d) for _ in range(20)],
            "narrow_lifelines": lambda: by_lifelines(narrow, t, d),
            "wide": lambda: cox_univariate(x, t, d),
            "wide_lifelines": lambda: by_lifelines(x[:, :WIDE_SAMPLE], t, d),
            "boot": lambda: bootstrap_cox(x[:, :2], t, d, draws),
            "boot_lifelines": lambda: lifelines_bootstrap(x, t, d, draws[:BOOT_SAMPLE]),
        }.items():
            seconds.setdefault(name, []).append(cpu(work))
    middle = {name: statistics.median(v) for name, v in seconds.items()}
    narrow_seconds = middle["narrow"] / 20
    r = by_r(narrow, t, d)
    try:
        pipeline: float | None = pipeline_seconds(t, d)
    except Exception as error:  # a cohort of noise may hold no signature
        print(f"pipeline: {error}")
        pipeline = None
    print(json.dumps({
        "univariate_vs_lifelines": round(middle["narrow_lifelines"] / narrow_seconds, 1),
        "univariate_vs_r": None if r is None else round(r[0] / narrow_seconds, 2),
        "wide_vs_lifelines": round(
            middle["wide_lifelines"] * given.wide / WIDE_SAMPLE / middle["wide"], 1
        ),
        "bootstrap_vs_lifelines": round(
            middle["boot_lifelines"] * BOOTSTRAPS / BOOT_SAMPLE / middle["boot"], 1
        ),
        "pipeline_seconds": pipeline,
        "max_difference_from_r": None if r is None else r[1],
        "seconds": {"narrow": narrow_seconds, "wide": middle["wide"], "bootstrap": middle["boot"],
                    "narrow_r": None if r is None else r[0]},
    }))  # fmt: skip


if __name__ == "__main__":
    main()

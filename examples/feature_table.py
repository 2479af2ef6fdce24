"""A signature from a feature table, without slides, on the German breast cancer study that lifelines includes.

The signature is fitted on one half of the patients, saved, loaded, and validated on the other half.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines.datasets import load_gbsg2

from pathosig.core.errors import PathosigWarning
from pathosig.signature import Signature, SignatureSpec, fit_signature
from pathosig.survival import harrell_c
from pathosig.validation import validate

table = load_gbsg2()
table["grade"] = table["tgrade"].map({"I": 1.0, "II": 2.0, "III": 3.0})
table["patient_id"] = [f"G{i:03d}" for i in range(len(table))]
features = ["tsize", "pnodes", "progrec", "estrec", "grade"]
table["cohort"] = np.where(np.random.default_rng(0).random(len(table)) < 0.5, "discovery", "validation_1")
outcome = pd.DataFrame(
    {"patient_id": table["patient_id"], "time": table["time"], "event": table["cens"] == 1}
)
inside = (table["cohort"] == "discovery").to_numpy()

# 1. Fit. Filling of missing values, scaling, coefficients and cut-off use discovery patients only.
warnings.simplefilter("ignore", PathosigWarning)
signature = fit_signature(
    table.loc[inside, features], outcome.loc[inside, ["time", "event"]],
    spec=SignatureSpec(selection="ridge"), endpoint="rfs", unit="days",
)  # fmt: skip
print(signature.equation())

# 2. Save and load a text file (not a pickle). A table read from CSV or Parquet gives the same scores.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder)
    signature.save(path / "signature.json")
    signature = Signature.load(path / "signature.json")
    table[features].to_csv(path / "table.csv", index=False)
    table[features].to_parquet(path / "table.parquet")
    scores = [
        signature.score(pd.read_csv(path / "table.csv", float_precision="round_trip")),
        signature.score(pd.read_parquet(path / "table.parquet")),
    ]
assert np.array_equal(*scores)

# 3. Validate on the other half, with the frozen cut-off. Covariates are used only in the multivariable model.
late = ~inside
c = harrell_c(scores[0][late], outcome["time"][late], outcome["event"][late])
print(f"validation: C-index {c.c:.3f} ({c.lower:.3f}-{c.upper:.3f}), n = {late.sum()}")
results = validate(
    signature, table, {"rfs": outcome}, patients=table[["patient_id", "cohort", "age", "horTh"]],
    covariates=["age", "horTh"], units={"rfs": "days"},
)  # fmt: skip
frame = results.to_frame()
print(frame[frame["role"] == "validation"].drop(columns=["role", "unit"]).round(3).to_string(index=False))

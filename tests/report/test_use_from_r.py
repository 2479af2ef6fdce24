"""The page on R: its code runs in R, and R's numbers are those of pathosig."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pathosig.commands.export import export
from pathosig.core.records import write_parquet
from pathosig.core.study import Study
from pathosig.signature.model import Signature, TrainedOn, Transform
from pathosig.survival.baseline import Baseline

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-from-r.md"
BLOCKS = re.findall(r"```r\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

pytestmark = pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")


def run_in_r(code, study):
    return subprocess.run(
        ["Rscript", "-e", code],
        env={"STUDY": str(study), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def scored(tmp_path):
    rng = np.random.default_rng(4)
    shares = rng.dirichlet(np.ones(12), 20)
    table = {"patient_id": [f"0{i:02d}" for i in range(20)], "n_slides": pa.array([1] * 20, pa.int32())}
    table |= {"n_tiles": pa.array([3, *[80] * 19], pa.int32())}
    table |= {f"hpc_{h:02d}": shares[:, h] for h in range(12)}
    study = Study.create(tmp_path)
    write_parquet(study.paths.patient_profiles, pa.table(table), {"pathosig": {"kind": "composition"}})
    signature = Signature(
        endpoint="os",
        hpcs=("node_03", "hpc_11"),
        coef=(4.2, -3.1),
        center=(0.24, 0.08),
        transform=Transform(
            scale="share", k=12, min_tiles=50, leaves={"node_03": (0, 3, 7), "hpc_11": (11,)}
        ),
        cutoff=0.1,
        cutoff_rule="discovery median",
        baseline=Baseline(time=(12.0, 30.0), survival=(0.9, 0.6), unit="months", until=60.0),
        trained_on=TrainedOn(n=20, events=9),
    )
    signature.save(study.paths.signature)
    profiles = pd.DataFrame(table).astype({"n_tiles": int})
    scores = pd.DataFrame({"patient_id": profiles["patient_id"], "score": signature.score(profiles)})
    scores["group"] = signature.group(profiles)
    scores.to_csv(study.paths.scores, index=False)
    export(study, to="csv")
    return study


def test_a_score_computed_by_hand_in_r_is_the_score(scored):
    code = "\n".join(BLOCKS[:3])
    done = run_in_r(code, scored.root)
    assert done.returncode == 0, done.stderr
    assert "002" in done.stdout


def test_a_wrong_coefficient_is_seen_by_the_check_on_the_page(scored):
    path = scored.root / "export" / "csv" / "signature.csv"
    path.write_text(path.read_text().replace("4.2", "4.3"))
    done = run_in_r("\n".join(BLOCKS[:2]), scored.root)
    assert done.returncode != 0
    assert "are not equal" in done.stderr


def test_hazard_ratios_of_r_are_those_of_the_validation(validated):
    done = run_in_r("\n".join([BLOCKS[0], BLOCKS[3]]), validated.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pathosig:") == 2

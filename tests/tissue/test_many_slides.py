"""Fifty slides in one worker take no more memory and no more files than ten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import gc, os, re, sys
from pathlib import Path
from pathosig.core.attempt import attempt
from pathosig.core.units import Execution, Job
from pathosig.tiles.spec import TileSpec
from pathosig.tiles.stage import _one as cut
from pathosig.tissue.spec import TissueSpec
from pathosig.tissue.stage import _one as find

root, slide = Path(sys.argv[1]), sys.argv[2]

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

for number in range(1, 51):
    facts = {"path": slide, "mpp": None, "region": None, "edited": None, "in_place": False, "intact": True}
    facts["icc"] = "off"
    facts["tissue"] = f"tissue/{number}.geojson"
    for task, spec, output in ((find, TissueSpec(), facts["tissue"]), (cut, TileSpec(), f"tiles/{number}.parquet")):
        job = Job(root=root, unit=str(number), spec=spec, payload={**facts, "output": output}, execution=Execution())
        outcome = attempt(task, job)
        if not getattr(outcome, "outputs", None):
            raise SystemExit(repr(outcome))
    if number in (10, 50):
        print(resident_mb(), len(os.listdir("/proc/self/fd")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_and_open_files_stay_flat_over_fifty_slides(tmp_path, tissue_slide):
    for name in ("tissue", "tiles"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(tissue_slide)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    early, late = ([float(value) for value in line.split()] for line in done.stdout.splitlines())
    assert late[0] - early[0] < 8
    assert late[1] == early[1]
    assert len(list((tmp_path / "tiles").iterdir())) == 50

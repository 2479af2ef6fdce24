"""Two processes with half the batch each take the step of one process with all of it."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .ddp_worker import two_steps

HERE = Path(__file__).parent


def test_two_processes_equal_one_with_the_double_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    views = {k: torch.randn(16, 3, 32, 32, generator=generator) for k in "ab"}
    save_file(views, tmp_path / "views.safetensors")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(HERE / "ddp_worker.py"), str(tmp_path / "views.safetensors"), str(tmp_path / "out.safetensors"),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    two = load_file(tmp_path / "out.safetensors")
    one = two_steps(views["a"], views["b"])
    assert two.keys() == one.keys()
    for name, expected in one.items():
        assert (two[name] - expected).abs().max().item() < 1e-5, name

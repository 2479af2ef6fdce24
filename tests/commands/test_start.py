"""Ctrl-C and SIGTERM end the program with their codes from its first moment on."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pathosig.synthetic import SimulateSpec, simulate


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("start") / "study"
    simulate(root, SimulateSpec(level="embeddings", n_discovery=200, n_validation=40, tiles_per_patient=60))
    return root


def heeds_signals(process):
    """Whether the handler of SIGTERM is there; Python alone has none."""
    mask = re.search(
        r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE
    )
    return bool(int(mask[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the handlers of a process are read in /proc"
)
@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.1, 0.3, 1.0])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_any_moment_ends_the_program_with_its_code(root, number, code, delay_s):
    process = subprocess.Popen(
        [sys.executable, "-m", "pathosig", "run", root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a shell's "&" has it ignored
    )
    while not heeds_signals(process):
        time.sleep(0.001)
    time.sleep(delay_s)
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == code, text
    assert "Traceback" not in text
    assert ("run the same command again" in text) == (number == signal.SIGINT)


def test_an_interrupt_in_the_middle_of_an_import_has_its_code_too(tmp_path):
    """Imports execute generated code, such as that of dataclasses, and Python remembers an interrupt in it."""
    (tmp_path / "interrupted.py").write_text(
        "import atexit\nfrom pathosig.commands import cli\n"
        "def stopped(*_):\n    exec('raise KeyboardInterrupt')\n"
        "cli._run = stopped\natexit.register(print, 'cleaned up')\ncli.main(['doctor'])\n"
    )
    program = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (130, "cleaned up\n")


def test_a_second_signal_does_not_wait_for_the_first(root):
    """A library may swallow the exception of the first one."""
    program = (
        "import os, signal, time\n"
        "from pathosig.core.signals import wind_down_first\n"
        "wind_down_first()\n"
        "for _ in range(2):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 130


def test_a_signal_that_is_ignored_stays_ignored():
    """As in jobs that a script runs in the background."""
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from pathosig.core.signals import wind_down_first\n"
        "wind_down_first()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_signals_are_heeded_before_anything_large_is_imported():
    program = (
        "import sys, pathosig.commands.start; print(sorted({'cyclopts', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

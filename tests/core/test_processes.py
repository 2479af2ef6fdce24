"""Processes that serve one end of a pipe, started either way."""

import os
import signal
import subprocess
import sys
from multiprocessing.connection import wait

import pytest

from pathosig.core.processes import _flags, start


def answer(pipe):
    """Runs in the process: what it is asked, until it is told to end."""
    while (asked := pipe.recv()) != "end":
        if asked == "exit":
            raise SystemExit(3)
        if asked == "say":
            sys.stdout.write("said")
        pipe.send(eval_of(asked))


def eval_of(asked):
    return {
        "pid": os.getpid(),
        "path": list(sys.path),
        "stdin": sys.stdin.read() if sys.stdin else "",
        "helpers": "multiprocessing.resource_tracker" in sys.modules,
        "add": sum(range(5)),
        "say": None,
    }[asked]


@pytest.fixture(params=[False, True], ids=["own", "python's"])
def started(request):
    process, pipe = start(answer, main=request.param)
    yield process, pipe
    pipe.close()
    process.kill()
    process.join(5)


def test_it_answers_has_the_same_modules_at_hand_and_reads_no_input(started):
    process, pipe = started
    for asked, expected in [("add", 10), ("pid", process.pid), ("path", list(sys.path)), ("stdin", "")]:
        pipe.send(asked)
        assert pipe.recv() == expected
    assert process.is_alive()
    assert process.exitcode is None


@pytest.mark.skipif(os.name != "posix", reason="Windows starts no second interpreter")
def test_no_second_interpreter_is_started_beside_it():
    process, pipe = start(answer, main=False)
    pipe.send("helpers")
    assert pipe.recv() is False
    pipe.send("end")
    process.join(10)
    assert process.exitcode == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows ends them Python's way")
def test_what_it_said_is_not_lost_when_it_ends_at_once(capfd):
    process, pipe = start(answer, main=False)
    pipe.send("say")
    pipe.recv()
    pipe.send("end")
    process.join(10)
    assert process.exitcode == 0
    assert capfd.readouterr().out == "said"


def test_its_end_is_seen_with_its_status(started):
    process, pipe = started
    pipe.send("exit")
    assert wait([process.sentinel], timeout=20) == [process.sentinel]
    process.join(10)
    assert process.exitcode == 3
    assert not process.is_alive()
    with pytest.raises(EOFError):
        pipe.recv()


@pytest.mark.skipif(os.name != "posix", reason="no signals")
def test_a_signal_is_a_negative_status(started):
    process, pipe = started
    pipe.send("add")
    pipe.recv()
    os.kill(process.pid, signal.SIGKILL)
    assert wait([process.sentinel], timeout=20)
    process.join(10)
    assert process.exitcode == -signal.SIGKILL


def test_waiting_for_one_that_runs_ends_in_time(started):
    process, _ = started
    process.join(0.05)
    assert process.is_alive()


def test_it_ends_when_its_pipe_is_closed_from_this_side(started):
    process, pipe = started
    pipe.close()
    process.join(20)
    assert not process.is_alive()


@pytest.mark.skipif(os.name != "posix", reason="no signals")
def test_an_interrupt_while_it_starts_waits_until_it_is_heeded(capfd):
    process, pipe = start(answer, main=False)
    os.kill(process.pid, signal.SIGINT)
    pipe.send("add")
    assert pipe.recv() == 10
    pipe.send("end")
    process.join(20)
    assert process.exitcode == 0
    assert "Traceback" not in capfd.readouterr().err
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_flags_of_this_interpreter_are_those_of_the_next():
    code = "from pathosig.core.processes import _flags; print(_flags())"
    flags = ["-s", "-B", "-O", "-Wignore::DeprecationWarning"]
    out = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(flags)
    assert all(flag.startswith("-") for flag in _flags())

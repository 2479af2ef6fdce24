"""How far a stage is: bars on a terminal, lines elsewhere, and what is left at the pace so far."""

import io
import time

import pytest

from pathosig.core.progress import Progress, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (36_000, "10:00 h")]
)
def test_durations_have_the_form_of_their_size(seconds, text):
    assert clock(seconds) == text


def test_what_is_left_follows_the_work_and_not_the_number_of_units(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bar = Progress("embed", total=4, work=100 + 100 + 800 + 1000)
    assert bar.seconds_left() is None
    now[0] += 30  # workers start
    bar.advance(work=100)
    assert bar.seconds_left() is None
    now[0] += 10
    bar.advance(work=100)
    assert bar.seconds_left() == pytest.approx(180)
    now[0] += 80
    bar.advance(work=800)
    assert bar.seconds_left() == pytest.approx(100)
    bar.advance(work=1000)
    assert bar.seconds_left() is None


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_a_bar_at_once_and_a_pipe_sees_nothing_in_the_first_minute(monkeypatch):
    for stream, expected in ((Terminal(), "[------------------------] 0/2"), (io.StringIO(), "")):
        monkeypatch.setattr("sys.stderr", stream)
        with Progress("tiles", total=2):
            assert expected in stream.getvalue()
            assert bool(stream.getvalue()) == bool(expected)

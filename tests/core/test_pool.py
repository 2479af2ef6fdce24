import os
import signal
from functools import partial

import pytest

from pathosig.core.errors import NotEstimableError, PathosigError
from pathosig.core.pool import over_processes


def square(x):
    return x * x


def killed_at(x, *, number):
    if x == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def refusing(x):
    raise NotEstimableError(f"no events in {x}")


def threads(x):
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    assert over_processes(square, list(range(40)), workers=workers, label="squares") == [
        i * i for i in range(40)
    ]


def test_workers_compute_with_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert set(over_processes(threads, list(range(20)), workers=2, label="threads")) == {"1"}


def test_an_error_of_the_function_is_raised_here():
    with pytest.raises(NotEstimableError, match="no events"):
        over_processes(refusing, list(range(20)), workers=2, label="refusals")


def test_a_process_that_dies_again_and_again_is_an_error_and_no_hang():
    with pytest.raises(PathosigError) as caught:
        over_processes(partial(killed_at, number=3), list(range(20)), workers=2, label="deaths")
    assert caught.value.code == "E_WORKER"

"""Threads of linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pathosig.core.threads import computing_threads, one_blas_thread, side_by_side


def threads() -> set[int]:
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


def test_linear_algebra_runs_on_one_thread_inside_and_as_before_outside():
    np.linalg.inv(np.eye(3))
    with threadpool_limits(limits=2, user_api="blas"):
        with one_blas_thread():
            assert threads() == {1}
            with one_blas_thread():
                assert threads() == {1}
            assert threads() == {1}
        assert threads() == {2}


def test_it_decorates_and_restores_after_an_error():
    @one_blas_thread()
    def fails() -> None:
        assert threads() == {1}
        raise RuntimeError("stop")

    with threadpool_limits(limits=2, user_api="blas"):
        with pytest.raises(RuntimeError, match="stop"):
            fails()
        assert threads() == {2}


def test_threads_share_the_work_in_its_order_each_with_linear_algebra_on_one(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert computing_threads() == 3
    seen = []

    def square(number: int) -> int:
        seen.append(threads())
        return number**2

    with threadpool_limits(limits=2, user_api="blas"):
        assert side_by_side(square, range(20)) == [n**2 for n in range(20)]
        assert threads() == {2}
    assert seen == [{1}] * 20


def test_an_error_of_one_item_is_raised(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda n: 1 // n, [1, 0])


@pytest.mark.parametrize("setting", ["", "many", "0"])
def test_without_a_number_there_is_at_least_one_thread(monkeypatch, setting):
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert computing_threads() >= 1

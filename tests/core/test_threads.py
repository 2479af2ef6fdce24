"""Threads of linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pathosig.core.threads import one_blas_thread


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

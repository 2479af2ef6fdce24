"""The cohorts that the signature's tests use."""

from tests.signature.conftest import cohort, noise, simulate

__all__ = ["cohort", "noise", "simulate"]

"""Uses the simulated cohorts of tests/signature."""

from tests.signature.conftest import cohort, loud_leaf, noise

__all__ = ["cohort", "loud_leaf", "noise"]

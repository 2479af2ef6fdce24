"""Simulated cohorts with a known truth: slides or tile features, patients and outcomes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Validation: a frozen signature judged on cohorts it has not seen, or by nested cross-validation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Validation: a frozen signature is evaluated in cohorts to which it was not fitted, or by nested cross-validation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

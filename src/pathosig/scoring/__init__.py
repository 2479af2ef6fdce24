"""Bundles: a frozen signature in one file, and the scoring of new slides with it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

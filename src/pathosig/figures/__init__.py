"""Figures: draw what they are given, never compute. matplotlib is imported when the first one is drawn."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

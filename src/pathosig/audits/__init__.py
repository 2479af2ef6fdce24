"""Checks of the whole procedure: null, optimism, site, depth and stability."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

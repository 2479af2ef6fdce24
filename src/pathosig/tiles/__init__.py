"""Tiles: a grid of physical size over the tissue, with quality columns.

Importing this package does not import NumPy, because the process that only hands out slides does not need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

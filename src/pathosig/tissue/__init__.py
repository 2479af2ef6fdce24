"""Tissue: where it is on a slide, as a mask at low power and as polygons in level-0 pixels.

Nothing here imports NumPy until it is used: the process that only hands out slides does without.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Tissue detection: the tissue of a slide as a mask at low power and as polygons in level-0 pixels.

The package imports NumPy only when it is used, because the process that only distributes slides to workers does not need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

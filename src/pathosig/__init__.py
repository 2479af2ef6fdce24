"""pathosig: from H&E slides to phenotypes to a validated, frozen survival signature.

`import pathosig` is light: names below are loaded when first used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Other ways from tiles to a score, to see whether anything is lost by going through phenotypes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Other models from tiles to a score, which show whether anything is lost by using phenotypes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

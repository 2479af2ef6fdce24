"""Makes a study folder from a folder of slides and a clinical table, and checks it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

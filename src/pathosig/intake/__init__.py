"""From a folder of slides and a clinical table to a study folder, and its checks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

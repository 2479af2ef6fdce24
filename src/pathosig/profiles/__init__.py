"""Profiles: each patient's mixture of phenotypes, or any outside feature table. The seam of pathosig."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

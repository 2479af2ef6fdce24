"""Phenotypes: recurring tissue patterns (HPCs) that are found without labels, frozen in a codebook and inspected."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Annotation of phenotypes by pathologists: blinded forms, agreement between readers, and the names they agree on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

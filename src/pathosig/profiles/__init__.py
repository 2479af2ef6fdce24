"""Profiles: each patient's mixture of phenotypes, or a table of other features, from which signatures are fitted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

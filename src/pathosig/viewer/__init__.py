"""Local web viewer: slides at full resolution with HPC overlays, on this machine only."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

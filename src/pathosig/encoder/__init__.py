"""Encoders: from tiles to embeddings, and the DL-CC training of an encoder of one's own.

Nothing here imports torch until it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

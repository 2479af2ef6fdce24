"""Encoders, which turn tiles into embeddings, and the training of an encoder on the study's own tiles (DL-CC).

Importing this package does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Encoders, which turn tiles into embeddings, and the training of an encoder on the study's own tiles (DL-CC).

Importing this package does not import torch.
"""

import os

import lazy_loader

# ONNX Runtime reports its use to its maker unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

import numpy as np

AVAILABLE: bool

def decode(jpeg: bytes, out: np.ndarray, /) -> bool: ...

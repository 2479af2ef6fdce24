import numpy as np

def resample(
    image: np.ndarray,
    row_index: np.ndarray,
    row_weight: np.ndarray,
    column_index: np.ndarray,
    column_weight: np.ndarray,
    out: np.ndarray,
    /,
) -> None: ...
def block_means(image: np.ndarray, factor: int, out: np.ndarray, /) -> None: ...
def recolour(pixels: np.ndarray, cells: np.ndarray, listed: np.ndarray, /) -> int: ...

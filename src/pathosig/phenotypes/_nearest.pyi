import numpy as np

LANES: tuple[int, ...]

def assign(
    rows: np.ndarray,
    matrices: tuple[np.ndarray, ...],
    radius: np.ndarray | None,
    sharpness: float,
    start: int,
    columns: tuple[np.ndarray, ...],
    lanes: int,
    /,
) -> None: ...

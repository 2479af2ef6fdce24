"""The embedding loop: a thread reads blocks of tiles while the model works on earlier ones."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def prefetch(blocks: Iterable[np.ndarray], *, depth: int = 4) -> Iterator[np.ndarray]:
    """Yield the same blocks while one thread reads ahead; at most `depth` blocks wait in memory.

    An error of the reader is raised here, after the blocks that were read before it.
    """
    waiting: queue.Queue[tuple[np.ndarray | None, BaseException | None]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: tuple[np.ndarray | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for block in blocks:
                put((block, None))
                if stop.is_set():
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=read, name="tile-reader", daemon=True)
    thread.start()
    try:
        while True:
            block, error = waiting.get()
            if error is not None:
                raise error
            if block is None:
                return
            yield block
    finally:
        stop.set()
        thread.join()


def rebatch(blocks: Iterable[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    """Divide blocks of any length into batches of exactly `batch_size` tiles (the last may be shorter).

    Tile i is always in batch ``i // batch_size``, whatever the lengths of the blocks.
    """
    held: list[np.ndarray] = []
    count = 0
    for block in blocks:
        start = 0
        while start < len(block):
            piece = block[start : start + batch_size - count]
            held.append(piece)
            count += len(piece)
            start += len(piece)
            if count == batch_size:
                yield held[0] if len(held) == 1 else np.concatenate(held)
                held, count = [], 0
    if count:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def embed_blocks(run: Run, blocks: Iterable[np.ndarray], *, n: int, dim: int, batch_size: int) -> np.ndarray:
    """Embed `n` tiles that come in blocks.

    Parameters
    ----------
    run
        An engine: uint8[b, h, w, 3] -> float32[b, dim].
    blocks
        Blocks of tiles in order, uint8[any, h, w, 3].
    n, dim
        Number of tiles in all blocks, and length of an embedding.
    batch_size
        Number of tiles in a forward pass.

    Returns
    -------
    float16[n, dim]

    Raises
    ------
    ValueError
        If the blocks have more or fewer than `n` tiles in total.
    """
    out = np.empty((n, dim), np.float16)
    at = 0
    for batch in rebatch(prefetch(blocks), batch_size):
        if at + len(batch) > n:
            message = f"the reader returned more than the expected {n} tiles"
            raise ValueError(message)
        out[at : at + len(batch)] = run(batch)
        at += len(batch)
    if at != n:
        message = f"the reader returned {at} of {n} tiles"
        raise ValueError(message)
    return out

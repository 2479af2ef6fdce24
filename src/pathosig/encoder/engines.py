"""Four engines that run an encoder on uint8 tiles: torch in fp32, torch in bf16, ONNX Runtime, and int8.

Every engine is a callable from uint8[n, h, w, 3] with n <= batch_size to float32[n, dim]. Batches
are padded to batch_size, so that an embedding depends only on its tile and on the tile's position in
the batch, never on other tiles. Engines of ONNX Runtime start without importing torch.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pathosig.core.errors import ConfigError
from pathosig.encoder.graph_cache import Baked, onnx_file

if TYPE_CHECKING:
    from pathosig.encoder.backbones import Encoder

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginePlan:
    """Everything that determines the arithmetic of an engine.

    Attributes
    ----------
    engine, device
        As `resolve` returns them.
    size_px
        Side of the tiles in pixels.
    batch_size
        Number of tiles in a forward pass.
    threads
        Number of threads of the model.
    """

    engine: str
    device: str
    size_px: int = 224
    batch_size: int = 16
    threads: int = 1


@cache
def has_cuda_driver() -> bool:
    """Whether the NVIDIA driver reports a device.

    This does not import torch, so that torch may still be unable to use the device.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int(0)
        started = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return False
    return started and count.value > 0


@cache
def cuda_is_there() -> bool:
    """Whether torch can use a CUDA device; torch is imported only if the driver reports one."""
    if not has_cuda_driver():
        return False
    import torch

    return torch.cuda.is_available()


def resolve(engine: str, device: str = "auto") -> tuple[str, str]:
    """The engine and device to use on this machine.

    Parameters
    ----------
    engine
        auto, fp32, bf16, ort or int8.
    device
        auto, cpu, gpu, cuda or cuda:i.

    Returns
    -------
    (engine, device)
        The engine is fp32, bf16, ort or int8, and the device ``cpu``, ``cuda`` or ``cuda:i``.

    Raises
    ------
    ConfigError
        E_DEVICE if the device is unknown, or if it is CUDA and this machine has none.

    Examples
    --------
    >>> resolve("auto", "cpu")
    ('ort', 'cpu')
    """
    if not re.fullmatch(r"auto|cpu|gpu|cuda(:\d+)?", device):
        message = f"device {device!r}: expected auto, cpu, cuda or cuda:N with the number of a device."
        raise ConfigError(message, code="E_DEVICE")
    wants_cuda = device.startswith("cuda")
    cuda = device in ("auto", "gpu") or wants_cuda
    if cuda and not cuda_is_there():
        if device != "auto":
            message = f"device {device}: no CUDA device on this machine. Use --device cpu, or see `pathosig doctor`."
            raise ConfigError(message, code="E_DEVICE")
        cuda = False
    if engine == "auto":
        engine = "bf16" if cuda else "ort"
    if engine in ("ort", "int8") or not cuda:
        return engine, "cpu"
    return engine, device if wants_cuda else "cuda"


def make_engine(
    plan: EnginePlan,
    *,
    baked: Baked,
    load: Callable[[], Encoder],
    int8_model: Path | None = None,
) -> Run:
    """Build the engine of a plan.

    Parameters
    ----------
    plan
        Engine, device, and sizes.
    baked
        Identity of the exported graph, which is its key in the cache.
    load
        Returns the encoder; called only if torch is needed, which it is not if the graph is in the cache.
    int8_model
        The graph that `quantise.quantise` wrote, for engine int8.

    Returns
    -------
    Callable
        uint8[n, h, w, 3] -> float32[n, dim].

    Raises
    ------
    ConfigError
        E_ENGINE if the engine is not available.
    """
    if plan.engine == "int8":
        if int8_model is None:
            message = (
                "engine int8: there is no quantised model. Run `pathosig embed`, which creates it first."
            )
            raise ConfigError(message, code="E_ENGINE")
        return padded(onnx_run(int8_model, plan.threads), plan.batch_size)
    if plan.engine == "ort":
        return padded(onnx_run(onnx_file(baked, plan.size_px, load), plan.threads), plan.batch_size)
    return padded(_torch_run(plan, load()), plan.batch_size)


def engine_of(encoder: Encoder, plan: EnginePlan, *, int8_model: Path | None = None) -> Run:
    """Build the engine of an encoder that is already loaded."""
    return make_engine(plan, baked=Baked.of_card(encoder.card()), load=lambda: encoder, int8_model=int8_model)


def padded(run: Run, batch_size: int) -> Run:
    """`run` with every batch padded to `batch_size`; the results of the padding are discarded."""

    def filled(tiles: np.ndarray) -> np.ndarray:
        n = len(tiles)
        if n == batch_size:
            return run(tiles)
        full = np.zeros((batch_size, *tiles.shape[1:]), np.uint8)
        full[:n] = tiles
        return run(full)[:n]

    return filled


def _torch_run(plan: EnginePlan, encoder: Encoder) -> Run:
    import torch

    from pathosig.encoder.export import TileModel

    torch.set_num_threads(plan.threads)
    model = TileModel(encoder).eval().to(plan.device)
    model = model.to(memory_format=torch.channels_last)
    kind = plan.device.split(":")[0]

    def run(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=plan.engine == "bf16"):
            out = model(torch.from_numpy(np.ascontiguousarray(tiles)).to(plan.device))
        array: np.ndarray = out.float().cpu().numpy()
        return array

    return run


def onnx_run(path: Path, threads: int) -> Run:
    """A callable that runs a graph written by `export_onnx`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(tiles: np.ndarray) -> np.ndarray:
        array: np.ndarray = session.run(None, {"tiles": np.ascontiguousarray(tiles)})[0]
        return array

    return run

"""Four ways to run an encoder on uint8 tiles: torch fp32, torch bf16, ONNX Runtime, int8.

Every engine is a callable: uint8 (n, h, w, 3) with n <= batch_size in, float32 (n, dim) out.
The batch is padded to batch_size, so an embedding depends on its tile alone and on where in
a batch it stands, never on its neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pathosig.core.errors import ConfigError
from pathosig.core.records import atomic_path
from pathosig.encoder.backbones import Encoder

Run = Callable[[np.ndarray], np.ndarray]
EXPORT_VERSION = 1


class TileModel(nn.Module):
    """From uint8 tiles to embeddings: scaling, resizing and normalisation are part of the network."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.module = encoder.module
        self.input_px = encoder.input_px
        mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
        self.register_buffer("scale", (1 / (255 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).reshape(1, 3, 1, 1))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 (n, h, w, 3) -> float32 (n, dim)."""
        x = tiles.permute(0, 3, 1, 2).to(torch.float32)
        if self.input_px is not None and x.shape[-2:] != (self.input_px, self.input_px):
            side = (self.input_px, self.input_px)
            x = functional.interpolate(x, side, mode="bilinear", antialias=True, align_corners=False)
        return self.module(x * self.scale + self.shift)


def resolve(engine: str, device: str) -> tuple[str, str]:
    """The engine and device that ``auto`` means here.

    Returns
    -------
    (engine, device) with engine one of fp32, bf16, ort, int8 and device ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        If CUDA is asked for and not there.
    """
    cuda = torch.cuda.is_available()
    if device.startswith("cuda") and not cuda:
        message = f"device {device}: torch finds no CUDA device here. Use --device cpu, or see `pathosig doctor`."
        raise ConfigError(message, code="E_DEVICE")
    on_cuda = cuda and device in ("auto", "cuda") or device.startswith("cuda")
    if engine == "auto":
        engine = "bf16" if on_cuda else "ort"
    if engine in ("ort", "int8"):
        return engine, "cpu"
    return engine, (device if device.startswith("cuda") else "cuda") if on_cuda else "cpu"


def make_engine(
    encoder: Encoder,
    *,
    engine: str = "auto",
    device: str = "auto",
    size_px: int = 224,
    batch_size: int = 16,
    threads: int = 1,
    int8_model: Path | None = None,
) -> Run:
    """An engine for tiles of one size.

    Parameters
    ----------
    size_px
        Side of the tiles.
    int8_model
        The quantised graph of `quantise`, needed by engine int8.

    Raises
    ------
    ConfigError
        If the engine is not available here.
    """
    engine, device = resolve(engine, device)
    torch.set_num_threads(threads)
    if engine == "int8":
        if int8_model is None:
            message = "engine int8: no quantised model given. Run `pathosig embed`, which makes one first."
            raise ConfigError(message, code="E_ENGINE")
        return _padded(_onnx_run(int8_model, threads), batch_size)
    if engine == "ort":
        return _padded(_onnx_run(onnx_file(encoder, size_px=size_px), threads), batch_size)
    return _padded(_torch_run(encoder, device=device, bf16=engine == "bf16"), batch_size)


def _padded(run: Run, batch_size: int) -> Run:
    def padded(tiles: np.ndarray) -> np.ndarray:
        n = len(tiles)
        if n == batch_size:
            return run(tiles)
        full = np.zeros((batch_size, *tiles.shape[1:]), np.uint8)
        full[:n] = tiles
        return run(full)[:n]

    return padded


def _torch_run(encoder: Encoder, *, device: str, bf16: bool) -> Run:
    model = TileModel(encoder).eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
            out = model(torch.from_numpy(np.ascontiguousarray(tiles)).to(device))
        array: np.ndarray = out.float().cpu().numpy()
        return array

    return run


def _onnx_run(path: Path, threads: int) -> Run:
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


# -- ONNX -----------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where exported graphs lie: PATHOSIG_CACHE, else the user's cache folder."""
    if given := os.environ.get("PATHOSIG_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pathosig"


def onnx_file(encoder: Encoder, *, size_px: int = 224, folder: Path | None = None) -> Path:
    """The encoder as an ONNX graph over uint8 tiles, exported once and cached by its weights' digest.

    Raises
    ------
    ConfigError
        If the network cannot be exported: the message names an engine that works.
    """
    key = f"{encoder.weights_sha256[:24]}-{size_px}-v{EXPORT_VERSION}-torch{torch.__version__.split('+')[0]}"
    path = (folder or cache_folder()) / "onnx" / f"{key}.onnx"
    if not path.is_file():
        with atomic_path(path) as temporary:
            _export(encoder, size_px, temporary)
    return path


def _export(encoder: Encoder, size_px: int, path: Path) -> None:
    import contextlib
    import io
    import logging
    import warnings

    model = TileModel(encoder).eval()
    example = torch.zeros((2, size_px, size_px, 3), dtype=torch.uint8)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (example,),
                str(path),
                dynamo=True,
                external_data=False,
                input_names=["tiles"],
                output_names=["embedding"],
                dynamic_shapes={"tiles": {0: torch.export.Dim("n", min=1, max=4096)}},
                verbose=False,
            )
    except Exception as error:
        message = (
            f"encoder {encoder.name}: it cannot be exported to ONNX ({type(error).__name__}). "
            'Set [encoder] engine = "fp32" (slower on a CPU).'
        )
        raise ConfigError(message, code="E_ENGINE") from error
    finally:
        logger.setLevel(level)


def quantise(encoder: Encoder, tiles: np.ndarray, path: Path, *, batch_size: int = 16) -> None:
    """Write an int8 graph whose value ranges come from `tiles` (uint8, (n, h, w, 3)).

    Weights per channel and symmetric, activations as uint8; only convolutions and matrix products change.
    """
    import warnings

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.at = 0

        def get_next(self) -> dict[str, Any] | None:
            block = tiles[self.at : self.at + batch_size]
            self.at += batch_size
            return {"tiles": block} if len(block) else None

    source = onnx_file(encoder, size_px=tiles.shape[1])
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = temporary.with_suffix(".prepared")
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(temporary),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv", "MatMul", "Gemm", "Add", "Clip", "Relu"],
            )
        finally:
            prepared.unlink(missing_ok=True)

"""Export of an encoder to ONNX, and its quantisation to int8."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pathosig.core.errors import ConfigError
from pathosig.core.records import atomic_path
from pathosig.encoder.backbones import Encoder
from pathosig.encoder.engines import onnx_file, onnx_run, padded


class TileModel(nn.Module):
    """From uint8 tiles to embeddings: scaling, resizing and normalisation are part of the network."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.module = encoder.module
        self.input_px = encoder.input_px
        mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
        self.scale: torch.Tensor
        self.shift: torch.Tensor
        self.register_buffer("scale", (1 / (255 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).reshape(1, 3, 1, 1))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 (n, h, w, 3) -> float32 (n, dim)."""
        x = tiles.permute(0, 3, 1, 2).to(torch.float32)
        if self.input_px is not None and x.shape[-2:] != (self.input_px, self.input_px):
            side = (self.input_px, self.input_px)
            x = functional.interpolate(x, side, mode="bilinear", antialias=True, align_corners=False)
        out: torch.Tensor = self.module(x * self.scale + self.shift)
        return out


def export_onnx(encoder: Encoder, size_px: int, path: Path) -> None:
    """Write the encoder as an ONNX graph for uint8 tiles of one size and any batch.

    Raises
    ------
    ConfigError
        If torch cannot export the network.
    """
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
    """Write an int8 graph whose value ranges come from `tiles`.

    Weights become int8 per channel, activations uint8 per tensor. In networks with depthwise convolutions
    the first fifth of the convolutions stays in float32: on EfficientNet-Lite0 they take the mean cosine to
    the exact embedding from .984 to .995 and cost no time (their small channels gain nothing from int8).
    At its end every dimension is scaled and shifted so that it fits the exact embedding of `tiles` best (.995 to .997).

    Parameters
    ----------
    tiles
        uint8 (n, h, w, 3), a sample of what will be embedded.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.at = 0

        def get_next(self) -> dict[str, Any] | None:
            block = tiles[self.at : self.at + batch_size]
            self.at += batch_size
            return {"tiles": block} if len(block) else None

    source = onnx_file(encoder.weights_sha256, tiles.shape[1], lambda: encoder)
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
                nodes_to_exclude=_kept_in_float(prepared),
            )
            _append_correction(temporary, source, tiles, batch_size)
        finally:
            prepared.unlink(missing_ok=True)


def least_squares_lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of y on x, column by column; slope 1 where x does not vary.

    Parameters
    ----------
    x, y
        float[n, d].

    Returns
    -------
    (slope float32[d], intercept float32[d])
    """
    at_x, at_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    spread = ((x - at_x) ** 2).sum(axis=0)
    shared = ((x - at_x) * (y - at_y)).sum(axis=0)
    varies = spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-30)
    slope = np.where(varies, shared / np.where(varies, spread, 1.0), 1.0)
    return slope.astype(np.float32), (at_y - slope * at_x).astype(np.float32)


def _append_correction(path: Path, exact: Path, tiles: np.ndarray, batch_size: int) -> None:
    """Put embedding * slope + intercept at the end of a quantised graph, fitted on `tiles` against the exact graph."""
    import onnx
    from onnx import helper, numpy_helper

    def outputs(graph: Path) -> np.ndarray:
        run = padded(onnx_run(graph, 1), batch_size)
        return np.concatenate([run(tiles[i : i + batch_size]) for i in range(0, len(tiles), batch_size)])

    slope, intercept = least_squares_lines(outputs(path), outputs(exact))
    model = onnx.load(str(path))
    graph = model.graph
    final = graph.output[0].name
    for node in graph.node:
        node.output[:] = [f"{name}_raw" if name == final else name for name in node.output]
        node.input[:] = [f"{name}_raw" if name == final else name for name in node.input]
    graph.initializer.extend(
        [numpy_helper.from_array(slope, "slope"), numpy_helper.from_array(intercept, "intercept")]
    )
    graph.node.extend(
        [
            helper.make_node("Mul", [f"{final}_raw", "slope"], ["scaled_embedding"]),
            helper.make_node("Add", ["scaled_embedding", "intercept"], [final]),
        ]
    )
    onnx.save(model, str(path))


def _kept_in_float(path: Path) -> list[str]:
    """Names of the first fifth of the convolutions of a graph with depthwise convolutions, else none."""
    import onnx

    nodes = [n for n in onnx.load(str(path)).graph.node if n.op_type == "Conv"]
    groups = [a.i for n in nodes for a in n.attribute if a.name == "group"]
    return [n.name for n in nodes[: len(nodes) // 5]] if any(g > 1 for g in groups) else []

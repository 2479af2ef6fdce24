"""Exports an encoder to ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from pathosig.core.errors import ConfigError
from pathosig.encoder.backbones import Encoder


class TileModel(nn.Module):
    """A network from uint8 tiles to embeddings, which includes scaling, resizing and normalisation."""

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
    """Write an encoder as an ONNX graph for uint8 tiles of one size, in batches of any size.

    Parameters
    ----------
    encoder
        The encoder.
    size_px
        Side of the tiles in pixels.
    path
        File to write.

    Raises
    ------
    ConfigError
        E_ENGINE if torch cannot export the network.
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
            f"encoder {encoder.name}: the network cannot be exported to ONNX ({type(error).__name__}). "
            'Set [encoder] engine = "fp32", which is slower on a CPU.'
        )
        raise ConfigError(message, code="E_ENGINE") from error
    finally:
        logger.setLevel(level)

"""Quantises an encoder to int8, layer by layer, as long as its embeddings stay close to the exact ones."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from pathosig.core.records import atomic_path
from pathosig.encoder.backbones import Encoder
from pathosig.encoder.engines import onnx_run, padded
from pathosig.encoder.graph_cache import Baked, onnx_file

WEIGHTED = ("Conv", "Gemm", "MatMul")
ACTIVATIONS = ("Clip", "Relu")
MAX_GROUPS = 64
TILES_OF_ONE_TRIAL = 32
MARGIN = 2
"""Held-out tiles are allowed this many times less error, because tiles of other patients have up to twice as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantised:
    """Which layers were quantised, and how close the result is to the exact embedding.

    Attributes
    ----------
    n_int8, n_layers
        Number of layers in int8, and of all layers.
    share_of_work
        Proportion of the multiplications that are in int8, 0..1.
    cosine_min, cosine_mean
        Smallest and mean cosine to the exact embedding, over the calibration tiles that were held out.
    kept_in_float
        Names of the layers that stay in float32, in the order of the graph.
    """

    n_int8: int
    n_layers: int
    share_of_work: float
    cosine_min: float
    cosine_mean: float
    kept_in_float: tuple[str, ...]


def quantise(
    encoder: Encoder, tiles: np.ndarray, path: Path, *, min_cosine: float = 0.999, batch_size: int = 16
) -> Quantised:
    """Write a graph in which as many layers are in int8 as `min_cosine` allows.

    Weights become int8 for each channel and activations uint8 for each tensor; additions stay in float32. The mean
    error of a layer's rounded weights is subtracted from its bias (Nagel et al. 2019, section 4.2). Three of four tiles
    determine the ranges of values; the fourth is held out to measure the error 1 - cosine.

    Every layer is first quantised alone. Layers are then added one after the other, beginning with the least error for
    each multiplication saved; a layer is kept if the error of every held-out tile stays below half of what is allowed
    (tiles that took no part in the choice have up to twice the error).

    Parameters
    ----------
    encoder
        The encoder.
    tiles
        uint8[n, h, w, 3], n >= 8: a sample of the tiles to be embedded.
    path
        File to write.
    min_cosine
        Smallest cosine, 0..1, that an int8 embedding may have to the exact one.
    batch_size
        Number of tiles in a forward pass.

    Returns
    -------
    Quantised

    References
    ----------
    Nagel et al. (2019), Data-free quantization through weight equalization and bias correction.
    """
    held = np.zeros(len(tiles), bool)
    held[3::4] = True
    exact = onnx_file(Baked.of_card(encoder.card()), tiles.shape[1], lambda: encoder)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work = _Work(folder=Path(folder), exact=exact, tiles=tiles[~held], batch_size=batch_size)
        wanted = work.outputs(exact, tiles[held])
        few = np.linspace(0, held.sum() - 1, min(TILES_OF_ONE_TRIAL, int(held.sum()))).astype(int)

        def cosines(layers: Sequence[str], rows: np.ndarray | slice) -> np.ndarray:
            return cosine(work.outputs(work.quantised(layers), tiles[held][rows]), wanted[rows])

        groups = _groups(work.layers)
        cost = np.array([sum(work.cost[name] for name in group) for group in groups])
        error = np.array([1 - cosines(group, few).mean() for group in groups])
        order = np.argsort(error / cost, kind="stable")

        layers: list[str] = []
        for i in order:
            more = [*layers, *groups[i]]
            if 1 - cosines(more, slice(None)).min() <= (1 - min_cosine) / MARGIN:
                layers = more
        graph = work.quantised(layers)
        close = cosine(work.outputs(graph, tiles[held]), wanted)
        with atomic_path(path) as temporary:
            temporary.write_bytes(graph.read_bytes())
    return Quantised(
        n_int8=len(layers),
        n_layers=len(work.layers),
        share_of_work=float(sum(work.cost[n] for n in layers) / sum(work.cost.values())),
        cosine_min=float(close.min()),
        cosine_mean=float(close.mean()),
        kept_in_float=tuple(n for n in work.layers if n not in set(layers)),
    )


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine between the same rows of a and b, float[n, d] each: float64[n], 0 where a row is 0."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    out: np.ndarray = (a * b).sum(1) / np.maximum(lengths, 1e-30)
    return out


def _groups(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of layers to try: single layers, or neighbouring ones if there are more than MAX_GROUPS."""
    size = -(-len(layers) // MAX_GROUPS)
    return [tuple(layers[i : i + size]) for i in range(0, len(layers), size)]


@dataclass(kw_only=True)
class _Work:
    """What the quantisation of one network needs: the prepared graph, ranges of values and mean inputs."""

    folder: Path
    exact: Path
    tiles: np.ndarray
    batch_size: int
    cost: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prepared = self.folder / "prepared.onnx"
        quant_pre_process(str(self.exact), str(self.prepared), skip_symbolic_shape=True)
        graph = onnx.shape_inference.infer_shapes(onnx.load(str(self.prepared))).graph
        weights = {i.name: tuple(i.dims) for i in graph.initializer}
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
        for node in graph.node:
            if node.op_type in WEIGHTED and node.input[1] in weights:
                values = weights[node.input[1]]
                inner = values[1:] if node.op_type == "Conv" else values[:1]
                places = shapes.get(node.output[0], [1, values[-1]])[1:]
                self.cost[node.name] = float(np.prod(inner) * np.prod(np.maximum(places, 1)))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that have weights, in the order of the graph."""
        return tuple(self.cost)

    def batches(self) -> Iterator[np.ndarray]:
        for at in range(0, len(self.tiles), self.batch_size):
            yield self.tiles[at : at + self.batch_size]

    def outputs(self, graph: Path, tiles: np.ndarray) -> np.ndarray:
        """Embeddings that a graph computes, float32[n, dim]."""
        run = padded(onnx_run(graph, 1), self.batch_size)
        starts = range(0, len(tiles), self.batch_size)
        return np.concatenate([run(tiles[i : i + self.batch_size]) for i in starts])

    @functools.cached_property
    def ranges(self) -> Any:
        """Smallest and largest value of every tensor over the calibration tiles."""
        blocks = self.batches()

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, np.ndarray] | None:
                block = next(blocks, None)
                return None if block is None else {"tiles": block}

        calibrator = create_calibrator(
            self.prepared,
            [*WEIGHTED, *ACTIVATIONS],
            augmented_model_path=str(self.folder / "augmented.onnx"),
        )
        calibrator.collect_data(Reader())
        return calibrator.compute_data()

    @functools.cached_property
    def mean_inputs(self) -> dict[str, np.ndarray]:
        """Mean of every channel that enters a convolution, over the calibration tiles."""
        model = onnx.load(str(self.prepared))
        names = {n.name: n.input[0] for n in model.graph.node if n.op_type == "Conv"}
        wanted = sorted(set(names.values()) - {i.name for i in model.graph.input})
        for name in wanted:
            value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(value)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        total: dict[str, np.ndarray] = dict.fromkeys(wanted, np.zeros(()))
        for block in self.batches():
            for name, out in zip(wanted, session.run(wanted, {"tiles": block}), strict=True):
                total[name] = total[name] + out.mean(axis=(2, 3), dtype=np.float64).sum(axis=0)
        return {node: total[name] / len(self.tiles) for node, name in names.items() if name in total}

    def quantised(self, layers: Sequence[str]) -> Path:
        """Write the graph with these layers in int8, and return its path."""
        model = onnx.load(str(self.prepared))
        chosen = set(layers)
        _shift_biases(model, chosen, self.mean_inputs)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[n for n in self.layers if n not in chosen],
            op_types_to_quantize=[*WEIGHTED, *ACTIVATIONS],
            extra_options={},
        )
        if chosen:
            quantizer.quantize_model()
        path = self.folder / "int8.onnx"
        quantizer.model.save_model_to_file(str(path))
        return path


def _shift_biases(model: Any, layers: set[str], means: dict[str, np.ndarray]) -> None:
    """Subtract the mean error of rounded weights from the biases of these convolutions."""
    values = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.name in layers and node.name in means and len(node.input) == 3:
            weight = numpy_helper.to_array(values[node.input[1]])
            bias = values[node.input[2]]
            group = next((a.i for a in node.attribute if a.name == "group"), 1)
            shifted = numpy_helper.to_array(bias) - rounding_bias(weight, means[node.name], group)
            bias.CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), bias.name))


def rounding_bias(weight: np.ndarray, mean: np.ndarray, group: int = 1) -> np.ndarray:
    """Mean change of a convolution's output when its weights are rounded to int8 for each channel.

    Pixels at the border are treated like pixels inside.

    Parameters
    ----------
    weight
        float[out, in / group, h, w].
    mean
        float[in]: mean of every input channel.
    group
        Number of groups of the convolution.

    Returns
    -------
    float64[out]
    """
    exact = weight.astype(np.float64)
    step = np.maximum(np.abs(exact).max(axis=(1, 2, 3), keepdims=True), 1e-30) / 127
    gained = (np.round(exact / step) * step - exact).sum(axis=(2, 3))
    inputs = np.repeat(mean.reshape(group, -1), len(weight) // group, axis=0)
    out: np.ndarray = (gained * inputs).sum(axis=1)
    return out

"""The sections `[encoder]` and `[train]` of study.toml: the settings of the stages embed and train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec

Engine = Literal["auto", "fp32", "bf16", "ort", "int8"]


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(Spec):
    """Which encoder turns tiles into embeddings, and with which arithmetic.

    Attributes
    ----------
    method
        pretrained (published weights) or dlcc (first trained on the discovery patients of this study).
    name
        efficientnet-lite0 (shipped), resnet50, a pathology model of docs/reference/encoders.md, or any timm model.
    weights
        Path of a local weights file (.safetensors or .pth); by default the installed weights or those on the hub are used.
    engine
        auto (ort on CPU, bf16 on CUDA), fp32, bf16, ort (ONNX Runtime) or int8 (quantised, CPU).
    batch_size
        Tiles in one forward pass; the last batch is padded, so that results never depend on the other tiles of a batch.
    threads
        Threads of the model in one worker; use more workers rather than more threads.
    mpp_tolerance
        Relative difference between the micrometres per pixel of tiles and encoder above which there is a warning.
    stain
        none, macenko or reinhard: normalise the stain of tiles to that of the discovery slides before embedding them.
    calibration_tiles
        Number of discovery tiles from which the stain reference and the value ranges of the int8 engine are estimated.
    int8_cosine
        Smallest cosine that an int8 embedding may have to the exact one; it decides how many layers are quantised.
    seed
        Seed of the choice of calibration tiles.

    Examples
    --------
    >>> EncoderSpec(name="h-optimus-0").method
    'pretrained'
    """

    section: ClassVar[str] = "encoder"

    method: Literal["pretrained", "dlcc"] = "pretrained"
    name: str = "efficientnet-lite0"
    weights: str | None = None
    engine: Engine = "auto"
    batch_size: int = 16
    threads: int = 1
    mpp_tolerance: float = 0.25
    stain: Literal["none", "macenko", "reinhard"] = "none"
    calibration_tiles: int = 256
    int8_cosine: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        _need(
            bool(self.name.strip()), "[encoder] name: found an empty text; expected the name of an encoder."
        )
        _need(
            1 <= self.batch_size <= 4096,
            f"[encoder] batch_size: found {self.batch_size}; expected 1 to 4096.",
        )
        _need(1 <= self.threads <= 256, f"[encoder] threads: found {self.threads}; expected 1 to 256.")
        _need(
            self.mpp_tolerance > 0,
            f"[encoder] mpp_tolerance: found {self.mpp_tolerance}; expected a number above 0.",
        )
        _need(
            self.calibration_tiles >= 16,
            f"[encoder] calibration_tiles: found {self.calibration_tiles}; expected at least 16.",
        )
        _need(
            0 <= self.int8_cosine < 1,
            f"[encoder] int8_cosine: found {self.int8_cosine}; expected at least 0 and below 1.",
        )


PAPER: dict[str, str | float] = {
    "backbone": "resnet50",
    "batch_size": 8,
    "epochs": 100,
    "alpha": 0.005,
    "warmup": 0.0,
    "ema": 0.0,
    "val_share": 0.0,
    "precision": "fp32",
}


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """How an encoder is trained by deep contrastive clustering (DL-CC).

    The defaults are the preset ``recommended``; `TrainSpec.paper` has the published settings.
    ``preset`` also determines what is not a number: the normalisation, the views and the divisor of the Barlow term.

    Attributes
    ----------
    preset
        recommended or paper (the published method and settings, whose flaws are described in docs/explanation/training.md).
    backbone
        Encoder to start from: resnet50, efficientnet-lite0 or any timm name.
    backbone_weights
        Path of local weights of the backbone; by default the installed weights or those on the hub are used.
    random_start
        Start from random weights, for tests and studies of the method.
    n_clusters
        Number K of phenotypes of the cluster head.
    dim
        Length of the instance embedding z.
    batch_size
        Tiles in one step, over all devices; there are two views of each. At least 2 K unless preset = paper.
    accumulate
        Number of micro-batches into which a step is divided; the losses are still computed over the whole batch.
    epochs
        Passes over the training tiles.
    lr
        Peak learning rate.
    weight_decay
        AdamW weight decay.
    warmup
        Proportion of the steps during which the learning rate rises from 0.
    temperature_instance
        Temperature of the instance loss.
    temperature_cluster
        Temperature of the cluster loss.
    barlow_weight
        Weight lambda of the off-diagonal terms of the Barlow loss.
    alpha
        Weight of the Barlow loss in the total; 0 leaves it out. It makes the spectrum of the embedding more even
        (docs/explanation/training.md).
    ema
        Decay of the moving average of the weights, which is the result of training; 0 uses the last weights.
    max_tiles_per_slide
        At most this many tiles of a slide are used, so that large slides do not dominate.
    max_tiles
        At most this many tiles are used in total.
    val_share
        Proportion of the discovery patients held out to choose the best epoch; with 0 the last epoch is used.
    min_perplexity
        Occupancy exp(H)/K of the clusters below which training counts as collapsed.
    patience
        Number of consecutive epochs below min_perplexity after which training stops.
    precision
        auto (bf16 on CUDA, fp32 on CPU), fp32 or bf16.
    channels_last
        Keep activations in channels-last order, which is faster and changes the last digits.
    compile
        Compile the network with torch.compile, which takes time at the start and is meant for CUDA.
    threads
        Threads of torch; a setting of the study because the last digits depend on it.
    seed
        Seed of the choice and order of tiles, the views, the split of patients, and the initial weights of the heads.

    Examples
    --------
    >>> TrainSpec().preset, TrainSpec.paper().preset
    ('recommended', 'paper')
    """

    section: ClassVar[str] = "train"

    preset: Literal["recommended", "paper"] = "recommended"
    backbone: str = "efficientnet-lite0"
    backbone_weights: str | None = None
    random_start: bool = False
    n_clusters: int = 50
    dim: int = 128
    batch_size: int = 512
    accumulate: int = 1
    epochs: int = 30
    lr: float = 5e-4
    weight_decay: float = 0.0
    warmup: float = 0.1
    temperature_instance: float = 0.5
    temperature_cluster: float = 1.0
    barlow_weight: float = 0.005
    alpha: float = 0.0
    ema: float = 0.99
    max_tiles_per_slide: int = 500
    max_tiles: int = 200_000
    val_share: float = 0.1
    min_perplexity: float = 0.1
    patience: int = 2
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    threads: int = 1
    seed: int = 0

    @classmethod
    def paper(cls, **changes: object) -> Self:
        """The published settings: batches of 8, 100 epochs, no warm-up, no averaging, no normalisation."""
        return cls.from_mapping({"preset": "paper", **changes})

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> Self:
        """As `Spec.from_mapping`; with ``preset = "paper"``, the published values are the defaults."""
        published = PAPER if mapping.get("preset") == "paper" else {}
        return super().from_mapping({**published, **mapping})

    def replace(self, **changes: Any) -> Self:
        """As `Spec.replace`; changing the preset to paper also sets the published values."""
        turned = changes.get("preset") == "paper" and self.preset != "paper"
        return super().replace(**({**PAPER, **changes} if turned else changes))

    @classmethod
    def recommended(cls, **changes: object) -> Self:
        """The defaults."""
        return cls.from_mapping(changes)

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_shares()
        if self.preset != "paper" and self.batch_size < 2 * self.n_clusters:
            message = (
                f"[train] batch_size {self.batch_size} with n_clusters {self.n_clusters}: the cluster loss cannot form "
                f"confident clusters with fewer than 2 K = {2 * self.n_clusters} tiles in a step. Raise batch_size "
                '(accumulate limits the memory), lower n_clusters, or set preset = "paper" to reproduce the published method.'
            )
            raise ConfigError(message, code="E_BATCH")

    def _check_counts(self) -> None:
        for name, least in (
            ("n_clusters", 2),
            ("dim", 2),
            ("batch_size", 2),
            ("accumulate", 1),
            ("epochs", 1),
            ("max_tiles_per_slide", 1),
            ("max_tiles", 2),
            ("patience", 1),
            ("threads", 1),
        ):
            value = getattr(self, name)
            _need(value >= least, f"[train] {name}: found {value}; expected at least {least}.")
        _need(
            self.batch_size % self.accumulate == 0,
            f"[train] accumulate: found {self.accumulate}; expected a divisor of batch_size "
            f"{self.batch_size}.",
        )

    def _check_shares(self) -> None:
        for name in ("warmup", "val_share", "ema", "alpha", "min_perplexity"):
            value = getattr(self, name)
            _need(0 <= value < 1, f"[train] {name}: found {value}; expected at least 0 and below 1.")
        for name in ("lr", "temperature_instance", "temperature_cluster"):
            value = getattr(self, name)
            _need(value > 0, f"[train] {name}: found {value}; expected a number above 0.")
        for name in ("weight_decay", "barlow_weight"):
            value = getattr(self, name)
            _need(value >= 0, f"[train] {name}: found {value}; expected 0 or more.")

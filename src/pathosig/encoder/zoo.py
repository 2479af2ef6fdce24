"""The table of known encoders: where their weights are, and how tiles are preprocessed for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
# TensorFlow's EfficientNet-Lite models were trained on (pixel - 127) / 128.
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
OPTIMUS_MEAN, OPTIMUS_STD = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)

Pooling = Literal["model", "cls", "cls+mean", "attention"]


@dataclass(frozen=True, kw_only=True)
class EncoderEntry:
    """Everything needed to use an encoder as its authors did.

    Attributes
    ----------
    architecture
        timm model for the weights.
    hub
        Repository on the Hugging Face hub; None if the weights come from a package.
    dim
        Length of the embedding after pooling.
    input_px
        Side of the square input in pixels, to which tiles are resized; None if any.
    mean, std
        Mean and standard deviation of each channel for the normalisation, on the scale 0..1.
    pooling
        ``model`` (the model's own pooled output), ``cls``, ``cls+mean`` (class token and mean of the
        patch tokens, without register tokens) or ``attention`` (one learned query, as in CONCH).
    mpp
        Micrometres per pixel that the authors recommend; None if they recommend none.
    licence
        Licence of the weights.
    gated
        Whether the hub requires an accepted licence and a token.
    options
        Further arguments of `timm.create_model`.
    general
        Whether the encoder was trained on photographs instead of tissue.
    """

    architecture: str
    hub: str | None
    dim: int
    input_px: int | None = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pooling: Pooling = "model"
    mpp: float | None = None
    licence: str = ""
    gated: bool = False
    options: dict[str, object] = field(default_factory=dict)
    general: bool = False


_SWIGLU: dict[str, object] = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
_DINO: dict[str, object] = {"img_size": 224, "init_values": 1e-5, "num_classes": 0, "dynamic_img_size": True}

ENCODERS: dict[str, EncoderEntry] = {
    "efficientnet-lite0": EncoderEntry(
        architecture="tf_efficientnet_lite0",
        hub=None,
        dim=1280,
        input_px=None,
        mean=LITE_MEAN,
        std=LITE_STD,
        licence="Apache-2.0",
        general=True,
    ),
    "resnet50": EncoderEntry(
        architecture="resnet50",
        hub="timm/resnet50.tv_in1k",
        dim=2048,
        input_px=None,
        licence="BSD-3-Clause",
        general=True,
    ),
    "dinov3-l": EncoderEntry(
        architecture="vit_large_patch16_dinov3",
        hub="timm/vit_large_patch16_dinov3.lvd1689m",
        dim=1024,
        input_px=224,
        pooling="cls",
        licence="DINOv3 licence",
        general=True,
        options={"img_size": 224, "num_classes": 0},
    ),
    "uni": EncoderEntry(
        architecture="vit_large_patch16_224",
        hub="MahmoodLab/UNI",
        dim=1024,
        pooling="cls",
        mpp=0.5,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        options=_DINO,
    ),
    "uni2-h": EncoderEntry(
        architecture="vit_giant_patch14_224",
        hub="MahmoodLab/UNI2-h",
        dim=1536,
        pooling="cls",
        mpp=0.5,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        options={
            **_DINO,
            **_SWIGLU,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
        },
    ),
    "virchow": EncoderEntry(
        architecture="vit_huge_patch14_224",
        hub="paige-ai/Virchow",
        dim=2560,
        pooling="cls+mean",
        mpp=0.5,
        licence="Apache-2.0",
        gated=True,
        options={**_DINO, **_SWIGLU, "mlp_ratio": 5.3375},
    ),
    "virchow2": EncoderEntry(
        architecture="vit_huge_patch14_224",
        hub="paige-ai/Virchow2",
        dim=2560,
        pooling="cls+mean",
        mpp=0.5,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        options={**_DINO, **_SWIGLU, "mlp_ratio": 5.3375, "reg_tokens": 4},
    ),
    "h-optimus-0": EncoderEntry(
        architecture="vit_giant_patch14_reg4_dinov2",
        hub="bioptimus/H-optimus-0",
        dim=1536,
        pooling="cls",
        mean=OPTIMUS_MEAN,
        std=OPTIMUS_STD,
        mpp=0.5,
        licence="Apache-2.0",
        gated=True,
        options={"img_size": 224, "init_values": 1e-5, "num_classes": 0, "dynamic_img_size": False},
    ),
    "h-optimus-1": EncoderEntry(
        architecture="vit_giant_patch14_reg4_dinov2",
        hub="bioptimus/H-optimus-1",
        dim=1536,
        pooling="cls",
        mean=OPTIMUS_MEAN,
        std=OPTIMUS_STD,
        mpp=0.5,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        options={"img_size": 224, "init_values": 1e-5, "num_classes": 0, "dynamic_img_size": False},
    ),
    "h0-mini": EncoderEntry(
        architecture="vit_base_patch14_reg4_dinov2",
        hub="bioptimus/H0-mini",
        dim=768,
        pooling="cls",
        mean=OPTIMUS_MEAN,
        std=OPTIMUS_STD,
        mpp=0.5,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        options={**_SWIGLU, "img_size": 224, "init_values": 1e-5, "num_classes": 0, "mlp_ratio": 5.33334},
    ),
    "gigapath": EncoderEntry(
        architecture="vit_giant_patch14_dinov2",
        hub="prov-gigapath/prov-gigapath",
        dim=1536,
        pooling="cls",
        mpp=0.5,
        licence="Prov-GigaPath licence (research only)",
        gated=True,
        options={
            **_SWIGLU,
            "img_size": 224,
            "patch_size": 16,
            "depth": 40,
            "num_heads": 24,
            "embed_dim": 1536,
            "mlp_ratio": 5.33334,
            "init_values": 1e-5,
            "num_classes": 0,
        },
    ),
    "conch-v1.5": EncoderEntry(
        architecture="vit_large_patch16_224",
        hub="MahmoodLab/conchv1_5",
        dim=768,
        input_px=448,
        pooling="attention",
        mpp=0.5,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        options={"img_size": 448, "init_values": 1.0, "num_classes": 0, "dynamic_img_size": True},
    ),
    "phikon": EncoderEntry(
        architecture="vit_base_patch16_224",
        hub="owkin/phikon",
        dim=768,
        pooling="cls",
        mpp=0.5,
        licence="Owkin non-commercial licence",
        options={"img_size": 224, "num_classes": 0},
    ),
    "phikon-v2": EncoderEntry(
        architecture="vit_large_patch16_224",
        hub="owkin/phikon-v2",
        dim=1024,
        pooling="cls",
        mpp=0.5,
        licence="Owkin non-commercial licence",
        options={"img_size": 224, "init_values": 1e-5, "num_classes": 0},
    ),
    "midnight-12k": EncoderEntry(
        architecture="vit_giant_patch14_dinov2",
        hub="kaiko-ai/midnight",
        dim=3072,
        pooling="cls+mean",
        mean=HALF,
        std=HALF,
        mpp=0.5,
        licence="MIT",
        options={"img_size": 224, "init_values": 1e-5, "num_classes": 0},
    ),
    "kaiko-b8": EncoderEntry(
        architecture="vit_base_patch8_224",
        hub="1aurent/vit_base_patch8_224.kaiko_ai_towards_large_pathology_fms",
        dim=768,
        pooling="cls",
        mean=HALF,
        std=HALF,
        licence="see kaiko.ai's model card",
        options={"img_size": 224, "num_classes": 0, "dynamic_img_size": True},
    ),
    "kaiko-b16": EncoderEntry(
        architecture="vit_base_patch16_224",
        hub="1aurent/vit_base_patch16_224.kaiko_ai_towards_large_pathology_fms",
        dim=768,
        pooling="cls",
        mean=HALF,
        std=HALF,
        licence="see kaiko.ai's model card",
        options={"img_size": 224, "num_classes": 0, "dynamic_img_size": True},
    ),
    "lunit-s8": EncoderEntry(
        architecture="vit_small_patch8_224",
        hub="1aurent/vit_small_patch8_224.lunit_dino",
        dim=384,
        pooling="cls",
        mean=(0.70322989, 0.53606487, 0.66096631),
        std=(0.21716536, 0.26081574, 0.20723464),
        licence="Lunit non-commercial licence",
        options={"img_size": 224, "num_classes": 0},
    ),
    "hibou-b": EncoderEntry(
        architecture="vit_base_patch14_reg4_dinov2",
        hub="histai/hibou-B",
        dim=768,
        pooling="cls",
        mean=(0.7068, 0.5755, 0.722),
        std=(0.195, 0.2316, 0.1816),
        mpp=0.5,
        licence="Apache-2.0",
        gated=True,
        options={"img_size": 224, "init_values": 1e-5, "num_classes": 0},
    ),
    "hibou-l": EncoderEntry(
        architecture="vit_large_patch14_reg4_dinov2",
        hub="histai/hibou-L",
        dim=1024,
        pooling="cls",
        mean=(0.7068, 0.5755, 0.722),
        std=(0.195, 0.2316, 0.1816),
        mpp=0.5,
        licence="Apache-2.0",
        gated=True,
        options={"img_size": 224, "init_values": 1e-5, "num_classes": 0},
    ),
}

GENERAL_IMAGES = "general images: a floor, not a pathology encoder"


def note_on(name: str) -> str:
    """The remark that reports add to the name of an encoder that was not trained on tissue; empty for others.

    Parameters
    ----------
    name
        Name of the encoder.

    Returns
    -------
    str

    Examples
    --------
    >>> note_on("resnet50")
    'general images: a floor, not a pathology encoder'
    >>> note_on("uni2-h")
    ''
    """
    entry = ENCODERS.get(name)
    return GENERAL_IMAGES if entry is not None and entry.general else ""

"""Pixels of tissue that a byte of a file holds in real H&E, against the most that `check_tissue` allows.

    python benchmarks/tissue_bytes.py FOLDER [--tiles 64] [--seed 0]

FOLDER holds square JPEG pictures of H&E of one size, such as the tiles of LC25000 (at any depth). They form one image; pieces of 256 pixels of
it, as it is and enlarged twice by bicubic interpolation, are encoded anew as the tiles of slides are. The smaller levels that slides also store
are not counted; they take another third of the bytes.

pixels_per_byte   for each codec and quality: of the image as it is, and enlarged
limit             pixels of tissue for each byte that are allowed
room              the limit divided by the largest of these numbers

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from pathosig.slides.backends.bounds import _TISSUE_PER_BYTE

SIDE = 256


def jpeg_2000(ratio: int) -> Callable[[np.ndarray], bytes]:
    """An encoder to 1/ratio of the bytes of the pixels."""

    def encode(tile: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(tile).save(
            out,
            "JPEG2000",
            quality_mode="rates",
            quality_layers=[ratio],
            irreversible=True,
            mct=1,
            no_jp2=True,
        )
        return out.getvalue()

    return encode


def jpeg(quality: int) -> Callable[[np.ndarray], bytes]:
    """An encoder with colours at half the width and height."""
    return lambda tile: bytes(imagecodecs.jpeg8_encode(tile, quality, subsampling="420"))


def webp(quality: int) -> Callable[[np.ndarray], bytes]:
    """A lossy encoder."""
    return lambda tile: bytes(imagecodecs.webp_encode(tile, level=quality, lossless=False))


ENCODERS = {
    **{f"JPEG, quality {q}": jpeg(q) for q in (75, 50, 30, 10)},
    **{f"WebP, quality {q}": webp(q) for q in (75, 30, 10)},
    **{f"JPEG 2000, {r}:1": jpeg_2000(r) for r in (30, 60, 100)},
}


def pixels_per_byte(image: np.ndarray, encode: Callable[[np.ndarray], bytes]) -> float:
    """Of all whole tiles of an image."""
    corners = [
        (y, x)
        for y in range(0, image.shape[0] - SIDE + 1, SIDE)
        for x in range(0, image.shape[1] - SIDE + 1, SIDE)
    ]
    stored = sum(len(encode(np.ascontiguousarray(image[y : y + SIDE, x : x + SIDE]))) for y, x in corners)
    return len(corners) * SIDE * SIDE / stored


def main() -> None:
    """Encode and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    files = sorted(args.folder.rglob("*.jp*g"))
    across = math.isqrt(args.tiles)
    chosen = np.random.default_rng(args.seed).choice(len(files), across * across, replace=False)
    tiles = [np.asarray(Image.open(files[k]).convert("RGB")) for k in chosen]
    image = np.concatenate(
        [np.concatenate(tiles[k : k + across], axis=1) for k in range(0, len(tiles), across)]
    )
    large = np.asarray(
        Image.fromarray(image).resize((2 * image.shape[1], 2 * image.shape[0]), Image.Resampling.BICUBIC)
    )
    ratios = {
        name: [round(pixels_per_byte(pixels, encode), 1) for pixels in (image, large)]
        for name, encode in ENCODERS.items()
    }
    most = max(max(pair) for pair in ratios.values())
    print(
        json.dumps(
            {
                "pixels_per_byte": ratios,
                "limit": _TISSUE_PER_BYTE,
                "room": round(_TISSUE_PER_BYTE / most, 2),
            }
        )
    )


if __name__ == "__main__":
    main()

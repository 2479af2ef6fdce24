"""One compressed tile of a TIFF into pixels."""

from __future__ import annotations

import numpy as np

from pathosig.slides.backends.tiff_tags import PageFacts

_APP14_RGB = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x00"
"""Adobe marker, transform 0: the components are RGB as they are."""


def decode_jpeg(data: bytes, page: PageFacts, shrink: int, out: np.ndarray) -> np.ndarray:
    """A JPEG tile at 1/shrink of its size, written into `out`, uint8[h, w, 3].

    Raises
    ------
    ValueError
        If it is damaged or has another size than the page declares.
    """
    import simplejpeg

    head = b"\xff\xd8"
    if page.tables:
        head = page.tables[:-2]
    body = data[2:]
    if page.photometric == 2:
        head = b"\xff\xd8" + _APP14_RGB + head[2:]
    width, height = page.tile
    pixels = simplejpeg.decode_jpeg(
        head + body,
        "RGB",
        min_height=height // shrink,
        min_width=width // shrink,
        min_factor=shrink,
        buffer=out,
    )
    if pixels.shape[:2] != (height // shrink, width // shrink):
        raise ValueError("tile of another size than declared")
    return out


def decode_other(data: bytes, page: PageFacts) -> np.ndarray:
    """A tile of any other codec, uint8[h, w, 3]; transparent pixels on white."""
    import imagecodecs

    width, height = page.tile
    if page.compression in (33003, 33004, 33005, 34712):
        pixels = imagecodecs.jpeg2k_decode(data)
        if page.compression == 33003:  # Aperio: YCbCr without saying so in the codestream
            pixels = _ycbcr_to_rgb(pixels)
    elif page.compression == 50001 or page.compression == 34927:
        pixels = imagecodecs.webp_decode(data)
    else:
        raw = _inflate(data, page.compression)
        pixels = np.frombuffer(raw, np.uint8, count=width * height * page.samples)
        pixels = pixels.reshape(height, width, page.samples)
        if page.predictor == 2:  # differences to the left neighbour
            pixels = np.add.accumulate(pixels, axis=1, dtype=np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        gray = pixels.reshape(height, width, 1)
        return np.repeat(255 - gray if page.photometric == 0 else gray, 3, axis=2)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        return ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[:height, :width, :3])


def _inflate(data: bytes, compression: int) -> bytes:
    import imagecodecs

    if compression == 1:
        return data
    return bytes(imagecodecs.lzw_decode(data) if compression == 5 else imagecodecs.zlib_decode(data))


def _ycbcr_to_rgb(pixels: np.ndarray) -> np.ndarray:
    y, cb, cr = (pixels[..., i].astype(np.float32) for i in range(3))
    rgb = (y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128))
    out: np.ndarray = np.clip(np.rint(np.stack(rgb, axis=-1)), 0, 255).astype(np.uint8)
    return out


def shrunk(pixels: np.ndarray, shrink: int) -> np.ndarray:
    """Pixels at 1/shrink of their size."""
    from pathosig.slides.pyramid import resample

    return resample(pixels, (pixels.shape[1] // shrink, pixels.shape[0] // shrink))

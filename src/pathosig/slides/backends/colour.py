"""Conversion of the colours of TIFF pages to RGB, and the errors for colours that are not supported.

Every row of the table "Colours of TIFF files" in `docs/reference/readers.md` is a branch in this file and a case in
`tests/slides/test_colour.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pathosig.core.errors import SlideError
from pathosig.slides.backends.tiff_tags import (
    APERIO_YCBCR,
    DEFLATE,
    JPEG,
    JPEG2000,
    LZW,
    NONE,
    PACKBITS,
    WEBP,
    ZSTD,
    Page,
)

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
_NAMES = {
    4: "a mask",
    5: "CMYK inks",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32844: "LogL",
    32845: "LogLuv",
}
_BYTES = {*NONE, LZW, *DEFLATE, PACKBITS, ZSTD}
"""Codecs whose result is the bytes of the samples, without any conversion of colours."""

CODECS = {*_BYTES, JPEG, *JPEG2000, *WEBP}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_BAND_PIXELS = 1 << 20


def check_colours(page: Page, name: str) -> None:
    """Refuse pages whose colours are not supported, before any pixel is decoded.

    Parameters
    ----------
    page
        The page as its directory declares it.
    name
        Name of the file, for error messages.

    Raises
    ------
    SlideError
        E_CODEC, E_BITDEPTH or E_PHOTOMETRIC.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> page = SimpleNamespace(compression=34661, bits=8, sample_format=1)  # JBIG: black and white faxes
    >>> check_colours(page, "S01.tif")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pathosig.core.errors.SlideError: S01.tif: pixels are compressed with TIFF codec 34661, which no reader ...
    """
    if page.compression not in CODECS:
        raise SlideError(
            f"{name}: pixels are compressed with TIFF codec {page.compression}, which no reader here decodes. "
            "Convert the slide to JPEG or JPEG 2000 tiles.",
            code="E_CODEC",
        )
    if page.bits > 8 or page.bits < 1 or page.sample_format not in (1, 4):
        kinds = {2: "signed ", 3: "floating-point "}
        what = (
            f"{page.bits} {kinds.get(page.sample_format, '')}bits per channel"
            if page.bits and page.sample_format
            else "samples of different depths or types"
        )
        raise SlideError(
            f"{name}: has {what}; expected 8 unsigned bits or fewer. Convert it to 8 bits, and choose the range of values yourself.",
            code="E_BITDEPTH",
        )
    colours = 3 if page.photometric in (RGB, YCBCR) else 1
    if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR):
        raise _unknown(
            name, f"colours are stored as {_NAMES.get(page.photometric, f'photometric {page.photometric}')}"
        )
    if not colours <= page.samples <= colours + 1:
        raise _unknown(name, f"has {page.samples} samples per pixel (photometric {page.photometric})")
    if page.photometric == PALETTE and (page.samples != 1 or len(page.colour_map) != 3 << page.bits):
        raise _unknown(name, "its palette is missing or incomplete")
    if page.photometric == YCBCR and page.planar == 2 and page.subsampling != (1, 1):
        raise _unknown(name, "its colours are subsampled in separate planes")
    if (page.photometric == YCBCR and page.compression != JPEG) and (
        page.subsampling[0] not in (1, 2, 4) or page.subsampling[1] not in (1, 2, 4)
    ):
        raise _unknown(name, f"its colours are subsampled {page.subsampling[0]} by {page.subsampling[1]}")
    if page.planar not in (1, 2):
        raise _unknown(name, f"its planar configuration is {page.planar}")
    if page.compression in _BYTES:
        packed = page.photometric == YCBCR and (page.bits != 8 or page.samples != 3)
        if packed:
            raise _unknown(name, "its YCbCr pixels do not have three samples of 8 bits")
        if page.predictor not in (1, 2):
            raise _codec(name, f"with TIFF predictor {page.predictor}; expected none or horizontal")
        if page.predictor == 2 and (
            page.bits != 8 or (page.photometric == YCBCR and page.subsampling != (1, 1))
        ):
            raise _codec(name, "with a predictor, but its samples are not single bytes")
    elif page.bits != 8:
        raise SlideError(
            f"{name}: has {page.bits} bits per channel, but its codec has 8. Convert it to 8 bits.",
            code="E_BITDEPTH",
        )
    if page.compression == JPEG and page.planar == 1 and page.samples not in (1, 3):
        raise _unknown(name, f"its JPEG tiles have {page.samples} components")
    if page.compression in (*JPEG2000, *WEBP) and (
        page.photometric == PALETTE or (page.planar == 2 and page.samples > 1)
    ):
        raise _unknown(name, "it has separate planes or a palette in JPEG 2000 or WebP")
    if page.compression == JPEG and page.photometric == PALETTE:
        raise _unknown(name, "it has a palette in JPEG")


def _unknown(name: str, what: str) -> SlideError:
    return SlideError(
        f"{name}: {what}; expected H&E as RGB, YCbCr, gray or a palette. Convert it to RGB.",
        code="E_PHOTOMETRIC",
    )


def _codec(name: str, what: str) -> SlideError:
    return SlideError(f"{name}: pixels are stored {what}. Convert it to a plain tiled TIFF.", code="E_CODEC")


def to_rgb(samples: np.ndarray, page: Page, *, converted: bool = False) -> np.ndarray:
    """Samples of a piece as RGB, with transparent pixels on white.

    Parameters
    ----------
    samples
        uint8[h, w, s], scaled to 0 to 255 except for indices of a palette.
    page
        The page as its directory declares it.
    converted
        Whether the codec has already converted YCbCr to RGB.

    Returns
    -------
    uint8[h, w, 3]

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> page = SimpleNamespace(photometric=WHITE_IS_ZERO, compression=1, samples=1, extra=())
    >>> to_rgb(np.array([[[0], [255]]], np.uint8), page).tolist()
    [[[255, 255, 255], [0, 0, 0]]]
    """
    if page.photometric == PALETTE:
        return _palette(page)[samples[..., 0]]
    colours = 3 if page.photometric in (RGB, YCBCR) else 1
    rgb, alpha = samples[..., :colours], samples[..., colours : colours + 1]
    if (page.photometric == YCBCR or page.compression == APERIO_YCBCR) and not converted:
        rgb = ycbcr_to_rgb(rgb, page)
    if page.photometric == WHITE_IS_ZERO:
        rgb = 255 - rgb
    if colours == 1:
        rgb = np.repeat(rgb, 3, axis=2)
    if alpha.shape[2] and page.extra[:1] == (_UNASSOCIATED,):
        return _on_white(rgb, alpha)
    if alpha.shape[2] and page.extra[:1] == (_ASSOCIATED,):
        # Colours are already multiplied by their opacity, so that only the remaining white is added.
        return _in_bands(
            lambda band: np.minimum(band[..., :3].astype(np.uint16) + (255 - band[..., 3:]), 255),
            _with(rgb, alpha),
        )
    return np.ascontiguousarray(rgb)


def _on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours with an opacity, alpha uint8[h, w, 1], on white: uint8[h, w, 3]."""

    def mix(band: np.ndarray) -> np.ndarray:
        weight = band[..., 3:].astype(np.uint16)
        return (band[..., :3] * weight + 255 * (255 - weight) + 127) // 255

    return _in_bands(mix, _with(rgb, alpha))


def _with(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate((rgb, alpha), axis=2)


def ycbcr_to_rgb(samples: np.ndarray, page: Page) -> np.ndarray:
    """YCbCr samples as RGB, by YCbCrCoefficients and ReferenceBlackWhite of the page.

    Parameters
    ----------
    samples
        uint8[h, w, 3]; every pixel has its own Cb and Cr.
    page
        The page as its directory declares it.

    Returns
    -------
    uint8[h, w, 3]

    References
    ----------
    TIFF 6.0, section 21: R = Y + (2 - 2 Lr) Cr, B = Y + (2 - 2 Lb) Cb, G = (Y - Lb B - Lr R) / Lg, where each code c is first
    decoded to (c - black) * range / (white - black).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> page = SimpleNamespace(compression=1, luma=(0.299, 0.587, 0.114), black_white=(0, 255, 128, 255, 128, 255))
    >>> ycbcr_to_rgb(np.array([[[128, 128, 128], [76, 85, 255]]], np.uint8), page).tolist()  # gray, red
    [[[128, 128, 128], [254, 0, 0]]]
    """
    red, green, blue = page.luma[:3] if page.compression != APERIO_YCBCR else (0.299, 0.587, 0.114)
    limits = page.black_white if page.compression != APERIO_YCBCR else (0, 255, 128, 255, 128, 255)
    spans = [
        span / ((limits[2 * k + 1] - limits[2 * k]) or 1.0) for k, span in enumerate((255.0, 127.0, 127.0))
    ]

    def convert(band: np.ndarray) -> np.ndarray:
        y, cb, cr = (
            (band[..., k].astype(np.float32) - np.float32(limits[2 * k])) * np.float32(spans[k])
            for k in range(3)
        )
        r = y + np.float32(2 - 2 * red) * cr
        b = y + np.float32(2 - 2 * blue) * cb
        g = (y - np.float32(blue) * b - np.float32(red) * r) / np.float32(green or 1.0)
        return np.clip(np.rint(np.stack((r, g, b), axis=-1)), 0, 255)

    return _in_bands(convert, samples)


def _in_bands(convert: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    """Convert pixels to RGB in bands of rows, because intermediate numbers need many times the memory of bytes.

    Parameters
    ----------
    convert
        Function from [rows, w, s] to [rows, w, 3] with values 0 to 255.
    samples
        uint8[h, w, s].

    Returns
    -------
    uint8[h, w, 3]
    """
    out = np.empty((*samples.shape[:2], 3), np.uint8)
    rows = max(1, _BAND_PIXELS // max(1, samples.shape[1]))
    for top in range(0, len(samples), rows):
        out[top : top + rows] = convert(samples[top : top + rows])
    return out


def _palette(page: Page) -> np.ndarray:
    """The palette, uint8[n, 3]; its values have 16 bits, or 8 bits if all of them are below 256."""
    colours = np.array(page.colour_map, np.int64).reshape(3, -1).T
    return np.ascontiguousarray((colours >> 8 if colours.max(initial=0) > 255 else colours).astype(np.uint8))


def scaled_bits(raw: np.ndarray, width: int, bits: int, *, indices: bool) -> np.ndarray:
    """Samples of 1 to 8 bits, which are packed in rows of whole bytes, as one byte each.

    Parameters
    ----------
    raw
        uint8[h, bytes per row].
    width
        Number of samples in a row.
    bits
        Bits of a sample, 1 to 8.
    indices
        Whether values are indices of a palette, which are not changed; others are scaled to 0 to 255.

    Returns
    -------
    uint8[h, width]

    Examples
    --------
    >>> scaled_bits(np.array([[0b1010_0000]], np.uint8), 4, 1, indices=False)
    array([[255,   0, 255,   0]], dtype=uint8)
    >>> scaled_bits(np.array([[0x1F]], np.uint8), 2, 4, indices=True)
    array([[ 1, 15]], dtype=uint8)
    """
    if bits == 8:
        return raw[:, :width]
    single = np.unpackbits(raw, axis=1)[:, : width * bits].reshape(len(raw), width, bits)
    values: np.ndarray = np.zeros((len(raw), width), np.uint8)
    for bit in range(bits):
        values = values << 1 | single[..., bit]
    if indices:
        return values
    most = (1 << bits) - 1
    return ((np.arange(256) * 255 + most // 2) // most).astype(np.uint8)[values]

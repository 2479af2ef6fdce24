"""Good and bad slide files, generated."""

import struct
import zlib

import numpy as np
import tifffile


def texture(height, width, seed=0):
    """A smooth image in the colours of a stain, uint8[height, width, 3]."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (3, 3, 0))
    field /= field.std()
    base = np.array([205, 150, 190])
    return np.clip(base + field * 22, 0, 255).astype(np.uint8)


def aperio(mpp="0.25", power="40"):
    """The description of an Aperio slide."""
    text = "Aperio Image Library v11\r\n600x500 [0,0 600x500] (240x240) JPEG/RGB Q=90"
    return text + (f"|AppMag = {power}" if power else "") + (f"|MPP = {mpp}" if mpp else "")


def write_svs(path, rgb, *, mpp="0.25", power="40", tile=240, levels=(1, 4), compression="jpeg", **options):
    """A tiled pyramid like Aperio's, with a label and a macro image after it."""
    if compression == "jpeg":
        options = {"compressionargs": {"level": 92}, **options}
    with tifffile.TiffWriter(path) as file:
        for step in levels:
            image = np.ascontiguousarray(rgb[::step, ::step])
            reduced = f") -> {image.shape[1]}x{image.shape[0]} JPEG"
            file.write(
                image,
                tile=(tile, tile),
                photometric="rgb",
                compression=compression,
                description=aperio(mpp, power).replace(") JPEG", reduced if step > 1 else ") JPEG"),
                metadata=None,
                software=False,
                **options,
            )
        label = np.zeros((60, 80, 3), np.uint8)
        label[..., 0] = 255
        file.write(label, photometric="rgb", description="Aperio\r\nlabel 80x60", metadata=None)
    return path


def huge_tiff(path, side=1_000_000):
    """A tiny BigTIFF whose header claims side^2 pixels."""
    entries = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3),
        (322, 3, 1, 256), (323, 3, 1, 256), (324, 16, 1, 1000), (325, 16, 1, 100),
    ]  # fmt: skip
    data = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16) + struct.pack("<Q", len(entries))
    for code, kind, count, value in entries:
        data += struct.pack("<HHQQ", code, kind, count, value)
    path.write_bytes(data + struct.pack("<Q", 0) + bytes(60_000))
    return path


def deflate_bomb(path, side=30_000):
    """A small file with one deflated strip that declares side^2 RGB pixels."""
    strip = zlib.compress(bytes(20_000_000))
    entries = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 2), (273, 4, 1, 400),
        (277, 3, 1, 3), (278, 4, 1, side), (279, 4, 1, len(strip)),
    ]  # fmt: skip
    data = b"II" + struct.pack("<HI", 42, 8) + struct.pack("<H", len(entries))
    for code, kind, count, value in entries:
        data += struct.pack("<HHII", code, kind, count, value)
    path.write_bytes((data + struct.pack("<I", 0)).ljust(400, b"\0") + strip)
    return path


def looping_tiff(path):
    """A TIFF whose directory points back at itself."""
    entries = [
        (256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1),
        (273, 4, 1, 400), (278, 4, 1, 64), (279, 4, 1, 4096),
    ]  # fmt: skip
    data = b"II" + struct.pack("<HI", 42, 8) + struct.pack("<H", len(entries))
    for code, kind, count, value in entries:
        data += struct.pack("<HHII", code, kind, count, value)
    data += struct.pack("<I", 8)
    path.write_bytes(data.ljust(400, b"\0") + bytes(4096))
    return path


def write_philips(path, rgb, *, tile=256, mm=0.00025, levels=3):
    """A Philips TIFF: levels halved and padded to whole tiles, resolution in XML."""
    spacing = '<Attribute Name="DICOM_PIXEL_SPACING">&quot;{0:.9f}&quot; &quot;{0:.9f}&quot;</Attribute>'
    parts = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">{spacing.format(mm * 2**k)}</DataObject>'
        for k in range(levels)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        f'<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>{spacing.format(mm)}'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{parts}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )
    with tifffile.TiffWriter(path) as file:
        for k in range(levels):
            small = rgb[:: 2**k, :: 2**k]
            room = [(0, -n % tile) for n in small.shape[:2]]
            file.write(
                np.pad(small, [*room, (0, 0)], constant_values=255),
                tile=(tile, tile),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90},
                description=text if k == 0 else "",
                metadata=None,
                software="Philips DP v1.0",
                subfiletype=min(k, 1),
            )
    return path


def write_ome(path, rgb, *, mpp=0.25):
    """An OME-TIFF with its pyramid in sub-images."""
    facts = {"axes": "YXS"} | {f"PhysicalSize{a}{u}": v for a in "XY" for u, v in (("", mpp), ("Unit", "µm"))}
    jpeg = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 92}}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(rgb, subifds=2, metadata=facts, **jpeg)
        for step in (2, 4):
            file.write(np.ascontiguousarray(rgb[::step, ::step]), subfiletype=1, metadata=None, **jpeg)
    return path

"""Generated OME-Zarr slides."""

import json

import numpy as np


def write_zarr(
    path, rgb, *, version=2, axes="cyx", mpp=0.25, unit="micrometer", levels=(1, 2, 4), chunk=128, **extra
):
    """An OME-Zarr folder: NGFF 0.4 in Zarr 2, or 0.5 in Zarr 3; `extra` goes to zarr.create_array."""
    import zarr

    datasets = []
    for number, step in enumerate(levels):
        small = rgb[::step, ::step]
        array = np.moveaxis(small, (0, 1, 2), [sorted("yxc", key=axes.index).index(a) for a in "yxc"])
        for place, name in enumerate(axes):
            if name in "tz":
                array = np.expand_dims(array, place)
        chunks = [chunk if a in "yx" else (3 if a == "c" and version == 3 else 1) for a in axes]
        options = {"chunks": tuple(min(a, b) for a, b in zip(chunks, array.shape, strict=True))} | extra
        stored = zarr.create_array(
            str(path / str(number)), shape=array.shape, dtype=array.dtype, zarr_format=version, **options
        )
        stored[...] = array
        scale = [mpp * step if a in "yx" else 1.0 for a in axes]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    kinds = {"c": "channel", "t": "time"}
    described = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    for axis in described:
        if axis["name"] in "yx" and unit:
            axis["unit"] = unit
    image = {"multiscales": [{"name": "slide", "axes": described, "datasets": datasets}]}
    if version == 2:
        image["multiscales"][0]["version"] = "0.4"
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(image))
    else:
        image["version"] = "0.5"
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": image}}
        (path / "zarr.json").write_text(json.dumps(group))
    return path


def edit(file, change):
    """Change a JSON file by a function."""
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))

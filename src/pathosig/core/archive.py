"""A zip of plain members, every one's digest in its manifest: what bundles and frozen phenotypes travel in.

Nothing in it is ever executed, and a member that is unknown, too large or changed is refused.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pathosig.core.errors import InputError, PathosigError
from pathosig.core.records import atomic_path, to_json

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MANIFEST = "manifest.json"
_MANIFEST_BYTES = 1 << 20


def write_archive(path: Path, contents: Mapping[str, bytes], *, header: Mapping[str, Any]) -> str:
    """Write members and a manifest; the same contents give the same bytes.

    Parameters
    ----------
    path
        The file.
    contents
        Name to bytes.
    header
        What the manifest says beside the digests, ``format`` among it.

    Returns
    -------
    The file's sha256
    """
    members = {
        n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in sorted(contents.items())
    }
    manifest = to_json({**header, "members": members}).encode()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [(_MANIFEST, manifest), *sorted(contents.items())]:
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(
    path: Path, limits: Mapping[str, int], *, required: Collection[str], formats: Collection[int]
) -> dict[str, Any]:
    """The manifest of an archive whose members are those allowed, not too large, and all that are required.

    Parameters
    ----------
    path
        The file.
    limits
        Every member that may be in it, and how many bytes it may have.
    required
        Members that must be in it.
    formats
        Values of ``format`` that are understood.

    Raises
    ------
    InputError
        E_MISSING if there is no such file. E_BUNDLE if it is no such archive.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}. Expected a bundle that `pathosig bundle` wrote.", code="E_MISSING")
    try:
        with zipfile.ZipFile(path) as archive:
            return _manifest(archive, limits, required, formats)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error


def read_members(
    path: Path, manifest: Mapping[str, Any], names: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Members of an archive one after the other, each checked against its digest.

    Parameters
    ----------
    path
        The file.
    manifest
        What `read_manifest` gave.
    names
        Those wanted; those that are not in it are left out.

    Raises
    ------
    InputError
        E_BUNDLE if a member was changed or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name, expected in manifest["members"].items():
                if name not in names:
                    continue
                data = archive.read(name)
                if len(data) != expected["size"] or hashlib.sha256(data).hexdigest() != expected["sha256"]:
                    raise _refused(path, f"member {name} was changed")
                yield name, data
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error


def _manifest(
    archive: zipfile.ZipFile, limits: Mapping[str, int], required: Collection[str], formats: Collection[int]
) -> dict[str, Any]:
    infos = {i.filename: i for i in archive.infolist()}
    if len(infos) != len(archive.infolist()):
        raise ValueError("a member appears twice")
    if infos[_MANIFEST].file_size > _MANIFEST_BYTES:
        raise ValueError("manifest too large")
    manifest: dict[str, Any] = json.loads(archive.read(_MANIFEST))
    members = set(manifest["members"])
    unknown = (set(infos) - {_MANIFEST}) ^ members
    if unknown or not members <= set(limits) or set(required) - members:
        raise ValueError("members that do not belong, or some missing")
    if manifest["format"] not in formats:
        raise ValueError(f"format {manifest['format']}, this program reads {sorted(formats)}")
    for name in members:
        if infos[name].file_size > limits[name] or infos[name].compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {name} is too large or packed")
    return manifest


def _refused(path: Path, why: str) -> PathosigError:
    return InputError(
        f"{path.name}: refused as a bundle ({why}). Get it again from its authors.", code="E_BUNDLE"
    )

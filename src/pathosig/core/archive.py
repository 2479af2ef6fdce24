"""A zip of plain members, every one's digest in its manifest: what bundles and frozen phenotypes travel in.

Nothing in it is ever executed; a member that is unknown, too large, packed, a link or changed is refused, and no name in it
becomes a path: members are written under names that this program knows.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pathosig.core.errors import InputError
from pathosig.core.records import atomic_path, to_json
from pathosig.core.strict_json import read_strict

_EPOCH = (1980, 1, 1, 0, 0, 0)
MANIFEST, SIGNED = "manifest.json", "signed.json"
"""Names of the manifest, and of the signature over it."""

_SMALL = 1 << 20
_BLOCK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    OverflowError,
    NotImplementedError,
    RecursionError,
    MemoryError,
)


def write_archive(
    path: Path,
    contents: Mapping[str, bytes],
    *,
    header: Mapping[str, object],
    sign: Callable[[bytes], Mapping[str, str]] | None = None,
) -> str:
    """Write members and a manifest; the same contents give the same bytes.

    Parameters
    ----------
    path
        The file.
    contents
        Name to bytes.
    header
        What the manifest says beside the digests, ``format`` among it.
    sign
        Makes the signature of the manifest.

    Returns
    -------
    The file's sha256
    """
    members = {
        n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in sorted(contents.items())
    }
    manifest = to_json({**header, "members": members}).encode()
    files = [(MANIFEST, manifest), *([(SIGNED, to_json(sign(manifest)).encode())] if sign else [])]
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*files, *sorted(contents.items())]:
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(
    path: Path, limits: Mapping[str, int], *, required: Collection[str], formats: Collection[int]
) -> dict[str, object]:
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
            return _manifest(archive, path.stat().st_size, limits, required, formats)
    except _DAMAGE as error:
        raise refused(path, f"{type(error).__name__}: {error}") from error


def read_signed(path: Path) -> tuple[bytes, dict[str, Any] | None]:
    """The bytes of the manifest and what stands in the signature over them, if there is one; `read_manifest` comes first.

    Raises
    ------
    InputError
        E_BUNDLE if they cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            stated = read_strict(archive.read(SIGNED)) if SIGNED in archive.namelist() else None
            return archive.read(MANIFEST), stated
    except _DAMAGE as error:
        raise refused(path, f"{type(error).__name__}: {error}") from error


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
                if name in names:
                    data = archive.read(name)
                    if (
                        len(data) != expected["size"]
                        or hashlib.sha256(data).hexdigest() != expected["sha256"]
                    ):
                        raise refused(path, f"member {name} was changed")
                    yield name, data
    except _DAMAGE as error:
        raise refused(path, f"{type(error).__name__}: {error}") from error


def unpack(path: Path, manifest: Mapping[str, Any], into: Path) -> None:
    """Write every member into a folder, block by block, each checked against its digest.

    Raises
    ------
    InputError
        E_BUNDLE if a member was changed or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name, expected in manifest["members"].items():
                digest, target = hashlib.sha256(), into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as out:
                    while block := source.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
                if digest.hexdigest() != expected["sha256"]:
                    target.unlink()
                    raise refused(path, f"member {name} was changed")
    except _DAMAGE as error:
        raise refused(path, f"{type(error).__name__}: {error}") from error


def _manifest(
    archive: zipfile.ZipFile,
    file_size: int,
    limits: Mapping[str, int],
    required: Collection[str],
    formats: Collection[int],
) -> dict[str, object]:
    infos = {i.filename: i for i in archive.infolist()}
    if len(infos) != len(archive.infolist()):
        raise ValueError("a member appears twice")
    for info in infos.values():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {info.filename[:60]!r} is no plain file")
        if info.file_size != info.compress_size:
            raise ValueError(f"member {info.filename[:60]!r} has two sizes")
    if sum(i.file_size for i in infos.values()) > file_size:
        raise ValueError("its members claim to be larger than the file")
    for name in (MANIFEST, SIGNED):
        if name in infos and infos[name].file_size > _SMALL:
            raise ValueError(f"{name} is too large")
    manifest = read_strict(archive.read(MANIFEST))
    if manifest["format"] == 1:
        raise ValueError(
            "format 1: its codebook cannot tell slides of another kind, so this pathosig does not use it; make it again "
            "with `pathosig run` and `pathosig bundle` in the study it came from"
        )
    if manifest["format"] not in formats or set(manifest) != {"format", "pathosig", "members"}:
        raise ValueError(f"format {str(manifest['format'])[:20]}; this program reads {sorted(formats)}")
    if not isinstance(manifest["pathosig"], str) or len(manifest["pathosig"]) > 100:
        raise ValueError("its version is no text")
    members = manifest["members"]
    if set(infos) - {MANIFEST, SIGNED} != set(members):
        raise ValueError("its members are not those of the manifest")
    if not set(members) <= set(limits) or set(required) - set(members):
        raise ValueError("members that do not belong, or some missing")
    for name, expected in members.items():
        if set(expected) != {"sha256", "size"} or type(expected["size"]) is not int:
            raise ValueError(f"member {name}: no digest and size")
        if infos[name].file_size > limits[name] or infos[name].file_size != expected["size"]:
            raise ValueError(f"member {name} has another size")
    return manifest


def refused(path: Path, why: str) -> InputError:
    """The error of a bundle that is not used."""
    return InputError(
        f"{path.name}: refused as a bundle ({why[:300]}). Get it again from its authors.", code="E_BUNDLE"
    )

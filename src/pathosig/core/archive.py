"""The file format of bundles and frozen phenotypes: a zip of plain members whose digests are in a manifest.

Nothing in an archive is ever executed. A member that is unknown, too large, compressed, a link or changed is refused, and members
are written only under names that this program knows, so that no name in an archive becomes a path.
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
        Name of each member -> its bytes.
    header
        What the manifest states besides the digests, such as ``format``.
    sign
        Function from the bytes of the manifest to its signature.

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
    """The manifest of an archive, after its members were checked against it and against limits.

    Parameters
    ----------
    path
        The file.
    limits
        Name of each member that is allowed -> its largest size in bytes.
    required
        Members that must be present.
    formats
        Values of ``format`` that are understood.

    Raises
    ------
    InputError
        E_MISSING if there is no such file. E_BUNDLE if it is not such an archive.
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
    """The bytes of the manifest, and the content of its signature or None; call `read_manifest` first.

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
    """Yield members of an archive one after the other, each checked against its digest.

    Parameters
    ----------
    path
        The file.
    manifest
        The manifest as `read_manifest` returned it.
    names
        Members to read; those that are not in the archive are left out.

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

    Parameters
    ----------
    path
        The file.
    manifest
        The manifest as `read_manifest` returned it.
    into
        The folder.

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
            raise ValueError(f"member {info.filename[:60]!r} is not a plain file")
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
            "format 1: its codebook cannot tell slides of another kind, so this pathosig does not use it. Write it again "
            "with `pathosig run` and `pathosig bundle` in the study it came from"
        )
    if manifest["format"] not in formats or set(manifest) != {"format", "pathosig", "members"}:
        raise ValueError(f"format {str(manifest['format'])[:20]}; this program reads {sorted(formats)}")
    if not isinstance(manifest["pathosig"], str) or len(manifest["pathosig"]) > 100:
        raise ValueError("its version is not text")
    members = manifest["members"]
    if set(infos) - {MANIFEST, SIGNED} != set(members):
        raise ValueError("its members are not those that the manifest lists")
    if not set(members) <= set(limits) or set(required) - set(members):
        raise ValueError("unknown members, or some missing")
    for name, expected in members.items():
        if set(expected) != {"sha256", "size"} or type(expected["size"]) is not int:
            raise ValueError(f"member {name}: the manifest lacks its digest or size")
        if infos[name].file_size > limits[name] or infos[name].file_size != expected["size"]:
            raise ValueError(f"member {name} has another size")
    return manifest


def refused(path: Path, why: str) -> InputError:
    """The error for a bundle that is not used, with the reason."""
    return InputError(
        f"{path.name}: refused as a bundle ({why[:300]}). Get it again from its authors.", code="E_BUNDLE"
    )

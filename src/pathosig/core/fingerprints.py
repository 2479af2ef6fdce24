"""Fingerprints of everything that decides the outputs of a unit, and identities of its input files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.records import _CHUNK, sha256_file, to_json
from pathosig.core.remote import look, samples, url_of
from pathosig.core.units import OutputFile, SlideIdentity, Ticket

if TYPE_CHECKING:
    from pathosig.core.spec import Spec


def stamped(path: Path) -> OutputFile:
    """A file's digest, size and modification time."""
    digest = sha256_file(path)
    stat = path.stat()
    return OutputFile(sha256=digest, size=stat.st_size, mtime_ns=stat.st_mtime_ns)


def sha256_value(value: Any) -> str:
    """SHA-256 of the stable JSON of a value, as hex."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def identity(path: Path) -> dict[str, Any]:
    """Size and xxh3-128 of a file, or of all files of a folder (a DICOM slide, MRXS data).

    Of files in object storage only samples are read: see `remote.samples`.

    Returns
    -------
    dict
        ``size`` in bytes and ``xxh3`` as hex, which do not depend on where the file lies.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    import xxhash

    digest = xxhash.xxh3_128()
    size = 0
    if url_of(path):
        for piece in samples(file_of(path)):
            digest.update(piece)
        return {"size": look(file_of(path)).size, "xxh3": digest.hexdigest()}
    parts = _input_parts(path)
    room = memoryview(bytearray(_CHUNK))
    for part in parts:
        if len(parts) > 1:
            digest.update(part.relative_to(path.parent).as_posix().encode())
        with part.open("rb", buffering=0) as handle:
            while n := handle.readinto(room):
                size += n
                digest.update(room[:n])
    return {"size": size, "xxh3": digest.hexdigest()}


def input_bytes(path: Path) -> int:
    """Size in bytes of a file, or of all files of a folder or an MRXS slide; a file with several names counts once.

    Parameters
    ----------
    path
        A file or folder on this machine or in object storage.

    Raises
    ------
    OSError
        If it does not exist.
    """
    if url_of(path):
        return look(file_of(path)).size
    states = [part.stat() for part in _input_parts(path)]
    return sum({(s.st_dev, s.st_ino) if s.st_ino else k: s.st_size for k, s in enumerate(states)}.values())


def file_of(path: Path) -> Path:
    """The file behind a path, which may end in the number of one of several scans in the file (``slide.ome.tif#2``)."""
    stem, mark, number = path.name.rpartition("#")
    scan = bool(mark and stem) and number.isascii() and number.isdigit() and len(number) < 4
    return path.with_name(stem) if scan and (url_of(path) or not path.exists()) else path


def _input_parts(path: Path) -> list[Path]:
    """The files that form one input: the file itself, all files of a folder (DICOM, OME-Zarr), or MRXS and its data folder."""
    path = file_of(path)
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    companion = path.with_suffix("")
    if path.suffix.lower() == ".mrxs" and companion.is_dir():
        return [path, *sorted(p for p in companion.rglob("*") if p.is_file())]
    return [path]


def input_key(path: Path, *, is_listed: bool = False) -> str:
    """A text that changes when a file, or any file of a folder that is one input, changes; only sizes and times are read.

    Parameters
    ----------
    path
        The file or folder.
    is_listed
        Whether a server's listing that is up to a minute old is good enough; see `remote.look`.
    """
    if url := url_of(path):
        state = look(file_of(path), is_listed=is_listed)
        return f"{url}|{state.size}|{state.tag}"
    stats = [(part.relative_to(path.parent).as_posix(), part.stat()) for part in _input_parts(path)]
    if len(stats) == 1 and stats[0][0] in (path.name, file_of(path).name):
        return f"{path}|{stats[0][1].st_size}|{stats[0][1].st_mtime_ns}"
    return f"{path}|{sha256_value([(name, s.st_size, s.st_mtime_ns) for name, s in stats])}"


def fingerprint(
    *, stage: str, version: int, spec: Mapping[str, object], upstream: Mapping[str, str], inputs: Any
) -> str:
    """SHA-256 over everything that decides a unit's outputs.

    Parameters
    ----------
    stage, version
        The stage and its STAGE_VERSION.
    spec
        The Spec as plain values.
    upstream
        Name -> fingerprint of each record that this unit is made from.
    inputs
        Identities of input files (size and digest of the content), and table rows that matter.
    """
    return sha256_value(
        {"stage": stage, "version": version, "spec": spec, "upstream": dict(upstream), "inputs": inputs}
    )


def fingerprint_of(ticket: Ticket, spec: Spec, slide: SlideIdentity | None = None) -> str:
    """The fingerprint of a unit whose slide has been identified."""
    inputs = ticket.inputs
    if ticket.slide is not None and ticket.slide.decides and slide is not None:
        facts = {
            "mpp": ticket.slide.mpp,
            "region": ticket.slide.region,
            "size": slide.size,
            "xxh3": slide.xxh3,
        }
        inputs = {**(inputs or {}), "slide": facts}
    return fingerprint(
        stage=ticket.stage.name,
        version=ticket.stage.version,
        spec=spec.to_dict(),
        upstream=ticket.upstream,
        inputs=inputs,
    )

"""Reads files in object storage and on web servers, such as ``s3://bucket/slide.svs``, through fsspec.

Inside the program such a file is a `Path` whose first part is the scheme (``s3:/bucket/slide.svs``), so that names, suffixes and
sorting work as for any path; `url_of` returns its address.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathosig.core.errors import ConfigError, InputError

_SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "http", "https")
_ADDRESS = re.compile(rf"^({'|'.join(_SCHEMES)}):/{{1,2}}(?=[^/])")
_WEB = ("http", "https")
_BLOCK = 1 << 16
_BLOCKS_KEPT = 512
_AHEAD = 16  # blocks that are fetched at once when reading continues where it stopped
_SAMPLES, _SAMPLE_BYTES, _END_BYTES = 8, 1 << 16, 1 << 20
_LISTING_S = 60.0


class NoRanges(OSError):
    """The server cannot send parts of files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteState:
    """The state of a file, or of all files of a folder, on a server.

    Attributes
    ----------
    size
        Size in bytes.
    tag
        A text that changes with the content.
    is_folder
        Whether it is a folder.
    """

    size: int
    tag: str
    is_folder: bool = False


def url_of(path: Path | str) -> str | None:
    """The address, such as ``s3://bucket/slide.svs``, that a path stands for; None for files on this machine.

    Examples
    --------
    >>> url_of(Path("s3://bucket/slide.svs")), url_of(Path("/data/slide.svs"))
    ('s3://bucket/slide.svs', None)
    """
    text = path.as_posix() if isinstance(path, Path) else path
    match = _ADDRESS.match(text)
    return f"{match[1]}://{text[match.end() :]}" if match else None


def path_of(text: str, root: Path) -> Path:
    """The path of a file that a table names by an absolute path, a path relative to `root`, or an address.

    Raises
    ------
    InputError
        If an address contains a password or a signature, which do not belong in a table.
    """
    url = url_of(text)
    if url is None:
        return (root / Path(text).expanduser()).absolute()
    host = url.partition("://")[2].partition("/")[0]
    if "@" in host or "?" in url:
        raise InputError(
            f"{url.partition('?')[0].rpartition('/')[2]}: its address contains a password or a signature. Give the plain address, "
            "and the credentials in environment variables (AWS_ACCESS_KEY_ID ..., or those of your provider)."
        )
    return Path(url)


def shown(path: Path) -> str:
    """A path as it is written into a table: an address, or the absolute path."""
    return url_of(path) or path.absolute().as_posix()


def look(path: Path, *, is_listed: bool = False) -> RemoteState:
    """Size and tag (ETag, or the time of the last change) of a remote file, folder, or MRXS file with its folder.

    Parameters
    ----------
    path
        The remote file or folder.
    is_listed
        Whether a listing of its folder that is up to a minute old is good enough, which saves one request per file.

    Raises
    ------
    OSError
        If it does not exist or the server does not answer.
    """
    entries = _entries(path, is_listed=is_listed)
    if len(entries) == 1:
        (state,) = entries.values()
        return state
    text = "\n".join(f"{name} {state.size} {state.tag}" for name, state in entries.items())
    return RemoteState(
        size=sum(state.size for state in entries.values()), tag=hashlib.sha256(text.encode()).hexdigest()
    )


def samples(path: Path) -> Iterator[bytes]:
    """Yield bytes that represent the content of a remote file, so that it need not be read as a whole.

    They are its size and tag, its first and last megabyte, and eight pieces of 64 KB between these. The same content that was
    uploaded in another way may have another tag, and then counts as another file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    state = look(path)
    yield f"{state.size}\0{state.tag}".encode()
    with contextlib.suppress(NoRanges, IsADirectoryError), contextlib.closing(RemoteFile(path)) as file:
        step = max(1, state.size // (_SAMPLES + 1))
        places = [(0, _END_BYTES), *((k * step, _SAMPLE_BYTES) for k in range(1, _SAMPLES + 1))]
        for at, count in [*places, (max(0, state.size - _END_BYTES), _END_BYTES)]:
            yield file.fetch(at, min(state.size, at + count))


def matching(pattern: str) -> list[Path]:
    """Files that match an address with wildcards, such as ``s3://bucket/cohort/*.svs``.

    Raises
    ------
    OSError
        If the server does not answer.
    """
    url = url_of(pattern) or pattern
    scheme = url.partition("://")[0]
    with _os_errors(url):
        names = _system(scheme).glob(url) if any(c in url for c in "*?[") else [url]
    return [Path(url_of(str(name)) or f"{scheme}://{name}") for name in names]


def copy_to(path: Path, folder: Path) -> Path:
    """Fetch a file, or all files of a folder, into a folder on this machine, and return the path of the copy.

    Raises
    ------
    OSError
        If it cannot be read, or the disk is full.
    """
    url = url_of(path) or ""
    scheme = url.partition("://")[0]
    for name in _entries(path):
        local = folder / name
        if not local.resolve().is_relative_to(folder.resolve()):
            raise OSError(errno.EINVAL, "a file name that leads out of its folder")
        local.parent.mkdir(parents=True, exist_ok=True)
        with _os_errors(url):
            _system(scheme).get_file(f"{url.rpartition('/')[0]}/{name}", str(local))
    return folder / path.name


class RemoteFile:
    """A remote file that any thread can read. It is fetched in blocks of 64 KB, of which the last 32 MB are kept.

    When reading continues where it stopped, as along a row of tiles, a megabyte is fetched at once.

    Raises
    ------
    NoRanges
        If the server cannot send a part of a file.
    OSError
        If the server does not answer, or the address is a folder.
    """

    def __init__(self, path: Path) -> None:
        self._url = url_of(path) or ""
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._after = -1  # the block after the last one that was fetched
        self.bytes_fetched = 0
        scheme = self._url.partition("://")[0]
        with _os_errors(self._url):
            state = _state(_system(scheme).info(self._url))
            if state.is_folder:
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            self.size = state.size
            size = {"size": self.size} if scheme in _WEB else {}  # otherwise fsspec would ask for it again
            self._file = _system(scheme).open(self._url, "rb", cache_type="none", **size)
        last = self.size - 1 - (self.size - 1) % _BLOCK if self.size else 0
        if last:  # usually holds the directories of a TIFF; and a server that can send this can send any part
            self.pread(last, self.size - last)

    def pread(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, or fewer at the end of the file."""
        end = min(self.size, offset + count)
        if end <= offset:
            return b""
        wanted = range(offset // _BLOCK, (end - 1) // _BLOCK + 1)
        with self._lock:
            blocks = {n: self._blocks[n] for n in wanted if n in self._blocks}
            for first, last in _runs([n for n in wanted if n not in blocks]):
                if first == self._after:
                    last = max(last, min(first + _AHEAD, -(-self.size // _BLOCK)) - 1)
                self._after = last + 1
                data = self._read(first * _BLOCK, min(self.size, (last + 1) * _BLOCK))
                for n in range(first, last + 1):
                    blocks[n] = data[(n - first) * _BLOCK : (n - first + 1) * _BLOCK]
            for n, block in blocks.items():
                self._blocks[n] = block
                self._blocks.move_to_end(n)
            while len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        start = wanted[0] * _BLOCK
        return b"".join(blocks[n] for n in wanted)[offset - start : end - start]

    def fetch(self, start: int, end: int) -> bytes:
        """Bytes from `start` to `end`, which are not kept."""
        with self._lock:
            return self._read(start, end)

    def _read(self, start: int, end: int) -> bytes:
        try:
            with _os_errors(self._url):
                self._file.seek(start)
                data: bytes = self._file.read(end - start)
        except ValueError as error:  # fsspec raises it if the server sends the whole file
            raise NoRanges(errno.EOPNOTSUPP, "the server cannot send parts of files") from error
        if len(data) != end - start:
            raise OSError(errno.EIO, "the server sent fewer bytes than requested")
        self.bytes_fetched += len(data)
        return data

    def close(self) -> None:
        """Close the file and drop the blocks that were kept."""
        with self._lock:
            self._file.close()
            self._blocks.clear()


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last number of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1] = (runs[-1][0], n)
        else:
            runs.append((n, n))
    return runs


def _entries(path: Path, *, is_listed: bool = False) -> dict[str, RemoteState]:
    """Path of each file of a slide, relative to the slide's folder -> its state."""
    url = url_of(path) or ""
    scheme = url.partition("://")[0]
    with _os_errors(url):
        system = _system(scheme)
        state = _listed(system, url) if is_listed and scheme not in _WEB else None
        state = state or _state(system.info(url))
        folder = url if state.is_folder else ""
        companion = url.rpartition(".")[0] if path.suffix.lower() == ".mrxs" else ""
        out = {} if folder else {path.name: state}
        for inside in filter(None, (folder, companion)):
            parent = system._strip_protocol(inside).rpartition("/")[0]
            for name, below in sorted(system.find(inside, detail=True).items()):
                out[name.removeprefix(parent).lstrip("/")] = _state(below)
    if not out:
        raise FileNotFoundError(errno.ENOENT, "is an empty folder")
    return out


def _state(entry: Any) -> RemoteState:
    """The state in an entry of fsspec, whose keys differ between stores."""
    if entry.get("type") == "directory":
        return RemoteState(size=0, tag="", is_folder=True)
    size = entry.get("size")
    if not isinstance(size, int):
        raise OSError(errno.EOPNOTSUPP, "the server does not state its size")
    names = ("ETag", "etag", "Last-Modified", "LastModified", "last_modified", "mtime")
    tag = next((str(entry[name]) for name in names if entry.get(name)), "")
    return RemoteState(size=size, tag=tag.strip('"'))


_listings: dict[str, tuple[float, dict[str, RemoteState]]] = {}


def _listed(system: Any, url: str) -> RemoteState | None:
    parent = url.rpartition("/")[0]
    since, entries = _listings.get(parent, (0.0, {}))
    if not entries or time.monotonic() - since > _LISTING_S:
        entries = {str(entry["name"]): _state(entry) for entry in system.ls(parent, detail=True)}
        _listings[parent] = (time.monotonic(), entries)
    return entries.get(system._strip_protocol(url))


def _system(scheme: str) -> Any:
    """The file system of a scheme; it caches no listings, so that it always reports the present state."""
    import fsspec

    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise ConfigError(
            f"{scheme}:// needs a library that is not installed ({error}). For s3 and https: "
            'pip install "pathosig[cloud]"; for Google gcsfs, for Azure adlfs.',
            code="E_EXTRA",
        ) from error


@contextlib.contextmanager
def _os_errors(url: str) -> Iterator[None]:
    """Turn the errors of libraries for servers into the OSErrors that a disk could raise."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        kind = errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EACCES
        text = (
            "is not there" if kind == errno.ENOENT else "the server does not allow it; check the credentials"
        )
        raise type(error)(kind, text) from error
    except (IsADirectoryError, NoRanges, ConfigError, ValueError):
        raise
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or f"no answer of {_host(url)}") from error
    except Exception as error:  # aiohttp, botocore and others have hierarchies of their own
        status = getattr(error, "status", None)
        if status in (401, 403):
            raise PermissionError(
                errno.EACCES, "the server does not allow it; check the credentials"
            ) from error
        raise OSError(errno.EIO, f"{_host(url)}: {type(error).__name__}") from error


def _host(url: str) -> str:
    return "/".join(url.split("/")[:3])

"""Records and atomic writes: how a study knows what is done.

A file is complete when a record says so and its checksum fits; never because it exists.
Everything written here is a pure function of its content, without times, hosts or paths, except for the `run` block of records.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pathosig.core.errors import InputError, PathosigError, StorageError
from pathosig.core.units import SlideIdentity

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


_TMP_PREFIX = ".tmp-"
_OLD_S = 3600.0
_RUST_OS_ERROR = re.compile(r"(?:os error |Os \{ code: )(\d+)")
_CHUNK = 1 << 20


def _storage_error(path: Path, number: int | None, text: str) -> StorageError:
    what = text
    if number in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk is full. Free some space and run the same command again; the run resumes"
    elif number in (errno.EACCES, errno.EROFS, errno.EPERM):
        what = "not allowed to write there. Give write permission, or choose another folder"
    return StorageError(f"{path.name}: cannot be written: {what}.")


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A temporary path beside `final`, which is synced to disk and renamed to `final` on success.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    final = Path(final)
    temporary = final.parent / f"{_TMP_PREFIX}{_owner()}-{os.urandom(6).hex()}-{final.name[-80:]}"
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(final)
    except OSError as error:
        _forget(temporary)
        raise _storage_error(final, error.errno, error.strerror or str(error)) from error
    except PathosigError:
        _forget(temporary)
        raise
    except Exception as error:
        _forget(temporary)
        code = _RUST_OS_ERROR.search(str(error))  # safetensors wraps the system's error in one of its own
        if code is None:
            raise
        number = int(code[1])
        raise _storage_error(final, number, os.strerror(number)) from error
    except BaseException:
        _forget(temporary)
        raise


def _forget(temporary: Path) -> None:
    # On a read-only disk even the removal of a missing file fails, which would hide the reason.
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _owner() -> str:
    """Machine and process that write a temporary file, so that others can tell whether the process is still there."""
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    return f"{host}.{os.getpid()}"


def is_stale(temporary: Path) -> bool:
    """Whether the process that was writing a temporary file is gone: by its id on this machine, else by the file's age."""
    owner = temporary.name.removeprefix(_TMP_PREFIX).split("-")[0]
    host, _, pid = owner.partition(".")
    if pid.isdigit() and host == _owner().partition(".")[0]:
        return not process_lives(int(pid))
    age = time.time() - temporary.stat().st_mtime
    return not -_OLD_S < age < _OLD_S  # a clock that was set back must not keep the file for ever


def process_lives(pid: int) -> bool:
    """Whether a process exists on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def stale_files(folder: Path, *, deep: bool = False) -> list[Path]:
    """Temporary files that killed runs left in a folder and, with `deep`, in all folders below it."""
    out = []
    for path in folder.rglob(f"{_TMP_PREFIX}*") if deep else folder.glob(f"{_TMP_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_file() and is_stale(path):
                out.append(path)
    return sorted(out)


def remove_stale(folder: Path, *, deep: bool = False) -> int:
    """Delete the files that `stale_files` lists, and return their number."""
    removed = 0
    for path in stale_files(folder, deep=deep):
        with contextlib.suppress(OSError):
            path.unlink()
            removed += 1
    return removed


def json_files(folder: Path) -> list[Path]:
    """JSON files of a folder sorted by name; none if there is no such folder.

    Temporary files of `atomic_path` that a killed run left behind are not among them: they may be complete and would count
    twice.
    """
    return [folder / name for name in _json_names(folder)]


def _json_names(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208  (only names are needed)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(n for n in names if n.endswith(".json") and not n.startswith(_TMP_PREFIX))


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with Unix line ends on every system."""
    write_bytes(path, text.encode("utf-8"))


def to_json(value: Any) -> str:
    """Stable JSON: sorted keys, no NaN (written as null), one trailing newline."""
    return json.dumps(_jsonable(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [_jsonable(v) for v in items]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if value == value and value not in (float("inf"), float("-inf")) else None
    if isinstance(value, Path):
        return value.as_posix()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _jsonable({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _jsonable(value.tolist())
    return str(value)


def write_json(path: Path, value: Any) -> None:
    """Write stable JSON atomically (see `to_json`)."""
    write_text(path, to_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path.name}: no such file. Run the stage that writes it.", code="E_MISSING"
        ) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: not valid JSON ({error}). Delete it and run again.") from error


def write_parquet(path: Path, table: pa.Table, metadata: Mapping[str, object] | None = None) -> None:
    """Write an Arrow table as Parquet with reproducible bytes; values of `metadata` are stored as JSON."""
    import pyarrow.parquet as pq

    extra = {k: json.dumps(_jsonable(v), sort_keys=True) for k, v in (metadata or {}).items()}
    table = table.replace_schema_metadata(None)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary, table.schema, compression="zstd", version="2.6", store_schema=False
        ) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata(extra)  # metadata of the schema are dropped without store_schema


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path).read(columns=columns)
    except FileNotFoundError as error:
        raise InputError(
            f"{path.name}: no such file. Run the stage that writes it.", code="E_MISSING"
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path.name}: not a readable Parquet file ({error}).") from error


def parquet_metadata(path: Path) -> dict[str, Any]:
    """The values that were stored with `write_parquet(metadata=)`."""
    import pyarrow.parquet as pq

    raw = pq.read_schema(path).metadata or {}
    out: dict[str, Any] = {}
    for key, value in raw.items():
        with contextlib.suppress(ValueError):
            out[key.decode()] = json.loads(value)
    return out


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy atomically, without pickling."""
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one unit of one stage.

    Attributes
    ----------
    stage, unit
        Their names, verbatim.
    status
        ``ok``, ``empty`` (there was nothing to do, for a reason that is given) or ``failed``.
    fingerprint
        Digest of everything that decided the outputs; see `fingerprints.fingerprint`.
    spec
        The settings that the unit was made with.
    upstream
        Name -> fingerprint of each record that it was made from.
    outputs
        Path relative to the study folder -> SHA-256.
    warnings, summary, error
        Findings for the report; `error` holds ``code`` and ``message``.
    run
        Time, memory, host and library versions, and sizes and times of the outputs; it differs from run to run.
    """

    stage: str
    unit: str
    status: Literal["ok", "empty", "failed"]
    fingerprint: str
    spec: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] | None = None
    run: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record at `path`; None if there is none or it is damaged, so that the unit runs again."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the record atomically; it must be the last file of a unit to be written."""
        write_json(path, dataclasses.asdict(self))

    @property
    def slide(self) -> SlideIdentity | None:
        """The slide that the unit read, if it is recorded."""
        try:
            return SlideIdentity(**self.run["slide"])
        except (KeyError, TypeError):
            return None

    @property
    def seconds(self) -> float | None:
        """Wall time of the unit in seconds, if it is recorded."""
        return self._number("seconds")

    @property
    def peak_mb(self) -> float | None:
        """Peak resident memory of the unit in MiB, if it is recorded."""
        return self._number("peak_mb")

    def _number(self, name: str) -> float | None:
        value = self.run.get(name)
        return float(value) if isinstance(value, (int, float)) else None

    def damaged_outputs(self, root: Path, *, deep: bool = False) -> list[str]:
        """Outputs that are missing, cannot be read, or differ from what was written.

        A file with the recorded size and time counts as unchanged; any other is hashed.

        Parameters
        ----------
        root
            The study folder.
        deep
            Hash all outputs.
        """
        stamps = self.run.get("outputs")
        stamps = stamps if isinstance(stamps, dict) else {}
        bad = []
        for relative, expected in self.outputs.items():
            path = root / relative
            try:
                stat = path.stat()
                same = stamps.get(relative) == [stat.st_size, stat.st_mtime_ns]
                if not (same and not deep) and (not path.is_file() or sha256_file(path) != expected):
                    bad.append(relative)
            except OSError:
                bad.append(relative)
        return bad

    def with_stamps(self, root: Path) -> Record:
        """The record with the present sizes and times of its outputs, which must have been verified just before."""
        stamps = {}
        for relative in self.outputs:
            stat = (root / relative).stat()
            stamps[relative] = [stat.st_size, stat.st_mtime_ns]
        return dataclasses.replace(self, run={**self.run, "outputs": stamps})


def read_records(folder: Path) -> list[Record]:
    """All readable records of a folder, sorted by unit."""
    records: list[Record] = []
    for name in _json_names(folder):
        # strings instead of Path, and one Spec for all records that share it: half the time, a third of the memory
        try:
            with open(f"{folder}/{name}", "rb") as handle:  # noqa: PTH123
                raw = json.loads(handle.read())
            if records and raw["spec"] == records[-1].spec:
                raw["spec"] = records[-1].spec
            records.append(Record(**raw))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return sorted(records, key=lambda r: r.unit)


def findings_in(record: Record | None) -> tuple[str, ...]:
    """Main results of a unit in words, from the summary of its record."""
    return tuple(map(str, record.summary.get("said", ()))) if record is not None else ()

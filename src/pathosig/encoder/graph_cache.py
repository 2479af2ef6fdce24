"""A cache of exported graphs: its key has everything that is part of a graph, and graphs are checked before use."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pathosig.core.errors import InputError, StorageError
from pathosig.core.records import atomic_path, write_text
from pathosig.encoder.cards import EncoderCard

if TYPE_CHECKING:
    from pathosig.encoder.backbones import Encoder

EXPORT_VERSION = 2
"""Increased when the export of the same encoder gives another graph."""

_HEX64 = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Baked:
    """Everything about an encoder that is part of its exported graph.

    Attributes
    ----------
    weights_sha256
        Digest of the weights, 64 hexadecimal digits.
    network
        Name of the network.
    mean, std
        Mean and standard deviation of the normalisation.
    input_px
        Side in pixels to which tiles are resized; None if they are not resized.
    """

    weights_sha256: str
    network: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_px: int | None

    def __post_init__(self) -> None:
        check_sha256(self.weights_sha256, where=f"encoder {self.network[:80]}")

    @classmethod
    def of_card(cls, card: EncoderCard) -> Self:
        """The values for an encoder with this card."""
        return cls(
            weights_sha256=str(card["weights_sha256"]),
            network=str(card["name"]),
            mean=tuple(float(v) for v in card["mean"]),
            std=tuple(float(v) for v in card["std"]),
            input_px=None if card["input_px"] is None else int(card["input_px"]),
        )

    def key(self, size_px: int) -> str:
        """Digest that identifies the graph for tiles of one size.

        It serves as a file name: a card from elsewhere cannot choose the name of a file.
        """
        torch_version = version("torch").split("+")[0]
        values = [
            self.weights_sha256,
            self.network,
            self.mean,
            self.std,
            self.input_px,
            size_px,
            EXPORT_VERSION,
            torch_version,
        ]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def check_sha256(value: str, *, where: str) -> None:
    """Refuse text that is not a SHA-256 digest.

    Raises
    ------
    InputError
        E_WEIGHTS if it is not.
    """
    if not _HEX64.fullmatch(value):
        message = f"{where}: weights_sha256 is {value[:80]!r}; expected 64 hexadecimal digits."
        raise InputError(message, code="E_WEIGHTS")


def cache_folder() -> Path:
    """The folder of the cache: PATHOSIG_CACHE if it is set, otherwise one in the user's cache folder."""
    if folder := os.environ.get("PATHOSIG_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pathosig"


def _private(folder: Path) -> Path:
    """Create the folder if necessary, and let only its owner enter or change it.

    Raises
    ------
    StorageError
        E_CACHE if it belongs to another user, because graphs in it are executed; also if it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.stat()
        if hasattr(os, "getuid"):
            if about.st_uid != os.getuid():
                message = f"cache {folder}: the folder belongs to another user. Set PATHOSIG_CACHE to a folder of your own."
                raise StorageError(message, code="E_CACHE")
            if stat.S_IMODE(about.st_mode) & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        message = f"cache {folder}: cannot be used ({error.strerror}). Set PATHOSIG_CACHE to a folder that you can write to."
        raise StorageError(message, code="E_CACHE") from error
    return folder


def onnx_file(baked: Baked, size_px: int, load: Callable[[], Encoder]) -> Path:
    """Path of the encoder's ONNX graph for uint8 tiles, which is exported if the cache has no intact copy.

    Parameters
    ----------
    baked
        Identity of the graph.
    size_px
        Side of the tiles in pixels.
    load
        Returns the encoder; called only for an export.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        E_ENGINE if the network cannot be exported; the message names an engine that works.
    StorageError
        E_CACHE if the cache folder cannot be used.
    """
    path, checksum = _places(baked, size_px)
    if not _intact(path, checksum):
        from pathosig.encoder.export import export_onnx  # torch

        checksum.unlink(missing_ok=True)
        with atomic_path(path) as temporary:
            export_onnx(load(), size_px, temporary)
            digest = file_sha256(temporary)
        write_text(checksum, f"{digest}\n")
    return path


def is_kept(baked: Baked, size_px: int) -> bool:
    """Whether the cache has an intact copy of the graph, so that it need not be exported."""
    return _intact(*_places(baked, size_px))


def _places(baked: Baked, size_px: int) -> tuple[Path, Path]:
    """Paths of the graph and of its checksum."""
    path = _private(cache_folder() / "onnx") / f"{baked.key(size_px)}.onnx"
    return path, path.with_suffix(".sha256")


def _intact(path: Path, checksum: Path) -> bool:
    try:
        return file_sha256(path) == checksum.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return False


def file_sha256(path: Path) -> str:
    """SHA-256 digest of a file, which is read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

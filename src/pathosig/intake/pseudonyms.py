"""Pseudonyms for patients and slides, derived from their ids with a key that stays outside the study."""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pathosig.core.errors import ConfigError, StorageError
from pathosig.core.remote import url_of
from pathosig.core.tables import read_csv_rows, write_csv_rows

_KEY = re.compile(r"[0-9a-f]{64}")
_LENGTH = 12


class Pseudonyms:
    """Pseudonyms by HMAC-SHA256. An id always gets the same pseudonym under one key, so slides can be added later.

    Parameters
    ----------
    path
        File with the key, 64 hexadecimal digits. It is made if it does not exist, and only its owner can read it.
    study
        The study folder, which must not contain the key.

    Raises
    ------
    ConfigError
        If the key lies in the study folder, or the file holds no key.
    """

    def __init__(self, path: Path, study: Path) -> None:
        self._path = path.expanduser().resolve()
        if self._path.is_relative_to(study.expanduser().resolve()):
            raise ConfigError(
                f"--pseudonymize {path}: the key must lie outside the study folder, which you may give away."
            )
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write_private(self._path, secrets.token_hex(32) + "\n")
        text = self._path.read_text(encoding="ascii", errors="replace").strip()
        if not _KEY.fullmatch(text):
            raise ConfigError(
                f"--pseudonymize {path.name}: the file does not hold a key of 64 hexadecimal digits. Give another file."
            )
        self._key = bytes.fromhex(text)
        self._given: dict[tuple[str, str], str] = {}

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a ``patient`` or ``slide``: P or S, then 12 letters or digits."""
        digest = hmac.digest(self._key, f"{kind}\0{name}".encode(), "sha256")
        text = kind[0].upper() + base64.b32encode(digest).decode()[:_LENGTH]
        self._given[kind, name] = text
        return text

    def write_table(self) -> Path:
        """Write the table of ids and pseudonyms beside the key; rows from earlier runs stay in it."""
        path = self._path.with_name(f"{self._path.name}.ids.csv")
        rows = {(r["kind"], r["id"]): r["pseudonym"] for r in read_csv_rows(path)} if path.is_file() else {}
        rows |= self._given
        write_csv_rows(
            path,
            [{"kind": kind, "id": name, "pseudonym": text} for (kind, name), text in sorted(rows.items())],
            ("kind", "id", "pseudonym"),
        )
        path.chmod(0o600)
        return path


def columns_in_use(study_toml: str, columns: Sequence[str]) -> list[str]:
    """The columns of patients.csv that study.toml names, and the ids; other columns might identify a patient."""
    named = set(_texts(tomllib.loads(study_toml)))
    return [name for name in columns if name in named or name in ("patient_id", "cohort")]


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, each in value.items() for text in (str(key), *_texts(each))]
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []


def link_slide(study: Path, name: str, path: Path) -> Path:
    """Make a link slides/NAME.SUFFIX in the study to a slide, so that messages name the link and not the file.

    Addresses in object storage are returned unchanged.

    Raises
    ------
    StorageError
        If the file system does not support links.
    """
    if url_of(path):
        return path
    link = (
        study / "slides" / f"{name}{''.join(path.suffixes[-2:]) if path.suffix == '.zarr' else path.suffix}"
    )
    companion = path.with_suffix("")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
        if path.suffix.lower() == ".mrxs" and companion.is_dir():
            link.with_suffix("").symlink_to(companion.absolute())
    except OSError as error:
        raise StorageError(f"slides/{link.name}: cannot make a link ({error.strerror}).") from error
    return link


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)

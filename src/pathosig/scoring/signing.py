"""Signs bundles and verifies who made them, by an Ed25519 signature over the manifest with its digests of all members."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pathosig.core.errors import ConfigError, InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_RAW = 32
_MOST = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """The key that signed a bundle.

    Attributes
    ----------
    fingerprint
        First 32 hexadecimal digits of the SHA-256 of the public key.
    trusted
        Whether it is the key that the user named.
    """

    fingerprint: str
    trusted: bool

    def __str__(self) -> str:
        """The signer in one line."""
        trust = "the key you trust" if self.trusted else "a key you have not named; see --trust"
        return f"signed by ed25519:{self.fingerprint} ({trust})"


def fingerprint(public: bytes) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of a public key."""
    return hashlib.sha256(public).hexdigest()[:32]


def sign(manifest: bytes, key: Path) -> dict[str, str]:
    """The signature of a manifest: public key and signature as hexadecimal text.

    Raises
    ------
    ConfigError
        E_KEY if the file holds no Ed25519 private key (PEM, without a password).
    """
    private = _private(key)
    return {"public_key": _raw(private.public_key()).hex(), "signature": private.sign(manifest).hex()}


def public_key_of(key: Path) -> bytes:
    """The 32 bytes of the public key that belongs to a private key.

    Raises
    ------
    ConfigError
        E_KEY if the file holds no Ed25519 private key.
    """
    return _raw(_private(key).public_key())


def verify(manifest: bytes, stated: Mapping[str, str]) -> bytes:
    """The 32 bytes of the public key that signed a manifest.

    Parameters
    ----------
    manifest
        The bytes of the manifest.
    stated
        Public key and signature as hexadecimal text.

    Raises
    ------
    ValueError
        If the signature does not belong to the manifest, or is malformed.
    """
    _require()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if set(stated) != {"public_key", "signature"} or not all(isinstance(v, str) for v in stated.values()):
        raise ValueError("its signature is malformed")
    public, signature = (bytes.fromhex(stated[k]) for k in ("public_key", "signature"))
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, manifest)
    except InvalidSignature as error:
        raise ValueError("its signature does not belong to its manifest") from error
    return public


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of an Ed25519 public key (PEM).

    Raises
    ------
    ConfigError
        E_KEY if the file holds no such key.
    """
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_bytes(path))
    except ValueError as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return _raw(key)


def _private(path: Path) -> Ed25519PrivateKey:
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_bytes(path), password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(path, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return key


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes_raw()


def _bytes(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > _MOST:
        raise InputError(f"{path}: no such file, or one that is too large to be a key.", code="E_MISSING")
    return path.read_bytes()


def _no_key(path: Path, kind: str) -> ConfigError:
    return ConfigError(
        f"{path.name}: the file holds no Ed25519 {kind} key. Make a pair with `openssl genpkey -algorithm ed25519 -out key.pem` and "
        "`openssl pkey -in key.pem -pubout -out public.pem`.",
        code="E_KEY",
    )


def _require() -> None:
    if find_spec("cryptography") is None:
        raise ConfigError(
            "signed bundles need the package cryptography. Run `pip install 'pathosig[sign]'`.",
            code="E_EXTRA",
        )

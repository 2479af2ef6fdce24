"""Phenotypes from another study: reads a codebook from a bundle, and refuses embeddings that it was not fitted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pathosig.core.archive import read_manifest, read_members
from pathosig.core.errors import InputError
from pathosig.core.layout import Layout
from pathosig.core.strict_json import read_strict

FORMATS = (2,)
LIMITS = {
    Layout.encoder_card: 1 << 16,
    Layout.encoder_weights: 8 << 30,
    Layout.codebook: 1 << 30,
    Layout.tree: 16 << 20,
    Layout.signature: 16 << 20,
    Layout.clinical_model: 16 << 20,
    "specs.json": 1 << 16,
    "card.json": 4 << 20,
    "CARD.md": 1 << 20,
}
"""Every file that a bundle may contain, and its largest size in bytes."""

PHENOTYPES = (Layout.encoder_card, Layout.codebook, Layout.tree, "specs.json", "card.json", "CARD.md")
"""Files in every bundle: the phenotypes, and how embeddings are computed from slides."""

_MPP_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenPhenotypes:
    """The phenotypes of a bundle.

    Attributes
    ----------
    name
        File name, for messages.
    codebook, tree
        Content of the two files.
    encoder
        The encoder's card.
    mpp
        Micrometres per pixel of the tiles that the phenotypes were fitted on; None where unknown.
    """

    name: str
    codebook: bytes
    tree: bytes
    encoder: Mapping[str, object]
    mpp: float | None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the phenotypes of the bundle at `path` and check each file against its digest.

        Raises
        ------
        InputError
            E_MISSING if there is no such file; E_BUNDLE if it is not a valid bundle.
        """
        manifest = read_manifest(path, LIMITS, required=PHENOTYPES, formats=FORMATS)
        members = dict(read_members(path, manifest, PHENOTYPES))
        try:
            specs = read_strict(members["specs.json"])
            encoder = read_strict(members[Layout.encoder_card])
            mpp = specs.get("embedded_mpp") or (specs.get("tiles") or {}).get("mpp")
            mpp = float(mpp) if mpp else None
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{path.name}: not a valid bundle ({error}).", code="E_BUNDLE") from error
        return cls(
            name=path.name,
            codebook=members[Layout.codebook],
            tree=members[Layout.tree],
            encoder=encoder,
            mpp=mpp,
        )

    def check(self, encoder: Mapping[str, object], *, mpp: float | None) -> None:
        """Refuse embeddings from another encoder or at another magnification.

        Parameters
        ----------
        encoder
            Card of the encoder that made the embeddings.
        mpp
            Micrometres per pixel of their tiles; None where unknown, which is accepted.

        Raises
        ------
        InputError
            E_MIXED if encoder or magnification differ from the bundle's.
        """
        mine, theirs = (str(card.get("weights_sha256")) for card in (self.encoder, encoder))
        # Imported features carry no digest of the weights, so that encoders are compared by name.
        same = mine == theirs or (
            ("imported:" in (mine[:9], theirs[:9])) and self.encoder.get("name") == encoder.get("name")
        )
        if not same or self.encoder.get("dim") != encoder.get("dim"):
            raise InputError(
                f"{self.name}: its phenotypes belong to encoder {_described(self.encoder)}, but the embeddings come from "
                f"{_described(encoder)}. Embed the slides with the encoder of the bundle.",
                code="E_MIXED",
            )
        if self.mpp and mpp and abs(mpp / self.mpp - 1) > _MPP_TOLERANCE:
            raise InputError(
                f"{self.name}: its phenotypes were fitted on tiles at {self.mpp:g} micrometres per pixel, but the embeddings "
                f"come from tiles at {mpp:g}. Set mpp = {self.mpp:g} in [tiles] and run again.",
                code="E_MIXED",
            )


def _described(card: Mapping[str, object]) -> str:
    return f"{card.get('name')} ({card.get('dim')} numbers, weights {str(card.get('weights_sha256'))[:12]})"

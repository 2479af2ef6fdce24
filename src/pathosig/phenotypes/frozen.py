"""Phenotypes that travel: a codebook from another study, and the refusal to use it on other embeddings."""

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
"""Everything a bundle may hold, and how large it may be."""

PHENOTYPES = (Layout.encoder_card, Layout.codebook, Layout.tree, "specs.json", "card.json", "CARD.md")
"""What every bundle holds: phenotypes, and how slides become embeddings."""

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
        Micrometres per pixel of the tiles they were made from; None where unknown.
    """

    name: str
    codebook: bytes
    tree: bytes
    encoder: Mapping[str, object]
    mpp: float | None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The phenotypes of the bundle at `path`, every member checked against its digest.

        Raises
        ------
        InputError
            E_MISSING if there is no such file. E_BUNDLE if it is not a bundle.
        """
        manifest = read_manifest(path, LIMITS, required=PHENOTYPES, formats=FORMATS)
        members = dict(read_members(path, manifest, PHENOTYPES))
        try:
            specs = read_strict(members["specs.json"])
            encoder = read_strict(members[Layout.encoder_card])
            mpp = specs.get("embedded_mpp") or (specs.get("tiles") or {}).get("mpp")
            mpp = float(mpp) if mpp else None
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{path.name}: refused as a bundle ({error}).", code="E_BUNDLE") from error
        return cls(
            name=path.name,
            codebook=members[Layout.codebook],
            tree=members[Layout.tree],
            encoder=encoder,
            mpp=mpp,
        )

    def check(self, encoder: Mapping[str, object], *, mpp: float | None) -> None:
        """Refuse embeddings of another encoder or another magnification.

        Parameters
        ----------
        encoder
            Card of the encoder that made the embeddings.
        mpp
            Micrometres per pixel of their tiles; None where unknown, which is accepted.

        Raises
        ------
        InputError
            E_MIXED.
        """
        mine, theirs = (str(card.get("weights_sha256")) for card in (self.encoder, encoder))
        # Imported features have no digest of the weights; their encoder is known by its name.
        same = mine == theirs or (
            ("imported:" in (mine[:9], theirs[:9])) and self.encoder.get("name") == encoder.get("name")
        )
        if not same or self.encoder.get("dim") != encoder.get("dim"):
            raise InputError(
                f"{self.name}: its phenotypes are of encoder {_described(self.encoder)}, the embeddings of "
                f"{_described(encoder)}. Embed the slides with the encoder of the bundle.",
                code="E_MIXED",
            )
        if self.mpp and mpp and abs(mpp / self.mpp - 1) > _MPP_TOLERANCE:
            raise InputError(
                f"{self.name}: its phenotypes are of tiles at {self.mpp:g} micrometres per pixel, the embeddings of tiles "
                f"at {mpp:g}. Cut the tiles at [tiles] mpp = {self.mpp:g}.",
                code="E_MIXED",
            )


def _described(card: Mapping[str, object]) -> str:
    return f"{card.get('name')} ({card.get('dim')} numbers, weights {str(card.get('weights_sha256'))[:12]})"

"""Reads a bundle. Every member is checked before anything is used, and nothing in a bundle can name a file or a host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from pathosig.core.archive import read_manifest, read_signed, refused, unpack
from pathosig.core.errors import InputError, PathosigError
from pathosig.core.layout import Layout
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.records import to_json
from pathosig.core.strict_json import read_strict
from pathosig.core.typed_json import from_plain
from pathosig.encoder.graph_cache import file_sha256
from pathosig.encoder.spec import EncoderSpec
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.frozen import FORMATS, LIMITS, PHENOTYPES
from pathosig.profiles.spec import ProfilesSpec
from pathosig.scoring.encoder_cards import checked_number, encoder_card
from pathosig.scoring.signing import Signer, fingerprint, read_public_key, verify
from pathosig.signature.model import Signature
from pathosig.tiles.spec import TileSpec
from pathosig.tissue.spec import TissueSpec
from pathosig.tma.dearray import TmaSpec
from pathosig.validation.clinical_model import ClinicalModel, signature_digest

SPECS, CARD, CARD_TEXT = "specs.json", "card.json", "CARD.md"
SIGNATURE = (*PHENOTYPES, Layout.signature)
"""Members that a bundle must have to score patients."""

_DAMAGE = (
    SafetensorError,
    PathosigError,
    KeyError,
    ValueError,
    TypeError,
    OSError,
    EOFError,
    AttributeError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RecursionError,
    MemoryError,
)
"""Errors that damaged or hostile content raises in some reader; after any of them the bundle is refused."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleSpecs:
    """The settings of the study's stages.

    Attributes
    ----------
    tma, tissue, tiles, encoder, profiles
        How cores, tissue, tiles, embeddings and profiles were made.
    pixels
        Whether the study started from slides.
    """

    tma: TmaSpec
    tissue: TissueSpec
    tiles: TileSpec
    encoder: EncoderSpec
    profiles: ProfilesSpec
    pixels: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenStudy:
    """Encoder and phenotypes of a bundle that was read, checked and unpacked.

    Attributes
    ----------
    path, sha256
        The file and its digest.
    folder
        The folder that it was unpacked into.
    made_with
        The version of pathosig that wrote it.
    signer
        The key that signed it; None if it is unsigned.
    encoder
        Card of the encoder.
    weights_inside
        Whether the bundle contains the encoder's weights.
    specs
        Settings of the study's stages.
    codebook, tree
        The phenotypes, and the tree that joins them.
    card
        The model card as plain values.
    """

    path: Path
    sha256: str
    folder: Path
    made_with: str
    signer: Signer | None
    encoder: Mapping[str, Any]
    weights_inside: bool
    specs: BundleSpecs
    codebook: Codebook
    tree: PhenotypeTree
    card: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle(FrozenStudy):
    """A bundle that scores patients.

    Attributes
    ----------
    signature
        The frozen signature.
    clinical
        The model that predicts from covariates and score, if the study froze one.
    """

    signature: Signature
    clinical: ClinicalModel | None

    def header(self) -> str:
        """What a user should see before any score: the file, its digest, its signer, and what it was fitted on."""
        signer = str(self.signer) if self.signer else "unsigned"
        return (
            f"bundle {self.path.name}  sha256 {self.sha256}\n  {signer}\n  endpoint {self.signature.endpoint}, "
            f"fitted on {self.signature.trained_on.n} patients ({self.signature.trained_on.events} events); research use only"
        )


def read_bundle(path: Path, into: Path, *, trust: Path | None = None) -> Bundle:
    """Check a bundle that scores patients and unpack it into a folder.

    Parameters
    ----------
    path
        The bundle.
    into
        Folder for its members, which get names that this program chooses.
    trust
        Public key (PEM) that must have signed it.

    Raises
    ------
    InputError
        E_MISSING if there is no such file. E_BUNDLE if it is not a bundle, or anything in it is unknown, missing, too large,
        changed or malformed. E_UNTRUSTED if it is not signed by `trust`.
    """
    frozen = _read(path, into, required=SIGNATURE, trust=trust)
    try:
        signature = _signature(into / Layout.signature)
    except _DAMAGE as error:
        raise refused(path, f"{Layout.signature}: {type(error).__name__}: {error}") from error
    transform, k = signature.transform, frozen.tree.k
    problems = [
        (transform.scale == "feature", "a signature of outside features, which no slide has"),
        (transform.k != k, f"a signature for {transform.k} phenotypes, a tree of {k}"),
        (
            any(not 0 <= hpc < k for hpcs in transform.leaves.values() for hpc in hpcs),
            "a feature of a phenotype that does not exist",
        ),
    ]
    for wrong, text in problems:
        if wrong:
            raise refused(path, text)
    clinical = None
    if (into / Layout.clinical_model).is_file():
        try:
            clinical = _clinical_model(into / Layout.clinical_model, signature)
        except _DAMAGE as error:
            raise refused(path, f"{Layout.clinical_model}: {type(error).__name__}: {error}") from error
    return Bundle(
        **{f.name: getattr(frozen, f.name) for f in fields(frozen)}, signature=signature, clinical=clinical
    )


def read_phenotypes(path: Path, into: Path) -> FrozenStudy:
    """Check a bundle, with or without a signature, and unpack it into a folder.

    Raises
    ------
    InputError
        E_MISSING or E_BUNDLE, as in `read_bundle`.
    """
    return _read(path, into, required=PHENOTYPES, trust=None)


def _read(path: Path, into: Path, *, required: Collection[str], trust: Path | None) -> FrozenStudy:
    wanted = None if trust is None else read_public_key(trust)
    manifest = read_manifest(path, LIMITS, required=required, formats=FORMATS)
    data, stated = read_signed(path)
    try:
        public = None if stated is None else verify(data, stated)
    except (ValueError, TypeError) as error:
        raise refused(path, str(error)) from error
    if wanted is not None and public != wanted:
        who = f"signed by ed25519:{fingerprint(public)}" if public else "unsigned"
        raise InputError(
            f"{path.name}: {who}, but --trust names ed25519:{fingerprint(wanted)}. Nothing was scored.",
            code="E_UNTRUSTED",
        )
    (into / Layout.clinical_model).unlink(missing_ok=True)  # an earlier bundle may have left one
    unpack(path, manifest, into)
    signer = None if public is None else Signer(fingerprint=fingerprint(public), trusted=public == wanted)
    return _checked(path, into, manifest, signer)


def _checked(path: Path, into: Path, manifest: Mapping[str, Any], signer: Signer | None) -> FrozenStudy:
    """Read every member with a strict reader of its own, and check that the members agree."""

    def read(name: str, reader: Callable[[Path], T]) -> T:
        try:
            return reader(into / name)
        except _DAMAGE as error:
            raise refused(path, f"{name}: {type(error).__name__}: {error}") from error

    inside = Layout.encoder_weights in manifest["members"]
    encoder = read(Layout.encoder_card, lambda p: encoder_card(read_strict(p.read_bytes()), inside=inside))
    if inside:
        read(Layout.encoder_weights, _check_tensors)
    codebook = read(Layout.codebook, Codebook.load)
    tree = read(Layout.tree, lambda p: PhenotypeTree.from_dict(read_strict(p.read_bytes())))
    specs = read(SPECS, lambda p: bundle_specs(read_strict(p.read_bytes())))
    card = read(CARD, lambda p: read_strict(p.read_bytes()))
    problems = [
        (tree.k != codebook.k, f"{tree.k} phenotypes in the tree and {codebook.k} in the codebook"),
        (
            encoder["dim"] != len(codebook.mean),
            f"embeddings of {encoder['dim']} numbers in the encoder and of {len(codebook.mean)} in the codebook",
        ),
        (not all(0 <= hpc < tree.k for hpc in tree.artefacts), "an artefact that is not a phenotype"),
        (
            specs.pixels and "mean" not in encoder,
            "a study of slides with an encoder of unknown normalisation",
        ),
    ]
    for wrong, text in problems:
        if wrong:
            raise refused(path, text)
    (into / Layout.encoder_card).write_text(
        to_json(encoder), encoding="utf-8"
    )  # fields that were not checked are dropped
    return FrozenStudy(
        path=path,
        sha256=file_sha256(path),
        folder=into,
        made_with=manifest["pathosig"],
        signer=signer,
        encoder=encoder,
        weights_inside=inside,
        specs=specs,
        codebook=codebook,
        tree=tree,
        card=card,
    )


def bundle_specs(raw: Mapping[str, Any]) -> BundleSpecs:
    """The settings of a bundle, which must be numbers and words; whatever could name a file is refused.

    Raises
    ------
    PathosigError, ValueError, KeyError, TypeError
        If a setting is unknown, of another type or names a file.
    """
    if not set(raw) <= {"tma", "tissue", "tiles", "embed", "profiles", "embedded_mpp"}:
        raise ValueError("settings of unknown stages")
    embed, profiles = dict(raw["embed"]), dict(raw["profiles"])
    for where, table, keys in (
        ("embed", embed, ("weights",)),
        ("profiles", profiles, ("table", "patient_column")),
    ):
        for key in keys:
            if table.pop(key, None) is not None:
                raise ValueError(f"{where}.{key} names something outside the bundle")
    if profiles.pop("columns", None):
        raise ValueError("profiles.columns belongs to outside tables")
    embed |= {"method": "pretrained", "name": "frozen"}
    if embed.get("engine") == "int8":
        embed["engine"] = "auto"
    if raw.get("embedded_mpp") is not None:
        checked_number(raw["embedded_mpp"], 0.02, 100)
    specs = BundleSpecs(
        tma=TmaSpec.from_mapping(raw.get("tma") or {}),
        tissue=TissueSpec.from_mapping(raw["tissue"]),
        tiles=TileSpec.from_mapping(raw["tiles"]),
        encoder=EncoderSpec.from_mapping(embed),
        profiles=ProfilesSpec.from_mapping(profiles),
        pixels=bool(raw["tissue"] and raw["tiles"]),
    )
    if specs.tiles.size_px > _WIDEST_TILE or (specs.tiles.stride_px or _LEAST_STRIDE) < _LEAST_STRIDE:
        raise ValueError("tiles of an impossible size")
    checked_number(specs.tiles.mpp, 0.02, 100)
    checked_number(specs.tissue.mpp, 0.1, 1000)
    return specs


_WIDEST_TILE, _LEAST_STRIDE = 4096, 8


def _signature(path: Path) -> Signature:
    read_strict(path.read_bytes())
    signature = Signature.load(path)
    if not signature.hpcs or not signature.baseline.time:
        raise ValueError("no feature, or no baseline")
    return signature


def _clinical_model(path: Path, signature: Signature) -> ClinicalModel:
    """The clinical + histology model of a bundle, which must have been fitted with this bundle's signature."""
    model = from_plain(ClinicalModel, read_strict(path.read_bytes()), where=path.name)
    if model.signature_sha256 != signature_digest(signature) or model.endpoint != signature.endpoint:
        raise ValueError("fitted with another signature")
    if model.score_scale is None or not model.horizons or not model.baseline.time:
        raise ValueError("no score, no horizon or no baseline")
    return model


def _check_tensors(path: Path) -> None:
    with safe_open(path, "numpy") as file:
        names = list(file.keys())
    if not any(n.startswith("backbone.") for n in names):
        raise ValueError("no tensors of a network")

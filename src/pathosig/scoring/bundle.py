"""Writes a bundle: one file of plain tensors, JSON and a model card, which scores new slides."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pathosig import __version__
from pathosig.core.archive import write_archive
from pathosig.core.errors import InputError, NotEstimableError
from pathosig.core.labels import read_names
from pathosig.core.layout import Layout
from pathosig.core.records import read_json, to_json
from pathosig.core.showing import Shown
from pathosig.core.spec import Spec
from pathosig.core.strict_json import read_strict
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.typed_json import from_plain
from pathosig.encoder.spec import EncoderSpec
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.distance import FALSE_ALARMS
from pathosig.phenotypes.frozen import FORMATS
from pathosig.profiles.spec import ProfilesSpec
from pathosig.scoring import signing
from pathosig.scoring.card import INTENDED_USE, EncoderFacts, ModelCard, as_plain, model_card
from pathosig.scoring.contents import CARD, CARD_TEXT, SPECS
from pathosig.signature.model import Signature
from pathosig.signature.reading import FIT
from pathosig.tiles.spec import TileSpec
from pathosig.tissue.spec import TissueSpec
from pathosig.tma.dearray import TmaSpec
from pathosig.validation.clinical_model import ClinicalModel, signature_digest
from pathosig.validation.results import read_results

_TAKEN = (Layout.encoder_card, Layout.encoder_weights, Layout.codebook, Layout.tree, Layout.signature)
_SPECS: dict[str, type[Spec]] = {
    "tma": TmaSpec,
    "tissue": TissueSpec,
    "tiles": TileSpec,
    "embed": EncoderSpec,
    "profiles": ProfilesSpec,
}
_OUTSIDE = {"embed": ("weights", "name", "method"), "profiles": ("table", "patient_column", "columns")}
"""Settings that name something outside a bundle, and are therefore left out of it."""


@dataclass(frozen=True, kw_only=True)
class BundleReport(Shown):
    """What was frozen.

    Attributes
    ----------
    path, sha256
        The file and its digest.
    endpoint, equation
        Endpoint and equation of the signature; "" for a bundle without one.
    encoder
        Name of the encoder.
    weights_inside
        Whether the bundle contains its weights.
    signer
        Fingerprint of the key that signed the bundle, or "unsigned".
    """

    path: str
    sha256: str
    endpoint: str
    equation: str
    encoder: str
    weights_inside: bool
    signer: str

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return dataclasses.asdict(self)

    def to_text(self) -> str:
        """What was frozen, as text for a terminal."""
        inside = (
            "inside" if self.weights_inside else "not inside (only their digest; scoring needs --weights)"
        )
        lines = [self.path, f"  sha256    {self.sha256}", f"  signer    {self.signer}"]
        if self.endpoint:
            lines += [f"  endpoint  {self.endpoint}", f"  equation  {self.equation}"]
        verb = "score" if self.endpoint else "assign"
        lines += [
            f"  encoder   {self.encoder}, weights {inside}",
            f"next: pathosig {verb} {self.path} SLIDE...",
        ]
        return "\n".join(lines)


def write_bundle(
    study: Study,
    *,
    out: Path,
    phenotypes_only: bool = False,
    anyway: bool = False,
    sign: Path | None = None,
) -> BundleReport:
    """Freeze encoder, codebook, transform, coefficients, cut-off and model card in one file.

    Parameters
    ----------
    study
        An open study.
    out
        The file to write, such as ``signature.psig``; the same study gives the same bytes.
    phenotypes_only
        Leave out the signature. Such a bundle serves `pathosig assign`, and ``[phenotypes] codebook`` of other studies.
    anyway
        Freeze the signature even if `pathosig validate` concluded that nothing was found; the model card then says so.
    sign
        Ed25519 private key (PEM) to sign the bundle with; ``openssl genpkey -algorithm ed25519`` makes one.

    Returns
    -------
    BundleReport
        The file, its digest and what it contains.

    Raises
    ------
    InputError
        E_MISSING if the study has no encoder, codebook or signature yet.
    NotEstimableError
        E_NO_SIGNATURE if nothing was selected; E_NOTHING_FOUND if validation found nothing, unless `anyway`.
    ConfigError
        E_KEY if the file holds no private key.
    """
    wanted = [name for name in _TAKEN if not (phenotypes_only and name == Layout.signature)]
    contents = {name: (study.root / name).read_bytes() for name in wanted if (study.root / name).is_file()}
    for name in wanted:
        if name not in contents and name != Layout.encoder_weights:
            if name == Layout.signature and study.paths.selection.is_file():
                reason = read_json(study.paths.selection).get("reason") or "no signature was selected"
                raise NotEstimableError(
                    f"bundle: there is no signature: {reason} `--phenotypes-only` freezes encoder and phenotypes alone.",
                    code="E_NO_SIGNATURE",
                )
            needs = "phenotypes" if phenotypes_only else "slides, phenotypes and a signature"
            raise InputError(
                f"bundle: {name} is missing. Run `pathosig run` first; a bundle needs {needs}.",
                code="E_MISSING",
            )
    signature = None if phenotypes_only else Signature.load(study.paths.signature)
    nothing = "" if phenotypes_only else _nothing_found(study)
    if nothing and not anyway:
        raise NotEstimableError(
            f"bundle: {nothing} Scores of new patients would mean nothing; --anyway freezes the signature nevertheless.",
            code="E_NOTHING_FOUND",
        )
    if signature is not None:
        contents |= _clinical_model(study, signature)
    specs: dict[str, object] = {name: _spec_of(study, name) for name in _SPECS}
    contents[SPECS] = to_json({**specs, "embedded_mpp": _embedded_mpp(study)}).encode()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    encoder = _encoder_facts(study)
    if signature is None:
        contents[CARD] = to_json({"intended_use": INTENDED_USE, "encoder": encoder}).encode()
        contents[CARD_TEXT] = f"# Phenotypes without a signature\n\n{INTENDED_USE}\n".encode()
    else:
        card = _card(study, signature, encoder, digests, caveat=f"Validation: {nothing}" if nothing else "")
        contents[CARD] = to_json(as_plain(card)).encode()
        contents[CARD_TEXT] = card.to_markdown().encode()
    signer = "unsigned"
    if sign is not None:
        signer = f"ed25519:{signing.fingerprint(signing.public_key_of(sign))}"
    digest = write_archive(
        out,
        contents,
        header={"format": FORMATS[-1], "pathosig": __version__},
        sign=None if sign is None else partial(signing.sign, key=sign),
    )
    return BundleReport(
        path=str(out),
        sha256=digest,
        endpoint=signature.endpoint if signature else "",
        equation=signature.equation() if signature else "",
        encoder=encoder.name,
        weights_inside=encoder.weights_inside,
        signer=signer,
    )


def _nothing_found(study: Study) -> str:
    """The verdict of `pathosig validate` on exactly this signature if it found nothing, else ""."""
    judged = study.record("validate", "_validate")
    if judged is None or judged.upstream.get("signature") != study.upstream("signature", FIT):
        return ""
    return str(judged.summary.get("nothing_found", ""))


def _clinical_model(study: Study, signature: Signature) -> dict[str, bytes]:
    """The clinical + histology model, if `validate` has frozen one for exactly this signature."""
    path = study.paths.clinical_model
    if not path.is_file():
        return {}
    data = path.read_bytes()
    model = from_plain(ClinicalModel, read_strict(data), where=Layout.clinical_model)
    return {Layout.clinical_model: data} if model.signature_sha256 == signature_digest(signature) else {}


def _embedded_mpp(study: Study) -> float | None:
    """Micrometres per pixel of the tiles that were embedded; None if unknown."""
    records = [r for r in study.records("embed") if r.status == "ok" and not r.unit.startswith("_")]
    return next((float(r.summary["mpp"]) for r in records if r.summary.get("mpp")), None)


def _encoder_facts(study: Study) -> EncoderFacts:
    encoder = read_json(study.paths.encoder_card)
    return EncoderFacts(
        name=str(encoder["name"]),
        weights_sha256=str(encoder["weights_sha256"]),
        licence=str(encoder["licence"]),
        mpp=encoder["mpp"],
        weights_inside=study.paths.encoder_weights.is_file(),
    )


def _spec_of(study: Study, stage: str) -> dict[str, object]:
    """The Spec that the study's results were made with, which study.toml may no longer hold, without names of files.

    It is empty if another program or the simulator did the work of the stage.
    """
    records = [r for r in study.records(stage) if r.status == "ok"]
    spec = dict(records[-1].spec) if records else {}
    if not set(spec) <= {f.name for f in dataclasses.fields(_SPECS[stage])}:
        return {}
    return {k: v for k, v in spec.items() if k not in _OUTSIDE.get(stage, ())}


def _selected_in(study: Study, signature: Signature) -> dict[str, float]:
    """Feature of the score -> proportion of half-samples that select it; empty if selection did not use half-samples."""
    path = study.paths.univariate
    rows = {r["feature"]: r.get("frequency", "") for r in read_csv_rows(path)} if path.is_file() else {}
    return {name: float(rows[name]) for name in signature.hpcs if rows.get(name)}


def _card(
    study: Study, signature: Signature, encoder: EncoderFacts, digests: dict[str, str], *, caveat: str
) -> ModelCard:
    results = read_results(study.paths.results) if study.paths.results.is_file() else None
    distance = Codebook.load(study.paths.codebook).distance
    limit = (
        "Slides whose embeddings lie further from those of the training than "
        f"{1 - FALSE_ALARMS:.0%} of left-out training patients do ({distance.groups} patients) get no score."
        if distance.calibrated
        else "There were too few patients to learn which slides are of another kind, so this bundle scores any slide."
    )
    return model_card(
        signature,
        results,
        encoder=encoder,
        limit=limit,
        cores=sum(s.kind == "core" for s in study.specimens() if s.is_discovery),
        scanners=sorted(
            {
                str(r.summary["vendor"])
                for s in study.specimens()
                if s.is_discovery
                and (r := study.record("tissue", s.id)) is not None
                and r.summary.get("vendor")
            }
        ),
        phenotype_names=read_names(study),
        selected_in=_selected_in(study, signature),
        pathosig=__version__,
        digests=digests,
        caveat=caveat,
    )

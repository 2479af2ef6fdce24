"""The bundle: encoder, phenotypes and signature of a study, frozen in one file (`core.archive`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathosig import __version__
from pathosig.core.archive import read_manifest, read_members, write_archive
from pathosig.core.errors import InputError
from pathosig.core.layout import Layout
from pathosig.core.records import read_json, to_json
from pathosig.core.study import Study
from pathosig.core.typed_json import to_plain
from pathosig.phenotypes.frozen import LIMITS, PHENOTYPES
from pathosig.validation.results import read_results

FORMAT = 1
SIGNATURE = (*PHENOTYPES, Layout.signature)
"""What a bundle that scores patients holds at least."""


@dataclass(frozen=True, kw_only=True)
class BundleReport:
    """What was frozen."""

    path: str
    sha256: str
    endpoint: str
    equation: str
    encoder: str
    weights_inside: bool

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_text(self) -> str:
        """What was frozen, for people."""
        inside = "inside" if self.weights_inside else "not inside: their digest is, and they must be at hand"
        lines = [self.path, f"  sha256    {self.sha256}"]
        if self.endpoint:
            lines += [f"  endpoint  {self.endpoint}", f"  equation  {self.equation}"]
        verb = "score" if self.endpoint else "assign"
        lines += [
            f"  encoder   {self.encoder}, weights {inside}",
            f"next: pathosig {verb} {self.path} SLIDE...",
        ]
        return "\n".join(lines)


def write_bundle(study: Study, *, out: Path, phenotypes_only: bool = False) -> BundleReport:
    """Freeze encoder, codebook, transform, coefficients and cut-off in one file.

    Parameters
    ----------
    out
        The file to write, such as ``signature.psig``; the same study gives the same bytes.
    phenotypes_only
        Leave the signature out: for `pathosig assign` and ``[phenotypes] codebook`` of other studies.

    Raises
    ------
    InputError
        E_MISSING if the study has no encoder, codebook or signature yet.
    """
    root = study.root
    wanted = [Layout.encoder_card, Layout.codebook, Layout.tree]
    wanted += [] if phenotypes_only else [Layout.signature]
    missing = [name for name in wanted if not (root / name).is_file()]
    if missing:
        needs = "phenotypes" if phenotypes_only else "slides, phenotypes and a signature"
        raise InputError(
            f"bundle: {missing[0]} is missing. Run `pathosig run` first; a bundle needs {needs}.",
            code="E_MISSING",
        )
    if (root / Layout.encoder_weights).is_file():
        wanted.append(Layout.encoder_weights)
    contents = {name: (root / name).read_bytes() for name in wanted}
    specs: dict[str, Any] = {name: _spec_of(study, name) for name in ("tissue", "tiles", "embed", "profiles")}
    specs["embedded_mpp"] = _embedded_mpp(study)
    signature = {} if phenotypes_only else read_json(study.paths.signature)
    encoder = read_json(study.paths.encoder_card)
    contents["specs.json"] = to_json(specs).encode()
    contents["card.json"] = to_json(_card(study, signature, encoder)).encode()
    digest = write_archive(out, contents, header={"format": FORMAT, "pathosig": __version__})
    return BundleReport(
        path=str(out),
        sha256=digest,
        endpoint=signature.get("endpoint", ""),
        equation=signature.get("equation", ""),
        encoder=str(encoder.get("name")),
        weights_inside=Layout.encoder_weights in contents,
    )


def _embedded_mpp(study: Study) -> float | None:
    """Micrometres per pixel of the tiles that were embedded; None where nobody knows."""
    mpps = [
        r.summary.get("mpp")
        for r in study.records("embed")
        if r.status == "ok" and not r.unit.startswith("_")
    ]
    return next((float(mpp) for mpp in mpps if mpp), None)


def _spec_of(study: Study, stage: str) -> dict[str, Any]:
    """The Spec the study's results were made with (not what study.toml says by now)."""
    records = [r for r in study.records(stage) if r.status == "ok"]
    return dict(records[-1].spec) if records else {}


def _card(study: Study, signature: dict[str, Any], encoder: dict[str, Any]) -> dict[str, Any]:
    """The model card: what it is, what it was made from, how it did."""
    results = study.paths.results
    headline = read_results(results).headline if results.is_file() else ()
    return {
        "endpoint": signature.get("endpoint"),
        "equation": signature.get("equation"),
        "cutoff": signature.get("cutoff"),
        "cutoff_rule": signature.get("cutoff_rule"),
        "trained_on": signature.get("trained_on", {}),
        "encoder": {k: encoder.get(k) for k in ("name", "weights_sha256", "licence", "mpp")},
        "validation": [to_plain(h) for h in headline],
        "intended_use": "research only; not a medical device",
    }


def read_bundle(path: Path, into: Path, *, required: Collection[str] = SIGNATURE) -> dict[str, Any]:
    """Check a bundle and unpack it into a folder; its manifest.

    Parameters
    ----------
    path
        The file.
    into
        The folder.
    required
        Members that must be in it: `SIGNATURE` to score, ``PHENOTYPES`` to assign.

    Raises
    ------
    InputError
        E_MISSING if there is no such file. E_BUNDLE if it is not a bundle, or any member is unknown, missing, too large or changed.
    """
    manifest = read_manifest(path, LIMITS, required=required, formats=(FORMAT,))
    for name, data in read_members(path, manifest, LIMITS):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return manifest

"""The bundle: a zip of plain tensors and JSON, every member's digest in its manifest.

Nothing in it is ever executed, and a member that is unknown, too large or changed is refused.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathosig import __version__
from pathosig.core.errors import InputError, PathosigError
from pathosig.core.layout import Layout
from pathosig.core.records import atomic_path, read_json, to_json
from pathosig.core.study import Study
from pathosig.core.typed_json import to_plain
from pathosig.validation.results import read_results

FORMAT = 1
MEMBERS = {
    Layout.encoder_card: 1 << 20,
    Layout.encoder_weights: 8 << 30,
    Layout.codebook: 1 << 30,
    Layout.tree: 64 << 20,
    Layout.signature: 64 << 20,
    "specs.json": 1 << 20,
    "card.json": 16 << 20,
}
"""Everything a bundle may hold, and how large it may be."""

_OPTIONAL = {Layout.encoder_weights}
_EPOCH = (1980, 1, 1, 0, 0, 0)


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
        return (
            f"{self.path}\n  sha256    {self.sha256}\n  endpoint  {self.endpoint}\n  equation  {self.equation}\n"
            f"  encoder   {self.encoder}, weights {inside}\nnext: pathosig score {self.path} SLIDE... --out scores.csv"
        )


def write_bundle(study: Study, *, out: Path) -> BundleReport:
    """Freeze encoder, codebook, transform, coefficients and cut-off in one file.

    Parameters
    ----------
    out
        The file to write, such as ``signature.psig``; the same study gives the same bytes.

    Raises
    ------
    InputError
        E_MISSING if the study has no encoder, codebook or signature yet.
    """
    root = study.root
    contents: dict[str, bytes] = {}
    for name in MEMBERS:
        path = root / name
        if name in ("specs.json", "card.json"):
            continue
        if path.is_file():
            contents[name] = path.read_bytes()
        elif name not in _OPTIONAL:
            raise InputError(
                f"bundle: {name} is missing. Run `pathosig run` first; a bundle needs slides, phenotypes and a signature.",
                code="E_MISSING",
            )
    specs = {name: _spec_of(study, name) for name in ("tissue", "tiles", "embed", "profiles")}
    signature = read_json(Layout(root).signature)
    encoder = read_json(Layout(root).encoder_card)
    contents["specs.json"] = to_json(specs).encode()
    contents["card.json"] = to_json(_card(study, signature, encoder)).encode()
    manifest = {
        "format": FORMAT,
        "pathosig": __version__,
        "members": {
            n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in sorted(contents.items())
        },
    }
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [("manifest.json", to_json(manifest).encode()), *sorted(contents.items())]:
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), data)
    return BundleReport(
        path=str(out),
        sha256=hashlib.sha256(out.read_bytes()).hexdigest(),
        endpoint=signature["endpoint"],
        equation=signature.get("equation", ""),
        encoder=str(encoder.get("name")),
        weights_inside=Layout.encoder_weights in contents,
    )


def _spec_of(study: Study, stage: str) -> dict[str, Any]:
    """The Spec the study's results were made with (not what study.toml says by now)."""
    records = [r for r in study.records(stage) if r.status == "ok"]
    return dict(records[-1].spec) if records else {}


def _card(study: Study, signature: dict[str, Any], encoder: dict[str, Any]) -> dict[str, Any]:
    """The model card: what it is, what it was made from, how it did."""
    results = study.paths.results
    headline = read_results(results).headline if results.is_file() else ()
    return {
        "endpoint": signature["endpoint"],
        "equation": signature.get("equation"),
        "cutoff": signature["cutoff"],
        "cutoff_rule": signature["cutoff_rule"],
        "trained_on": signature.get("trained_on", {}),
        "encoder": {k: encoder.get(k) for k in ("name", "weights_sha256", "licence", "mpp")},
        "validation": [to_plain(h) for h in headline],
        "intended_use": "research only; not a medical device",
    }


def read_bundle(path: Path, into: Path) -> dict[str, Any]:
    """Check a bundle and unpack it into a folder; its manifest.

    Raises
    ------
    PathosigError
        E_MISSING if there is no such file. E_BUNDLE if it is not a bundle, or any member is unknown, missing, too large or changed.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}. Expected a bundle that `pathosig bundle` wrote.", code="E_MISSING")
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive)
            for name, facts in manifest["members"].items():
                data = archive.read(name)
                if len(data) != facts["size"] or hashlib.sha256(data).hexdigest() != facts["sha256"]:
                    raise _refused(path, f"member {name} was changed")
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    return manifest


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    infos = {i.filename: i for i in archive.infolist()}
    if len(infos) != len(archive.infolist()):
        raise ValueError("a member appears twice")
    if infos["manifest.json"].file_size > 1 << 20:
        raise ValueError("manifest too large")
    manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    members = set(manifest["members"])
    unknown = (set(infos) - {"manifest.json"}) ^ members
    if unknown or not members <= set(MEMBERS) or set(MEMBERS) - _OPTIONAL - members:
        raise ValueError("members that do not belong, or some missing")
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, this program reads {FORMAT}")
    for name in members:
        if infos[name].file_size > MEMBERS[name] or infos[name].compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {name} is too large or packed")
    return manifest


def _refused(path: Path, why: str) -> PathosigError:
    return InputError(
        f"{path.name}: refused as a bundle ({why}). Get it again from its authors.", code="E_BUNDLE"
    )

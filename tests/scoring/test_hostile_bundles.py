"""Bundles that strangers made to do harm: each is refused with E_BUNDLE, and nothing is written or opened outside."""

from __future__ import annotations

import json
import socket
import stat
import struct
import zipfile

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save as tensors

from pathosig.core.errors import InputError
from pathosig.core.layout import Layout
from pathosig.core.typed_json import to_plain
from pathosig.scoring import read_bundle
from pathosig.signature.model import Signature
from pathosig.validation.clinical_fit import fit_clinical_model
from pathosig.validation.clinical_model import signature_digest
from tests.scoring.conftest import manifest_of, pack

ENCODER, WEIGHTS = "encoder/encoder.json", "encoder/encoder.safetensors"
CODEBOOK, TREE = "phenotypes/codebook.safetensors", "phenotypes/tree.json"
SIGNATURE, SPECS, CARD = "signature/signature.json", "specs.json", "card.json"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def refused(path, tmp_path, match=r"\S"):
    inside = tmp_path / "deep" / "inside"
    before = {p for p in tmp_path.rglob("*")}
    with pytest.raises(InputError, match=match) as caught:
        read_bundle(path, inside)
    assert caught.value.code == "E_BUNDLE"
    written = {p for p in tmp_path.rglob("*")} - before - {inside, inside.parent}
    assert all(p.is_relative_to(inside) and not p.is_symlink() for p in written)


def test_the_untouched_bundle_is_read(members, tmp_path):
    bundle = read_bundle(pack(tmp_path / "good.psig", members), tmp_path / "in")
    assert bundle.signature.transform.k == 6
    assert bundle.weights_inside
    assert bundle.signer is None
    assert "unsigned" in bundle.header()
    assert bundle.sha256 in bundle.header()


NESTED = "[" * 100_000 + "]" * 100_000
DEEP = '{"a":' * 200 + "1" + "}" * 200


@pytest.mark.parametrize("name", [ENCODER, TREE, SIGNATURE, SPECS, CARD])
@pytest.mark.parametrize(
    "text", ["", "null", "[]", '"text"', "{", DEEP, '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', "\ud800"],
    ids=["empty", "null", "list", "text", "half", "deep", "key twice", "NaN", "infinite", "no UTF-8"],
)  # fmt: skip
def test_json_of_another_form(members, tmp_path, name, text):
    data = text.encode("utf-8", "surrogatepass")
    refused(pack(tmp_path / "a.psig", {**members, name: data}), tmp_path)


@pytest.mark.parametrize("text", [NESTED, DEEP, "{}", "[]", '{"format": 2}', '{"format": {}, "members": []}'])
def test_manifests_of_another_form(members, tmp_path, text):
    refused(pack(tmp_path / "a.psig", members, text.encode()), tmp_path)


CARDS = {
    "a hub name": {"name": "hf-hub:attacker/model"}, "a hub backbone": {"backbone": "hf-hub:attacker/model"},
    "a path as name": {"name": "../../etc/passwd"}, "a URL": {"name": "https://example.org/x"},
    "name of a file": {"name": "/etc/passwd"}, "no name": {"name": ...}, "a number as name": {"name": 7},
    "a path as digest": {"weights_sha256": "pwned/deep/a"}, "a climbing digest": {"weights_sha256": "../" * 21 + "x"},
    "a short digest": {"weights_sha256": "ab"}, "no digest": {"weights_sha256": ...}, "dim a text": {"dim": "x"},
    "dim negative": {"dim": -1}, "dim huge": {"dim": 10**12}, "dim another": {"dim": 64}, "dim true": {"dim": True},
    "two colours": {"mean": [0.5, 0.5]}, "std zero": {"std": [0, 0, 0]}, "mean a text": {"mean": "abc"},
    "input huge": {"input_px": 10**9}, "mpp a list": {"mpp": [1]}, "stain a file": {"stain": {"method": "/etc/passwd"}},
    "stain nested": {"stain": {"a": {"b": 1}}},
}  # fmt: skip


@pytest.mark.parametrize("keys", CARDS.values(), ids=CARDS)
def test_cards_of_an_encoder_that_name_or_claim_the_impossible(changed, tmp_path, keys):
    refused(
        pack(tmp_path / "a.psig", changed(ENCODER, **keys)), tmp_path, match=r"encoder\.json|embeddings of"
    )


def test_a_card_never_chooses_a_weights_file(changed, tmp_path):
    members = changed(ENCODER, weights_file="../../../../etc/passwd", pwned="x")
    bundle = read_bundle(pack(tmp_path / "a.psig", members), tmp_path / "in")
    assert bundle.encoder["weights_file"] == "encoder.safetensors"
    assert "pwned" not in json.loads((tmp_path / "in" / ENCODER).read_text())


SETTINGS = {
    "a table": {"profiles__table": "/etc/passwd"}, "weights": {"embed__weights": "/etc/passwd"},
    "a column": {"profiles__patient_column": "x"}, "columns": {"profiles__columns": ["a"]},
    "an unknown stage": {"report": {}}, "an unknown key": {"tiles__command": "rm"}, "a text for a number": {"tiles__mpp": "x"},
    "huge tiles": {"tiles__size_px": 10**8}, "a stride of one": {"tiles__stride_px": 1}, "no scale": {"tiles__mpp": 1e-9},
    "no stage": {"embed": ...}, "a list for a stage": {"tissue": []}, "many threads": {"embed__threads": 10**6},
    "many tiles at once": {"embed__batch_size": 10**9}, "an unknown engine": {"embed__engine": "shell"},
}  # fmt: skip


@pytest.mark.parametrize("keys", SETTINGS.values(), ids=SETTINGS)
def test_settings_that_reach_outside_or_ask_the_impossible(changed, tmp_path, keys):
    refused(pack(tmp_path / "a.psig", changed(SPECS, **keys)), tmp_path, match=r"specs\.json")


SIGNATURES = {
    "another version": {"version": 99}, "no features": {"hpcs": [], "coef": [], "center": []}, "a missing weight": {"coef": [1.0]},
    "a text as weight": {"coef": ["x"] * 6}, "a phenotype too far": {"transform__leaves": {"hpc_00": [99]}},
    "a negative phenotype": {"transform__leaves": {"hpc_00": [-1]}}, "another count": {"transform__k": 7},
    "an unknown policy": {"transform__policy": "best"}, "an unknown scale": {"transform__scale": "exec"},
    "outside features": {"transform__scale": "feature"}, "no baseline": {"baseline": {}}, "no transform": {"transform": None},
    "unknown training": {"trained_on__pwned": 1},
}  # fmt: skip


@pytest.mark.parametrize("keys", SIGNATURES.values(), ids=SIGNATURES)
def test_signatures_that_do_not_fit(changed, tmp_path, keys):
    refused(pack(tmp_path / "a.psig", changed(SIGNATURE, **keys)), tmp_path)


@pytest.mark.parametrize(
    "keys",
    [{"k": 7}, {"k": "x"}, {"k": ...}, {"artefact_hpcs": [99]}, {"artefact_hpcs": "abc"}, {"nodes": [1]}],
)
def test_trees_that_do_not_fit(changed, tmp_path, keys):
    refused(pack(tmp_path / "a.psig", changed(TREE, **keys)), tmp_path)


def _lying(size: int) -> bytes:
    header = json.dumps(
        {"backbone.w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 16


@pytest.mark.parametrize("name", [WEIGHTS, CODEBOOK])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 64,
        struct.pack("<Q", 1 << 60),
        _lying(10**12),
        _lying(4)[:-9],
        tensors({"x": np.zeros(3)}),
    ],
    ids=["empty", "noise", "a header of an exabyte", "a tensor of terabytes", "cut", "other tensors"],
)
def test_tensors_that_lie(members, tmp_path, name, data):
    refused(pack(tmp_path / "a.psig", {**members, name: data}), tmp_path)


@pytest.mark.parametrize(
    "name", ["../pwned", "/tmp/pwned", "encoder/../../pwned", "run.py", "signature", "encoder/", "a\\..\\b"]
)
def test_members_that_do_not_belong(members, tmp_path, name):
    refused(pack(tmp_path / "a.psig", {**members, name: b"x"}), tmp_path)


@pytest.mark.parametrize("name", [ENCODER, CODEBOOK, TREE, SIGNATURE, SPECS, CARD])
def test_members_that_are_missing(members, tmp_path, name):
    refused(pack(tmp_path / "a.psig", {n: b for n, b in members.items() if n != name}), tmp_path)


def test_a_member_twice(members, tmp_path):
    path = pack(tmp_path / "a.psig", members)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(TREE, members[TREE])
    refused(path, tmp_path, match="twice")


def test_a_link_in_place_of_a_member(members, tmp_path):
    path = tmp_path / "a.psig"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest_of({**members, CARD: b"/etc/passwd"}))
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16 if name == CARD else 0
            archive.writestr(info, b"/etc/passwd" if name == CARD else data)
    refused(path, tmp_path, match="not a plain file")


def test_packed_members_are_refused_before_they_are_unpacked(members, tmp_path):
    bomb = {**members, CARD: b" " * (3 << 20) + b"{}"}
    with zipfile.ZipFile(tmp_path / "a.psig", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", manifest_of(bomb))
        for name, data in bomb.items():
            archive.writestr(name, data)
    refused(tmp_path / "a.psig", tmp_path, match="not a plain file")


def test_a_member_larger_than_allowed(members, tmp_path):
    refused(pack(tmp_path / "a.psig", {**members, SPECS: b" " * (1 << 17)}), tmp_path, match="another size")


def test_digests_that_do_not_fit(members, tmp_path):
    other = {**members, CARD: b'{"a":1}'}
    refused(
        pack(tmp_path / "a.psig", other, manifest_of({**members, CARD: b'{"a":2}'})),
        tmp_path,
        match="changed",
    )


def test_sizes_that_do_not_fit(members, tmp_path):
    manifest = json.loads(manifest_of(members))
    manifest["members"][CARD]["size"] = 10**15
    refused(pack(tmp_path / "a.psig", members, json.dumps(manifest).encode()), tmp_path, match="another size")
    manifest["members"][CARD]["size"] = True
    refused(pack(tmp_path / "a.psig", members, json.dumps(manifest).encode()), tmp_path)


def test_directories_of_the_zip_that_lie_about_sizes(members, tmp_path):
    data = bytearray(pack(tmp_path / "a.psig", members).read_bytes())
    count = 0
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 20 : at + 28] = struct.pack("<II", 0x7FFFFFFF, 0x7FFFFFFF)
        count += 1
        at = data.find(b"PK\x01\x02", at + 4)
    assert count == 9
    (tmp_path / "a.psig").write_bytes(bytes(data))
    refused(tmp_path / "a.psig", tmp_path, match="larger than the file")


@pytest.mark.parametrize("keep", [0, 3, 100, 5000, -30, -1])
def test_files_cut_short(members, tmp_path, keep):
    path = pack(tmp_path / "a.psig", members)
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, tmp_path)


def test_every_flipped_byte_of_the_contents_is_seen(members, tmp_path):
    whole = pack(tmp_path / "a.psig", members).read_bytes()
    rng = np.random.default_rng(0)
    starts = [whole.find(data) for data in members.values() if len(data) > 2]
    ends = [len(data) for data in members.values() if len(data) > 2]
    assert len(starts) == 7
    for start, size in zip(starts, ends, strict=True):
        for at in rng.integers(start, start + size, 5):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << rng.integers(8)
            (tmp_path / "b.psig").write_bytes(bytes(damaged))
            with pytest.raises(InputError) as caught:
                read_bundle(tmp_path / "b.psig", tmp_path / "in")
            assert caught.value.code == "E_BUNDLE"


def test_a_bundle_of_the_first_format_says_what_to_do(members, tmp_path):
    refused(
        pack(tmp_path / "a.psig", members, manifest_of(members, format=1)), tmp_path, match="Write it again"
    )


def test_a_folder_in_the_way_is_not_followed_out(members, tmp_path):
    inside = tmp_path / "in"
    read_bundle(pack(tmp_path / "a.psig", members), inside)
    assert {p.relative_to(inside).as_posix() for p in inside.rglob("*") if p.is_file()} == set(members)


def clinical(members, **changes):
    """A clinical model for the signature of `members`, as JSON."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"age": rng.normal(60, 8, 80), "score": rng.normal(size=80), "event": True})
    frame["time"] = rng.exponential(30 * np.exp(-frame["score"]))
    signature = Signature.from_json(members[SIGNATURE].decode())
    model = fit_clinical_model(
        frame, ["age"], endpoint=signature.endpoint, signature_sha256=signature_digest(signature)
    )
    return json.dumps({**to_plain(model), **changes}).encode()


def test_a_clinical_model_travels_with_its_signature(members, tmp_path):
    with_model = {**members, Layout.clinical_model: clinical(members)}
    bundle = read_bundle(pack(tmp_path / "a.psig", with_model), tmp_path / "in")
    assert bundle.clinical.labels == ("age", "score")
    again = read_bundle(pack(tmp_path / "b.psig", members), tmp_path / "in")
    assert again.clinical is None  # what lay in the folder belonged to another bundle


@pytest.mark.parametrize(
    "changes",
    [
        {"signature_sha256": "00" * 32}, {"endpoint": "other"}, {"score_scale": -1.0}, {"score_scale": None}, {"coef": [1.0]},
        {"coef": "../../etc/passwd"}, {"covariance": [[1.0, 2.0], [2.0, 1.0]]}, {"horizons": []}, {"path": "/etc/passwd"},
        {"baseline": {"unit": "months", "time": [1.0], "survival": [7.0], "until": 9.0, "at": []}},
    ],
    ids=str,
)  # fmt: skip
def test_hostile_clinical_models(members, tmp_path, changes):
    bad = {**members, Layout.clinical_model: clinical(members, **changes)}
    refused(pack(tmp_path / "a.psig", bad), tmp_path)

"""Encoders by name: the shipped weights, local files, identities and clear refusals."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

import pathosig.encoder.weights as weight_files
from pathosig.core.errors import ConfigError, InputError
from pathosig.encoder import ENCODERS, load_encoder
from pathosig.encoder.backbones import encoder_from_state
from pathosig.encoder.self_test import check_self_test, self_test
from pathosig.encoder.weights_command import weights
from pathosig.encoder.zoo import EncoderEntry, note_on


@pytest.fixture(scope="module")
def lite0():
    return load_encoder()


def test_shipped_encoder_is_the_package_tensor_by_tensor(lite0):
    published = weight_files.shipped_lite0()
    own = {k.removeprefix("model."): v for k, v in lite0.module.state_dict().items()}
    floats = [v for k, v in published.items() if not k.endswith("num_batches_tracked")]
    assert len(floats) == 247
    kept = [v for k, v in own.items() if not k.endswith("num_batches_tracked")]
    assert len(kept) == 245  # all but the classifier's weight and bias
    assert all(torch.equal(a, b) for a, b in zip(floats, kept, strict=False))


def test_shipped_encoder_gives_timms_pooled_features(lite0):
    import timm

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    model.load_state_dict(dict(zip(model.state_dict(), weight_files.shipped_lite0().values(), strict=True)))
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.forward_features(x).mean((2, 3))
        assert torch.equal(lite0.module(x), expected)
        assert model(x).shape == (2, 1000)


def test_card_of_the_shipped_encoder(lite0):
    card = lite0.card()
    assert (card["dim"], card["licence"], card["mpp"]) == (1280, "Apache-2.0", None)
    assert card["mean"] == pytest.approx([127 / 255] * 3)
    assert card["std"] == pytest.approx([128 / 255] * 3)
    assert len(card["weights_sha256"]) == 64


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_files_load_and_have_the_same_identity(tmp_path, suffix):
    start = load_encoder("resnet10t", random_start=True, seed=3)
    state = {k.removeprefix("model."): v for k, v in start.module.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        save_file(state, path)
    loaded = load_encoder("resnet10t", weights=path)
    assert loaded.weights_sha256 == start.weights_sha256
    assert loaded.weights_sha256 != load_encoder("resnet10t", random_start=True, seed=4).weights_sha256


def test_pickles_with_code_are_refused(tmp_path):
    class Bad:
        def __reduce__(self):
            return (exec, ("raise SystemExit(9)",))

    torch.save({"x": Bad()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="not a readable weights file"):
        load_encoder("resnet10t", weights=tmp_path / "bad.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    other = load_encoder("resnet18", random_start=True)
    save_file(
        {k.removeprefix("model."): v for k, v in other.module.state_dict().items()},
        tmp_path / "w.safetensors",
    )
    with pytest.raises(InputError, match="do not fit"):
        load_encoder("resnet10t", weights=tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no such file"):
        load_encoder("resnet10t", weights=tmp_path / "none.pth")


def test_plug_ins_are_found_by_name(monkeypatch):
    from pathosig.core import plugins

    small = load_encoder("resnet10t", random_start=True)
    monkeypatch.setattr(plugins, "available", lambda group: ["mine"])
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda name, *, weights: (small, name, weights))
    assert load_encoder("mine", weights="w.pth") == (small, "mine", "w.pth")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match="resnet50"):
        load_encoder("resnet_50")


def test_offline_and_gated_encoders_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(weight_files, "_hub_is_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"prov-gigapath.*\[encoder\] weights.*accept the licence") as error:
        load_encoder("gigapath")
    assert error.value.code == "E_OFFLINE"

    class GatedRepoError(Exception):
        pass

    gated = weight_files.hub_error("uni2-h", "MahmoodLab/UNI2-h", gated=True, cause=GatedRepoError())
    assert gated.code == "E_GATED"
    assert "hf auth login" in gated.message


def test_state_and_card_give_the_encoder_back_and_changed_weights_are_refused():
    start = load_encoder("resnet10t", random_start=True, seed=1)
    state = {f"backbone.{k}": v.clone() for k, v in start.module.state_dict().items()}
    again = encoder_from_state(start.card(), state)
    assert again.card() == start.card()
    state["backbone.model.conv1.0.weight"][0] += 1
    with pytest.raises(InputError, match="digest"):
        encoder_from_state(start.card(), state)


@pytest.mark.parametrize("name", ENCODERS)
def test_table_of_encoders_is_complete(name):
    entry = ENCODERS[name]
    assert entry.licence
    assert entry.dim > 0
    assert len(entry.mean) == len(entry.std) == 3
    assert entry.hub or name == "efficientnet-lite0"


VITS = [n for n, e in ENCODERS.items() if e.pooling != "model"]


@pytest.mark.parametrize("name", VITS)
def test_architecture_of_a_pathology_model_is_built_and_has_its_dimension(name):
    """Built without memory (meta device), at full size."""
    import timm

    from pathosig.encoder.backbones import PooledModel

    entry: EncoderEntry = ENCODERS[name]
    with torch.device("meta"):
        model = timm.create_model(
            entry.architecture, pretrained=False, **weight_files.resolve_options(entry.options)
        )
        pooled = PooledModel(model, entry.pooling).eval()
        out = pooled(torch.zeros(1, 3, entry.input_px, entry.input_px))
    assert tuple(out.shape) == (1, entry.dim)


def test_dinov2_names_become_timms_with_registers_and_gated_mlp():
    """The converter against timm's own names: renamed by hand, converted back, equal."""
    import timm

    from pathosig.encoder.backbones import PooledModel

    options = {
        "img_size": 28,
        "depth": 2,
        "embed_dim": 48,
        "num_heads": 3,
        "init_values": 1e-5,
        "num_classes": 0,
    }
    entry = EncoderEntry(
        architecture="vit_giant_patch14_dinov2",
        hub="x",
        dim=96,
        pooling="cls+mean",
        options=options,
    )
    model = timm.create_model(entry.architecture, pretrained=False, **options)
    pooled = PooledModel(model, entry.pooling)
    own = {k: torch.randn_like(v) for k, v in pooled.state_dict().items()}
    published = {}
    renames = [
        ("model.", ""), ("pos_embed", "embeddings.position_embeddings"),
        ("cls_token", "embeddings.cls_token"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("blocks.", "encoder.layer."),
        (".attn.proj.", ".attention.output.dense."), (".ls1.gamma", ".layer_scale1.lambda1"),
        (".ls2.gamma", ".layer_scale2.lambda1"), (".mlp.fc1.", ".mlp.weights_in."),
        (".mlp.fc2.", ".mlp.weights_out."),
    ]  # fmt: skip
    for key, value in own.items():
        name = "layernorm." + key.split(".")[-1] if key.startswith("model.norm.") else key
        for old, new in renames:
            name = name.replace(old, new)
        if ".attn.qkv." in name:
            for part, chunk in zip(("query", "key", "value"), value.chunk(3), strict=True):
                published[name.replace(".attn.qkv.", f".attention.attention.{part}.")] = chunk
        else:
            published[name] = value
    published["embeddings.mask_token"] = torch.zeros(1, 48)
    converted = weight_files.to_timm(published, entry, pooled)
    assert converted.keys() == own.keys()
    assert all(torch.equal(converted[k], v) for k, v in own.items())


def test_position_embeddings_of_another_input_size_are_resampled():
    import timm

    from pathosig.encoder.backbones import PooledModel

    sizes = {"depth": 1, "embed_dim": 48, "num_heads": 3, "init_values": 1e-5, "num_classes": 0}
    entry = EncoderEntry(architecture="vit_small_patch14_dinov2", hub="x", dim=48, pooling="cls")
    large, small = (
        PooledModel(timm.create_model(entry.architecture, pretrained=False, img_size=s, **sizes), "cls")
        for s in (56, 28)
    )
    state = {k.removeprefix("model."): v for k, v in large.state_dict().items()}
    converted = weight_files.to_timm(state, entry, small)
    weight_files.fill(small, converted, where="test")
    assert converted["model.pos_embed"].shape == (1, 5, 48)


def test_position_of_the_class_token_moves_into_the_token_where_timm_has_none():
    state = {"cls_token": torch.ones(1, 1, 3), "pos_embed": torch.arange(15.0).reshape(1, 5, 3)}
    folded = weight_files._class_position_folded(state)
    assert torch.equal(folded["cls_token"], torch.tensor([[[1.0, 2.0, 3.0]]]))
    assert folded["pos_embed"].shape == (1, 4, 3)
    assert weight_files._class_position_folded(folded) is folded


def test_a_hugging_face_vit_is_the_timm_model_under_other_names():
    module = load_encoder("phikon", random_start=True).module
    ours = {k.removeprefix("model."): v for k, v in module.state_dict().items()}
    theirs = {}
    names = (
        ("cls_token", "embeddings.cls_token"), ("pos_embed", "embeddings.position_embeddings"), ("blocks.", "encoder.layer."),
        ("patch_embed.proj.", "embeddings.patch_embeddings.projection."), (".attn.proj.", ".attention.output.dense."),
        (".norm1.", ".layernorm_before."), (".norm2.", ".layernorm_after."), (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
    )  # fmt: skip
    for key, value in ours.items():
        name = "layernorm." + key.removeprefix("norm.") if key.startswith("norm.") else key
        for old, new in names:
            name = name.replace(old, new)
        if ".attn.qkv." in name:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                theirs["vit." + name.replace(".attn.qkv.", f".attention.attention.{part}.")] = rows
        else:
            theirs["vit." + name] = value
    theirs["vit.pooler.dense.bias"] = torch.zeros(3)
    again = weight_files.to_timm(theirs, ENCODERS["phikon"], module)
    assert len(again) == len(module.state_dict()) > 100
    assert all(torch.equal(again[k], v) for k, v in module.state_dict().items())


def test_encoders_of_general_images_are_noted_and_those_of_tissue_are_not():
    general = {name for name in ENCODERS if note_on(name)}
    assert general == {"efficientnet-lite0", "resnet50", "dinov3-l"}
    assert note_on("a plug-in") == ""


def test_an_encoder_around_known_weights_that_embeds_otherwise_is_refused():
    encoder = load_encoder("efficientnet-lite0")
    numbers = self_test(encoder)
    assert check_self_test(numbers, digest=encoder.weights_sha256)
    other = self_test(dataclasses.replace(encoder, mean=(0.4, 0.5, 0.5)))
    with pytest.raises(InputError, match="self-test") as refused:
        check_self_test(other, digest=encoder.weights_sha256)
    assert refused.value.code == "E_SELF_TEST"
    assert not check_self_test(other, digest="0" * 64)
    with pytest.raises(InputError):
        check_self_test(other, digest="0" * 64, expected=numbers)


def test_the_command_weights_lists_checks_and_tells_where(tmp_path):
    assert {row["name"] for row in weights("list").rows} == set(ENCODERS)
    assert any("study.toml" in row["where"] for row in weights("where").rows)
    state = load_encoder("efficientnet-lite0").module.state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "w.safetensors")
    (row,) = weights("check", tmp_path / "w.safetensors", encoder="efficientnet-lite0").rows
    assert row["sha256"] == load_encoder("efficientnet-lite0").weights_sha256
    assert row["self_test"].startswith("self-test as expected 0.18005 ")
    assert "floor" in weights("list").to_text()
    with pytest.raises(InputError, match="do not fit"):
        weights("check", tmp_path / "w.safetensors", encoder="lunit-s8")
    with pytest.raises(ConfigError, match="--encoder"):
        weights("check", tmp_path / "w.safetensors")

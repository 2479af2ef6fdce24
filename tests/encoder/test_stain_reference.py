"""The stain reference is fitted once on discovery slides and goes with the encoder."""

import numpy as np
import pytest

from pathosig.core.records import read_json
from pathosig.core.units import Execution
from pathosig.encoder import embed_tiles, train_encoder
from pathosig.tiles.stain import fit_reference, normalise

from .test_stages import _make_study

CPU = Execution(device="cpu")


def _stained(seed, red):
    """A 32 px tile of two stains, the first absorbing more or less red."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.35, (32, 32, 2))
    density = amounts @ np.array([[red, 0.70, 0.35], [0.15, 0.93, 0.33]])
    return np.clip(240 * np.exp(-density) - 1, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stained_tiles():
    """48 tiles of three discovery slides, 16 of a validation slide from another laboratory."""
    return np.stack([_stained(i, 0.65 if i < 48 else 0.35) for i in range(64)])


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_embeddings_are_those_of_normalised_tiles(tmp_path, stained_tiles, method):
    spec = {"name": "efficientnet-lite0", "stain": method, "calibration_tiles": 48, "batch_size": 4}
    study = _make_study(tmp_path / "a", stained_tiles, encoder=spec)
    assert len(embed_tiles(study, execution=CPU).done) == 4
    reference = read_json(study.root / "encoder/encoder.json")["stain"]
    assert reference == fit_reference(stained_tiles[:48], method)
    plain = _make_study(
        tmp_path / "b",
        normalise(stained_tiles, reference),
        encoder={k: v for k, v in spec.items() if k != "stain"},
    )
    embed_tiles(plain, execution=CPU)
    assert "stain" not in read_json(plain.root / "encoder/encoder.json")
    for slide in ("S0", "S3"):
        found, expected = (np.load(s.root / "embeddings" / f"{slide}.npy") for s in (study, plain))
        np.testing.assert_array_equal(found, expected)


def test_a_new_validation_slide_does_not_change_the_reference(tmp_path, stained_tiles):
    spec = {"name": "efficientnet-lite0", "stain": "macenko", "calibration_tiles": 48}
    cards = []
    for slides in (3, 4):
        study = _make_study(tmp_path / str(slides), stained_tiles, encoder=spec, slides=4)
        if slides == 3:
            rows = (study.root / "slides.csv").read_text().splitlines()
            (study.root / "slides.csv").write_text("\n".join(rows[:4]) + "\n")
        embed_tiles(study, execution=CPU)
        cards.append(read_json(study.root / "encoder/encoder.json")["stain"])
    assert cards[0] == cards[1]


def test_training_sees_the_same_colours_as_embedding(tmp_path, stained_tiles):
    train = {
        "backbone": "resnet10t", "random_start": True, "n_clusters": 4, "dim": 8, "batch_size": 16, "epochs": 1,
        "min_perplexity": 0.0, "val_share": 0.3,
    }  # fmt: skip
    spec = {"method": "dlcc", "batch_size": 4, "stain": "macenko", "calibration_tiles": 48}
    study = _make_study(tmp_path / "a", stained_tiles, encoder=spec, train=train)
    train_encoder(study, execution=CPU)
    embed_tiles(study, execution=CPU)
    reference = read_json(study.root / "encoder/encoder.json")["stain"]
    assert reference == fit_reference(stained_tiles[:48], "macenko")
    packed = np.load(study.root / "encoder/store/tiles-000.npy")
    np.testing.assert_array_equal(packed[:48], normalise(stained_tiles[:48], reference))

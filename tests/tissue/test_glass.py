"""Bare glass is neutral: slides with a tinted background, or one unlike the other slides, are named."""

import numpy as np
import pytest
from scenes import GLASS

from pathosig.core.errors import PathosigWarning
from pathosig.core.study import Study
from pathosig.synthetic.svs import write_svs
from pathosig.tissue.glass import disagreeing, glass_colour, glass_warning
from pathosig.tissue.stage import find_tissue


def scene(glass, tissue=(205, 140, 180), share=0.4, seed=0):
    rng = np.random.default_rng(seed)
    image = np.full((900, 900, 3), glass, float)
    image[: int(900 * share)] = tissue
    return np.clip(image + rng.normal(0, 3, (900, 900, 1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", GLASS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_the_glass_of_ordinary_lamps_is_no_finding(name, share):
    colour = glass_colour(scene(GLASS[name], share=share))
    assert np.abs(np.subtract(colour, GLASS[name])).max() <= 12
    assert glass_warning(colour) is None


def test_colours_that_were_not_converted_are_found_by_their_glass():
    h_and_e = scene((243, 242, 244)).astype(float)
    y = h_and_e @ [0.299, 0.587, 0.114]
    cb, cr = (h_and_e[..., 2] - y) / 1.772 + 128, (h_and_e[..., 0] - y) / 1.402 + 128
    raw = np.dstack([y, cb, cr]).clip(0, 255).astype(np.uint8)
    for wrong in (raw, raw[..., ::-1], scene((20, 20, 25), (60, 40, 200)), scene((240, 200, 240))):
        assert glass_warning(glass_colour(wrong)).startswith("W_BACKGROUND")


def test_one_slide_that_differs_from_the_rest_is_named():
    rest = {f"S{i}": (240 - i, 240 - i, 242 - i) for i in range(8)}
    assert disagreeing(rest) == ()
    assert disagreeing({**rest, "odd": (245, 212, 235)}) == ("odd",)
    assert (
        disagreeing({"a": (240, 240, 240), "b": (240, 200, 240)}) == ()
    )  # with two slides it cannot be known which one differs


def test_the_study_names_tinted_and_disagreeing_slides(tmp_path):
    study = Study.create(tmp_path / "study")
    rows = ["slide_id,patient_id,path"]
    for i, glass in enumerate([(243, 242, 244)] * 5 + [(240, 190, 240)]):
        write_svs(study.root / f"S{i}.svs", scene(glass, seed=i), levels=0)
        rows.append(f"S{i},P{i},S{i}.svs")
    (study.root / "slides.csv").write_text("\n".join(rows) + "\n")
    (study.root / "patients.csv").write_text(
        "patient_id,cohort\n" + "".join(f"P{i},discovery\n" for i in range(6))
    )
    with pytest.warns(PathosigWarning, match="1 of 6 slides .* S5"):
        find_tissue(Study.open(study.root))
    warned = {f"S{i}": study.record("tissue", f"S{i}").warnings for i in range(6)}
    assert [name for name, said in warned.items() if any("W_BACKGROUND" in w for w in said)] == ["S5"]

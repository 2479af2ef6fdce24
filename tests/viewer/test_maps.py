"""A slide beside its phenotypes, as notebooks draw it."""

import pathosig as ps
from pathosig.figures import svg_bytes


def test_a_slide_is_drawn_beside_its_phenotypes(study):
    opened = ps.Study.open(study.root)
    text = svg_bytes(opened.map("S1", size_px=400)).decode()
    assert "Slide S1, patient P1" in text
    assert "Phenotypes (HPCs)" in text
    assert "Contribution to the score" not in text  # this study has no signature
    assert all(f"HPC {hpc:02d}" in text for hpc in range(3))

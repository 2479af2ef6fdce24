"""Which files and folders below a folder are slides."""

import numpy as np
import tifffile

from pathosig.slides.listing import slides_below


def test_a_folder_gives_its_slides_and_nothing_else(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    (tmp_path / "2019" / "deep").mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    for name in ("a.tif", "2019/b.tiff", "2019/deep/c.svs", ".cache/hidden.tif"):
        tifffile.imwrite(tmp_path / name, pixels)
    for name in ("clinical.xlsx", "2019/thumb.jpg", "notes.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    found = [str(path.relative_to(tmp_path)) for path in slides_below(tmp_path)]
    assert found == ["2019/b.tiff", "2019/deep/c.svs", "a.tif"]


def test_a_mirax_folder_of_data_is_part_of_its_slide(tmp_path):
    (tmp_path / "m.mrxs").write_bytes(b"x")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "Data0000.dat").write_bytes(b"x")
    (tmp_path / "m" / "page.tif").write_bytes(b"x")
    assert [path.name for path in slides_below(tmp_path)] == ["m.mrxs"]


def test_a_folder_without_slides_has_none(tmp_path):
    (tmp_path / "clinical.csv").write_text("patient_id\n")
    assert slides_below(tmp_path) == []

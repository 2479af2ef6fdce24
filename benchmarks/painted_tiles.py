"""Tiles of a simulated study as folders of classes, for train_evidence.py and features.py.

    pathosig simulate STUDY --types 5 --slide-shift 0.6 && pathosig run STUDY --until tiles
    python benchmarks/painted_tiles.py STUDY TILES [--side 112] [--purity 0.6]

A tile belongs to the planted type that covers at least `purity` of it; others are left out. Its group is the patient.
Writes TILES/<type>/<slide>_<tile>.png and TILES/<type>.groups.csv (cluster_label, img_path); prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from pathosig import Study
from pathosig.core.records import read_json
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.encoder.reading import opened_tiles, read_tile_table, specimen_facts
from pathosig.synthetic.truth import true_tile_labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--purity", type=float, default=0.6)
    given = parser.parse_args()
    study = Study.open(given.study)
    types = read_json(study.paths.truth)["types"]
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for specimen in study.specimens():
        path = study.paths.tiles(specimen.id)
        where = read_slide_tiles(path)
        area = true_tile_labels(study, specimen, where.xy, where.side)
        rows = np.flatnonzero(area.max(axis=1) >= given.purity)
        with opened_tiles(specimen_facts(specimen), read_tile_table(path), rows=rows) as blocks:
            pixels = [tile for block in blocks for tile in block]
        for row, tile in zip(rows, pixels, strict=True):
            name, kind = f"{specimen.id}_{row:05d}.png", types[int(area[row].argmax())]
            (given.tiles / kind).mkdir(parents=True, exist_ok=True)
            small = Image.fromarray(tile).resize((given.side, given.side), Image.Resampling.BOX)
            small.save(given.tiles / kind / name)
            groups[kind].append((specimen.patient_id, name))
    for kind, members in groups.items():
        with (given.tiles / f"{kind}.groups.csv").open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([("cluster_label", "img_path"), *members])
    counts = {kind: len(members) for kind, members in groups.items()}
    print(json.dumps({"benchmark": "painted_tiles", "side_px": given.side, "tiles": counts}))


if __name__ == "__main__":
    main()

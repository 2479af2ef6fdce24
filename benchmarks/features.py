"""Embed a folder of labelled tiles, for benchmarks and for `pathosig simulate --features`.

    python benchmarks/features.py TILES OUT.npy [--encoder efficientnet-lite0]

TILES holds one folder per class and, where tiles belong to groups that must not be split (patients,
augmented copies), <class>.groups.csv with columns cluster_label and img_path. Writes float32[n, d] to
OUT.npy and the columns label and group to OUT.labels.csv.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from pathosig.encoder import load_encoder


def tile_files(folder: Path, *, shared_groups: bool = False) -> list[tuple[Path, str, str]]:
    """(file, label, group) of every tile, in a fixed order; a group of one name is one over all classes if shared."""
    found = []
    for kind in sorted(p for p in folder.iterdir() if p.is_dir()):
        table = folder / f"{kind.name}.groups.csv"
        groups = {}
        if table.is_file():
            with table.open(newline="", encoding="utf-8") as handle:
                groups = {Path(r["img_path"]).name: r["cluster_label"] for r in csv.DictReader(handle)}
        for path in sorted(kind.iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff"):
                group = groups.get(path.name, path.stem)
                found.append((path, kind.name, group if shared_groups else f"{kind.name}/{group}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--shared-groups", action="store_true", help="groups hold several classes: patients")
    given = parser.parse_args()
    from pathosig.encoder.engines import EnginePlan, engine_of

    encoder = load_encoder(given.encoder)
    run = engine_of(encoder, EnginePlan(engine="ort", device="cpu", batch_size=32, size_px=given.side))
    files = tile_files(given.tiles, shared_groups=given.shared_groups)
    rows = []
    for start in range(0, len(files), 32):
        tiles = [np.asarray(Image.open(p).convert("RGB").resize((given.side, given.side), Image.Resampling.BOX))
                 for p, _, _ in files[start : start + 32]]  # fmt: skip
        rows.append(run(np.stack(tiles)))
    np.save(given.out, np.concatenate(rows).astype(np.float32))
    with given.out.with_suffix(".labels.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["label", "group"])
        writer.writerows([label, group] for _, label, group in files)
    print(f"{len(files)} tiles of {len({f[1] for f in files})} classes")


if __name__ == "__main__":
    main()

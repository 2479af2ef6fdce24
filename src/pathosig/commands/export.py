"""Exports to formats of other tools: AnnData, SpatialData, QuPath GeoJSON, HDF5, CSV, TissUUmaps.

Exports are copies for other programs, not stages: they go to a separate folder, have no record and are never read back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pathosig.commands.export_anndata import tiles_object, write_h5ad, write_profiles
from pathosig.commands.export_csv import write_tables, write_tiles
from pathosig.core.errors import InputError
from pathosig.core.labels import PhenotypeNames, read_names
from pathosig.core.overlay import read_overlay
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.qupath import tile_collection
from pathosig.core.records import atomic_path, read_json, write_text
from pathosig.core.showing import Shown
from pathosig.core.study import Specimen, Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.core.words import counted
from pathosig.figures.palette import hpc_colours, rgb
from pathosig.figures.style import coarse_name, hpc_name
from pathosig.signature.contributions import signature_weights
from pathosig.signature.model import Signature

if TYPE_CHECKING:
    import anndata

Format = Literal["anndata", "spatialdata", "geojson", "h5", "csv", "tissuumaps"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport(Shown):
    """What was written.

    Attributes
    ----------
    format, folder
        The format, and the folder that holds the files.
    files
        Names relative to the folder.
    skipped
        Slides that lack the tables this format needs.
    """

    format: str
    folder: str
    files: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def to_text(self) -> str:
        """The report in one line."""
        lost = (
            f"; {counted(len(self.skipped), 'slide lacks', 'slides lack')} the tables it needs"
            if self.skipped
            else ""
        )
        return f"{self.format}: {counted(len(self.files), 'file')} in {self.folder}{lost}"


def export(study: Study, *, to: Format, out: Path | None = None) -> ExportReport:
    """Write the study's results for another tool.

    Parameters
    ----------
    study
        An open study, which is not changed.
    to
        anndata: profiles, and one file of tiles per slide (.h5ad). spatialdata: one store per slide with tiles,
        tissue, overview and table (.zarr). geojson: one file per slide of coloured tiles for QuPath. h5: one file per slide
        with coords, features and HPCs in the layout of CLAM and TRIDENT. csv: profiles, scores, signature and tiles as
        plain tables. tissuumaps: one project per slide.
    out
        Folder to write to; export/<format> in the study by default.

    Returns
    -------
    ExportReport
        The files that were written, and the slides that were skipped.

    Raises
    ------
    InputError
        E_NOTHING if the study has no results yet that this format can hold.
    """
    folder = Path(out) if out is not None else study.root / "export" / to
    tables, per_slide = {
        "anndata": (_anndata_profiles, _anndata_tiles),
        "geojson": (None, _geojson_tiles),
        "h5": (None, _h5_tiles),
        "csv": (write_tables, _csv_tiles),
        "spatialdata": (None, _spatialdata),
        "tissuumaps": (None, _tissuumaps),
    }[to]
    files: list[Path] = list(tables(study, folder)) if tables is not None else []
    skipped = []
    for specimen in study.specimens():
        tiles = _tiles(study, specimen)
        if tiles is None:
            skipped.append(specimen.id)
            continue
        files += per_slide(study, specimen, tiles, folder)
    if not files:
        message = (
            f"study {study.root.name}: there are no tiles and no profiles to export. Run "
            "`pathosig run` first."
        )
        raise InputError(message, code="E_NOTHING")
    if to == "geojson":
        files.append(folder / "load_tiles.groovy")
        write_text(files[-1], GROOVY)
    names = tuple(sorted(p.relative_to(folder).as_posix() for p in files))
    return ExportReport(format=to, folder=str(folder), files=names, skipped=tuple(skipped))


@dataclass(frozen=True, kw_only=True)
class _Tiles:
    """Tiles of one slide with the colours and names of HPCs and coarse groups."""

    columns: Mapping[str, np.ndarray]
    corners: np.ndarray
    width: int
    colours: Sequence[str]
    names: PhenotypeNames
    weights: np.ndarray | None


def _weights(study: Study, k: int) -> np.ndarray | None:
    """What a tile of each HPC adds to the score; None if the study has no signature or its terms are not HPCs."""
    if not study.paths.signature.is_file():
        return None
    return signature_weights(Signature.load(study.paths.signature), k)


def _tiles(study: Study, specimen: Specimen) -> _Tiles | None:
    overlay = read_overlay(study, specimen)
    if overlay is None:
        return None
    path = study.paths.tree
    tree = PhenotypeTree.read(path) if path.is_file() else PhenotypeTree(k=0)
    k = max(tree.k, int(overlay.columns["hpc"].max(initial=-1)) + 1)
    colours = hpc_colours(k, artefacts=tree.artefacts, linkage=tree.linkage)
    return _Tiles(
        columns=overlay.columns,
        corners=overlay.corners,
        width=overlay.tile_px,
        colours=colours,
        names=read_names(study),
        weights=_weights(study, k),
    )


def _embedding(study: Study, specimen: Specimen) -> np.ndarray | None:
    path = study.paths.embeddings(specimen.id)
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None


def _name(hpc: int, names: PhenotypeNames) -> str:
    return f"{hpc_name(hpc)} {names.hpcs.get(hpc, '')}".rstrip() if hpc >= 0 else "unassigned"


def _group_name(group: int, names: PhenotypeNames) -> str:
    return f"{coarse_name(group)} {names.coarse.get(group, '')}".rstrip() if group >= 0 else "unassigned"


# -- anndata ----------------------------------------------------------------------------------


def _anndata_profiles(study: Study, folder: Path) -> Iterator[Path]:
    path = study.paths.tree
    tree = PhenotypeTree.read(path) if path.is_file() else PhenotypeTree(k=0)
    yield from write_profiles(
        study, folder, hpc_colours(tree.k, artefacts=tree.artefacts, linkage=tree.linkage)
    )


def _anndata_tiles(study: Study, specimen: Specimen, tiles: _Tiles, folder: Path) -> list[Path]:
    data = _object(study, specimen, tiles)
    return [write_h5ad(data, _path(study, folder / "tiles", specimen, ".h5ad"))]


def _object(study: Study, specimen: Specimen, tiles: _Tiles) -> anndata.AnnData:
    return tiles_object(
        specimen,
        tiles.columns,
        _embedding(study, specimen),
        names=[_name(h, tiles.names) for h in range(len(tiles.colours))],
        groups=[_group_name(int(g), tiles.names) for g in tiles.columns["coarse"]],
        colours=list(tiles.colours),
        weights=tiles.weights,
        width=tiles.width,
    )


def _spatialdata(study: Study, specimen: Specimen, tiles: _Tiles, folder: Path) -> list[Path]:
    from pathosig.commands.export_spatialdata import write_spatialdata

    path = _path(study, folder, specimen, ".zarr")
    return [write_spatialdata(study, specimen, _object(study, specimen, tiles), path)]


def _centres(tiles: _Tiles) -> np.ndarray:
    return tiles.corners + tiles.width / 2


def _path(study: Study, folder: Path, specimen: Specimen, suffix: str) -> Path:
    return folder / study.file("tiles", specimen.id, suffix).name


# -- QuPath, HDF5, CSV, TissUUmaps --------------------------------------------------------------


def _geojson_tiles(study: Study, specimen: Specimen, tiles: _Tiles, folder: Path) -> list[Path]:
    hpc = tiles.columns["hpc"].astype(int).tolist()
    measured: dict[str, list[float | None]] = {
        "confidence": [round(float(c), 4) for c in tiles.columns["confidence"]],
        "coarse group": [float(g) if g >= 0 else None for g in tiles.columns["coarse"]],
    }
    if tiles.weights is not None:
        weights = tiles.weights.round(6).tolist()
        measured["risk contribution"] = [weights[h] if h >= 0 else None for h in hpc]
    collection = tile_collection(
        tiles.corners,
        tiles.width,
        names=[_name(h, tiles.names) for h in hpc],
        colours=[rgb(tiles.colours[h]) if h >= 0 else (160, 160, 160) for h in hpc],
        measurements=measured,
    )
    path = _path(study, folder, specimen, ".geojson")
    write_text(path, json.dumps(collection, separators=(",", ":"), sort_keys=True) + "\n")
    return [path]


GROOVY = """// QuPath 0.5 or later: Automate > Script editor, open the image, run. Loads the tiles that pathosig exported for it.
// Then Measure > Show measurement maps colours them by 'risk contribution'.
def folder = qupath.fx.dialogs.FileChoosers.promptForDirectory('Folder of the exported .geojson files', null)
if (folder == null) { return }
def name = GeneralTools.stripExtension(getProjectEntry()?.getImageName() ?: getCurrentServer().getMetadata().getName())
def file = new File(folder, name + '.geojson')
if (!file.exists()) { Dialogs.showErrorMessage('pathosig', 'There is no file ' + file); return }
removeObjects(getTileObjects(), true)
addObjects(qupath.lib.io.PathIO.readObjects(file.toPath()))
fireHierarchyUpdate()
"""


def _h5_tiles(study: Study, specimen: Specimen, tiles: _Tiles, folder: Path) -> list[Path]:
    import h5py

    path = _path(study, folder, specimen, ".h5")
    embedding = _embedding(study, specimen)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        data = file.create_dataset("coords", data=tiles.corners)
        data.attrs["patch_size_level0"] = tiles.width
        data.attrs["name"] = specimen.id
        facts = read_slide_tiles(study.paths.tiles(specimen.id)).facts
        for key, value in (("patch_size", facts.size_px), ("mpp", facts.mpp)):
            if value is not None:
                data.attrs[key] = value
        if embedding is not None:
            card_path = study.paths.encoder_card
            card = read_json(card_path) if card_path.is_file() else {}
            for key, name in (("name", "encoder"), ("weights_sha256", "weights_sha256")):
                if key in card:
                    file.attrs[name] = str(card[key])
            file.create_dataset("features", data=np.asarray(embedding), compression="gzip")
        for name in ("hpc", "coarse", "confidence"):
            file.create_dataset(name, data=tiles.columns[name])
    return [path]


def _csv_tiles(study: Study, specimen: Specimen, tiles: _Tiles, folder: Path) -> list[Path]:
    return [write_tiles(tiles.columns, _path(study, folder / "tiles", specimen, ".csv"))]


def _tissuumaps(study: Study, specimen: Specimen, tiles: _Tiles, folder: Path) -> list[Path]:
    centres = _centres(tiles)
    table = _path(study, folder, specimen, ".csv")
    rows = (
        {
            "x": float(x),
            "y": float(y),
            "hpc": _name(int(h), tiles.names),
            "coarse": _group_name(int(g), tiles.names),
            "color": tiles.colours[h] if h >= 0 else "#A0A0A0",
        }
        for (x, y), h, g in zip(
            centres, tiles.columns["hpc"].tolist(), tiles.columns["coarse"].tolist(), strict=True
        )
    )
    write_csv_rows(table, rows, ["x", "y", "hpc", "coarse", "color"])
    header = {
        "X": "x",
        "Y": "y",
        "gb_col": "hpc",
        "gb_name": "hpc",
        "cb_col": "color",
        "shape_fixed": "square",
    }
    markers = {
        "title": "HPCs",
        "comment": f"Tiles of {specimen.id}",
        "path": table.name,
        "uid": "hpcs",
        "expectedHeader": {**header, "scale_factor": "1", "opacity": "0.5"},
        "expectedRadios": {"cb_col": True, "cb_gr": False, "shape_fixed": True},
    }
    project = {
        "filename": specimen.id,
        "layers": [{"name": specimen.path.name, "tileSource": f"{specimen.path.name}.dzi"}],
        "markerFiles": [markers],
        "regionFiles": [],
    }
    path = _path(study, folder, specimen, ".tmap")
    write_text(path, json.dumps(project, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return [table, path]

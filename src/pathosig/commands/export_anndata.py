"""Profiles and tiles as AnnData objects, with numeric columns, HPCs as coloured categories and a description of each feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig.core.names import file_stem
from pathosig.core.records import atomic_path, read_parquet
from pathosig.core.tables import read_csv_rows
from pathosig.figures.style import hpc_name
from pathosig.signature.model import Signature

if TYPE_CHECKING:
    import anndata

    from pathosig.core.study import Specimen, Study

NOT_FEATURES = ("slide_id", "patient_id", "n_slides", "n_tiles")


def profile_tables(study: Study) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield ``patients`` and ``slides``, each with its table of profiles if the study has one."""
    for name, path in (("patients", study.paths.patient_profiles), ("slides", study.paths.slide_profiles)):
        if path.is_file():
            yield name, read_parquet(path).to_pandas()


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Copy a table: text columns that are entirely numeric become numbers, other text becomes a category if values repeat, and ids stay text.

    Examples
    --------
    >>> table = typed(pd.DataFrame({"patient_id": ["001"], "score": ["0.5"], "group": ["high"]}))
    >>> table["score"].dtype, table["patient_id"].iloc[0], str(table["group"].dtype)
    (dtype('float64'), '001', 'category')
    """
    out = table.copy()
    for column in out.columns:
        if out[column].dtype.kind in "biuf":
            continue
        text = out[column].astype("string").fillna("").astype(str)
        numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
        if column in NOT_FEATURES:
            out[column] = text
        elif (text != "").any() and numbers.notna().sum() == (text != "").sum():
            out[column] = numbers.astype(float)
        else:
            out[column] = pd.Categorical(text) if text.nunique() < len(text) or column == "group" else text
    return out


def describe_features(study: Study, features: list[str], colours: Mapping[str, str]) -> pd.DataFrame:
    """One row per feature: kind, its HPCs, colour, hazard ratio and q of the univariate screen, selection and weight."""
    signature = _signature(study)
    weights = {} if signature is None else dict(zip(signature.hpcs, signature.coef, strict=True))
    path = study.paths.univariate
    screen = {r["feature"]: r for r in read_csv_rows(path)} if path.is_file() else {}

    def screened(key: str) -> list[float]:
        return [_number(screen[f][key]) if f in screen else np.nan for f in features]

    return pd.DataFrame(
        {
            "kind": pd.Categorical([_kind(f) for f in features], categories=["leaf", "node", "feature"]),
            "leaves": [screen[f]["leaves"] if f in screen else "" for f in features],
            "color": [colours.get(f, "") for f in features],
            "hr": screened("hr"),
            "q": screened("q"),
            "selected": [f in weights for f in features],
            "weight": [float(weights.get(f, 0.0)) for f in features],
        },
        index=pd.Index(features, dtype=str, name="feature"),
    )


def _kind(feature: str) -> str:
    return "leaf" if feature.startswith("hpc_") else "node" if feature.startswith("node_") else "feature"


def _number(text: str) -> float:
    return float(text) if text else np.nan


def _signature(study: Study) -> Signature | None:
    return Signature.load(study.paths.signature) if study.paths.signature.is_file() else None


def write_profiles(study: Study, folder: Path, colours: list[str]) -> Iterator[Path]:
    """Write profiles of patients and of slides, pooled and by cohort, with clinical columns and scores."""
    import anndata

    scores = pd.DataFrame(read_csv_rows(study.paths.scores)) if study.paths.scores.is_file() else None
    clinical = study.patients() if study.paths.patients.is_file() else None
    by_feature = {f"hpc_{h:02d}": colour for h, colour in enumerate(colours)}
    for name, table in profile_tables(study):
        key = "patient_id" if name == "patients" else "slide_id"
        ids = [c for c in NOT_FEATURES if c in table]
        features = [c for c in table.columns if c not in ids]
        obs = table[ids]
        for extra in (clinical, scores):
            if extra is not None:
                fresh = extra[["patient_id", *(c for c in extra if c not in obs.columns)]]
                obs = obs.merge(fresh, on="patient_id", how="left")
        obs = typed(obs)
        obs.index = pd.Index(obs[key].astype(str), name="id")
        data = anndata.AnnData(
            X=table[features].to_numpy(np.float64),
            obs=obs,
            var=describe_features(study, features, by_feature),
        )
        signature = _signature(study)
        if signature is not None:
            data.uns["signature"] = {
                "endpoint": signature.endpoint,
                "cutoff": signature.cutoff,
                "equation": signature.equation(),
            }
        yield write_h5ad(data, folder / f"profiles_{name}.h5ad")
        cohorts = sorted(obs["cohort"].astype(str).unique()) if "cohort" in obs else []
        for cohort in cohorts if len(cohorts) > 1 else ():
            subset = data[(obs["cohort"].astype(str) == cohort).to_numpy()].copy()
            yield write_h5ad(subset, folder / f"profiles_{name}_{_file_name(cohort)}.h5ad")


def _file_name(cohort: str) -> str:
    return file_stem(cohort, frozenset())


def tiles_object(
    specimen: Specimen,
    columns: Mapping[str, np.ndarray],
    embedding: np.ndarray | None,
    *,
    names: list[str],
    groups: list[str],
    colours: list[str],
    weights: np.ndarray | None,
    width: int,
) -> anndata.AnnData:
    """Tiles of one slide as an AnnData object that scanpy and squidpy can plot.

    Parameters
    ----------
    specimen
        The slide or core.
    columns
        Columns of its tile table, among them tile_id, x, y (level-0 pixels, top left corner) and hpc.
    embedding
        Embeddings [n, d] in the order of the tiles, or None.
    names
        Name of each HPC.
    groups
        Name of the coarse group of each tile.
    colours
        Colour of each HPC as ``#rrggbb``.
    weights
        What a tile of each HPC adds to the score, or None.
    width
        Side of a tile in level-0 pixels.

    Returns
    -------
    anndata.AnnData
        Embeddings in X; HPC and coarse group as categories in obs; centres of the tiles in ``obsm["spatial"]``.
    """
    import anndata

    n = len(columns["tile_id"])
    matrix = np.zeros((n, 0), np.float32) if embedding is None else np.asarray(embedding, np.float32)
    obs = pd.DataFrame({k: v for k, v in columns.items() if k not in ("x", "y", "hpc", "coarse")})
    obs.index = pd.Index(obs["tile_id"].astype(str), name="tile")
    hpc = columns["hpc"]
    obs["hpc"] = pd.Categorical.from_codes(hpc, [hpc_name(h) for h in range(len(names))])
    obs["hpc_name"] = pd.Categorical([names[h] if h >= 0 else "unassigned" for h in hpc])
    obs["coarse_name"] = pd.Categorical(groups)
    if weights is not None:
        obs["risk_contribution"] = np.where(hpc >= 0, weights[hpc], np.nan)
    data = anndata.AnnData(
        X=matrix, obs=obs, var=pd.DataFrame(index=[f"e{i}" for i in range(matrix.shape[1])])
    )
    data.obsm["spatial"] = np.stack([columns["x"], columns["y"]], 1).astype(float) + width / 2
    data.uns["hpc_colors"] = np.array(colours, dtype=str)
    scale = {"spot_diameter_fullres": float(width), "tissue_hires_scalef": 1.0}
    data.uns["spatial"] = {specimen.id: {"images": {}, "scalefactors": scale, "metadata": {}}}
    data.uns |= {"slide_id": specimen.id, "patient_id": specimen.patient_id, "tile_level0_px": width}
    return data


def write_h5ad(data: anndata.AnnData, path: Path) -> Path:
    """Write the object compressed, replacing an earlier file only once it is complete."""
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary, compression="gzip")
    return path

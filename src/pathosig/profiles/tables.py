"""Outside feature tables as profiles: reading them, and rules fitted on discovery patients only."""

from __future__ import annotations

import difflib
import fnmatch
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.records import read_parquet
from pathosig.core.tables import read_csv_rows

_MISSING = {"", "na", "nan", "n/a", "#n/a", "null", "none", "."}
_ID_LIKE = re.compile(r"(^|[ _.-])(id|ids|uuid|barcode|index|map)$", re.IGNORECASE)
_OUTCOME_LIKE = re.compile(
    r"(^|[ _.-])(os|dfs|pfs|dss|dfi|pfi|rfs|efs|ttp|mfs|css|event|death|dead|died|vital|status|followup"
    r"|follow[ _.-]up|last[ _.-]contact|survival|recurrence|relapse|progression|new[ _.-]tumor"
    r"|date|year|dx|birth|diagnosis|days[ _.-]to)([ _.-]|\d|$)",
    re.IGNORECASE,
)
_EXAMPLES = 5
_THE_SAME = 0.995


def read_features(
    path: Path,
    patient_ids: Collection[str],
    *,
    patient_column: str | None = None,
    columns: Sequence[str] = (),
    leave_out: Collection[str] = (),
) -> pd.DataFrame:
    """An outside table as slide rows: slide_id, patient_id and numeric features with NaN where missing.

    Parameters
    ----------
    path
        CSV (also .tsv, .txt), Parquet or h5ad; one or several rows a patient.
    patient_ids
        Ids of patients.csv; rows of others are left out with a warning.
    patient_column
        Column with patient ids; else ``patient_id``, else the one that fits patients.csv best.
    columns
        Names or patterns (``*_HE``) of the features; every numeric column otherwise, except ids, the columns of
        `leave_out` and columns whose name says they hold an outcome.
    leave_out
        Columns that are never features (those of patients.csv).

    Raises
    ------
    InputError
        If no patient id fits, or no feature is left.
    """
    table = _read(path)
    key = patient_column or _patient_column(table, patient_ids, path.name)
    if key not in table:
        message = f"{path.name}: no column {key!r}; found {list(table.columns)[:12]}."
        raise InputError(message)
    ids = table[key].astype(str).str.strip()
    known = ids.isin(set(patient_ids)).to_numpy()
    if not known.any():
        raise InputError(_no_overlap(path.name, key, ids, patient_ids), code="E_NO_OVERLAP")
    if not known.all():
        strangers = sorted(set(ids[~known]))
        text = f"{path.name}: {len(strangers)} patients are not in patients.csv and are left out: {strangers[:5]}."
        warnings.warn(PathosigWarning(text, code="W_UNMATCHED"), stacklevel=2)
    rest = [c for c in table.columns if c not in {key, "slide_id", "n_tiles", *leave_out}]
    names = _chosen(rest, columns, path.name)
    numbers = {c: v for c in names if (v := _numeric(table[c])) is not None}
    if not numbers:
        message = (
            f"{path.name}: no numeric feature column left; looked at {names[:10]}. Name them with --columns."
        )
        raise InputError(message)
    slide = (
        table["slide_id"].astype(str) if "slide_id" in table else [f"row_{i + 1}" for i in range(len(table))]
    )
    facts: dict[str, Any] = {"slide_id": list(slide), "patient_id": list(ids)}
    facts["n_tiles"] = _numeric(table["n_tiles"]) if "n_tiles" in table else np.zeros(len(table))
    out = pd.DataFrame({**facts, **numbers})[known].reset_index(drop=True)
    if out["slide_id"].duplicated().any():
        out["slide_id"] = [f"{s}:{i + 1}" for i, s in enumerate(out["slide_id"])]
    return out.sort_values(["patient_id", "slide_id"]).reset_index(drop=True)


def feature_table(source: Any) -> pd.DataFrame:
    """Rows of features from whatever holds them; numbers as numbers, ids as text.

    Parameters
    ----------
    source
        A DataFrame (returned as it is), an ``anndata.AnnData`` (`X` and the columns of `obs`), or the path of a CSV, Parquet or
        h5ad file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "var_names") and hasattr(source, "obs"):
        return _from_anndata(source)
    table = _read(Path(source))
    ids = [c for c in ("patient_id", "slide_id") if c in table]
    numbers = {c: v for c in table.columns.difference(ids) if (v := _numeric(table[c])) is not None}
    return table.assign(**numbers, **{c: table[c].astype(str) for c in ids})


def feature_names(table: pd.DataFrame) -> list[str]:
    """Numeric columns that are features: no ids, no counts of slides and tiles, nothing named like an outcome (warns)."""
    others = {"patient_id", "slide_id", "n_slides", "n_tiles"}
    return _chosen([str(c) for c in table.select_dtypes("number") if c not in others], (), "features")


def _read(path: Path) -> pd.DataFrame:
    kind = path.suffix.lower()
    if kind == ".parquet":
        return read_parquet(path).to_pandas()
    if kind == ".h5ad":
        return _read_h5ad(path)
    return pd.DataFrame(read_csv_rows(path))


def _read_h5ad(path: Path) -> pd.DataFrame:
    import anndata

    try:
        data = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        message = f"{path.name}: not a readable h5ad file ({error})."
        raise InputError(message) from error
    return _from_anndata(data)


def _from_anndata(data: Any) -> pd.DataFrame:
    matrix = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    features = pd.DataFrame(matrix, columns=[str(v) for v in data.var_names])
    obs = data.obs.reset_index(names="slide_id" if "slide_id" not in data.obs else "obs_name")
    return pd.concat([obs, features], axis=1)


def _patient_column(table: pd.DataFrame, patient_ids: Collection[str], name: str) -> str:
    if "patient_id" in table:
        return "patient_id"
    wanted = set(patient_ids)
    text = [c for c in table.columns if not pd.api.types.is_float_dtype(table[c])]
    fit = {c: len(wanted & set(table[c].astype(str).str.strip())) for c in text}
    best = max(fit, key=lambda c: fit[c], default="")
    if not best or not fit[best]:
        first = text[0] if text else ""
        ids = table[first].astype(str) if first else pd.Series([], dtype=str)
        raise InputError(_no_overlap(name, first or "(none)", ids, patient_ids), code="E_NO_OVERLAP")
    return str(best)


def _no_overlap(name: str, column: str, found: pd.Series, wanted: Collection[str]) -> str:
    here, there = sorted(set(found))[:_EXAMPLES], sorted(wanted)[:_EXAMPLES]
    near = [f"{a} ~ {m[0]}" for a in here if (m := difflib.get_close_matches(a, sorted(wanted), n=1))]
    return (
        f"{name}: no value of column {column!r} is a patient_id of patients.csv. Here: {here}; there: {there}; "
        f"nearest: {near or 'none'}. Name the column with --patient-column, or mend the ids."
    )


def _chosen(names: Sequence[str], patterns: Sequence[str], table: str) -> list[str]:
    if patterns:
        chosen = [n for n in names if any(n == p or fnmatch.fnmatchcase(n, p) for p in patterns)]
        if not chosen:
            message = f"{table}: no column fits {list(patterns)[:5]}; found {list(names)[:10]}."
            raise InputError(message)
        return chosen
    outcome = [n for n in names if _OUTCOME_LIKE.search(n)]
    if outcome:
        text = (
            f"{table}: {len(outcome)} columns look like outcomes or dates and are not used as features: {outcome[:30]}. "
            "If one is a feature, name the features with --columns."
        )
        warnings.warn(PathosigWarning(text, code="W_OUTCOME_LIKE"), stacklevel=3)
    return [n for n in names if n not in set(outcome) and not _ID_LIKE.search(n)]


def _numeric(column: pd.Series) -> np.ndarray | None:
    """Values as float with NaN where missing; None when a filled cell is no number, or none is filled."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(float)
    else:
        cells = [str(c).strip() for c in column]
        try:
            values = np.array([np.nan if c.lower() in _MISSING else _number(c) for c in cells])
        except ValueError:
            return None
    values = np.where(np.isfinite(values), values, np.nan)
    return values if np.isfinite(values).any() else None


def _number(text: str) -> float:
    return float(text.replace(",", ".")) if "," in text and "." not in text else float(text)


def without_clinical(
    slides: pd.DataFrame, patients: pd.DataFrame, facts: Collection[str], *, table: str
) -> pd.DataFrame:
    """The features without those that repeat a numeric column of patients.csv under another name or in another unit.

    An outcome, an age or a stage in the feature table would let the clinical data predict themselves. Days to birth are an
    age: what correlates with a column above .995 (absolute) is taken to be that column.

    Parameters
    ----------
    slides, patients
        Slide rows with features; patients.csv.
    facts
        Columns that are not features.
    table
        Name for the warning.
    """
    clinical = patients.set_index("patient_id").select_dtypes("number")
    same: dict[str, str] = {}
    for name in [c for c in slides.columns if c not in facts]:
        values = slides[name].to_numpy(float)
        for column in clinical.columns:
            other = slides["patient_id"].map(clinical[column]).to_numpy(float)
            both = np.isfinite(values) & np.isfinite(other)
            if min(len(np.unique(v[both])) for v in (values, other)) > 5 and both.sum() >= 10:
                r = np.corrcoef(values[both], other[both])[0, 1]
                if abs(r) > _THE_SAME:
                    same[name] = str(column)
                    break
    if same:
        text = f"{table}: {len(same)} features repeat columns of patients.csv (|r| > {_THE_SAME}) and are not used: {same}."
        warnings.warn(PathosigWarning(text, code="W_CLINICAL_FEATURE"), stacklevel=2)
    return slides.drop(columns=list(same))


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRules:
    """How raw features become profiles: fill, centre, scale, fitted once and stored.

    Attributes
    ----------
    columns
        Features kept, in order.
    fill
        What replaces a missing value (median of the patients it was fitted on).
    center, scale
        Mean and standard deviation of the filled values.
    dropped
        Column -> why it is not used.
    """

    columns: tuple[str, ...]
    fill: tuple[float, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    dropped: Mapping[str, str]

    @classmethod
    def fit(cls, raw: pd.DataFrame, columns: Sequence[str], *, max_missing: float = 0.5) -> Self:
        """Rules from raw patient rows (discovery patients only).

        Parameters
        ----------
        raw
            One row per patient, NaN where missing.
        columns
            Candidates among its columns.
        max_missing
            Columns with a larger missing fraction are dropped.

        Raises
        ------
        InputError
            If no usable column is left.
        """
        matrix = raw[list(columns)].to_numpy(float)
        known = np.isfinite(matrix)
        dropped: dict[str, str] = {}
        kept: list[tuple[str, float, float, float]] = []
        for j, name in enumerate(columns):
            missing = 1 - known[:, j].mean()
            if missing > max_missing:
                dropped[name] = f"missing in {missing:.0%} of discovery patients"
                continue
            fill = float(np.median(matrix[known[:, j], j]))
            values = np.where(known[:, j], matrix[:, j], fill)
            spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            if not spread > 1e-12 * max(1.0, abs(float(values.mean()))):
                dropped[name] = "constant in discovery"
                continue
            kept.append((name, fill, float(values.mean()), spread))
        if not kept:
            message = f"features: none of {len(columns)} columns is usable; first reasons {dict(list(dropped.items())[:3])}."
            raise InputError(message)
        names, fill_, center, scale = zip(*kept, strict=True)
        return cls(columns=names, fill=fill_, center=center, scale=scale, dropped=dropped)

    def apply(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Filled z-scores of the kept columns; the same for one patient alone as in a batch."""
        matrix = raw[list(self.columns)].to_numpy(float)
        filled = np.where(np.isfinite(matrix), matrix, np.asarray(self.fill))
        scores = (filled - np.asarray(self.center)) / np.asarray(self.scale)
        return pd.DataFrame(scores, columns=list(self.columns), index=raw.index)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "columns": list(self.columns),
            "fill": list(self.fill),
            "center": list(self.center),
            "scale": list(self.scale),
            "dropped": dict(self.dropped),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        names = ("columns", "fill", "center", "scale")
        return cls(**{k: tuple(value[k]) for k in names}, dropped=dict(value["dropped"]))

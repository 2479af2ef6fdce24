"""Outside tables of features as profiles: reads them, and fits how features are scaled on discovery patients only."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from pathosig.core.columns import read_column
from pathosig.core.errors import InputError, PathosigWarning
from pathosig.core.ids import IdIndex, tcga_patient
from pathosig.core.numbers import Decimal
from pathosig.core.records import read_parquet
from pathosig.core.table_files import read_table
from pathosig.core.words import counted, fold
from pathosig.profiles.feature_columns import choose_features, warn_of_left_out

_EXAMPLES = 5


def read_features(
    path: Path,
    patient_ids: Collection[str],
    *,
    patient_column: str | None = None,
    columns: Sequence[str] = (),
    leave_out: Collection[str] = (),
    missing: Collection[str] = (),
    decimal: Decimal | None = None,
) -> pd.DataFrame:
    r"""Read a table of features from elsewhere.

    Parameters
    ----------
    path
        CSV (also .tsv, .txt), Excel, Parquet or h5ad, with one or several rows for each patient.
    patient_ids
        Ids of patients.csv; rows of other patients are left out with a warning.
    patient_column
        Column with patient ids. By default ``patient_id``, or the column that matches patients.csv best.
    columns
        Names or patterns (``*_HE``) of the features. By default every numeric column, except ids, row numbers, the columns in
        `leave_out` and columns named like an outcome or a date; warnings name the exceptions.
    leave_out
        Columns that are never features (those of patients.csv).
    missing, decimal
        Cells that mean missing, in addition to the usual words; the decimal mark to use where a column does not show it.

    Returns
    -------
    DataFrame
        One row for each row of the table: slide_id, patient_id, n_tiles and the features, NaN where missing.

    Raises
    ------
    InputError
        E_NO_OVERLAP if no patient id matches; E_FEATURE if a column of numbers has an undeclared word; also if no feature is
        left.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "features.csv"
    >>> _ = path.write_text("patient_id,til_density,stroma\nP1,0.4,0.2\nP2,NA,0.3\n")
    >>> read_features(path, ["P1", "P2"])["til_density"].tolist()
    [0.4, nan]
    """
    table = _read(path)
    key = patient_column or _patient_column(table, patient_ids, path.name)
    if key not in table:
        message = f"{path.name}: no column {key!r}; found {list(table.columns)[:12]}."
        raise InputError(message)
    ids = _as_patients(table[key].astype(str).str.strip(), patient_ids, path.name)
    enrolled = ids.isin(set(patient_ids)).to_numpy()
    if not enrolled.any():
        raise InputError(_no_overlap(path.name, key, ids, patient_ids), code="E_NO_OVERLAP")
    if not enrolled.all():
        strangers = sorted(set(ids[~enrolled]))
        text = f"{path.name}: {counted(len(strangers), 'patient who is not in patients.csv is', 'patients who are not in patients.csv are')} left out: {strangers[:5]}."
        warnings.warn(PathosigWarning(text, code="W_UNMATCHED"), stacklevel=2)
    clinical = {fold(c) for c in leave_out}
    rest = [
        c for c in table.columns if c not in {key, "slide_id", "n_tiles"} and fold(str(c)) not in clinical
    ]
    chosen = choose_features(
        table, rest, patterns=columns, source=path.name, missing=frozenset(missing), decimal=decimal
    )
    warn_of_left_out(chosen, path.name)
    numbers = chosen.values
    if not numbers:
        message = f"{path.name}: no numeric feature column is left of {rest[:10]}. Name the features with --columns."
        raise InputError(message)
    slide = (
        table["slide_id"].astype(str) if "slide_id" in table else [f"row_{i + 1}" for i in range(len(table))]
    )
    identity: dict[str, list[str] | np.ndarray] = {"slide_id": list(slide), "patient_id": list(ids)}
    identity["n_tiles"] = _counts(table["n_tiles"], path.name) if "n_tiles" in table else np.zeros(len(table))
    out = pd.concat([pd.DataFrame(identity), pd.DataFrame(dict(numbers))], axis=1)[enrolled].reset_index(
        drop=True
    )
    if out["slide_id"].duplicated().any():
        out["slide_id"] = [f"{s}:{i + 1}" for i, s in enumerate(out["slide_id"])]
    return out.sort_values(["patient_id", "slide_id"]).reset_index(drop=True)


def feature_table(source: Any) -> pd.DataFrame:
    """Features from a DataFrame, an AnnData object or a file, with ids as text.

    Parameters
    ----------
    source
        A DataFrame (returned unchanged), an ``anndata.AnnData`` (`X` and the columns of `obs`), or the path of a CSV, Parquet
        or h5ad file.

    Returns
    -------
    DataFrame

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
    others = [c for c in table.columns if c not in ids]
    read = {
        c: read_column(str(c), list(table[c].astype(str)), none_is_missing=True)
        for c in others
        if not _is_numeric(table[c])
    }
    numbers = {
        c: np.array(v.numbers.values)
        for c, v in read.items()
        if v.numbers is not None and v.numbers.are_all_numbers
    }
    return table.assign(**numbers, **{c: table[c].astype(str) for c in ids})


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))


def feature_names(table: pd.DataFrame) -> list[str]:
    """Numeric columns that are features, with warnings about columns that look like ids, row numbers or outcomes.

    Parameters
    ----------
    table
        Any table; ids and the counts of slides and tiles are never features.

    Returns
    -------
    list of str
    """
    others = {"patient_id", "slide_id", "n_slides", "n_tiles"}
    names = [str(c) for c in table.select_dtypes("number") if c not in others]
    chosen = choose_features(table, names, source="features")
    warn_of_left_out(chosen, "features")
    return list(chosen.values)


def _read(path: Path) -> pd.DataFrame:
    kind = path.suffix.lower()
    if kind == ".parquet":
        return read_parquet(path).to_pandas()
    if kind == ".h5ad":
        return _read_h5ad(path)
    table = read_table(path)
    return pd.DataFrame(table.cells, columns=list(table.columns))


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


def _as_patients(ids: pd.Series, patient_ids: Collection[str], name: str) -> pd.Series:
    """Ids as in patients.csv: TCGA barcodes are cut to the patient and missing leading zeros are added, with a warning."""
    wanted = set(patient_ids)
    if ids.isin(wanted).any():
        return ids
    index = IdIndex(wanted)
    cut = {i: tcga_patient(i) or index.match_number(i) or i for i in ids.unique()}
    changed = [f"{a} is {b}" for a, b in cut.items() if a != b and b in wanted]
    if not changed:
        return ids
    text = f"{name}: {counted(len(changed), 'id is read as that', 'ids are read as those')} of patients.csv: {', '.join(changed[:_EXAMPLES])}."
    warnings.warn(PathosigWarning(text, code="W_IDS"), stacklevel=3)
    return ids.map(cut)


def _counts(column: pd.Series, name: str) -> np.ndarray:
    """Number of tiles of each row, float[n].

    Raises
    ------
    InputError
        If the column does not consist of numbers.
    """
    read = read_column("n_tiles", [str(c).strip() for c in column], none_is_missing=True)
    if read.numbers is None or read.strange:
        raise InputError(
            f"{name}: column n_tiles holds no counts ({list(read.counts)[:3]}); expected whole numbers."
        )
    return np.array(read.numbers.values)


def _no_overlap(name: str, column: str, ids: pd.Series, wanted: Collection[str]) -> str:
    here, there = sorted(set(ids))[:_EXAMPLES], sorted(wanted)[:_EXAMPLES]
    index = IdIndex(wanted)
    near = [f"{a} ~ {close}" for a in here if (close := index.nearest(a))]
    return (
        f"{name}: no value of column {column!r} is a patient_id of patients.csv. This table has {here}; patients.csv has "
        f"{there}; similar ids: {near or 'none'}. Name the column with --patient-column, or correct the ids."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRules:
    """How raw features become profiles: missing values are filled, and features are centred and scaled.

    The numbers are fitted once, on discovery patients, and stored.

    Attributes
    ----------
    columns
        Features that are kept, in order.
    fill
        Value that replaces a missing one: the median of the patients on which the rules were fitted.
    center, scale
        Mean and standard deviation of the filled values.
    dropped
        Column -> why it is not used.

    Examples
    --------
    >>> raw = pd.DataFrame({"grade": [1.0, 2.0, np.nan, 3.0], "ward": 7.0})
    >>> rules = FeatureRules.fit(raw, ["grade", "ward"])
    >>> rules.columns, rules.fill, dict(rules.dropped)
    (('grade',), (2.0,), {'ward': 'constant in discovery'})
    >>> rules.apply(raw)["grade"].round(2).tolist()
    [-1.22, 0.0, 0.0, 1.22]
    """

    columns: tuple[str, ...]
    fill: tuple[float, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    dropped: Mapping[str, str]

    @classmethod
    def fit(cls, raw: pd.DataFrame, columns: Sequence[str], *, max_missing: float = 0.5) -> Self:
        """Fit the rules on raw features of discovery patients.

        Parameters
        ----------
        raw
            One row for each patient, NaN where missing.
        columns
            Columns of `raw` that may be features.
        max_missing
            Columns with a larger proportion of missing values are dropped.

        Raises
        ------
        InputError
            If no usable column is left.
        """
        matrix = raw[list(columns)].to_numpy(float)
        finite = np.isfinite(matrix)
        dropped: dict[str, str] = {}
        kept: list[tuple[str, float, float, float]] = []
        for j, name in enumerate(columns):
            missing = 1 - finite[:, j].mean()
            if missing > max_missing:
                dropped[name] = f"missing in {missing:.0%} of discovery patients"
                continue
            fill = float(np.median(matrix[finite[:, j], j]))
            values = np.where(finite[:, j], matrix[:, j], fill)
            spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            if not spread > 1e-12 * max(1.0, abs(float(values.mean()))):
                dropped[name] = "constant in discovery"
                continue
            kept.append((name, fill, float(values.mean()), spread))
        if not kept:
            message = f"features: none of {len(columns)} columns can be used. The first are: {dict(list(dropped.items())[:3])}."
            raise InputError(message)
        names, fill_, center, scale = zip(*kept, strict=True)
        return cls(columns=names, fill=fill_, center=center, scale=scale, dropped=dropped)

    def apply(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Filled z-scores of the kept columns; a patient has the same values alone and among others."""
        matrix = raw[list(self.columns)].to_numpy(float)
        filled = np.where(np.isfinite(matrix), matrix, np.asarray(self.fill))
        scores = (filled - np.asarray(self.center)) / np.asarray(self.scale)
        return pd.DataFrame(scores, columns=list(self.columns), index=raw.index)

    def to_dict(self) -> dict[str, object]:
        """The rules as plain values that can be written as JSON."""
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

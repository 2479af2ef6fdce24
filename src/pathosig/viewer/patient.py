"""What the viewer shows of one patient: score, contributions of the features, and the curve of the cohort."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from pathosig.core.errors import PathosigError
from pathosig.core.labels import read_names
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.records import read_json, read_parquet
from pathosig.core.tables import read_csv_rows
from pathosig.figures.results import known
from pathosig.figures.style import hpc_name
from pathosig.figures.titles import cohort_title, endpoint_title, risk_label
from pathosig.signature.contributions import signature_weights
from pathosig.signature.model import Signature
from pathosig.validation.results import read_results

if TYPE_CHECKING:
    import pandas as pd

    from pathosig.core.study import Specimen, Study
    from pathosig.validation.results import Results

Panel = dict[str, object]
T = TypeVar("T")


@dataclass(frozen=True)
class PatientFacts:
    """Signature, profiles and validation of a study, each read when it is first asked for."""

    study: Study

    @cached_property
    def signature(self) -> Signature | None:
        """The frozen signature; None without one."""
        path = self.study.paths.signature
        return _or_none(lambda: Signature.load(path)) if path.is_file() else None

    @cached_property
    def validation(self) -> tuple[Results | None, str]:
        """The results of the validation, and why they cannot be read; None and no reason before validation."""
        path = self.study.paths.results
        try:
            return (read_results(path) if path.is_file() else None), ""
        except PathosigError as error:
            return None, f"{error.code}: {error.message}"

    @cached_property
    def profiles(self) -> pd.DataFrame | None:
        """Profiles by patient; None without."""
        path = self.study.paths.patient_profiles
        return read_parquet(path).to_pandas().set_index("patient_id") if path.is_file() else None

    @cached_property
    def frequencies(self) -> dict[str, float]:
        """Feature -> proportion of half-samples of the discovery patients that select it; empty without a selection.

        A stable feature counts as selected in a half-sample if a feature that hardly differs from it is selected there.
        """
        path, chosen = self.study.paths.univariate, self.study.paths.selection
        selection = read_json(chosen) if chosen.is_file() else {}
        rows = read_csv_rows(path) if path.is_file() else []
        single = {r["feature"]: float(r["frequency"]) for r in rows if r.get("frequency")}
        clusters = selection.get("clusters", ())
        return single | {c["representative"]: c["frequency"] for c in clusters if c["selected"]}

    def title(self, feature: str, leaves: Sequence[int]) -> str:
        """A feature as written on screen, with the name that was given to it or to its coarse group."""
        name = hpc_name(int(feature[4:])) if feature.startswith("hpc_") else feature.replace("_", " ")
        path = self.study.paths.tree
        groups = PhenotypeTree.read(path).coarse if path.is_file() else ()
        return f"{name} {read_names(self.study).of(leaves, groups)}".rstrip()

    def weights(self, k: int) -> list[float]:
        """What a tile of each HPC adds to the score; empty without HPCs in the signature."""
        signature = self.signature
        weights = signature_weights(signature, k) if signature is not None else None
        return weights.tolist() if weights is not None else []

    def panel(self, specimen: Specimen) -> Panel:
        """Contributions and curve of the patient of a slide; whatever is missing is left out."""
        panel: Panel = {"patient": specimen.patient_id, "cohort": cohort_title(specimen.cohort or "")}
        if self.signature is not None:
            panel |= {
                "cutoff": self.signature.cutoff,
                "contributions": self._contributions(specimen.patient_id),
            }
        curve, reason = _or_none(lambda: self._curve(specimen)), self.validation[1]
        panel |= {} if curve is None else {"curve": curve}
        return panel | ({"unreadable": reason} if reason else {})

    def _contributions(self, patient: str) -> list[Panel]:
        """Coefficient times (value - centre) of every feature, on the scale of proportions; the largest first."""
        signature, table = self.signature, self.profiles
        if (
            signature is None
            or table is None
            or patient not in table.index
            or signature.transform.scale != "share"
        ):
            return []
        row, out = table.loc[patient], []
        for feature, coef, center in zip(signature.hpcs, signature.coef, signature.center, strict=True):
            leaves = signature.transform.leaves.get(feature, ())
            value = float(sum(row[f"hpc_{h:02d}"] for h in leaves)) if leaves else math.nan
            if math.isfinite(value):
                term = {"name": self.title(feature, leaves), "value": value, "adds": coef * (value - center)}
                out.append(term | {"frequency": self.frequencies.get(feature)})
        return sorted(out, key=lambda c: -abs(float(str(c["adds"]))))

    def _curve(self, specimen: Specimen) -> Panel | None:
        """Kaplan-Meier curves of the patient's cohort, and the patient's own follow-up."""
        endpoint = self.study.primary.endpoint
        results, _ = self.validation
        if results is None:
            return None
        chosen = [a for a in results.analyses if (a.cohort, a.endpoint) == (specimen.cohort, endpoint)]
        km = known(chosen[-1].km) if chosen else None
        if km is None:
            return None
        table = self.study.survival(endpoint)
        rows = table[table["patient_id"] == specimen.patient_id]
        return {
            "endpoint": endpoint_title(endpoint),
            "unit": chosen[-1].unit,
            "groups": [
                {"label": risk_label(g.label), "group": g.label, "time": g.time, "estimate": g.estimate}
                for g in km.groups
            ],
            "time": float(rows["time"].iloc[0]) if len(rows) else None,
            "event": bool(rows["event"].iloc[0]) if len(rows) else None,
        }


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (PathosigError, OSError, KeyError):
        return None

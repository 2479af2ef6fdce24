"""The study class for notebooks: its results as tables, survival curves by any feature, and slides as maps."""

from __future__ import annotations

import collections
import difflib
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathosig import figures, slides
from pathosig.core import study as core
from pathosig.core.errors import ConfigError, InputError, PathosigError
from pathosig.core.labels import read_names
from pathosig.core.overlay import read_overlay
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.showing import table_html
from pathosig.core.words import counted
from pathosig.figures.slides import RiskScale, coarse_legend
from pathosig.figures.style import hpc_name
from pathosig.figures.titles import cohort_title, endpoint_title, variable_title
from pathosig.profiles.reading import read_profiles
from pathosig.profiles.tree import tree_shares
from pathosig.signature.contributions import signature_weights
from pathosig.signature.model import NOT_ASSESSABLE, Signature
from pathosig.signature.reading import read_scores
from pathosig.validation.results import Results, read_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW_LEVELS = 6


class Study(core.Study):
    """An open study folder, with the results of its stages as tables, values and figures.

    Use `Study.open` or `Study.create` to get one.
    """

    def __repr__(self) -> str:
        try:
            text = f"{counted(len(self.slides()), 'slide')}, {counted(len(self.patients()), 'patient')}, endpoints {', '.join(self.endpoints())}"
        except (PathosigError, OSError) as error:
            text = f"not readable: {error}"
        return f"Study({str(self.root)!r}: {text})"

    def _repr_html_(self) -> str:
        try:
            return table_html(f"Study {self.root.name}", *self._cohort_table())
        except (PathosigError, OSError) as error:
            return table_html(f"Study {self.root.name}", ["not readable"], [[error]])

    def _cohort_table(self) -> tuple[list[str], list[list[object]]]:
        counted = collections.Counter(s.cohort for s in self.slides())
        endpoints = list(self.endpoints())
        events = {name: self.survival(name) for name in endpoints}
        rows: list[list[object]] = []
        for cohort in self.cohorts():
            members = set(self.cohort(cohort))
            counts = [int(f.loc[f["patient_id"].isin(members), "event"].sum()) for f in events.values()]
            rows.append([cohort, len(members), counted[cohort], *counts])
        return ["cohort", "patients", "slides", *(f"{name} events" for name in endpoints)], rows

    # -- results of the stages ---------------------------------------------------------------

    def profiles(self) -> pd.DataFrame:
        """One row per patient: patient_id, n_tiles, and every HPC and node, or the outside features.

        Raises
        ------
        InputError
            E_MISSING before `pathosig profiles` has run.
        """
        read = read_profiles(self)
        if read.kind != "composition":
            return read.patients
        nodes = tree_shares(read.patients, read.tree, without=read.artefacts)
        return read.patients.join(nodes[[c for c in nodes.columns if c not in read.patients]])

    def scores(self) -> pd.DataFrame:
        """patient_id, cohort, score, group, core_agreement and more, one row per patient (signature/scores.csv)."""
        return read_scores(self)

    def signature(self) -> Signature:
        """The frozen signature.

        Raises
        ------
        InputError
            E_MISSING before `pathosig signature` has run.
        """
        if not self.paths.signature.is_file():
            raise InputError(
                "signature/signature.json: no such file. Run `pathosig signature` first.", code="E_MISSING"
            )
        return Signature.load(self.paths.signature)

    def results(self) -> Results:
        """All results of `pathosig validate`; `.to_frame()` gives the table of performance.

        Raises
        ------
        InputError
            E_MISSING before `pathosig validate` has run.
        """
        if not self.paths.results.is_file():
            raise InputError(
                "validation/results.json: no such file. Run `pathosig validate` first.", code="E_MISSING"
            )
        return read_results(self.paths.results)

    # -- figures ------------------------------------------------------------------------------

    def km(self, by: str = "group", *, cohort: str | None = None, endpoint: str | None = None) -> Figure:
        """Kaplan-Meier curves of one cohort by a feature, the risk group or a clinical variable.

        Parameters
        ----------
        by
            ``group`` (of the frozen signature), an HPC or node (``hpc_30``, ``node_12``), an outside feature, or a column of
            patients.csv. A numeric variable with more than six different values is cut at its median in discovery.
        cohort, endpoint
            By default, the discovery cohort and the endpoint of the primary analysis.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ConfigError
            If the study has no such feature, cohort or endpoint.
        """
        endpoint = endpoint or self.primary.endpoint
        cohort = cohort or self.primary.discovery
        if cohort not in self.cohorts():
            raise ConfigError(f"no cohort {cohort!r}; the study has {', '.join(self.cohorts())}.")
        values = self._values(by)
        outcome = self.survival(endpoint)
        labels = self._labels(values)
        rows = outcome[outcome["patient_id"].isin(self.cohort(cohort))]
        return figures.km_plot(
            rows["time"].to_numpy(),
            rows["event"].to_numpy(),
            labels.reindex(rows["patient_id"]),
            unit=self.endpoints()[endpoint].unit,
            endpoint=endpoint_title(endpoint),
            title=f"{cohort_title(cohort)}, by {'risk group' if by == 'group' else variable_title(by)}",
        )

    def _values(self, by: str) -> pd.Series:
        """Values of a feature or variable by patient_id."""
        looked: list[str] = []
        for read in (self.scores, self.profiles, self.patients):
            try:
                table = read()
            except (InputError, FileNotFoundError):
                continue
            if by in table.columns:
                return table.set_index("patient_id")[by]
            looked += [str(c) for c in table.columns]
        if by in ("group", "score"):
            raise ConfigError(
                f"no {by}, because the study has no signature: `pathosig status` says why. Patients can be divided by a feature "
                "or variable instead, such as km('hpc_00')."
            )
        padded = re.sub(r"(?<=_)(\d)$", r"0\1", by)  # hpc_1 means hpc_01
        near = [padded] if padded in looked else difflib.get_close_matches(by, looked, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"no feature or variable {by!r}; {hint}There are {', '.join(sorted(set(looked))[:12])} ..."
        )

    def _labels(self, values: pd.Series) -> pd.Series:
        """Group of each patient as an ordered category; a numeric variable is cut at its median in discovery."""
        if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= _FEW_LEVELS:
            labels = values.astype(object).where(values.notna() & ~values.isin(["", NOT_ASSESSABLE]), None)
            present = [level for level in ("low", "high") if (labels == level).any()]
            others = sorted({v for v in labels if v is not None} - set(present), key=str)
            return labels.astype(pd.CategoricalDtype([*present, *others]))
        cut = float(values.reindex(self.cohort(self.primary.discovery)).median())
        levels = [f"≤ {cut:.3g}", f"> {cut:.3g}"]
        labels = pd.Series(np.where(values > cut, levels[1], levels[0]), index=values.index, dtype=object)
        return labels.where(values.notna(), None).astype(pd.CategoricalDtype(levels))

    def map(self, slide_id: str, *, size_px: int = 1200) -> Figure:
        """A slide or core beside its tiles, coloured by HPC and, if there is a signature, by contribution to the score.

        Parameters
        ----------
        slide_id
            Id of the slide in slides.csv; for a core, ``<slide_id>#R-C`` with its row and column.
        size_px
            Longer side of the overview in pixels.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ConfigError
            If there is no such slide.
        InputError
            E_MISSING if its tiles have no HPCs yet.
        """
        specimen = next((s for s in self.specimens() if s.id == slide_id), None)
        if specimen is None:
            near = [s.id for s in self.specimens()][:5]
            raise ConfigError(f"no slide {slide_id!r}; there are {', '.join(near)} ...")
        tiles = read_overlay(self, specimen)
        if tiles is None or not self.paths.assignments(slide_id).is_file():
            raise InputError(
                f"slide {slide_id}: its tiles have no HPCs yet. Run `pathosig phenotypes`.", code="E_MISSING"
            )
        with slides.open_slide(specimen.path, mpp=specimen.mpp, region=specimen.region) as reader:
            overview, downsample = slides.read_overview(reader, 1e-6, max_side=size_px)
            mpp = reader.info.mpp
        tree = PhenotypeTree.read(self.paths.tree)
        shown = figures.SlideMap(
            title=f"Slide {slide_id}, patient {specimen.patient_id}",
            overview=overview,
            x=tiles.columns["x"],
            y=tiles.columns["y"],
            hpc=tiles.columns["hpc"],
            coarse=tiles.columns["coarse"],
            tile_px=float(tiles.tile_px),
            downsample=downsample,
            mpp=mpp,
        )
        colours = figures.hpc_colours(tree.k, artefacts=tree.artefacts, linkage=tree.linkage)
        names = read_names(self)
        weights = signature_weights(self.signature(), tree.k) if self.paths.signature.is_file() else None
        return figures.slide_map(
            [shown],
            colours,
            names={h: f"{hpc_name(h)} {name}" for h, name in names.hpcs.items()},
            groups=coarse_legend(tree, names.coarse),
            risk=None if weights is None else RiskScale(weights=weights),
        )

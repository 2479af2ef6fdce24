"""Compares the results of a finished simulated study with what was planted in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.core.phenotype_tree import PhenotypeTree
from pathosig.core.records import read_json
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.core.showing import Shown
from pathosig.core.study import Specimen, Study
from pathosig.core.tables import read_csv_rows
from pathosig.core.tile_tables import read_slide_tiles
from pathosig.phenotypes.codebook import Codebook
from pathosig.phenotypes.reading import read_embeddings
from pathosig.signature.contributions import signature_weights
from pathosig.signature.model import Signature
from pathosig.survival import bootstrap_c, cox, harrell_c
from pathosig.synthetic.layout import tile_fractions
from pathosig.synthetic.patients import HARMFUL, PROTECTIVE
from pathosig.synthetic.slides_level import read_label_map
from pathosig.validation.results import read_results

_PURE = 0.9
_RESAMPLES = 500


def true_tile_labels(study: Study, specimen: Specimen, xy: np.ndarray, tile: float) -> np.ndarray:
    """Proportion of each planted type in tiles of a slide or core.

    Parameters
    ----------
    study
        A simulated study.
    specimen
        The slide or core.
    xy, tile
        Corners, int[n, 2], and side in level-0 pixels.

    Returns
    -------
    float[n, types]

    Raises
    ------
    InputError
        If the slide has no label map.
    """
    n_types = len(read_json(study.paths.truth)["types"])
    path = study.paths.planted(specimen.slide_id, ".png")
    labels = study.paths.planted(specimen.slide_id, ".npy")
    if labels.is_file():
        return np.eye(n_types)[np.load(labels, allow_pickle=False)]
    if not path.is_file():
        raise InputError(
            f"slide {specimen.slide_id}: no label map in truth/. Only studies from `pathosig simulate` have a truth."
        )
    corner = specimen.region[:2] if specimen.region else (0, 0)  # of a core, to which its tiles are relative
    return tile_fractions(read_label_map(path), xy + np.array(corner), tile, n_types)


@dataclass(frozen=True, kw_only=True)
class TileTruth:
    """Assignments and true types of all tiles of a study, in arrays of length n.

    Attributes
    ----------
    hpc
        HPC that the tile was assigned to.
    group
        Group of the tile when the tree is cut into as many groups as there are planted types.
    kind, purity
        The type that covers the largest area of the tile, and the proportion that it covers.
    discovery
        Whether the patient belongs to the discovery cohort.
    """

    hpc: np.ndarray
    group: np.ndarray
    kind: np.ndarray
    purity: np.ndarray
    discovery: np.ndarray


def tile_truth(study: Study) -> TileTruth:
    """Assignments and true types of every assigned tile.

    Parameters
    ----------
    study
        A simulated study with phenotypes.

    Returns
    -------
    TileTruth

    Raises
    ------
    InputError
        If a slide has no label map.
    """
    codebook = Codebook.load(study.paths.codebook)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for specimen in study.specimens():
        assigned = study.paths.assignments(specimen.id)
        if not assigned.is_file():
            continue
        table = read_table(assigned, ASSIGNMENTS)
        tiles = read_slide_tiles(study.paths.tiles(specimen.id))
        tile_id = table.column("tile_id").to_numpy()
        xy = tiles.xy[tile_id]
        area = true_tile_labels(study, specimen, xy, tiles.side)
        n = len(xy)
        embeddings = np.asarray(read_embeddings(study.paths.embeddings(specimen.id))[tile_id])
        parts.append(
            (
                table.column("hpc").to_numpy(),
                codebook.level_labels(embeddings, area.shape[1]),
                area.argmax(axis=1),
                area.max(axis=1),
                np.full(n, specimen.is_discovery),
            )
        )
    hpc, group, kind, purity, discovery = (np.concatenate(c) for c in zip(*parts, strict=True))
    return TileTruth(hpc=hpc, group=group, kind=kind, purity=purity, discovery=discovery)


def oracle_risk(study: Study, endpoint: str = "os") -> pd.DataFrame:
    """Risk of each patient from a Cox model on the true shares of the two prognostic types, fitted on discovery.

    Parameters
    ----------
    study
        A simulated study.
    endpoint
        Endpoint of the model.

    Returns
    -------
    DataFrame
        One row for each patient: patient_id, cohort, time, event and oracle (the linear predictor).
    """
    truth = read_json(study.paths.truth)
    frame = study.survival(endpoint).merge(study.patients()[["patient_id", "cohort"]], on="patient_id")
    shares = np.array([truth["patients"][p]["shares"] for p in frame["patient_id"]])[:, [HARMFUL, PROTECTIVE]]
    first = (frame["cohort"] == study.primary.discovery).to_numpy()
    fit = cox(shares[first], frame["time"][first], frame["event"][first])
    return frame.assign(oracle=fit.linear_predictor(shares))


def oracle(study: Study, endpoint: str = "os") -> dict[str, float]:
    """C-index of `oracle_risk` in each cohort.

    Parameters
    ----------
    study
        A simulated study.
    endpoint
        Endpoint of the model.

    Returns
    -------
    dict
        Cohort -> C-index.
    """
    frame = oracle_risk(study, endpoint)
    return {
        cohort: harrell_c(rows["oracle"], rows["time"], rows["event"]).c
        for cohort, rows in ((c, frame[frame["cohort"] == c]) for c in study.cohorts())
        if len(rows)
    }


def node_types(study: Study, tiles: TileTruth | None = None) -> dict[str, str]:
    """The planted type of most tiles in each leaf and node of the tree.

    Parameters
    ----------
    study
        A simulated study with phenotypes.
    tiles
        From `tile_truth`, if it has been computed already.

    Returns
    -------
    dict
        Name of a leaf (``hpc_07``) or node (``node_12``) -> name of the type.
    """
    tiles = tiles or tile_truth(study)
    truth = read_json(study.paths.truth)
    tree = PhenotypeTree.read(study.paths.tree)
    k, n_types = tree.k, len(truth["types"])
    table = np.bincount(tiles.hpc.astype(int) * n_types + tiles.kind, minlength=k * n_types).reshape(
        k, n_types
    )
    out = {f"hpc_{i:02d}": truth["types"][int(table[i].argmax())] for i in range(k)}
    for node in tree.nodes:
        out[node.id] = truth["types"][int(table[list(node.leaves)].sum(axis=0).argmax())]
    return out


@dataclass(frozen=True, kw_only=True)
class Comparison(Shown):
    """What was planted in a study, and what its analysis found.

    Attributes
    ----------
    ari_all, ari_pure
        Adjusted Rand index between the planted types and the groups of the tree, cut into as many groups as there are types
        (a tile belongs to the group with the nearest centroid): over all validation tiles, and over those with at least
        90 % of one type.
    selected
        Selected features and the planted type of each. For a completed signature these are the stable nodes, or all terms if
        no node is stable.
    coef
        What a tile of each selected feature adds to the score, averaged over the HPCs of the feature.
    terms
        Number of terms of the signature.
    cohorts, oracle_c
        Validation cohort -> measures of the score as (estimate, lower, upper), and the C-index of the planted risk.
    verdicts
        The sentences at the top of the report.
    """

    types: tuple[str, ...]
    harmful: str
    protective: str
    k: int
    ari_all: float
    ari_pure: float
    selected: dict[str, str] = field(default_factory=dict)
    coef: dict[str, float] = field(default_factory=dict)
    terms: int = 0
    cohorts: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    oracle_c: dict[str, float] = field(default_factory=dict)
    verdicts: tuple[str, ...] = ()
    report: str | None = None

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_text(self) -> str:
        """The table that `pathosig demo` prints."""
        lines = [
            "planted against found",
            f"  phenotypes    {len(self.types)} types planted, {self.k} HPCs found; tree cut to {len(self.types)}: "
            f"ARI {self.ari_pure:.2f} on pure validation tiles, {self.ari_all:.2f} on all",
            f"  planted       {self.harmful} harms, {self.protective} protects",
        ]
        if self.selected:
            shown = ", ".join(
                f"{n} ({kind}, {self.coef.get(n, 0):+.2f})" for n, kind in self.selected.items()
            )
            more = self.terms - len(self.selected)
            lines.append(f"  selected      {shown}" + (f"; {more} more terms complete it" if more else ""))
        else:
            lines.append("  selected      nothing: no signature")
        for cohort, row in self.cohorts.items():
            lines.append(
                f"  {cohort:<14}HR per SD {_ci(row, 'hr')}, high against low {_ci(row, 'hr_group')}, "
                f"C {_ci(row, 'c')} (oracle {self.oracle_c.get(cohort, float('nan')):.2f}, "
                f"difference {_ci(row, 'c_gap')})"
            )
        lines += [f"verdict: {sentence}" for sentence in self.verdicts]
        if self.report:
            lines.append(f"report: {self.report}")
        return "\n".join(lines)


def _ci(row: dict[str, list[float]], key: str) -> str:
    values = row.get(key)
    return "n/a" if not values else f"{values[0]:.2f} ({values[1]:.2f}-{values[2]:.2f})"


def compare_truth(study: Study) -> Comparison:
    """Compare the results of a finished study with what was planted in it.

    Parameters
    ----------
    study
        A simulated study with phenotypes; the signature and the validation are compared if they exist.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the study was not simulated, or has no phenotypes yet.
    """
    from sklearn.metrics import adjusted_rand_score  # takes as long to import as all other modules together

    truth = read_json(study.paths.truth)
    tree = PhenotypeTree.read(study.paths.tree)
    tiles = tile_truth(study)
    held = ~tiles.discovery if (~tiles.discovery).any() else tiles.discovery
    pure = held & (tiles.purity >= _PURE)
    named = node_types(study, tiles)
    coef, terms = _signature(study)
    report = study.paths.report
    return Comparison(
        types=tuple(truth["types"]),
        harmful=truth["harmful"],
        protective=truth["protective"],
        k=tree.k,
        ari_all=float(adjusted_rand_score(tiles.kind[held], tiles.group[held])),
        ari_pure=float(adjusted_rand_score(tiles.kind[pure], tiles.group[pure])),
        selected={name: named.get(name, "?") for name in coef},
        coef=coef,
        terms=terms,
        cohorts=_cohort_rows(study),
        oracle_c=oracle(study),
        verdicts=_verdicts(study),
        report=str(report) if report.is_file() else None,
    )


def _signature(study: Study) -> tuple[dict[str, float], int]:
    """What a tile of each selected feature adds to the score, and the number of terms of the signature."""
    path = study.paths.signature
    if not path.is_file():
        return {}, 0
    signature = Signature.load(path)
    stable = signature.trained_on.details.get("stable")
    weights = signature_weights(signature, signature.transform.k)
    if weights is None:
        return dict(zip(signature.hpcs, signature.coef, strict=True)), len(signature.hpcs)
    leaves = signature.transform.leaves
    coef = {name: float(weights[list(leaves[name])].mean()) for name in stable or signature.hpcs}
    return coef, len(signature.hpcs)


def _verdicts(study: Study) -> tuple[str, ...]:
    path = study.paths.results
    return tuple(v.sentence for v in read_results(path).verdicts) if path.is_file() else ()


def patient_scores(study: Study) -> pd.DataFrame:
    """Frozen scores of a study's patients, with NaN in `score` if a patient cannot be assessed; empty without scores."""
    path = study.paths.scores
    if not path.is_file():
        return pd.DataFrame({"patient_id": [], "core_agreement": []})
    frame = pd.DataFrame(read_csv_rows(path))
    return frame.assign(score=[float(text or "nan") for text in frame["score"]])


def _cohort_rows(study: Study) -> dict[str, dict[str, list[float]]]:
    """HR per SD, HR of groups, C-index and its difference from the oracle's, for each validation cohort.

    All are computed from the frozen scores; the interval of the difference is a paired bootstrap over patients.
    """
    scores = patient_scores(study)
    if scores.empty:
        return {}
    frame = scores.merge(oracle_risk(study, study.primary.endpoint).drop(columns="cohort"), on="patient_id")
    frame = frame.dropna(subset=["score"])
    rng = np.random.default_rng(0)
    sd = float(frame.loc[frame["cohort"] == study.primary.discovery, "score"].std())
    out: dict[str, dict[str, list[float]]] = {}
    for cohort in study.cohorts()[1:]:
        rows = frame[frame["cohort"] == cohort]
        try:
            per_sd = cox(rows["score"].to_numpy() / sd, rows["time"], rows["event"])
            group = cox((rows["group"] == "high").to_numpy(float), rows["time"], rows["event"])
            c = harrell_c(rows["score"], rows["time"], rows["event"])
        except NotEstimableError:
            continue
        drawn = rng.integers(0, len(rows), (_RESAMPLES, len(rows)))
        oracle_c, scored = (
            bootstrap_c(rows[name], rows["time"], rows["event"], drawn) for name in ("oracle", "score")
        )
        gap = harrell_c(rows["oracle"], rows["time"], rows["event"]).c - c.c
        out[cohort] = {
            "c_gap": [gap, *(float(v) for v in np.nanquantile(oracle_c - scored, [0.025, 0.975]))],
            "hr": [float(per_sd.hr[0]), float(per_sd.lower[0]), float(per_sd.upper[0])],
            "hr_group": [float(group.hr[0]), float(group.lower[0]), float(group.upper[0])],
            "c": [c.c, c.lower, c.upper],
        }
    return out

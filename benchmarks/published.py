"""The published procedure beside the recommended one on the same simulated microarray studies. Prints one JSON object as its last line.

    python benchmarks/published.py [--seeds 20] [--tiles 100] [--effect 0.6] [--rows ROWS.jsonl] [--figure FIGURE.svg]

Each study has a discovery cohort of 130 patients, two validation cohorts of 125, two or three cores a patient, 15 % of the patients with
cores that truly differ, and 300 further patients from whom the true hazard ratio of a frozen signature is known. Half the studies have
two tissue types that act on survival (log hazard ratio +-0.6 per SD), half have none. Tiles are drawn from a model of embeddings
(`pathosig simulate --level embeddings`), so that both procedures see the same tiles:

published    K-means with 50 clusters; HPCs with univariate p < .05 together in a Cox model, those with p < .05 there are the signature;
             cut-off the discovery median, or the cut with the lowest p; low, high or heterogeneous by cores.
recommended  Consensus codebook and its tree; the default selection (completed), ridge refit; cut-off the discovery median of the
             patient's score; cores differ where they lie on both sides and sampling within them does not explain it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time as clock
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pathosig.core.errors import NotEstimableError, PathosigWarning
from pathosig.phenotypes import PhenotypeSpec, TrainingTiles, fit_codebook, tree_nodes
from pathosig.profiles.pooling import pool_patients, slide_profiles
from pathosig.signature import Signature, SignatureSpec, TrainingSet, fit_details
from pathosig.signature.cores import paper_groups
from pathosig.signature.scores import TilePlaces, core_table
from pathosig.survival import cox, logrank
from pathosig.survival.agreement import HETEROGENEOUS, core_agreement
from pathosig.synthetic.embeddings_level import FeatureSource
from pathosig.synthetic.patients import draw_outcomes, draw_patients, draw_shares, linear_predictor
from pathosig.synthetic.spec import SimulateSpec

NEW = 300
PATCH = 6
"""Tiles of one type that lie together."""
CONTRAST = 1.6
"""Log odds by which the cores of a heterogeneous patient deviate from the patient, one up and one down."""
COHORTS = ("discovery", "validation_1", "validation_2", "new")
PUBLISHED = {
    "published, median": SignatureSpec(selection="paper", policy="per_core", bootstraps=0),
    "published, lowest p": SignatureSpec(
        selection="paper", policy="per_core", cutoff="maximal", bootstraps=0, permutations=99
    ),
}
RECOMMENDED = {"recommended": SignatureSpec(bootstraps=0)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Core:
    """Tiles of one core: embeddings float32[n, d], places int[n, 2]."""

    patient_id: str
    block: int
    embeddings: np.ndarray
    xy: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedStudy:
    """Cores, outcome (patient_id, cohort, time, event) and the patients whose cores truly differ."""

    cores: tuple[Core, ...]
    outcome: pd.DataFrame
    heterogeneous: frozenset[str]


def simulated_study(seed: int, *, effect: float, tiles: int) -> SimulatedStudy:
    """One study with its truth."""
    spec = SimulateSpec(
        level="embeddings", n_discovery=130, n_validation=125, types=8, harm=effect, protect=-effect,
        treatment_benefit=0.0, median_survival=28.0, seed=seed,
    )  # fmt: skip
    rng = np.random.default_rng([seed, int(effect > 0), 61])
    patients = draw_patients(spec)
    patients += [
        replace(p, id=f"N{i:04d}", cohort="new")
        for i, p in enumerate(
            draw_patients(spec.replace(n_discovery=NEW, n_validation=0, seed=seed + 10_000))
        )
    ]
    wanted = draw_shares(spec, len(patients))
    source = FeatureSource(spec)
    shifts = rng.normal(size=(3 * len(COHORTS), spec.dim)) * 0.3 * spec.slide_shift
    cores, proportions, split = [], np.zeros_like(wanted), set()
    for i, patient in enumerate(patients):
        differs = rng.random() < spec.heterogeneous
        split |= {patient.id} if differs else set()
        count = 2 if differs else int(rng.integers(2, 4))
        mixture = rng.dirichlet(np.full(spec.subtypes, 1.0), size=spec.types)
        for k in range(count):
            logits = np.log(np.maximum(wanted[i], 1e-6))
            if differs:
                logits[:2] += np.array([1, -1]) * (CONTRAST if k else -CONTRAST)
            shares = np.exp(logits) / np.exp(logits).sum()
            n = max(12, int(rng.normal(tiles, 0.25 * tiles)))
            kinds = np.repeat(rng.choice(spec.types, p=shares, size=-(-n // PATCH)), PATCH)[:n]
            block = 3 * COHORTS.index(patient.cohort) + int(rng.integers(3))
            cumulative = np.cumsum(mixture, axis=1)[kinds]
            variant = (rng.random(n)[:, None] > cumulative[:, :-1]).sum(axis=1)
            x = rng.standard_normal((n, spec.dim), np.float32) * np.float32(spec.noise)
            x += (source.centres[kinds, variant] + shifts[block]).astype(np.float32)
            side = int(np.ceil(np.sqrt(n / PATCH)))
            patch, inside = np.divmod(np.arange(n), PATCH)
            xy = np.stack([patch % side * 3 + inside % 3, patch // side * 2 + inside // 3], axis=1) * 224
            cores.append(Core(patient_id=patient.id, block=block, embeddings=x, xy=xy))
            proportions[i] += np.bincount(kinds, minlength=spec.types) / n / count
    first = np.array([p.cohort == COHORTS[0] for p in patients])
    risk, _ = linear_predictor(proportions, spec, first)
    rows = pd.DataFrame(draw_outcomes(patients, risk, spec))
    outcome = rows[["patient_id", "cohort"]].assign(time=rows["os_time"], event=rows["os_event"].astype(bool))
    return SimulatedStudy(cores=tuple(cores), outcome=outcome, heterogeneous=frozenset(split))


@dataclass(frozen=True, kw_only=True, slots=True)
class Profiled:
    """Profiles of cores and patients under one codebook, and the places of tiles."""

    slides: pd.DataFrame
    patients: pd.DataFrame
    tree: Mapping[str, object]
    places: Mapping[str, TilePlaces]


def profiled(study: SimulatedStudy, spec: PhenotypeSpec) -> Profiled:
    """A codebook fitted on discovery, and everybody's profiles."""
    cohort = dict(zip(study.outcome["patient_id"], study.outcome["cohort"], strict=True))
    training = [c for c in study.cores if cohort[c.patient_id] == COHORTS[0]]
    number = {p: i for i, p in enumerate(dict.fromkeys(c.patient_id for c in training))}
    sizes = [len(c.embeddings) for c in training]
    keep = np.random.default_rng(spec.seed).random(sum(sizes)) < spec.max_tiles / sum(sizes)
    tiles = TrainingTiles(
        embeddings=np.concatenate([c.embeddings for c in training])[keep],
        slide=np.repeat(np.arange(len(training)), sizes)[keep],
        patient=np.repeat([number[c.patient_id] for c in training], sizes)[keep],
        site=np.repeat([c.block for c in training], sizes)[keep],
    )
    codebook, _ = fit_codebook(tiles, spec, display=False)
    names = [f"{c.patient_id}#{i}" for i, c in enumerate(study.cores)]
    ends = np.cumsum([len(c.embeddings) for c in study.cores])[:-1]
    labels = np.split(codebook.labels(np.concatenate([c.embeddings for c in study.cores])), ends)
    counts = np.array([np.bincount(v, minlength=codebook.k) for v in labels], float)
    ids = pd.DataFrame({"slide_id": names, "patient_id": [c.patient_id for c in study.cores]})
    slides = slide_profiles(ids, counts)
    columns = [c for c in slides if c.startswith("hpc_")]
    return Profiled(
        slides=slides,
        patients=pool_patients(slides, columns=columns),
        tree={"k": codebook.k, "nodes": tree_nodes(codebook.linkage)},
        places={
            name: TilePlaces(hpc=v, x=c.xy[:, 0].astype(float), y=c.xy[:, 1].astype(float))
            for name, v, c in zip(names, labels, study.cores, strict=True)
        },
    )


def judged(study: SimulatedStudy, table: Profiled, spec: SignatureSpec) -> dict[str, object]:
    """What one procedure claims of one study, and what is true of it."""
    first = study.outcome[study.outcome["cohort"] == COHORTS[0]]
    ids = set(first["patient_id"])
    training = TrainingSet.of(
        table.patients[table.patients["patient_id"].isin(ids)], first,
        slides=table.slides[table.slides["patient_id"].isin(ids)], tree=table.tree,
    )  # fmt: skip
    try:
        fit = fit_details(training, spec, benchmark=False, univariate=False)
    except NotEstimableError as error:
        return {"signature": False, "reason": str(error)}
    if fit.signature is None:
        return {"signature": False}
    signature = fit.signature
    groups = _groups(signature, table, published=spec.policy == "per_core")
    everybody = study.outcome.merge(groups, on="patient_id")
    cohorts = {name: _effect(everybody[everybody["cohort"] == name]) for name in COHORTS}
    tested = everybody[(everybody["cohort"] != "new") & everybody["several"]]
    called = set(tested.loc[tested["differs"], "patient_id"])
    planted = study.heterogeneous & set(tested["patient_id"])
    truth = cohorts["new"]["log_hr"]
    return {
        "signature": True,
        "features": len(signature.hpcs),
        "claimed_log_hr": cohorts["discovery"]["log_hr"],
        "true_log_hr": truth,
        "validation_log_hr": [cohorts[c]["log_hr"] for c in COHORTS[1:3]],
        "holds": [bool(cohorts[c]["log_hr"] > 0 and cohorts[c]["p"] < 0.05) for c in COHORTS[1:3]],
        "called": len(called),
        "called_right": len(called & planted),
        "planted": len(planted),
        "left_out": float((tested["group"] == HETEROGENEOUS).mean()),
    }


def _groups(signature: Signature, table: Profiled, *, published: bool) -> pd.DataFrame:
    """patient_id, group, differs, several: as the procedure says."""
    columns = [c for c in table.slides if c.startswith("hpc_")]
    ids = table.patients["patient_id"].astype(str)
    if published:
        cores = table.slides[["patient_id"]].assign(score=signature.lenient.score(table.slides))
        group = ids.map(paper_groups(cores, signature.cutoff))
        several = ids.map(cores["patient_id"].value_counts()) > 1
        return pd.DataFrame(
            {"patient_id": ids, "group": group, "differs": group == HETEROGENEOUS, "several": several}
        )
    tested = table.slides[
        ~table.slides["patient_id"].str.startswith("N")
    ]  # nobody asks about further patients
    cores = core_table(signature, tested, columns, table.places.get)
    agreement = core_agreement(cores, cutoff=signature.cutoff).table.set_index("patient_id")
    group = signature.group(signature.score(table.patients))
    differs = ids.map(agreement["agreement"]) == HETEROGENEOUS
    return pd.DataFrame(
        {"patient_id": ids, "group": group, "differs": differs, "several": ids.map(agreement["n_cores"]) > 1}
    )


def _effect(rows: pd.DataFrame) -> dict[str, float]:
    """Log hazard ratio of high against low risk and the p of the log-rank test; heterogeneous patients are in neither."""
    rows = rows[rows["group"].isin(["low", "high"])]
    high = (rows["group"] == "high").to_numpy()
    if min(high.sum(), (~high).sum()) < 2:
        return {"log_hr": 0.0, "p": 1.0}
    fit = cox(high[:, None].astype(float), rows["time"], rows["event"])
    return {
        "log_hr": float(fit.coef[0]),
        "p": float(logrank(rows["time"], rows["event"], rows["group"]).p),
    }


def summary(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Rates over the studies of one kind."""
    claimed = [r for r in rows if r["signature"]]
    flat = [h for r in claimed for h in r["holds"]]
    over = [r["claimed_log_hr"] - r["true_log_hr"] for r in claimed]
    later = [v - r["true_log_hr"] for r in claimed for v in r["validation_log_hr"]]
    called, right, planted = (sum(r[k] for r in claimed) for k in ("called", "called_right", "planted"))
    return {
        "studies": len(rows),
        "claims": len(claimed),
        "holds_once": sum(any(r["holds"]) for r in claimed),
        "holds_twice": sum(all(r["holds"]) for r in claimed),
        "validations": len(flat),
        "holds": sum(flat),
        "true_hr": _median_hr([r["true_log_hr"] for r in claimed]),
        "claimed_hr": _median_hr([r["claimed_log_hr"] for r in claimed]),
        "hr_overstated_by": _median_hr(over),
        "hr_overstated_in_validation_by": _median_hr(later),
        "features": float(np.mean([r["features"] for r in claimed])) if claimed else None,
        "called_heterogeneous": called,
        "of_them_right": right,
        "planted_heterogeneous": planted,
        "log_hr": [
            [round(v, 3) for v in (r["true_log_hr"], r["claimed_log_hr"], *r["validation_log_hr"])]
            for r in claimed
        ],
        "in_neither_group": float(np.mean([r["left_out"] for r in claimed])) if claimed else None,
    }


def _median_hr(logs: Sequence[float]) -> float | None:
    return round(float(np.exp(np.median(logs))), 3) if len(logs) else None


def draw(summaries: Mapping[str, Mapping[str, Mapping[str, object]]], path: Path) -> None:
    """A panel per procedure: the hazard ratio of high against low as claimed in discovery against the true one."""
    from pathosig.figures.palette import INK, MUTED, POSITIVE
    from pathosig.figures.style import PAGE, axes_at, new_figure, style, svg_bytes

    with style():
        figure = new_figure(PAGE, 2.75)
        for number, name in enumerate((*PUBLISHED, *RECOMMENDED)):
            axes = axes_at(figure, (0.5 + 2.3 * number, 0.5, 1.85, 1.85))
            for kind, colour in (("effect", POSITIVE), ("no effect", MUTED)):
                points = np.exp(np.array(summaries[kind][name]["log_hr"], float).reshape(-1, 4))
                axes.scatter(
                    points[:, 0],
                    points[:, 1],
                    s=14,
                    color=colour,
                    label=f"{kind}: {len(points)} of {summaries[kind][name]['studies']}",
                )
            axes.plot([0.5, 20], [0.5, 20], color=INK, lw=0.7)
            axes.set(xscale="log", yscale="log", xlim=(0.5, 20), ylim=(0.5, 20), title=name)
            ticks = [0.5, 1, 2, 5, 10, 20]
            axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
            axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
            axes.minorticks_off()
            axes.set_xlabel("true hazard ratio, high against low")
            axes.legend(loc="lower right")
            if not number:
                axes.set_ylabel("claimed in discovery")
        path.write_bytes(svg_bytes(figure))


def main() -> None:
    """All studies, then a summary of each procedure with and without an effect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tiles", type=int, default=100)
    parser.add_argument("--effect", type=float, default=0.6)
    parser.add_argument(
        "--rows", type=Path, help="JSON lines, one a study and procedure: kept, and not computed again"
    )
    parser.add_argument("--figure", type=Path, help="SVG of claimed and true hazard ratios")
    arguments = parser.parse_args()
    done: dict[tuple[int, str, str], dict[str, object]] = {}
    if arguments.rows is not None and arguments.rows.is_file():
        for line in arguments.rows.read_text().splitlines():
            row = json.loads(line)
            done[row["seed"], row["kind"], row["procedure"]] = row
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathosigWarning)
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            for kind, effect in (("effect", arguments.effect), ("no effect", 0.0)):
                if (seed, kind, "recommended") in done:
                    continue
                begin = clock.process_time()
                study = simulated_study(seed, effect=effect, tiles=arguments.tiles)
                for arms, method in ((PUBLISHED, "kmeans"), (RECOMMENDED, "recommended")):
                    table = profiled(
                        study, PhenotypeSpec(method=method, seed=seed, max_tiles=8000, landmarks=2000)
                    )
                    for name, spec in arms.items():
                        row = {"seed": seed, "kind": kind, "procedure": name, **judged(study, table, spec)}
                        done[seed, kind, name] = row
                        if arguments.rows is not None:
                            with arguments.rows.open("a") as handle:
                                handle.write(json.dumps(row) + "\n")
                sys.stderr.write(f"{clock.process_time() - begin:.1f} CPU s\n")
    summaries = {
        kind: {
            name: summary([row for key, row in sorted(done.items()) if key[1:] == (kind, name)])
            for name in (*PUBLISHED, *RECOMMENDED)
        }
        for kind in ("effect", "no effect")
    }
    if arguments.figure is not None:
        draw(summaries, arguments.figure)
    settings = {"tiles": arguments.tiles, "effect_size": arguments.effect, "further_patients": NEW}
    sys.stdout.write(json.dumps({**settings, **summaries}) + "\n")


if __name__ == "__main__":
    main()

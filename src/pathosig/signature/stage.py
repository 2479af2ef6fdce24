"""The signature stage: fits on discovery patients, freezes, and scores everybody."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import InputError, NotEstimableError, PathosigWarning
from pathosig.core.execution import run_once
from pathosig.core.layout import Layout
from pathosig.core.records import read_json, sha256_value, write_json
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.profiles.reading import Profiles, read_profiles
from pathosig.signature.spec import SignatureSpec

if TYPE_CHECKING:
    import pandas as pd

    from pathosig.signature.fit import SignatureFit
    from pathosig.signature.model import Signature

STAGE_VERSION = 3
STAGE = Stage(name="signature", version=STAGE_VERSION)
FIT, SCORES = "_fit", "_scores"
_SCORE_COLUMNS = (
    "patient_id", "cohort", "score", "group", "core_agreement", "n_slides", "n_tiles", "ridge_score", "paper_group",
)  # fmt: skip


def build_signature(
    study: Study, spec: SignatureSpec | None = None, *, execution: Execution = Execution()
) -> StageReport:
    """Fit and freeze the signature on discovery patients, then score every patient.

    Parameters
    ----------
    study
        An open study with profiles.
    spec
        How to select, fit and cut; from study.toml by default.
    execution
        Only ``force`` matters here.

    Returns
    -------
    StageReport

    Raises
    ------
    NotEstimableError
        If nothing is selected or there are too few events; selection.json and univariate.csv are written all the same.
    InputError
        If there are no profiles, or no discovery patient has one.
    """
    spec = spec or study.spec(SignatureSpec)
    profiles = read_profiles(study)
    unit = Unit(id=FIT, inputs=training_identity(study, profiles, endpoint_of(study, spec)))
    report = run_once(study, STAGE, spec, unit, _fit, execution=execution)
    fitted = study.record(STAGE.name, FIT)
    if fitted is None or report.waiting:
        return report
    if not fitted.summary.get("selected"):
        raise NotEstimableError(
            str(fitted.summary["reason"]), code=str(fitted.summary.get("code", "E_NO_SIGNATURE"))
        )
    made = study.upstream("profiles", "_profiles")
    cohorts = {r: c for r, c in zip(*_ids(study), strict=True)}
    scores = Unit(
        id=SCORES, inputs={"cohorts": cohorts}, upstream={"signature": fitted.fingerprint, "profiles": made}
    )
    second = run_once(study, STAGE, spec, scores, _score, execution=execution)
    names = ("done", "fresh", "waiting", "empty", "said")
    return StageReport(stage=STAGE.name, **{n: (*getattr(report, n), *getattr(second, n)) for n in names})


def endpoint_of(study: Study, spec: SignatureSpec) -> str:
    """The endpoint a signature is fitted on."""
    return spec.endpoint or study.primary.endpoint


def _ids(study: Study) -> tuple[list[str], list[str]]:
    frame = study.patients()
    return list(frame["patient_id"]), list(frame["cohort"])


def discovery_rows(study: Study, profiles: Profiles, policy: str) -> pd.DataFrame:
    """Profiles of discovery patients by the policy, sorted by patient.

    Raises
    ------
    InputError
        If no discovery patient has a profile.
    """
    ids = set(study.cohort(study.primary.discovery))
    rows = pooled_rows(profiles, policy)
    rows = rows[rows["patient_id"].isin(ids)].sort_values("patient_id", kind="stable").reset_index(drop=True)
    if not len(rows):
        message = (
            f"signature: no patient of cohort {study.primary.discovery!r} has a profile; cohorts found: "
            f"{study.cohorts()}. Name the discovery cohort in [primary] of study.toml."
        )
        raise InputError(message, code="E_COHORT")
    return rows


def pooled_rows(profiles: Profiles, policy: str) -> pd.DataFrame:
    """One row per patient: the pooled profile, or the mean of slides for the policy ``mean``."""
    if policy != "mean":
        return profiles.patients
    from pathosig.profiles.pooling import pool_patients

    return pool_patients(profiles.slides, policy="mean", columns=list(profiles.columns))


def training_identity(study: Study, profiles: Profiles, endpoint: str) -> dict[str, Any]:
    """What a fit depends on: profiles and outcome of discovery patients, the tree; nothing of other cohorts."""
    rows = discovery_rows(study, profiles, "pooled")
    ids = set(rows["patient_id"])
    slides = profiles.slides[profiles.slides["patient_id"].isin(ids)].sort_values("slide_id")
    outcome = study.survival(endpoint)
    outcome = outcome[outcome["patient_id"].isin(ids)].sort_values("patient_id")
    keep = ["patient_id", "n_tiles", *profiles.columns]
    values = {
        "patients": rows[keep].to_dict("list"),
        "slides": slides[keep].to_dict("list"),
        "outcome": outcome[["patient_id", "time", "event"]].to_dict("list"),
        "tree": profiles.tree.get("nodes", ()) if profiles.tree else (),
        "artefacts": profiles.artefacts,
    }
    return {"training": sha256_value(values), "endpoint": endpoint, "unit": study.endpoints()[endpoint].unit}


def _fit(job: Job) -> Outcome:
    from pathosig.signature.fit import fit_details

    study, spec = Study.open(job.root), job.spec
    profiles = read_profiles(study)
    endpoint = endpoint_of(study, spec)
    rows = discovery_rows(study, profiles, spec.policy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        try:
            found: SignatureFit | None = fit_details(
                rows, study.survival(endpoint), endpoint=endpoint, unit=study.endpoints()[endpoint].unit,
                tree=profiles.tree or None, artefacts=profiles.artefacts, kind=profiles.kind,
                columns=profiles.columns, rules=profiles.rules, cohort=study.primary.discovery, spec=spec,
            )  # fmt: skip
            reason, code = (found.reason, "E_NO_SIGNATURE") if found else ("", "")
        except NotEstimableError as error:
            found, reason, code = None, str(error), error.code
    notes = [w.message for w in caught if isinstance(w.message, PathosigWarning)]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    outputs = _write_fit(study, found, reason, spec)
    chosen = list(found.signature.hpcs) if found and found.signature else []
    summary: dict[str, Any] = {
        "selected": chosen,
        "endpoint": endpoint,
        "selection": found.selection.method if found else spec.selection,
    }
    if reason:
        summary |= {"reason": reason, "code": code}
    elif found and found.signature:
        summary["said"] = _words(found.signature)
    return Outcome(outputs=outputs, warnings=tuple(f"{n.code} {n.message}" for n in notes), summary=summary)


def _words(signature: Signature) -> list[str]:
    """What was selected and where the cut-off lies."""
    largest = sorted(zip(signature.hpcs, signature.coef, strict=True), key=lambda term: -abs(term[1]))
    terms = [f"{n} {b:+.3g}" for n, b in largest]
    shown = ", ".join(terms[:8]) + (f" and {len(terms) - 8} more" if len(terms) > 8 else "")
    return [
        f"{signature.endpoint}, selection {signature.trained_on.get('selection', 'given')}, log hazard ratio per unit: {shown}",
        f"cut-off {signature.cutoff:.4g} ({signature.cutoff_rule})",
    ]


def _write_fit(study: Study, found: SignatureFit | None, reason: str, spec: SignatureSpec) -> tuple[str, ...]:
    root = study.root
    outputs = [Layout.selection]
    selection: dict[str, Any] = {"method": spec.selection, "selected": [], "reason": reason}
    if found is not None:
        selection |= {
            "method": found.selection.method,
            **found.selection.details,
            "selected": list(found.selection.names),
            "dropped": dict(found.dropped),
        }
        write_csv_rows(
            Layout(root).univariate, found.univariate.to_dict("records"), list(found.univariate.columns)
        )
        outputs.append(Layout.univariate)
        if found.cutoff is not None:
            selection["cutoff"] = {
                "rule": found.cutoff.rule,
                "value": found.cutoff.value,
                **found.cutoff.details,
            }
        if found.signature is not None:
            found.signature.save(Layout(root).signature)
            outputs.append(Layout.signature)
        if found.benchmark is not None:
            found.benchmark.save(Layout(root).benchmark)
            outputs.append(Layout.benchmark)
    write_json(Layout(root).selection, selection)
    for name in (
        {Layout.signature, Layout.benchmark, Layout.univariate, Layout.scores, Layout.core_agreement}
        - set(outputs)
        - _still_good(found)
    ):
        (root / name).unlink(missing_ok=True)  # last: another run on this study may be reading them
    return tuple(outputs)


def _still_good(found: SignatureFit | None) -> set[str]:
    """Scores are replaced by their own unit as long as there is a signature."""
    return (
        {Layout.scores, Layout.core_agreement} if found is not None and found.signature is not None else set()
    )


# -- scores -----------------------------------------------------------------------------------


def _score(job: Job) -> Outcome:
    from pathosig.signature.model import Signature

    study = Study.open(job.root)
    profiles = read_profiles(study)
    signature = Signature.load(study.paths.signature)
    benchmark = Signature.load(study.paths.benchmark) if study.paths.benchmark.is_file() else None
    cores = core_table(study, profiles, signature)
    table, agreement = score_table(study, profiles, signature, benchmark, cores)
    write_csv_rows(study.paths.scores, table.to_dict("records"), _SCORE_COLUMNS)
    write_json(study.paths.core_agreement, agreement)
    left_out = int((table["group"] == "not assessable").sum())
    summary = {"patients": len(table), "not_assessable": left_out}
    return Outcome(outputs=(Layout.scores, Layout.core_agreement), summary=summary)


def score_table(
    study: Study, profiles: Profiles, signature: Signature, benchmark: Signature | None, cores: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per patient with score, group and core agreement; and agreement rates per cohort."""
    from pathosig.signature.cores import SINGLE, core_agreement, paper_groups

    policy = str(signature.transform.get("policy", "pooled"))
    rows = pooled_rows(profiles, policy)
    cohort = dict(zip(*_ids(study), strict=True))
    table = rows[["patient_id", "n_slides", "n_tiles"]].copy()
    table["cohort"] = table["patient_id"].map(cohort).fillna("")
    table["score"] = signature.score(rows)
    if policy == "worst":
        worst = cores.groupby("patient_id")["score"].max()
        table["score"] = table["patient_id"].map(worst).to_numpy(float)
    table["group"] = signature.group(table["score"].to_numpy(float))
    table["ridge_score"] = benchmark.score(rows) if benchmark is not None else float("nan")
    found = core_agreement(cores, cutoff=signature.cutoff)
    labels = dict(zip(found.table["patient_id"], found.table["agreement"], strict=True))
    table["core_agreement"] = table["patient_id"].map(labels).fillna(SINGLE)
    table["paper_group"] = ""
    if policy == "per_core":
        table["paper_group"] = table["patient_id"].map(paper_groups(cores, signature.cutoff))
    rates: dict[str, Any] = {}
    for name in sorted(set(table["cohort"])):
        part = cores[cores["patient_id"].map(cohort) == name]
        if len(part):
            rates[name] = core_agreement(part, cutoff=signature.cutoff).to_dict()
    return table.sort_values("patient_id").reset_index(drop=True), rates


def core_table(study: Study, profiles: Profiles, signature: Signature) -> pd.DataFrame:
    """Score and its sampling variance for every slide or core: patient_id, slide_id, score, variance."""
    import numpy as np

    from pathosig.signature.cores import multinomial_variance, tile_gradient

    slides = profiles.slides.reset_index(drop=True)
    out = slides[["patient_id", "slide_id", "n_tiles"]].copy()
    least = {**signature.transform, "min_tiles": min(20, int(signature.transform.get("min_tiles", 0)))}
    lenient = type(signature)(**{**_fields(signature), "transform": least})
    out["score"] = lenient.score(slides)
    out["variance"] = np.nan
    if profiles.kind == "features":
        return out
    several = slides["patient_id"].duplicated(keep=False)
    columns = list(profiles.columns)
    values = np.full(len(slides), np.nan)
    for i in np.flatnonzero(several.to_numpy()):
        row = slides.iloc[[i]]
        slope = tile_gradient(lenient, row, columns)
        measured = _block_variance(study, str(row["slide_id"].iloc[0]), slope, profiles.artefacts)
        shares, tiles = row[columns].to_numpy(float)[0], float(row["n_tiles"].iloc[0])
        simple = multinomial_variance(slope, shares, tiles)
        values[i] = max(simple, measured) if np.isfinite(measured) else simple
    out["variance"] = values
    return out


def _fields(signature: Signature) -> dict[str, Any]:
    return {k: getattr(signature, k) for k in signature.__dataclass_fields__}


def _block_variance(study: Study, slide: str, slope: Any, artefacts: tuple[int, ...]) -> float:
    """Variance of a slide's score over spatial blocks of its tiles; NaN when tile places are not there."""
    import numpy as np

    from pathosig.core.schema import ASSIGNMENTS, TILES, read_table
    from pathosig.signature.cores import block_variance

    tiles, labels = study.paths.tiles(slide), study.paths.assignments(slide)
    if not (tiles.is_file() and labels.is_file()):
        return float("nan")
    place = read_table(tiles, TILES)
    hpc = read_table(labels, ASSIGNMENTS).column("hpc").to_numpy()
    if place.num_rows != len(hpc):
        return float("nan")
    x, y = (place.column(c).to_numpy().astype(float) for c in ("x", "y"))
    used = ~np.isin(hpc, artefacts)
    x, y, hpc = x[used], y[used], hpc[used]
    if len(hpc) < 8:
        return float("nan")
    steps = np.diff(np.unique(x))
    side = 4 * float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    return block_variance(np.asarray(slope)[hpc], x, y, block=side)


def read_scores(study: Study) -> pd.DataFrame:
    """signature/scores.csv with numbers as float."""
    import pandas as pd

    from pathosig.core.tables import read_csv_rows

    rows = read_csv_rows(study.paths.scores)
    table = pd.DataFrame(rows, columns=list(_SCORE_COLUMNS))
    for name in ("score", "ridge_score", "n_slides", "n_tiles"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    return table


def read_selection(study: Study) -> Mapping[str, Any]:
    """signature/selection.json; empty when the stage has not run."""
    path = study.paths.selection
    return dict(read_json(path)) if path.is_file() else {}

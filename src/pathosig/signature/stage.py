"""The signature stage: fits on discovery patients, freezes, and scores everybody."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from pathosig.core.errors import NotEstimableError, PathosigWarning
from pathosig.core.execution import run_once
from pathosig.core.fingerprints import sha256_value
from pathosig.core.layout import Layout
from pathosig.core.records import write_json
from pathosig.core.study import Study
from pathosig.core.tables import write_csv_rows
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.profiles.reading import Profiles, read_profiles
from pathosig.signature.fit import SignatureFit, fit_details
from pathosig.signature.model import NOT_ASSESSABLE, Signature
from pathosig.signature.reading import (
    FIT,
    SCORE_COLUMNS,
    SCORES,
    discovery_rows,
    outcome_of,
    read_training,
    tile_places,
)
from pathosig.signature.scores import core_table, score_table
from pathosig.signature.spec import SignatureSpec

STAGE_VERSION = 11
STAGE = Stage(name="signature", version=STAGE_VERSION)
_SCORED = (Layout.scores, Layout.core_scores, Layout.core_agreement)
_OUTPUTS = {Layout.signature, Layout.benchmark, Layout.univariate, *_SCORED}


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
        Only ``force`` has an effect here.

    Returns
    -------
    StageReport

    Raises
    ------
    NotEstimableError
        If nothing is selected or there are too few events; selection.json and univariate.csv are written all the same.
    InputError
        If there are no profiles, or no discovery patient has one.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd
    >>> from pathosig.profiles import build_profiles
    >>> grade = np.random.default_rng(0).normal(size=80)
    >>> months = np.random.default_rng(1).exponential(20 * np.exp(-grade))
    >>> table = pd.DataFrame({"patient_id": [f"P{i:02d}" for i in range(80)], "grade": grade})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = Study.create(folder, {"endpoints": {"os": {"time": "months", "event": "died", "unit": "months"}}})
    ...     clinical = table[["patient_id"]].assign(cohort="discovery", months=months, died=1)
    ...     clinical.to_csv(study.root / "patients.csv", index=False)
    ...     table.to_csv(study.root / "features.csv", index=False)
    ...     _ = build_profiles(Study.open(folder), features=study.root / "features.csv")
    ...     _ = build_signature(Study.open(folder), SignatureSpec(selection="ridge"))
    ...     Signature.load(study.paths.signature).hpcs
    ('grade',)
    """
    spec = spec or study.spec(SignatureSpec)
    profiles = read_profiles(study)
    unit = Unit(id=FIT, inputs=_training_identity(study, profiles, spec.endpoint or study.primary.endpoint))
    report = run_once(study, STAGE, spec, unit, _fit, execution=execution)
    fitted = study.record(STAGE.name, FIT)
    if fitted is None or report.waiting:
        return report
    if not fitted.summary.get("selected"):
        raise NotEstimableError(
            str(fitted.summary["reason"]), code=str(fitted.summary.get("code", "E_NO_SIGNATURE"))
        )
    upstream = {"signature": fitted.fingerprint, "profiles": study.upstream("profiles", "_profiles")}
    scores = Unit(id=SCORES, inputs={"cohorts": _cohorts(study)}, upstream=upstream)
    second = run_once(study, STAGE, spec, scores, _score, execution=execution)
    names = ("done", "fresh", "waiting", "empty", "findings")
    return StageReport(stage=STAGE.name, **{n: (*getattr(report, n), *getattr(second, n)) for n in names})


def _cohorts(study: Study) -> dict[str, str]:
    frame = study.patients()
    return dict(zip(frame["patient_id"], frame["cohort"], strict=True))


def _training_identity(study: Study, profiles: Profiles, endpoint: str) -> dict[str, Any]:
    """What a fit depends on: profiles and outcomes of discovery patients and the tree, but nothing of other cohorts."""
    rows = discovery_rows(study, profiles)
    ids = set(rows["patient_id"])
    slides = profiles.slides[profiles.slides["patient_id"].isin(ids)].sort_values("slide_id")
    outcome = outcome_of(study, endpoint).drop(columns="entry", errors="ignore")
    outcome = outcome[outcome["patient_id"].isin(ids)].sort_values("patient_id")
    keep = ["patient_id", "n_tiles", *profiles.columns]
    values = {
        "patients": rows[keep].to_dict("list"),
        "slides": slides[keep].to_dict("list"),
        "outcome": outcome.to_dict("list"),
        "tree": [profiles.tree.get(k, ()) for k in ("nodes", "steadiness")] if profiles.tree else (),
        "artefacts": profiles.artefacts,
    }
    return {"training": sha256_value(values), "endpoint": endpoint, "unit": study.endpoints()[endpoint].unit}


def _fit(job: Job) -> Outcome:
    study, spec = Study.open(job.root), job.spec
    training = read_training(study, read_profiles(study), spec)
    fit: SignatureFit | None = None
    reason, code = "", ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PathosigWarning)
        try:
            fit = fit_details(training, spec)
            if fit.signature is None:
                reason, code = fit.reason, "E_NO_SIGNATURE"
        except NotEstimableError as error:
            hint = training.without_tiles(spec.min_tiles)
            reason, code = str(error) if hint in str(error) else f"{error}{hint}", error.code
    notes = [w.message for w in caught if isinstance(w.message, PathosigWarning)]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    outputs = _write_fit(study, fit, reason, spec)
    signature = fit.signature if fit else None
    summary: dict[str, Any] = {
        "selected": list(signature.hpcs) if signature else [],
        "endpoint": training.endpoint,
        "selection": fit.selection.method if fit else spec.selection,
    }
    if signature is None:
        summary |= {"reason": reason, "code": code}
    else:
        summary["said"] = _words(signature)
    return Outcome(outputs=outputs, warnings=tuple(f"{n.code} {n.message}" for n in notes), summary=summary)


def _words(signature: Signature) -> list[str]:
    """What was selected and where the cut-off lies."""
    largest = sorted(zip(signature.hpcs, signature.coef, strict=True), key=lambda term: -abs(term[1]))
    terms = [f"{n} {b:+.3g}" for n, b in largest]
    shown = ", ".join(terms[:8]) + (f" and {len(terms) - 8} more" if len(terms) > 8 else "")
    return [
        f"{signature.endpoint}, selection {signature.trained_on.selection}, log hazard ratio per unit: {shown}",
        f"cut-off {signature.cutoff:.4g} ({signature.cutoff_rule})",
    ]


def _write_fit(study: Study, fit: SignatureFit | None, reason: str, spec: SignatureSpec) -> tuple[str, ...]:
    paths = study.paths
    outputs = [Layout.selection]
    selection: dict[str, Any] = {"method": spec.selection, "selected": [], "reason": reason}
    if fit is not None:
        selection |= {
            "method": fit.selection.method,
            **fit.selection.details,
            "selected": list(fit.selection.names),
            "dropped": dict(fit.dropped),
        }
        write_csv_rows(paths.univariate, fit.univariate.to_dict("records"), list(fit.univariate.columns))
        outputs.append(Layout.univariate)
        if fit.cutoff is not None:
            selection["cutoff"] = {"rule": fit.cutoff.rule, "value": fit.cutoff.value, **fit.cutoff.details}
        if fit.signature is not None:
            fit.signature.save(paths.signature)
            outputs.append(Layout.signature)
        if fit.benchmark is not None:
            fit.benchmark.save(paths.benchmark)
            outputs.append(Layout.benchmark)
    write_json(paths.selection, selection)
    kept = _SCORED if Layout.signature in outputs else ()  # their own unit replaces them
    for name in _OUTPUTS - {*outputs, *kept}:
        (study.root / name).unlink(missing_ok=True)  # last: another run on this study may be reading them
    return tuple(outputs)


# -- scores -----------------------------------------------------------------------------------


def _score(job: Job) -> Outcome:
    study = Study.open(job.root)
    profiles = read_profiles(study)
    signature = Signature.load(study.paths.signature)
    benchmark = Signature.load(study.paths.benchmark) if study.paths.benchmark.is_file() else None
    cores = core_table(signature, profiles.slides, profiles.columns, partial(tile_places, study))
    table, agreement = score_table(
        signature, profiles.patients, profiles.slides, cores, cohorts=_cohorts(study), benchmark=benchmark
    )
    write_csv_rows(study.paths.scores, table.to_dict("records"), SCORE_COLUMNS)
    write_csv_rows(study.paths.core_scores, cores.to_dict("records"), list(cores.columns))
    write_json(study.paths.core_agreement, agreement)
    summary = {"patients": len(table), "not_assessable": int((table["group"] == NOT_ASSESSABLE).sum())}
    return Outcome(outputs=_SCORED, summary=summary)

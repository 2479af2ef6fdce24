"""`pathosig audit DIR NAME`: runs one honesty check and keeps its result in validation/audits/NAME.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pathosig.audits.spec import AuditSpec
from pathosig.audits.text import audit_text
from pathosig.core.errors import ConfigError, InputError
from pathosig.core.records import write_json
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.profiles.reading import read_profiles
from pathosig.signature.reading import read_training
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet

AUDITS = ("null", "optimism", "site", "depth", "stability")


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """Result of an audit."""

    name: str
    result: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"name": self.name, **self.result}

    def to_text(self) -> str:
        """The result in lines, and where it is kept."""
        return f"{audit_text(self.result)}\n  kept in validation/audits/{self.name}.json"


def audit(
    study: Study,
    name: str,
    spec: AuditSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> AuditReport:
    """Honesty checks: null, optimism, site, depth or stability.

    Parameters
    ----------
    study
        An open study with profiles.
    name
        null | optimism | site | depth | stability.
    spec
        How deep to go; from study.toml by default.
    execution
        ``workers`` runs permutations and resamples of `null` and `optimism` side by side.

    Raises
    ------
    ConfigError
        If there is no audit of that name.
    """
    if name not in AUDITS:
        message = f"audit {name!r}: expected one of {', '.join(AUDITS)}."
        raise ConfigError(message)
    from pathosig import audits
    from pathosig.phenotypes.reading import read_discovery
    from pathosig.phenotypes.stability_curve import stability_over_k

    spec = spec or study.spec(AuditSpec)
    settings = study.spec(SignatureSpec)
    profiles = read_profiles(study)
    training = read_training(study, profiles, settings)
    patients = study.patients().set_index("patient_id")
    column = study.columns.site
    site = patients[column].astype(str).to_dict() if column and column in patients else _slide_sites(study)
    if name == "null":
        strata = {p: f"{patients['cohort'].get(p)}|{site.get(p, '')}" for p in patients.index}
        result = audits.audit_null(
            training,
            spec=settings,
            strata=strata,
            permutations=spec.permutations,
            seed=spec.seed,
            workers=execution.workers,
        )
    elif name == "optimism":
        result = audits.audit_optimism(
            training, spec=settings, resamples=spec.resamples, repeats=spec.repeats, folds=spec.folds, seed=spec.seed,
            workers=execution.workers,
        )  # fmt: skip
        result["codebook_refit"] = _codebook_refit(study, training, settings, spec, execution.workers)
    elif name == "site":
        result = audits.audit_site(training, site, spec=settings, folds=spec.folds, seed=spec.seed)
    elif name == "stability":
        result = audits.audit_stability(training, spec=settings, resamples=spec.resamples, seed=spec.seed)
        if study.paths.codebook.is_file():
            result["phenotypes"] = stability_over_k(read_discovery(study))
    else:
        result = _depth(study, profiles, spec)
    write_json(study.paths.audit(name), result)
    return AuditReport(name=name, result=result)


def _codebook_refit(
    study: Study, training: TrainingSet, settings: SignatureSpec, spec: AuditSpec, workers: int
) -> Any:
    """The second line of `optimism`, or why it was not done."""
    from pathosig.audits.codebook import audit_codebook
    from pathosig.core.errors import PathosigError

    if training.kind != "composition":
        return "not done: profiles come from an outside table; there is no codebook"
    if spec.codebook_resamples == 0:
        return "not done: codebook_resamples = 0"
    try:
        return audit_codebook(
            study, training, spec=settings, resamples=spec.codebook_resamples, seed=spec.seed, workers=workers
        )
    except PathosigError as error:
        return f"not done: {error}"


def _slide_sites(study: Study) -> dict[str, str]:
    return {s.patient_id: s.site for s in study.slides() if s.site}


def _depth(study: Study, profiles: Any, spec: AuditSpec) -> dict[str, Any]:
    import dataclasses

    from pathosig.audits import audit_depth
    from pathosig.signature.model import Signature

    if profiles.kind == "features":
        message = "audit depth: profiles come from an outside table; there are no tiles to leave out."
        raise ConfigError(message)
    if not study.paths.signature.is_file():
        message = "audit depth: no signature yet. Run `pathosig signature` first."
        raise InputError(message, code="E_MISSING")
    signature = Signature.load(study.paths.signature)
    signature = dataclasses.replace(
        signature, transform=dataclasses.replace(signature.transform, min_tiles=0)
    )
    counts = profiles.patients[["patient_id", *profiles.columns]].copy()
    counts[list(profiles.columns)] = counts[list(profiles.columns)].mul(profiles.patients["n_tiles"], axis=0)
    cohorts = study.patients().set_index("patient_id")["cohort"].dropna().astype(str).to_dict()
    return audit_depth(
        signature.score, signature.group, counts, depths=spec.depths, seed=spec.seed, cohorts=cohorts
    )

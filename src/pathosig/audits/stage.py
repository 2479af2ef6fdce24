"""`pathosig audit DIR NAME`: runs one audit and writes its result to validation/audits/NAME.json."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pathosig.audits.codebook import audit_codebook
from pathosig.audits.depth import audit_depth
from pathosig.audits.null import audit_null
from pathosig.audits.optimism import audit_optimism
from pathosig.audits.reading import Refitted, read_validation, refitted, sites_of, tile_counts
from pathosig.audits.results import (
    Audit,
    CodebookRefit,
    DepthAudit,
    NullAudit,
    OptimismAudit,
    SiteAudit,
    StabilityAudit,
    audit_json,
)
from pathosig.audits.site import audit_site
from pathosig.audits.spec import AuditSpec
from pathosig.audits.stability import audit_stability
from pathosig.audits.text import audit_text
from pathosig.core.errors import ConfigError, InputError, PathosigError
from pathosig.core.records import write_json
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.units import Execution
from pathosig.profiles.reading import Profiles, read_profiles
from pathosig.signature.model import Signature
from pathosig.signature.reading import read_training
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet


@dataclass(frozen=True, kw_only=True)
class AuditReport(Shown):
    """Result of an audit."""

    name: str
    result: Audit

    def to_dict(self) -> dict[str, Any]:
        """The result for ``--json``."""
        return {"name": self.name, **audit_json(self.result)}

    def to_text(self) -> str:
        """The result as text, with the path of its file."""
        return f"{audit_text(self.result)}\n  written to validation/audits/{self.name}.json"


@dataclass(frozen=True, kw_only=True)
class _Audited:
    """Input of the audits."""

    study: Study
    spec: AuditSpec
    settings: SignatureSpec
    profiles: Profiles
    training: TrainingSet
    workers: int


def audit(
    study: Study,
    name: str,
    spec: AuditSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> AuditReport:
    """Check the whole procedure by one of the audits null, optimism, site, depth and stability.

    Parameters
    ----------
    study
        An open study with profiles.
    name
        null, optimism, site, depth or stability.
    spec
        Numbers of permutations, resamples and folds; from study.toml by default.
    execution
        Number of workers, over which permutations, resamples and folds are spread.

    Returns
    -------
    AuditReport

    Raises
    ------
    ConfigError
        If there is no audit with this name, or `depth` is asked for with profiles from an outside table.
    InputError
        E_MISSING if `depth` is asked for without a signature.
    """
    if name not in _AUDITS:
        raise ConfigError(f"audit {name!r}: expected one of {', '.join(_AUDITS)}.")
    settings = study.spec(SignatureSpec)
    profiles = read_profiles(study)
    audited = _Audited(
        study=study,
        spec=spec or study.spec(AuditSpec),
        settings=settings,
        profiles=profiles,
        training=read_training(study, profiles, settings),
        workers=execution.workers,
    )
    result = _AUDITS[name](audited)
    write_json(study.paths.audit(name), audit_json(result))
    return AuditReport(name=name, result=result)


def _null(a: _Audited) -> NullAudit:
    cohort = a.study.patients().set_index("patient_id")["cohort"]
    site = sites_of(a.study)
    return audit_null(
        a.training,
        spec=a.settings,
        validation=read_validation(a.study, a.profiles, a.settings),
        strata={str(p): f"{c}|{site.get(str(p), '')}" for p, c in cohort.items()},
        permutations=a.spec.permutations,
        seed=a.spec.seed,
        workers=a.workers,
    )


def _optimism(a: _Audited) -> OptimismAudit:
    result = audit_optimism(
        a.training,
        spec=a.settings,
        resamples=a.spec.resamples,
        repeats=a.spec.repeats,
        folds=a.spec.folds,
        seed=a.spec.seed,
        workers=a.workers,
    )
    return dataclasses.replace(result, codebook_refit=_codebook_refit(a))


def _codebook_refit(a: _Audited) -> CodebookRefit | str:
    """The second part of `optimism`, or the reason why it was not done."""
    if a.training.kind != "composition":
        return "not done: profiles come from an outside table, so that there is no codebook"
    if a.spec.codebook_resamples == 0:
        return "not done: codebook_resamples = 0"
    refit: Callable[[TrainingSet, set[str]], Refitted]
    refit = functools.partial(refitted, a.study.root)
    try:
        return audit_codebook(
            a.training,
            refit=refit,
            spec=a.settings,
            resamples=a.spec.codebook_resamples,
            seed=a.spec.seed,
            workers=a.workers,
        )
    except PathosigError as error:
        return f"not done: {error}"


def _site(a: _Audited) -> SiteAudit:
    return audit_site(
        a.training,
        sites_of(a.study),
        spec=a.settings,
        folds=a.spec.folds,
        seed=a.spec.seed,
        workers=a.workers,
    )


def _stability(a: _Audited) -> StabilityAudit:
    from pathosig.phenotypes.reading import read_discovery
    from pathosig.phenotypes.stability_curve import stability_over_k  # scikit-learn, for this audit only

    result = audit_stability(a.training, spec=a.settings, resamples=a.spec.resamples, seed=a.spec.seed)
    if not a.study.paths.codebook.is_file():
        return result
    return dataclasses.replace(result, phenotypes=stability_over_k(read_discovery(a.study)))


def _depth(a: _Audited) -> DepthAudit:
    if a.profiles.kind == "features":
        raise ConfigError(
            "audit depth: profiles come from an outside table, so that there are no tiles to leave out."
        )
    if not a.study.paths.signature.is_file():
        raise InputError(
            "audit depth: there is no signature. Run `pathosig signature` first.", code="E_MISSING"
        )
    signature = Signature.load(a.study.paths.signature)
    anybody = dataclasses.replace(signature, transform=dataclasses.replace(signature.transform, min_tiles=0))
    cohorts = a.study.patients().set_index("patient_id")["cohort"].dropna().astype(str).to_dict()
    return audit_depth(
        anybody.score,
        anybody.group,
        tile_counts(a.profiles),
        depths=a.spec.depths,
        seed=a.spec.seed,
        cohorts=cohorts,
    )


_AUDITS: dict[str, Callable[[_Audited], Audit]] = {
    "null": _null,
    "optimism": _optimism,
    "site": _site,
    "depth": _depth,
    "stability": _stability,
}
AUDITS = tuple(_AUDITS)

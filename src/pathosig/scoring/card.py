"""The model card of a bundle: its purpose, its training data and its performance, as values and as a page of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathosig.core.labels import PhenotypeNames
from pathosig.signature.model import Signature
from pathosig.validation.results import Results
from pathosig.validation.values import Concordance, Estimate, HazardRatio, NotEstimable

INTENDED_USE = (
    "Research use only; not a medical device. For slides of the same organ, stain and preparation as those of the training; "
    "a score is withheld from patients whose slides are unlike them."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """Performance of the frozen score in patients it was not fitted on, as text with 95 % confidence intervals.

    Attributes
    ----------
    cohort, role, n, events
        The patients; with the role ``cross-validated`` they are those of the discovery cohort.
    c_index, hazard_ratio
        Harrell's C, and hazard ratio per SD of the score in discovery.
    calibration
        Horizon in years -> observed over expected risk.
    slope
        Calibration slope.
    """

    cohort: str
    role: str
    n: int
    events: int
    c_index: str
    hazard_ratio: str
    calibration: Mapping[str, str]
    slope: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderFacts:
    """The encoder that a bundle needs.

    Attributes
    ----------
    name, licence
        Name of the encoder, and licence of its weights.
    weights_sha256
        Digest of its weights.
    mpp
        Micrometres per pixel that it expects; None if unknown.
    weights_inside
        Whether the bundle contains the weights.
    """

    name: str
    weights_sha256: str
    licence: str
    mpp: float | None
    weights_inside: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """Everything that a user must know before using a bundle; docs/how-to/deploy-a-bundle.md explains each field."""

    intended_use: str
    endpoint: str
    unit: str
    equation: str
    cutoff: float
    cutoff_rule: str
    policy: str
    min_tiles: int
    training: Mapping[str, str | int | float]
    training_cores: int
    horizons: Mapping[str, float]
    competing: bool
    performance: tuple[Performance, ...]
    not_validated_because: str
    out_of_distribution: str
    scanners: tuple[str, ...]
    phenotype_names: Mapping[str, str]
    selected_in: Mapping[str, float]
    encoder: EncoderFacts
    pathosig: str
    digests: Mapping[str, str]

    def to_markdown(self) -> str:
        """The card as a page of text."""
        train = "\n".join(f"| {k.replace('_', ' ')} | {v} |" for k, v in self.training.items())
        at = "\n".join(f"| {years} | {survival:.4f} |" for years, survival in self.horizons.items())
        horizons = (
            "Another event competes. Proportion of patients with score 0 who remain free of the event (1 - cumulative incidence); for other\n"
            "scores the hazards of both events in signature.json are needed:\n\n| years | free of the event |"
            if self.competing
            else "Survival at a horizon is `baseline ** exp(score)`:\n\n| years | baseline survival |"
        )
        rows = "\n".join(
            f"| {p.cohort} | {p.role} | {p.n} | {p.events} | {p.c_index} | {p.hazard_ratio} | {p.slope} | "
            f"{'; '.join(f'{y} y {v}' for y, v in p.calibration.items()) or '-'} |"
            for p in self.performance
        )
        returns = "".join(f"| `{name}` | {share:.0%} |\n" for name, share in self.selected_in.items())
        if returns:
            returns = (
                f"| feature | half-samples of the training patients that select it |\n|---|---|\n{returns}"
            )
        digests = "\n".join(f"| `{k}` | `{v}` |" for k, v in self.digests.items())
        inside = (
            "inside the bundle" if self.encoder.weights_inside else "not inside; give them with --weights"
        )
        shown = (
            "| cohort | role | patients | events | C-index | hazard ratio per SD | calibration slope | observed / expected |\n"
            f"|---|---|---|---|---|---|---|---|\n{rows}"
            if self.performance
            else f"None: {self.not_validated_because}."
        )
        return f"""# Model card

## Intended use
{self.intended_use}

## Score
Endpoint `{self.endpoint}`. Patients with a score above {self.cutoff:.6g} ({self.cutoff_rule}) are high risk. Several slides of a
patient become one score by the policy `{self.policy}`; a patient with fewer than {self.min_tiles} tiles is not assessable.

    {self.equation}

{returns}
{horizons}
|---|---|
{at}

## Training population
| | |
|---|---|
{train}

## Performance in patients it was not fitted on (95 % confidence intervals)
{shown}

## When no score is given
{self.out_of_distribution} Slides from scanners other than {", ".join(self.scanners) or "(unknown)"} are scored with a remark.

## Encoder
`{self.encoder.name}`, licence {self.encoder.licence}; weights {inside}, digest `{self.encoder.weights_sha256}`.

## Versions and digests
pathosig {self.pathosig}

| member | sha256 |
|---|---|
{digests}
"""


def model_card(
    signature: Signature,
    results: Results | None,
    *,
    encoder: EncoderFacts,
    limit: str,
    cores: int,
    scanners: Sequence[str],
    phenotype_names: PhenotypeNames,
    selected_in: Mapping[str, float],
    pathosig: str,
    digests: Mapping[str, str],
    caveat: str = "",
) -> ModelCard:
    """The card of a signature.

    Parameters
    ----------
    signature
        The frozen signature.
    results
        Results of `pathosig validate`; None before it has run.
    encoder
        The encoder.
    limit
        The rule by which slides of another kind are recognised, in words.
    cores
        Number of cores among the slides that the signature was fitted on.
    scanners
        Vendors of the scanners of the training slides, as named in their files.
    phenotype_names
        Names that pathologists gave to HPCs and coarse groups.
    selected_in
        Feature of the score -> proportion of half-samples of the training patients that select it.
    pathosig
        Version of pathosig.
    digests
        Member of the bundle -> its SHA-256.
    caveat
        A sentence that follows the intended use, such as that validation found nothing.
    """
    trained = signature.trained_on
    return ModelCard(
        intended_use=f"{INTENDED_USE} {caveat}".rstrip(),
        endpoint=signature.endpoint,
        unit=signature.baseline.unit,
        equation=signature.equation(),
        cutoff=signature.cutoff,
        cutoff_rule=signature.cutoff_rule,
        policy=signature.transform.policy,
        min_tiles=signature.transform.min_tiles,
        training={
            "cohort": trained.cohort,
            "patients": trained.n,
            "events": trained.events,
            "sd_of_the_score": round(trained.sd, 6),
            "selection": trained.selection,
            "patients_sha256": trained.patients_sha256,
        },
        training_cores=cores,
        horizons={
            f"{row.years:g}": float(signature.baseline.free_at([0.0], [row.time])[0, 0])
            for row in signature.baseline.at
        },
        competing=signature.baseline.competing is not None,
        performance=() if results is None else _performance(results),
        not_validated_because="`pathosig validate` has not run"
        if results is None
        else "there is no other cohort and no cross-validation",
        out_of_distribution=limit,
        scanners=tuple(scanners),
        phenotype_names={str(hpc): name for hpc, name in sorted(phenotype_names.hpcs.items())}
        | {f"coarse_{group}": name for group, name in sorted(phenotype_names.coarse.items())},
        selected_in=dict(selected_in),
        encoder=encoder,
        pathosig=pathosig,
        digests=dict(digests),
    )


def _performance(results: Results) -> tuple[Performance, ...]:
    out = []
    for head in results.headline:
        analysis = results.analysis(head.cohort, head.endpoint)
        calibration = analysis.calibration
        estimated = None if isinstance(calibration, NotEstimable) else calibration
        out.append(
            Performance(
                cohort=head.cohort,
                role=head.role,
                n=head.n,
                events=head.events,
                c_index=_interval(head.harrell_c),
                hazard_ratio=_interval(head.hr_sd),
                calibration={
                    f"{at.years:g}": _text(at.ratio, at.lower, at.upper)
                    for at in (estimated.horizons if estimated else ())
                },
                slope=_interval(estimated.slope) if estimated else "not estimable",
            )
        )
    return tuple(out)


def _interval(value: Estimate | Concordance | HazardRatio | NotEstimable) -> str:
    if isinstance(value, NotEstimable):
        return "not estimable"
    middle = value.hr if isinstance(value, HazardRatio) else value.estimate
    return _text(middle, value.lower, value.upper)


def _text(middle: float | None, lower: float | None, upper: float | None) -> str:
    if middle is None:
        return "not estimable"
    interval = f" ({lower:.2f} to {upper:.2f})" if lower is not None and upper is not None else ""
    return f"{middle:.2f}{interval}"


def as_plain(card: ModelCard) -> dict[str, object]:
    """The card as plain values, for card.json."""
    return dataclasses.asdict(card)


def phenotype_names(card: Mapping[str, object], k: int) -> PhenotypeNames:
    """Names that pathologists gave to `k` phenotypes and their coarse groups.

    They come from the card.json of a bundle that may be hostile: malformed entries are dropped, and no result depends on them.
    """
    stated = card.get("phenotype_names")
    levels: dict[str, dict[int, str]] = {"": {}, "coarse_": {}}
    for key, name in stated.items() if isinstance(stated, dict) else ():
        level = "coarse_" if key.startswith("coarse_") else ""
        digits = key.removeprefix(level)
        if isinstance(name, str) and digits.isdecimal() and len(digits) < 5 and int(digits) < k:
            levels[level][int(digits)] = name[:80]
    return PhenotypeNames(hpcs=levels[""], coarse=levels["coarse_"])


def selected_in(card: Mapping[str, object]) -> dict[str, float]:
    """Proportion of half-samples that select each feature, from the card.json of a bundle that may be hostile.

    Malformed entries are dropped, and no result depends on the others.
    """
    stated = card.get("selected_in")
    return {
        name: float(share)
        for name, share in (stated.items() if isinstance(stated, dict) else ())
        if isinstance(share, int | float) and 0 <= share <= 1
    }


def training_cores(card: Mapping[str, object]) -> int:
    """Number of cores that the signature was fitted on, from the card.json of a bundle that may be hostile; 0 if unknown."""
    stated = card.get("training_cores")
    return stated if type(stated) is int else 0

"""The claims of the published microarray study, as planted and as found in a finished simulated study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.records import read_json
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.profiles.reading import read_profiles
from pathosig.survival import wilcoxon
from pathosig.synthetic.truth import Comparison, compare_truth, node_types
from pathosig.validation.arms import Treatment
from pathosig.validation.results import Results, read_results
from pathosig.validation.values import HazardRatio, NotEstimable

Outcome = Literal["found", "not found", "partly", "not estimable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim: what the paper shows, what was planted, what was found.

    Attributes
    ----------
    subject
        Panel or table of the paper that it stands for.
    planted, found
        Both in words and numbers.
    outcome
        Whether the planted truth was found.
    """

    subject: str
    planted: str
    found: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperComparison:
    """All claims of a simulated microarray study.

    Attributes
    ----------
    claims
        In the order of the paper.
    report
        Path of the report, if there is one.
    """

    claims: tuple[Claim, ...]
    report: str | None

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return {"claims": [asdict(claim) for claim in self.claims], "report": self.report}

    def to_text(self) -> str:
        """Three lines a claim: subject and outcome, planted, found."""
        lines = ["planted against found"]
        for claim in self.claims:
            lines += [
                f"  {claim.subject}: {claim.outcome}",
                f"    planted  {claim.planted}",
                f"    found    {claim.found}",
            ]
        right = sum(claim.outcome == "found" for claim in self.claims)
        lines.append(f"{right} of {len(self.claims)} claims found")
        return "\n".join([*lines, *([f"report: {self.report}"] if self.report else [])])


def compare_claims(study: Study) -> PaperComparison:
    """Compare a finished study that `simulate` made with kind tma or mixed with what was planted in it.

    Raises
    ------
    InputError
        If the study holds no such truth, or is not validated yet.
    """
    truth = read_json(study.paths.truth) if study.paths.truth.is_file() else {}
    if "cores" not in truth:
        raise InputError(
            "truth.json: no cores are planted there. Make the study with `pathosig simulate --kind tma`."
        )
    results = read_results(study.paths.results)
    general = compare_truth(study)
    scores = pd.DataFrame({"patient_id": [], "core_agreement": []})  # without a signature nobody has a score
    if study.paths.scores.is_file():
        scores = pd.read_csv(study.paths.scores, dtype={"patient_id": str}, float_precision="round_trip")
    patients = pd.DataFrame(read_csv_rows(study.paths.patients))
    claims = (
        _cores(study, truth["cores"]),
        _phenotypes(general),
        _prognostic(general),
        *(_survival(results, endpoint) for endpoint in ("os", "dfs")),
        _heterogeneous(scores, set(truth["heterogeneous"])),
        *(_treatment(results, truth["treatment"], arm) for arm in ("adjuvant_crt", "neoadjuvant_crt")),
        _subtypes(study, patients, truth["subtypes"]),
    )
    report = study.paths.report
    return PaperComparison(claims=claims, report=str(report) if report.is_file() else None)


def _cores(study: Study, planted: dict[str, dict[str, object]]) -> Claim:
    """Microarrays: every core at its row and column, missing cores called missing."""
    rows = {row["slide_id"]: row for row in read_csv_rows(study.paths.cores)}
    right = 0
    for core, wanted in planted.items():
        row = rows.get(core)
        present = row is not None and row["status"] == "ok" and row["patient_id"] == wanted["patient_id"]
        right += present == (wanted["state"] != "missing")
    missing = sum(c["state"] == "missing" for c in planted.values())
    share = right / max(len(planted), 1)
    return Claim(
        subject="tissue microarrays, cores of each patient",
        planted=f"{len(planted)} places of the map, {missing} of them without tissue",
        found=f"{right} of {len(planted)} places right",
        outcome="found" if share >= 0.98 else "partly" if share >= 0.9 else "not found",
    )


def _phenotypes(general: Comparison) -> Claim:
    return Claim(
        subject="histomorphological phenotype clusters",
        planted=f"{len(general.types)} tissue types",
        found=f"{general.k} HPCs; tree cut to {len(general.types)}: ARI {general.ari_pure:.2f} on pure validation tiles",
        outcome="found" if general.ari_pure >= 0.8 else "partly" if general.ari_pure >= 0.5 else "not found",
    )


def _prognostic(general: Comparison) -> Claim:
    """The prognostic HPCs: each planted type behind a selected feature with the right sign, and nothing else."""
    signs = {general.harmful: 1, general.protective: -1}
    right = {
        kind for name, kind in general.selected.items() if np.sign(general.coef[name]) == signs.get(kind, 0)
    }
    wrong = [
        name for name, kind in general.selected.items() if np.sign(general.coef[name]) != signs.get(kind, 0)
    ]
    shown = ", ".join(
        f"{name} ({kind}, {general.coef[name]:+.2f})" for name, kind in general.selected.items()
    )
    return Claim(
        subject="prognostic HPCs and the equation of the score",
        planted=f"{general.harmful} harms, {general.protective} protects",
        found=shown or "nothing selected",
        outcome="found" if len(right) == 2 and not wrong else "partly" if right else "not found",
    )


def _survival(results: Results, endpoint: str) -> Claim:
    """Risk groups and continuous score in the validation cohorts."""
    tested = [
        a for a in results.analyses if a.endpoint == endpoint and a.role == "validation" and not a.apparent
    ]
    effects = [a.hr_sd for a in tested if isinstance(a.hr_sd, HazardRatio)]
    shown = [h for h in effects if h.lower is not None and h.lower > 1]
    numbers = "; ".join(f"{a.cohort} {_ratio(a.hr_sd)}" for a in tested)
    outcome: Outcome = (
        "not estimable"
        if not effects
        else "found"
        if len(shown) == len(tested)
        else "partly"
        if shown
        else "not found"
    )
    return Claim(
        subject=f"{endpoint.upper()} by risk score in independent cohorts",
        planted="the score's tissue types act on this endpoint in every cohort",
        found=f"hazard ratio per SD: {numbers}" if numbers else "no validation cohort",
        outcome=outcome,
    )


def _heterogeneous(scores: pd.DataFrame, planted: set[str]) -> Claim:
    """Patients whose cores disagree."""
    several = scores[scores["core_agreement"].isin(["agree", "heterogeneous"])]
    called = set(several.loc[several["core_agreement"] == "heterogeneous", "patient_id"])
    here = planted & set(several["patient_id"])
    others = set(several["patient_id"]) - planted
    caught, false = len(called & here), len(called & others)
    share = caught / max(len(here), 1)
    false_rate = false / max(len(others), 1)
    return Claim(
        subject="low, high and heterogeneous patients",
        planted=f"{len(here)} of {len(several)} patients with several cores differ between their cores",
        found=f"{caught} of them called heterogeneous, and {false} of {len(others)} others",
        outcome="not estimable"
        if not here
        else "found"
        if share >= 0.5 and false_rate <= 0.1
        else "partly"
        if caught
        else "not found",
    )


def _treatment(results: Results, planted: Mapping[str, float | str], arm: str) -> Claim:
    """Benefit from chemoradiotherapy: planted for adjuvant treatment of patients at high risk, and for none else."""
    analysed: Sequence[Treatment] = [t for t in results.treatment if t.arm == arm and t.endpoint == "os"]
    benefit = float(planted["log_hr_high_risk"]) if arm == planted["column"] else 0.0
    wanted = (
        f"hazard ratio {np.exp(benefit):.2f} from its start above the median risk, 1 below"
        if benefit
        else "no effect"
    )
    if not analysed:
        return Claim(
            subject=f"benefit from {_arm(arm)}", planted=wanted, found="not analysed", outcome="not estimable"
        )
    verdict = analysed[0].verdict
    outcome: Outcome = (
        "not estimable"
        if verdict == "not estimable"
        else "found"
        if (verdict == "predictive") == bool(benefit)
        else "not found"
    )
    return Claim(
        subject=f"benefit from {_arm(arm)}", planted=wanted, found=analysed[0].words, outcome=outcome
    )


def _subtypes(study: Study, patients: pd.DataFrame, tied: Mapping[str, str]) -> Claim:
    """Molecular subtypes against tissue: the tied tissue in patients of a subtype and in the others."""
    types = node_types(study)
    profiles = read_profiles(study).patients.merge(patients[["patient_id", "subtype"]], on="patient_id")
    shown, significant = [], []
    for subtype, kind in tied.items():
        leaves = [c for c in profiles.columns if c.startswith("hpc_") and types.get(c) == kind]
        share = profiles[leaves].sum(axis=1).to_numpy(float)
        inside = (profiles["subtype"] == subtype).to_numpy()
        if inside.sum() < 5 or (~inside).sum() < 5:
            continue
        p = wilcoxon(share[inside], share[~inside]).p
        more = float(np.median(share[inside]) - np.median(share[~inside]))
        significant.append(p < 0.05 and more > 0)
        shown.append(f"{subtype} {more:+.2f} of {kind} (p = {p:.2g})")
    outcome: Outcome = (
        "not estimable"
        if not significant
        else "found"
        if all(significant)
        else "partly"
        if any(significant)
        else "not found"
    )
    return Claim(
        subject="molecular subtypes and tissue",
        planted=", ".join(f"{subtype} with {kind}" for subtype, kind in tied.items()),
        found="; ".join(shown) or "too few patients of each subtype",
        outcome=outcome,
    )


def _arm(column: str) -> str:
    return column.replace("_crt", " chemoradiotherapy")


def _ratio(value: HazardRatio | NotEstimable) -> str:
    if isinstance(value, NotEstimable) or value.hr is None or value.lower is None or value.upper is None:
        return "not estimable"
    return f"{value.hr:.2f} ({value.lower:.2f}-{value.upper:.2f})"

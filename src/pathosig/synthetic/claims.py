"""The claims of the published microarray study: what was planted in a simulated study, and what its analysis found."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd

from pathosig.core.errors import InputError
from pathosig.core.planted_claims import Claim, write_claims
from pathosig.core.records import read_json
from pathosig.core.showing import Shown
from pathosig.core.study import Study
from pathosig.core.tables import read_csv_rows
from pathosig.profiles.reading import read_profiles
from pathosig.synthetic.claims_of_outcome import (
    forest_claim,
    groups_claim,
    prognostic_claim,
    recurrence_claim,
    strata_claim,
    survival_claim,
    treatment_claim,
)
from pathosig.synthetic.claims_of_tissue import (
    cores_claim,
    heterogeneity_claim,
    maps_claim,
    montage_claim,
    phenotypes_claim,
    proportions_claim,
    subtypes_claim,
)
from pathosig.synthetic.truth import compare_truth, node_types, patient_scores, tile_truth
from pathosig.validation.results import read_results


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperComparison(Shown):
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
        """Three lines for each claim: its subject and outcome, what was planted, and what was found."""
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
    """Compare the results of a simulated microarray study with what was planted in it.

    The claims are also written to truth/claims.json, where the report finds them.

    Parameters
    ----------
    study
        A validated study that `simulate` wrote with kind ``tma`` or ``mixed``.

    Returns
    -------
    PaperComparison

    Raises
    ------
    InputError
        If the study has no planted cores, or has not been validated.
    """
    truth = read_json(study.paths.truth) if study.paths.truth.is_file() else {}
    if "cores" not in truth:
        raise InputError(
            "truth.json: the study has no planted cores. Create it with `pathosig simulate --kind tma`."
        )
    results = read_results(study.paths.results)
    general, tiles = compare_truth(study), tile_truth(study)
    types = node_types(study, tiles)
    scores = patient_scores(study)
    patients = pd.DataFrame(read_csv_rows(study.paths.patients))
    profiles = read_profiles(study).patients
    claims = (
        cores_claim(study, truth["cores"]),
        phenotypes_claim(general),
        montage_claim(study, types, general.types),
        maps_claim(tiles, types, general.types),
        proportions_claim(profiles, types, truth),
        prognostic_claim(general),
        *(survival_claim(results, endpoint) for endpoint in ("os", "dfs")),
        recurrence_claim(results),
        heterogeneity_claim(scores, truth),
        forest_claim(results),
        strata_claim(results),
        subtypes_claim(
            profiles.merge(patients[["patient_id", "subtype"]], on="patient_id"), types, truth["subtypes"]
        ),
        groups_claim(results),
        *(treatment_claim(results, truth["treatment"], arm) for arm in ("adjuvant_crt", "neoadjuvant_crt")),
    )
    write_claims(study.paths.claims, claims)
    report = study.paths.report
    return PaperComparison(claims=claims, report=str(report) if report.is_file() else None)

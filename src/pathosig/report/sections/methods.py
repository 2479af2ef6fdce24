"""Section with a paragraph on methods for a paper, written from the records."""

from __future__ import annotations

from pathosig.core.words import counted
from pathosig.encoder.zoo import note_on
from pathosig.figures.titles import cohort_title, endpoint_title, selection_words
from pathosig.report.cells import listed, units_of
from pathosig.report.material import Material
from pathosig.report.page import Section, Text


def methods_section(material: Material) -> Section | None:
    """What was done, in sentences; None before a signature was fitted."""
    if material.signature is None:
        return None
    sentences = [*_tissue(material), *_signature(material), *_validation(material), _versions(material)]
    lead = "A paragraph for a paper, written from the settings and records of this study."
    return Section(id="methods", title="Methods", blocks=[Text(text=" ".join(sentences))], lead=lead)


def _setting(material: Material, stage: str, key: str) -> str:
    """A setting of a stage as its record has it; empty without."""
    records = material.of(stage, "ok")
    return str(records[0].spec[key]) if records and key in records[0].spec else ""


def _encoder(material: Material) -> str:
    """The encoder that the embeddings name: with DL-CC, or with features from elsewhere, not the one of the settings."""
    names = (r.summary["encoder"] for r in material.of("embed", "ok") if "encoder" in r.summary)
    return str(next(names, ""))


def _tissue(material: Material) -> list[str]:
    phenotypes = material.phenotypes
    if phenotypes is None:
        count = 0 if material.profiles.patients is None else material.profiles.patients.shape[1] - 3
        return [
            f"Profiles were {counted(count, 'feature')} from an outside table, z-scored by rules fitted in discovery."
        ]
    out = []
    size, mpp = _setting(material, "tiles", "size_px"), _setting(material, "tiles", "mpp")
    if size and mpp:
        out.append(
            f"Tissue was segmented and cut into tiles of {size} × {size} pixels at {mpp} µm per pixel; tiles with pen, blur, folds "
            "or too little tissue were left out."
        )
    encoder = _encoder(material)
    note = note_on(encoder.removeprefix("dlcc-"))
    out += [f"Tiles were embedded with {encoder}{f' ({note})' if note else ''}."] if encoder else []
    out.append(
        f"Embeddings of discovery tiles were clustered without labels into {phenotypes.k} histomorphological phenotype clusters "
        "(HPCs), joined in a Ward tree; a patient's profile is the proportion of tiles in each HPC."
    )
    return out


def _chosen(material: Material) -> str:
    """The procedure that was used, which an automatic choice settles."""
    summary = None if material.results is None else material.results.selection
    return _setting(material, "signature", "selection") if summary is None else summary.method


def _signature(material: Material) -> list[str]:
    score = material.signature
    if score is None:
        return []
    how = _chosen(material)
    text = f"A Cox model of {endpoint_title(score.endpoint).lower()} was built in discovery from {counted(len(score.terms), 'feature')}"
    text += f" chosen by {selection_words(how, units_of(material))}" if how else ""
    return [
        f"{text}; the score and its cut-off ({score.cutoff_rule}) were frozen before any validation cohort was read."
    ]


def _validation(material: Material) -> list[str]:
    results = material.results
    if results is None:
        return []
    cohorts = list(dict.fromkeys(a.cohort for a in results.analyses if a.role == "validation"))
    if cohorts:
        where = f"They were applied unchanged to {listed([cohort_title(c) for c in cohorts])}."
    else:
        where = "Without an external cohort, performance was estimated by repeated, patient-grouped, nested cross-validation."
    return [
        where,
        "The primary effect is the hazard ratio per discovery standard deviation of the score; risk groups were compared by "
        "the log-rank test, discrimination was measured by Harrell's and Uno's C, calibration by observed and expected risk, "
        "and overall error by the integrated Brier score, each with 95% confidence intervals.",
    ]


def _versions(material: Material) -> str:
    version = material.versions.get("pathosig", "")
    return f"All analyses were done with pathosig {version}; settings, seeds and hashes are in the appendix.".replace(
        "  ", " "
    )

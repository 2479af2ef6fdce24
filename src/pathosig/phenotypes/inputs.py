"""What the phenotypes stages take from a study: names and files of slides."""

from __future__ import annotations

from typing import Any

from pathosig.core.study import Specimen, Study


def discovery_facts(study: Study) -> list[dict[str, Any]]:
    """Files and names of discovery slides that have embeddings, as `training_tiles` wants them."""
    return [
        slide_facts(study, s)
        for s in study.specimens()
        if s.is_discovery and study.paths.embeddings(s.id).is_file()
    ]


def slide_facts(study: Study, specimen: Specimen) -> dict[str, Any]:
    """id, patient, site of a slide, and its embeddings, tiles and assignments relative to the study."""

    def place(folder: str, suffix: str) -> str:
        return study.file(folder, specimen.id, suffix).relative_to(study.root).as_posix()

    return {
        "id": specimen.id,
        "patient": specimen.patient_id,
        "site": specimen.site or "",
        "training": specimen.is_discovery,
        "embeddings": place("embeddings", ".npy"),
        "tiles": place("tiles", ".parquet"),
        "assigned": place("phenotypes", ".parquet"),
    }

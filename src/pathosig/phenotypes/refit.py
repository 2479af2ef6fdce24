"""Refits the codebook on a subset of the discovery patients and assigns every discovery slide with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.core.schema import ASSIGNMENTS, read_table
from pathosig.phenotypes.fit import fit_codebook
from pathosig.phenotypes.health import artefact_hpcs
from pathosig.phenotypes.reading import Discovery, read_embeddings, readable_rows, training_tiles
from pathosig.phenotypes.tree import tree_nodes


@dataclass(frozen=True, kw_only=True)
class RefittedCodebook:
    """Tile counts of discovery slides under a codebook that was fitted on some of their patients.

    Attributes
    ----------
    slide_ids, patient_ids
        Ids for each row of `counts`.
    counts
        float[slides, k]: number of tiles in each HPC.
    tree
        ``k`` and ``nodes`` as in tree.json.
    artefact_hpcs
        HPCs that are artefacts by the quality of their training tiles.
    agreement
        Adjusted Rand index with the study's own HPCs over all tiles; NaN if the study has not assigned them.
    """

    slide_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    counts: np.ndarray
    tree: dict[str, object]
    artefact_hpcs: tuple[int, ...]
    agreement: float


def refit_codebook(
    discovery: Discovery, patients: Collection[str], *, seed: int | None = None
) -> RefittedCodebook:
    """Fit the codebook on the slides of `patients` only and assign every discovery slide with it.

    Parameters
    ----------
    discovery
        From `read_discovery`.
    patients
        Discovery patients to fit on.
    seed
        Seed of the clustering; that of the study by default.

    Returns
    -------
    RefittedCodebook

    Raises
    ------
    NotEstimableError
        If phenotypes are the classes of a trained network, which a new codebook cannot change, or if there are too few
        tiles.
    InputError
        E_MISSING if none of these patients has embeddings.
    """
    spec = discovery.spec
    if spec.method == "dlcc":
        message = "codebook refit: phenotypes are the classes of the trained network; only training it again changes them."
        raise NotEstimableError(message)
    if seed is not None:
        spec = spec.replace(seed=seed)
    chosen = [slide for slide in discovery.slides if slide.patient in set(patients)]
    if not chosen:
        raise InputError(
            "codebook refit: none of these patients has embeddings. Run `pathosig embed`.", code="E_MISSING"
        )
    tiles, quality = training_tiles(discovery.root, chosen, spec)
    codebook, _ = fit_codebook(tiles, spec, display=False)
    artefacts = artefact_hpcs(codebook.labels(tiles.embeddings), quality, codebook.k)
    counts, old, new = [], [], []
    for slide in discovery.slides:
        stored = read_embeddings(discovery.root / slide.embeddings)
        labels = codebook.labels(np.asarray(stored[readable_rows(stored)]))
        counts.append(np.bincount(labels, minlength=codebook.k).astype(float))
        path = discovery.root / slide.assigned
        if path.is_file():
            before = read_table(path, ASSIGNMENTS).column("hpc").to_numpy()
            if len(before) == len(labels):
                old.append(before)
                new.append(labels)
    return RefittedCodebook(
        slide_ids=tuple(slide.id for slide in discovery.slides),
        patient_ids=tuple(slide.patient for slide in discovery.slides),
        counts=np.array(counts),
        tree={"k": codebook.k, "nodes": tree_nodes(codebook.linkage)},
        artefact_hpcs=tuple(sorted(artefacts)),
        agreement=_agreement(old, new),
    )


def _agreement(old: list[np.ndarray], new: list[np.ndarray]) -> float:
    if not old:
        return float("nan")
    return float(adjusted_rand_score(np.concatenate(old), np.concatenate(new)))

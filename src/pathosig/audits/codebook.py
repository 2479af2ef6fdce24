"""`audit optimism`, second line: the codebook refitted in every resample, not only the signature."""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathosig.audits.repeats import Procedure, one_thread
from pathosig.core.errors import NotEstimableError, PathosigError
from pathosig.core.progress import Progress
from pathosig.core.study import Study
from pathosig.signature.spec import SignatureSpec
from pathosig.signature.training import TrainingSet
from pathosig.validation.estimates import estimate, finite


def audit_codebook(
    study: Study,
    training: TrainingSet,
    *,
    spec: SignatureSpec,
    resamples: int = 20,
    seed: int = 0,
    workers: int = 1,
) -> dict[str, Any]:
    """Out-of-bag C with the codebook refitted on each resample's patients, beside the fixed codebook's on the same ones.

    Parameters
    ----------
    study
        With embeddings, phenotypes and profiles.
    training
        Discovery patients with the fixed codebook.
    spec
        The signature's settings.
    resamples, seed, workers
        How often (20 at least for a verdict), seed, processes.

    Returns
    -------
    dict with ``out_of_bag_c`` and ``fixed_c`` (Estimates over resamples), ``difference`` (refitted minus fixed, with limits of
    its mean), ``agreement`` (mean adjusted Rand index of tiles with the study's own HPCs), ``share_empty``, ``resamples``

    Raises
    ------
    NotEstimableError
        If the codebook cannot be refitted (outside features, a trained head, no embeddings).
    """
    rng = np.random.default_rng([seed, 11])
    draws = [rng.integers(0, len(training), len(training)) for _ in range(resamples)]
    jobs = [(study.root, training, spec, draw) for draw in draws]
    made = []
    with Progress("codebooks", total=len(jobs)) as bar:
        if workers <= 1:
            for job in jobs:
                made.append(_one(*job))
                bar.advance()
        else:
            context = multiprocessing.get_context("spawn")
            with one_thread(), ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
                for future in [pool.submit(_one, *job) for job in jobs]:
                    made.append(future.result())
                    bar.advance()
    again = np.array([m["refitted"] for m in made])
    fixed = np.array([m["fixed"] for m in made])
    gap = again - fixed
    error = float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("nan")
    return {
        "what": "codebook refitted on each resample's patients, out-of-bag patients assigned with it",
        "resamples": resamples,
        "out_of_bag_c": estimate(again.mean(), *np.quantile(again, [0.025, 0.975])),
        "fixed_c": estimate(fixed.mean(), *np.quantile(fixed, [0.025, 0.975])),
        "difference": estimate(gap.mean(), gap.mean() - 1.96 * error, gap.mean() + 1.96 * error),
        "monte_carlo_se": finite(again.std(ddof=1) / np.sqrt(len(again))) if len(again) > 1 else None,
        "agreement": finite(np.mean([m["agreement"] for m in made])),
        "hpcs": estimate(
            np.mean([m["k"] for m in made]), min(m["k"] for m in made), max(m["k"] for m in made)
        ),
        "share_empty": float(np.mean([not m["found"] for m in made])),
    }


def _one(
    root: Path,
    training: TrainingSet,
    spec: SignatureSpec,
    drawn: np.ndarray,
) -> dict[str, Any]:
    """One resample of patients, with the fixed and with a refitted codebook."""
    from pathosig.phenotypes.reading import read_discovery
    from pathosig.phenotypes.refit import refit_codebook
    from pathosig.profiles.pooling import pool_patients, slide_profiles
    from pathosig.profiles.spec import ProfilesSpec
    from pathosig.profiles.tree import hpc_column

    study = Study.open(root)
    chosen = set(training.outcome["patient_id"].to_numpy()[drawn])
    try:
        book = refit_codebook(read_discovery(study), chosen)
    except PathosigError as error:
        raise NotEstimableError(str(error)) from error
    artefacts = book.artefact_hpcs if study.spec(ProfilesSpec).drop_artefacts else ()
    columns = [hpc_column(i) for i in range(book.counts.shape[1])]
    ids = pd.DataFrame({"slide_id": book.slide_ids, "patient_id": book.patient_ids})
    slides = slide_profiles(ids, book.counts, artefacts)
    patients = pool_patients(slides, columns=columns)
    new = training.outcome[["patient_id"]].merge(patients, on="patient_id", how="left")
    for name in (*columns, "n_tiles"):  # a patient whose tiles are all artefacts now
        new[name] = new[name].fillna(0.0)
    again = dataclasses.replace(
        training,
        profiles=new,
        slides=slides,
        columns=tuple(columns),
        tree=book.tree,
        artefacts=tuple(artefacts),
    )
    single = spec.replace(bootstraps=0)
    fixed, _, _ = Procedure(training=training, spec=single).bootstrapped(drawn)
    refitted, _, found = Procedure(training=again, spec=single).bootstrapped(drawn)
    return {
        "refitted": refitted, "fixed": fixed, "found": found, "agreement": book.agreement, "k": len(columns)
    }  # fmt: skip

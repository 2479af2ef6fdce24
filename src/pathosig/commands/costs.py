"""Seconds of one core that each stage needs, as far as the size of a study determines them: the model of `run --dry-run`.

The constants were measured (docs/how-to/how-big.md names the commands); `benchmarks/plan.py` compares the model with a real run.
"""

from __future__ import annotations

from dataclasses import dataclass

_START_S = 2.5
"""Seconds a stage needs to start its workers and import what they use."""
_EMBED_START_S = 15.0
"""Seconds to import the libraries of the encoder and to export its network."""
_TISSUE_S, _TISSUE_S_PER_GIGAPIXEL = 0.2, 0.4
_TILES_S, _TILES_S_PER_GIGAPIXEL = 0.2, 0.8
_TILES_PER_S = {"efficientnet-lite0": 14.0, "resnet50": 4.7}
_FOUNDATION_TILES_PER_S = 0.25
_ASSIGN_S, _ASSIGN_S_PER_NUMBER = 3.8e-6, 14.7e-9  # per tile, and per number of its embedding
_FIT_S, _FIT_S_PER_TILE = 10.0, 0.8e-6
_PROFILES_S, _PROFILES_S_PER_TILE = 0.6, 0.13e-6
_SIGNATURE_S, _SIGNATURE_S_PER_PATIENT = 2.5, 0.002
_VALIDATE_S, _VALIDATE_S_PER_PATIENT, _PERMUTATION_S = 8.0, 0.01, 0.5
_REPORT_S, _REPORT_S_PER_PATIENT = 8.0, 0.002


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySize:
    """How large a study is.

    Attributes
    ----------
    patients
        Number of patients.
    gigapixels
        Mean size of a slide at level 0, in 10^9 pixels.
    tiles
        Number of tiles in all slides together.
    dim
        Length of an embedding.
    encoder
        Name of the encoder.
    permutations
        Permutations of the whole procedure in `validate`.
    """

    patients: int
    gigapixels: float
    tiles: float
    dim: int
    encoder: str
    permutations: int = 0


def unit_seconds(stage: str, size: StudySize, *, tiles: float) -> float:
    """Seconds of one core for one slide in a stage that works slide by slide; 0 for other stages.

    Parameters
    ----------
    stage
        Name of the stage.
    size
        Size of the study.
    tiles
        Number of tiles of the slide.

    Examples
    --------
    >>> size = StudySize(patients=100, gigapixels=2.5, tiles=1e6, dim=1280, encoder="resnet50")
    >>> unit_seconds("tissue", size, tiles=0), unit_seconds("embed", size, tiles=470)
    (1.2, 100.0)
    """
    match stage:
        case "tissue" | "tma":
            return _TISSUE_S + _TISSUE_S_PER_GIGAPIXEL * size.gigapixels
        case "tiles":
            return _TILES_S + _TILES_S_PER_GIGAPIXEL * size.gigapixels
        case "embed":
            return tiles / _TILES_PER_S.get(size.encoder, _FOUNDATION_TILES_PER_S)
        case "phenotypes":
            return tiles * (_ASSIGN_S + _ASSIGN_S_PER_NUMBER * size.dim)
        case _:
            return 0.0


def fit_seconds(stage: str, size: StudySize) -> float | None:
    """Seconds of one core for what a stage does once for the whole study, including its start; None for training.

    How long training takes does not follow from the size of a study.

    Parameters
    ----------
    stage
        Name of the stage.
    size
        Size of the study.

    Examples
    --------
    >>> size = StudySize(patients=100, gigapixels=2.5, tiles=1e6, dim=1280, encoder="resnet50")
    >>> round(fit_seconds("phenotypes", size), 1), fit_seconds("train", size)
    (13.3, None)
    """
    match stage:
        case "train":
            return None
        case "phenotypes":
            return _START_S + _FIT_S + _FIT_S_PER_TILE * size.tiles
        case "profiles":
            return _START_S + _PROFILES_S + _PROFILES_S_PER_TILE * size.tiles
        case "signature":
            return _START_S + _SIGNATURE_S + _SIGNATURE_S_PER_PATIENT * size.patients
        case "validate":
            resampled = _PERMUTATION_S * size.permutations
            return _START_S + _VALIDATE_S + _VALIDATE_S_PER_PATIENT * size.patients + resampled
        case "report":
            return _START_S + _REPORT_S + _REPORT_S_PER_PATIENT * size.patients
        case "embed":
            return _EMBED_START_S
        case _:
            return _START_S

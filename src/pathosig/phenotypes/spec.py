"""How phenotypes are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pathosig.core import plugins
from pathosig.core.errors import ConfigError
from pathosig.core.spec import Spec

BUILT_IN = ("recommended", "kmeans", "dlcc", "leiden")


@dataclass(frozen=True, kw_only=True)
class PhenotypeSpec(Spec):
    """How phenotypes are found.

    Attributes
    ----------
    method
        recommended (consensus of spherical k-means runs) | kmeans | dlcc (the trained cluster head) | leiden, or
        the name of a plug-in of the group ``pathosig.clusterers``.
    k
        Number of phenotypes (HPCs).
    runs
        Runs of spherical k-means behind the consensus.
    pca_dim
        Dimensions kept by PCA.
    whiten
        How far the axes of the PCA are whitened, from 0 (not at all) to 1 (every axis has unit variance).
    spatial
        Scale the space by the differences between touching tiles, which count as noise: auto (if neighbours are more alike
        than other tiles of their slide) | never | always.
    tiles_per_slide
        At most this many tiles of a slide are used for fitting, so that large slides do not dominate.
    max_tiles
        At most this many tiles are used for fitting in total, spread evenly over slides.
    landmarks
        Number of tiles on which the runs behind the consensus are compared.
    max_iter
        Largest number of iterations of a k-means run.
    min_share
        Consensus groups with less than this proportion of the training tiles are merged into the nearest group.
    centre
        Remove slide effects: auto (if the batch diagnostic finds them) | never | always.
    temperature
        Temperature of the soft assignment, on cosine similarity.
    seed
        Seed of every random step.
    codebook
        Bundle of another study (.psig), relative to the study folder, whose phenotypes are used instead of fitting new ones.

    Examples
    --------
    >>> PhenotypeSpec(k=30, method="kmeans").k
    30
    """

    section: ClassVar[str] = "phenotypes"
    method: str = "recommended"
    k: int = 50
    runs: int = 30
    pca_dim: int = 128
    whiten: float = 0.0
    spatial: Literal["auto", "never", "always"] = "auto"
    tiles_per_slide: int = 400
    max_tiles: int = 20_000
    landmarks: int = 4000
    max_iter: int = 25
    min_share: float = 0.005
    centre: Literal["auto", "never", "always"] = "auto"
    temperature: float = 0.05
    seed: int = 0
    codebook: str | None = None

    def __post_init__(self) -> None:
        methods = (*BUILT_IN, *plugins.available("pathosig.clusterers"))
        if self.method not in methods:
            raise ConfigError(
                f"[phenotypes] method {self.method!r}: expected one of {', '.join(dict.fromkeys(methods))}."
            )
        if min(self.k, self.pca_dim) < 2 or self.runs < 1:
            raise ConfigError("[phenotypes] k and pca_dim must be at least 2, runs at least 1.")
        if min(self.tiles_per_slide, self.max_tiles) < 1 or self.landmarks < 10 * 2:
            raise ConfigError("[phenotypes] tiles_per_slide must be at least 1, landmarks at least 20.")
        if not 0 <= self.whiten <= 1 or not 0 <= self.min_share < 0.5 or self.temperature <= 0:
            raise ConfigError(
                "[phenotypes] expected whiten from 0 to 1, min_share from 0 to below 0.5, temperature above 0."
            )

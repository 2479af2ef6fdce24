"""Detection of tiles and slides outside the distribution that a codebook was fitted on.

Two distances are measured on the embedding itself, before it is projected into the codebook's space: the length of what a
frozen PCA leaves out (`residual`), and the Mahalanobis length inside that PCA. Both are calibrated on patients that were
left out of the PCA, because a PCA fits the tiles it was computed from better than any others: with thresholds from those
tiles, 24 to 61 % of new tiles of the same kind would count as far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from scipy.special import stdtrit

from pathosig.phenotypes.nearest import products
from pathosig.phenotypes.projection import Moments

FALSE_ALARMS = 0.02
"""Proportion of tiles, and of slides, of the training's own kind that are called unlike the training tiles."""

_DIM = 64
_FOLDS = 5
_LEAST_GROUPS = 3
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class TileDistance:
    """How far tiles lie from the training tiles.

    Attributes
    ----------
    residual, mahalanobis
        float32[n]: outside and inside the PCA, in units of the threshold that 1 % of left-out tiles exceed.
    """

    residual: np.ndarray
    mahalanobis: np.ndarray

    @property
    def far(self) -> np.ndarray:
        """bool[n]: whether a tile lies beyond either threshold."""
        return (self.residual > 1) | (self.mahalanobis > 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """How far the tiles of a slide lie from the training tiles on average.

    Attributes
    ----------
    n_tiles
        Number of tiles.
    far
        Proportion of tiles beyond either threshold; about 0.02 for slides like those of the training.
    residual, mahalanobis
        Means of the natural logarithms of the tiles' distances.
    """

    n_tiles: int
    far: float
    residual: float
    mahalanobis: float

    @classmethod
    def of(cls, tiles: TileDistance) -> Self:
        """The shift of one slide."""
        if not len(tiles.residual):
            return cls(n_tiles=0, far=0.0, residual=0.0, mahalanobis=0.0)
        logs = [
            np.log(np.maximum(x, _TINY)).mean(dtype=np.float64) for x in (tiles.residual, tiles.mahalanobis)
        ]
        return cls(
            n_tiles=len(tiles.residual),
            far=float(tiles.far.mean()),
            residual=round(float(logs[0]), 6),
            mahalanobis=round(float(logs[1]), 6),
        )

    @classmethod
    def pooled(cls, shifts: Iterable[Shift]) -> Self:
        """The shift of a patient, over all tiles of the patient's slides.

        Examples
        --------
        >>> one = Shift(n_tiles=30, far=0.0, residual=-0.2, mahalanobis=-0.1)
        >>> two = Shift(n_tiles=10, far=0.4, residual=0.2, mahalanobis=0.3)
        >>> Shift.pooled([one, two]).far
        0.1
        """
        slides = [s for s in shifts if s.n_tiles]
        n = sum(s.n_tiles for s in slides)

        def mean(name: str) -> float:
            return sum(s.n_tiles * float(getattr(s, name)) for s in slides) / n if n else 0.0

        return cls(n_tiles=n, far=mean("far"), residual=mean("residual"), mahalanobis=mean("mahalanobis"))

    def to_dict(self) -> dict[str, float]:
        """For a record's summary; ``Shift(**...)`` reads it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Distance:
    """A frozen PCA of unit-length embeddings, calibrated on left-out patients.

    Attributes
    ----------
    mean
        float32[d]: mean of the embeddings.
    basis
        float32[d, p]: components divided by their standard deviations.
    variance
        float32[p]: variance along each component.
    rest
        Variance outside the components.
    threshold
        float64[2]: logarithms of the residual and the Mahalanobis length that 1 % of left-out tiles exceed; infinite
        if there were too few patients to calibrate.
    centre, between, within
        float64[2] each, on the logarithms minus the threshold: the mean over left-out patients, the standard deviation
        of the patients' means, and the standard deviation of tiles within a patient.
    groups, tiles
        Number of patients in the calibration (of slides, if there are fewer than three patients), and the harmonic mean
        of their numbers of tiles.
    """

    mean: np.ndarray
    basis: np.ndarray
    variance: np.ndarray
    rest: float
    threshold: np.ndarray
    centre: np.ndarray
    between: np.ndarray
    within: np.ndarray
    groups: int
    tiles: float

    @classmethod
    def uncalibrated(cls, dim: int) -> Self:
        """A distance without calibration, for embeddings of length `dim`: nothing counts as far."""
        zero = np.zeros(2)
        return cls(
            mean=np.zeros(dim, np.float32),
            basis=np.zeros((dim, 0), np.float32),
            variance=np.zeros(0, np.float32),
            rest=1.0,
            threshold=np.full(2, np.inf),
            centre=zero,
            between=zero,
            within=zero,
            groups=0,
            tiles=1.0,
        )

    @property
    def calibrated(self) -> bool:
        """Whether there were enough patients to calibrate the thresholds."""
        return bool(np.isfinite(self.threshold).all())

    def of(self, embeddings: np.ndarray) -> TileDistance:
        """Distances of embeddings, float[n, d]."""
        matrix = np.hstack([self.basis, self.mean[:, None]])
        out = np.empty((2, len(embeddings)), np.float32)
        for rows, product, size in products(embeddings, matrix):
            out[:, rows] = self.from_products(product / size[:, None])[:, : rows.stop - rows.start]
        return TileDistance(residual=out[0], mahalanobis=out[1])

    def from_products(self, product: np.ndarray) -> np.ndarray:
        """Both distances, float32[2, n], from unit rows times ``[basis, mean]``, float32[n, p + 1]."""
        logs = _log_lengths(
            product[:, :-1] - self.mean @ self.basis,
            product[:, -1],
            mean_squared=float(self.mean @ self.mean),
            variance=self.variance,
            rest=self.rest,
        )
        return np.exp(logs - self.threshold.astype(np.float32)[:, None])

    def excess(self, shift: Shift) -> tuple[float, float]:
        """How far a slide lies beyond left-out patients, as (residual, Mahalanobis); 1 is the limit of `unlike`.

        The means of left-out patients with b tiles each have the standard deviation ``between``; the mean of a slide with
        m < b tiles varies more, because it has fewer tiles. With n patients the limit is the one-sided prediction limit

            centre + t(1 - FALSE_ALARMS / 2, n - 1) * sqrt(between^2 (1 + 1 / n) + within^2 max(1 / m - 1 / b, 0))
        """
        if not self.calibrated or not shift.n_tiles:
            return 0.0, 0.0
        t = float(stdtrit(self.groups - 1, 1 - FALSE_ALARMS / 2))
        fewer = max(1 / shift.n_tiles - 1 / self.tiles, 0)
        spread = np.sqrt(self.between**2 * (1 + 1 / self.groups) + self.within**2 * fewer)
        z = (np.array([shift.residual, shift.mahalanobis]) - self.centre) / (t * np.maximum(spread, _TINY))
        return float(z[0]), float(z[1])

    def unlike(self, shift: Shift) -> bool:
        """Whether a slide is unlike those of the training; at most 2 % of slides of the same kind are called so."""
        return max(self.excess(shift)) > 1

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays that `Codebook.save` writes, by name."""
        numbers = [[self.rest, self.tiles], self.threshold, self.centre, self.between, self.within]
        return {
            "distance.mean": np.ascontiguousarray(self.mean, np.float32),
            "distance.basis": np.ascontiguousarray(self.basis, np.float32),
            "distance.variance": np.ascontiguousarray(self.variance, np.float32),
            "distance.calibration": np.array(numbers, np.float64),
            "distance.groups": np.array([self.groups]),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """The distance from the arrays that `tensors` returned."""
        (rest, tiles), threshold, centre, between, within = tensors["distance.calibration"]
        return cls(
            mean=tensors["distance.mean"],
            basis=tensors["distance.basis"],
            variance=tensors["distance.variance"],
            rest=float(rest),
            tiles=float(tiles),
            groups=int(tensors["distance.groups"][0]),
            threshold=threshold,
            centre=centre,
            between=between,
            within=within,
        )


def _log_lengths(
    inside: np.ndarray, along_mean: np.ndarray, *, mean_squared: float, variance: np.ndarray, rest: float
) -> np.ndarray:
    """Logarithms of residual and Mahalanobis length, float32[2, n].

    For a unit-length embedding u, the mean m and the components z of u - m, each divided by its standard deviation
    sqrt(v):

        residual^2 = (|u - m|^2 - sum v z^2) / rest,   Mahalanobis^2 = mean z^2

    Both are 1 on average in the training.
    """
    squares = inside * inside
    kept = (squares * variance).sum(axis=1) if len(variance) else np.zeros(len(inside), np.float32)
    residual = np.maximum(1 - 2 * along_mean + mean_squared - kept, 0) / rest
    mahalanobis = squares.mean(axis=1) if len(variance) else np.zeros(len(inside), np.float32)
    return np.asarray(0.5 * np.log(np.maximum(np.stack([residual, mahalanobis]), _TINY**2)), np.float32)


def fit_distance(
    unit: np.ndarray, *, patient: np.ndarray, slide: np.ndarray, seed: int, calibrate: bool = True
) -> tuple[Distance, Moments]:
    """Fit and calibrate the distance on training tiles; also returns their moments, for other uses of a PCA.

    Patients are divided into five folds. The tiles of each fold are measured with the PCA of the other folds, which
    gives the thresholds for tiles and the spread between patients; the frozen PCA is that of all tiles.

    Parameters
    ----------
    unit
        float32[n, d], rows of length 1.
    patient, slide
        int[n] each: numbers of each tile's patient and slide.
    seed
        Seed of the division into folds.
    calibrate
        False skips the calibration: the distance then calls nothing far. The moments are the same to the last bit.

    Returns
    -------
    (Distance, Moments)
        The frozen distance, and the moments of all rows.

    Examples
    --------
    >>> from pathosig.phenotypes.kmeans import normalise
    >>> unit = normalise(np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32) + 2)
    >>> slide = np.arange(400) // 20
    >>> distance, moments = fit_distance(unit, patient=slide, slide=slide, seed=0)
    >>> distance.basis.shape, moments.n
    ((8, 4), 400)
    """
    group = patient if len(np.unique(patient)) >= _LEAST_GROUPS else slide
    names = np.unique(group)
    origin = unit.mean(axis=0, dtype=np.float64).astype(np.float32)
    dealt = np.random.default_rng([seed, 31]).permutation(names)
    folds = [np.isin(group, members) for members in np.array_split(dealt, min(_FOLDS, len(names)))]
    moments = [Moments.of(unit[rows], origin) for rows in folds]
    total = moments[0]
    for other in moments[1:]:
        total = total.plus(other)
    if not calibrate:
        return Distance.uncalibrated(unit.shape[1]), total
    # More components than a quarter of the tiles would describe single tiles; half of the dimensions must stay outside
    # the PCA, because the residual is measured there.
    dim = max(1, min(_DIM, len(unit) // 4, unit.shape[1] // 2))
    if len(names) < _LEAST_GROUPS:
        return _frozen(total, dim, groups=len(names)), total
    logs = np.empty((2, len(unit)))
    for rows, fold in zip(folds, moments, strict=True):
        left = _frozen(total.plus(fold, -1), dim, groups=0)
        matrix = np.hstack([left.basis, left.mean[:, None]])
        logs[:, rows] = _log_lengths(
            (unit[rows] - left.mean) @ left.basis,
            unit[rows] @ matrix[:, -1],
            mean_squared=float(left.mean @ left.mean),
            variance=left.variance,
            rest=left.rest,
        )
    threshold = np.quantile(logs, 1 - FALSE_ALARMS / 2, axis=1)
    number = np.unique(group, return_inverse=True)[1]
    frozen = _frozen(
        total,
        dim,
        groups=len(names),
        threshold=threshold,
        spread=_spread(logs - threshold[:, None], number),
        tiles=len(names) / float((1 / np.bincount(number)).sum()),
    )
    return frozen, total


def _spread(logs: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the groups' means, their standard deviation, and that within groups, float64[2] each, of float64[2, n]."""
    count = np.bincount(group)
    means = np.stack([np.bincount(group, row) / count for row in logs])
    inside = np.stack(
        [np.bincount(group, (row - mean[group]) ** 2) for row, mean in zip(logs, means, strict=True)]
    )
    within = inside.sum(axis=1) / max(len(group) - len(count), 1)
    return means.mean(axis=1), means.std(axis=1, ddof=1), np.sqrt(within)


def _frozen(
    moments: Moments,
    dim: int,
    *,
    groups: int,
    threshold: np.ndarray | None = None,
    spread: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    tiles: float = 1.0,
) -> Distance:
    pca = moments.principal(dim)
    zero = np.zeros(2)
    centre, between, within = (zero, zero, zero) if spread is None else spread
    return Distance(
        mean=pca.mean,
        basis=pca.basis(whiten=1.0),
        variance=pca.values.astype(np.float32),
        rest=max(pca.variance - float(pca.values.sum()), 1e-12),
        threshold=np.full(2, np.inf) if threshold is None else threshold,
        centre=centre,
        between=between,
        within=within,
        groups=groups,
        tiles=tiles,
    )

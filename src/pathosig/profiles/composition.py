"""Compositions: closure, zero replacement and log-ratios, as scikit-bio and zCompositions compute them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pathosig.core.errors import ConfigError, InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Replacement = Literal["GBM", "SQ", "BL", "CZM"]


def _matrix(x: ArrayLike, name: str = "composition") -> Floats:
    values = np.atleast_2d(np.asarray(x, float))
    if values.ndim != 2:
        message = f"{name}: {values.ndim} dimensions; expected rows of parts."
        raise InputError(message)
    if not np.isfinite(values).all() or (values < 0).any():
        row = int(np.flatnonzero(~np.isfinite(values).all(1) | (values < 0).any(1))[0])
        message = f"{name}: row {row} has a negative or missing part; expected counts or shares >= 0."
        raise InputError(message)
    return values


def closure(x: ArrayLike) -> Floats:
    """Rows divided by their sums: float[n, parts], each row adding up to 1.

    Raises
    ------
    InputError
        If a row has no positive part, or a negative or missing one.
    """
    values = _matrix(x)
    total = values.sum(1, keepdims=True)
    if (total == 0).any():
        row = int(np.flatnonzero(total[:, 0] == 0)[0])
        message = f"composition: row {row} adds up to 0. Leave patients without tiles out."
        raise InputError(message)
    return np.asarray(values / total)


def _logs(x: ArrayLike) -> Floats:
    values = _matrix(x)
    if (values == 0).any():
        row, column = (int(i[0]) for i in np.nonzero(values == 0))
        message = (
            f"composition: row {row}, part {column} is 0 and has no logarithm. "
            "Replace zeros first (multi_replace, bayesian_replacement)."
        )
        raise InputError(message)
    return np.log(values)


def clr(x: ArrayLike) -> Floats:
    """Centred log-ratios: float[n, parts], log of each part minus the row's mean log.

    Raises
    ------
    InputError
        If a part is 0, negative or missing.

    References
    ----------
    Aitchison J. The statistical analysis of compositional data. 1986. scikit-bio ``clr``.
    """
    logs = _logs(x)
    return np.asarray(logs - logs.mean(1, keepdims=True))


def ilr_basis(parts: int) -> Floats:
    """Orthonormal Gram-Schmidt basis of log-ratio space: float[parts - 1, parts], rows adding up to 0.

    The basis of scikit-bio's ``ilr``.
    """
    if parts < 2:
        message = f"ilr: {parts} parts; expected at least 2."
        raise ConfigError(message)
    basis = np.zeros((parts - 1, parts))
    for i in range(1, parts):
        basis[i - 1, :i] = 1 / i
        basis[i - 1, i] = -1
        basis[i - 1] *= np.sqrt(i / (i + 1))
    return basis


def ilr(x: ArrayLike, *, basis: ArrayLike | None = None) -> Floats:
    """Isometric log-ratios: float[n, parts - 1].

    Parameters
    ----------
    x
        Compositions without zeros, float[n, parts].
    basis
        Orthonormal rows adding up to 0, float[parts - 1, parts]; Gram-Schmidt (scikit-bio) by default.
    """
    centred = clr(x)
    used = ilr_basis(centred.shape[1]) if basis is None else np.asarray(basis, float)
    return np.asarray(centred @ used.T)


def multi_replace(x: ArrayLike, *, delta: float | ArrayLike | None = None) -> Floats:
    """Zeros become `delta`, other parts shrink so that rows still add up to 1.

    Parameters
    ----------
    x
        Counts or shares, float[n, parts]; rows are closed first.
    delta
        One value, or one per row or per cell; ``(1 / parts)**2`` by default, as scikit-bio's ``multi_replace``.

    Raises
    ------
    InputError
        If the replaced zeros of a row would add up to 1 or more.
    """
    values = closure(x)
    if delta is None:
        delta = (1 / values.shape[1]) ** 2
    amount = np.asarray(delta, float)
    if amount.ndim == 1:
        amount = amount[:, None]
    if (amount <= 0).any():
        message = f"multi_replace: delta {amount.min()} is not positive."
        raise ConfigError(message)
    filled = np.where(values == 0, amount, 0.0)
    total = filled.sum(1, keepdims=True)
    if (total >= 1).any():
        row = int(np.flatnonzero(total[:, 0] >= 1)[0])
        message = (
            f"multi_replace: the zeros of row {row} would add up to {total[row, 0]:.3g}. Use a smaller delta."
        )
        raise InputError(message)
    return np.asarray(np.where(values == 0, filled, values * (1 - total)))


def bayesian_replacement(
    counts: ArrayLike,
    *,
    method: Replacement = "GBM",
    frac: float = 0.65,
    threshold: float = 0.5,
    adjust: bool = True,
) -> Floats:
    """Bayesian-multiplicative replacement of count zeros: shares, float[n, parts].

    Parameters
    ----------
    counts
        Tile counts, float[n, parts]; a part that is 0 everywhere must be left out first.
    method
        GBM (geometric Bayesian), SQ (square-root prior), BL (Bayes-Laplace) or CZM (count zero multiplicative).
    frac, threshold
        CZM puts ``frac * threshold / n``; `frac` is also the cap's fraction.
    adjust
        Cap what is put in at `frac` times the smallest share seen in that part.

    Raises
    ------
    InputError
        If a row or a part has no positive count.

    References
    ----------
    Martin-Fernandez JA et al. Stat Modelling 2015; 15: 134. R zCompositions ``cmultRepl(z.delete = FALSE)``.
    """
    values = _matrix(counts)
    n, parts = values.shape
    if not values.any(0).all():
        column = int(np.flatnonzero(~values.any(0))[0])
        message = f"bayesian_replacement: part {column} is 0 in every row. Leave it out."
        raise InputError(message)
    observed = closure(values)
    size = values.sum(1, keepdims=True)
    if method == "CZM":
        fill = np.broadcast_to(frac * threshold / size, (n, parts))
    else:
        prior, strength = _prior(values, method)
        fill = prior * strength / (size + strength)
    smallest = np.where(values > 0, observed, np.inf).min(0)
    if adjust:
        fill = np.where(fill > smallest, frac * smallest, fill)
    fill = np.where(values == 0, fill, 0.0)
    return np.asarray(np.where(values == 0, fill, observed * (1 - fill.sum(1, keepdims=True))))


def _prior(counts: Floats, method: str) -> tuple[Floats, Floats]:
    """Expected shares t and strength s of the prior of each row; a zero becomes t s / (n + s).

    t is the mean of the other rows (leave-one-out), as in cmultRepl, for every method:  t_ij = sum_{k != i} x_kj / sum_{k != i} n_k.
    """
    if method not in ("GBM", "SQ", "BL"):
        message = f"bayesian_replacement: method {method!r}; expected GBM, SQ, BL or CZM."
        raise ConfigError(message)
    others = counts.sum(0) - counts
    if method == "GBM" and (others <= 0).any():
        column = int(np.nonzero(others <= 0)[1][0])
        message = (
            f"bayesian_replacement: part {column} is seen in one row only; GBM needs two. Use CZM, SQ or BL."
        )
        raise InputError(message)
    prior = others / others.sum(1, keepdims=True)
    if method == "SQ":
        return prior, np.sqrt(counts.sum(1, keepdims=True))
    if method == "BL":
        return prior, np.full((len(counts), 1), float(counts.shape[1]))
    return prior, np.exp(-np.log(prior).mean(1, keepdims=True))


def _zero_share(n_tiles: ArrayLike) -> Floats:
    """What a share of 0 stands for: .65 / n_tiles, but never above half the smallest possible share.

    The smallest share n tiles can show is 1 / n, so the bound decides: .5 / n_tiles.
    """
    tiles = np.maximum(np.asarray(n_tiles, float), 1.0)
    return np.asarray(np.minimum(0.65 / tiles, 0.5 / tiles))


def log_ratios(shares: ArrayLike, n_tiles: ArrayLike | None = None) -> Floats:
    """Centred log-ratios of shares, zeros replaced by a value that depends on the row's own tiles only.

    Parameters
    ----------
    shares
        float[n, parts], rows of shares of the same parts.
    n_tiles
        Tiles of each row; without it zeros become scikit-bio's default ``(1 / parts)**2``.

    Returns
    -------
    float[n, parts]; a row gives the same result alone and in a batch.
    """
    values = _matrix(shares)
    if n_tiles is None:
        return clr(multi_replace(values))
    amount = _zero_share(n_tiles).reshape(-1, 1)
    return clr(np.where(values == 0, amount, values))


def log_odds(shares: ArrayLike, n_tiles: ArrayLike) -> Floats:
    """log(s / (1 - s)) of each share by itself; 0 and 1 moved inside by the row's own resolution."""
    amount = _zero_share(n_tiles).reshape(-1, 1)
    values = np.clip(_matrix(shares), amount, 1 - amount)
    return np.asarray(np.log(values) - np.log1p(-values))

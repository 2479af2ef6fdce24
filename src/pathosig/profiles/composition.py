"""Compositions: closure, replacement of zeros, and log-ratios, as in scikit-bio and zCompositions."""

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
        message = f"{name}: found {values.ndim} dimensions; expected 2, with one row for each composition."
        raise InputError(message)
    if not np.isfinite(values).all() or (values < 0).any():
        row = int(np.flatnonzero(~np.isfinite(values).all(1) | (values < 0).any(1))[0])
        message = f"{name}: row {row} has a negative or missing part; expected counts or shares >= 0."
        raise InputError(message)
    return values


def closure(x: ArrayLike) -> Floats:
    """Rows divided by their sums.

    Parameters
    ----------
    x
        Counts or shares, float[n, parts], not negative.

    Returns
    -------
    float[n, parts]
        Each row adds up to 1.

    Raises
    ------
    InputError
        If a row has no positive part, or a negative or missing one.

    Examples
    --------
    >>> closure([[1, 3], [5, 0]]).tolist()
    [[0.25, 0.75], [1.0, 0.0]]
    """
    values = _matrix(x)
    total = values.sum(1, keepdims=True)
    if (total == 0).any():
        row = int(np.flatnonzero(total[:, 0] == 0)[0])
        message = f"composition: row {row} adds up to 0. Leave out patients without tiles."
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
    """Centred log-ratios: the logarithm of each part minus the mean logarithm of its row.

    Parameters
    ----------
    x
        Compositions without zeros, float[n, parts].

    Returns
    -------
    float[n, parts]
        Each row adds up to 0.

    Raises
    ------
    InputError
        If a part is 0, negative or missing.

    References
    ----------
    Aitchison J. The statistical analysis of compositional data. 1986. scikit-bio ``clr``.

    Examples
    --------
    >>> clr([[1, 1, 4]]).round(3).tolist()
    [[-0.462, -0.462, 0.924]]
    """
    logs = _logs(x)
    return np.asarray(logs - logs.mean(1, keepdims=True))


def ilr_basis(parts: int) -> Floats:
    """Orthonormal Gram-Schmidt basis of the space of log-ratios, as in scikit-bio's ``ilr``.

    Parameters
    ----------
    parts
        Number of parts of a composition, at least 2.

    Returns
    -------
    float[parts - 1, parts]
        Each row adds up to 0.

    Raises
    ------
    ConfigError
        If there are fewer than two parts.

    Examples
    --------
    >>> ilr_basis(3).round(3).tolist()
    [[0.707, -0.707, 0.0], [0.408, 0.408, -0.816]]
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
    """Isometric log-ratios: coordinates of the centred log-ratios on an orthonormal basis.

    Parameters
    ----------
    x
        Compositions without zeros, float[n, parts].
    basis
        Orthonormal rows that add up to 0, float[parts - 1, parts]; by default `ilr_basis`.

    Returns
    -------
    float[n, parts - 1]

    Raises
    ------
    InputError
        If a part is 0, negative or missing.

    References
    ----------
    Egozcue JJ et al. Isometric logratio transformations for compositional data analysis. Math Geol 2003; 35: 279.

    Examples
    --------
    >>> ilr([[1, 2, 4]]).round(3).tolist()
    [[-0.49, -0.849]]
    """
    centred = clr(x)
    used = ilr_basis(centred.shape[1]) if basis is None else np.asarray(basis, float)
    return np.asarray(centred @ used.T)


def multi_replace(x: ArrayLike, *, delta: float | ArrayLike | None = None) -> Floats:
    """Replace zeros by `delta` and reduce the other parts in proportion, so that rows still add up to 1.

    Parameters
    ----------
    x
        Counts or shares, float[n, parts]; rows are closed first.
    delta
        One value, or one for each row or each cell; by default ``(1 / parts)**2``, as in scikit-bio's ``multi_replace``.

    Returns
    -------
    float[n, parts]

    Raises
    ------
    InputError
        If the replaced zeros of a row would add up to 1 or more.
    ConfigError
        If `delta` is not positive.

    References
    ----------
    Martin-Fernandez JA et al. Dealing with zeros and missing values in compositional data sets. Math Geol 2003; 35: 253.

    Examples
    --------
    >>> multi_replace([[0, 1, 3]], delta=0.1).round(3).tolist()
    [[0.1, 0.225, 0.675]]
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
    """Bayesian-multiplicative replacement of zero counts.

    Parameters
    ----------
    counts
        Tile counts, float[n, parts]; leave out parts that are 0 in every row first.
    method
        GBM (geometric Bayesian), SQ (square-root prior), BL (Bayes-Laplace) or CZM (count zero multiplicative).
    frac, threshold
        CZM replaces a zero by ``frac * threshold / n``, with n the sum of the row; `frac` is also used by `adjust`.
    adjust
        Where a replacement exceeds the smallest observed share of its part, use `frac` times that share instead.

    Returns
    -------
    float[n, parts]
        Shares without zeros; each row adds up to 1.

    Raises
    ------
    InputError
        If a row or a part has no positive count.
    ConfigError
        If the method is unknown.

    References
    ----------
    Martin-Fernandez JA et al. Stat Modelling 2015; 15: 134. R zCompositions ``cmultRepl(z.delete = FALSE)``.

    Examples
    --------
    >>> bayesian_replacement([[0, 8, 2], [2, 6, 2], [1, 7, 2]], method="CZM").round(3)[0].tolist()
    [0.032, 0.774, 0.194]
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

    For every method t is the mean of the other rows (leave-one-out), as in cmultRepl:

        t_ij = sum_{k != i} x_kj / sum_{k != i} n_k
    """
    if method not in ("GBM", "SQ", "BL"):
        message = f"bayesian_replacement: method {method!r}; expected GBM, SQ, BL or CZM."
        raise ConfigError(message)
    others = counts.sum(0) - counts
    if method == "GBM" and (others <= 0).any():
        column = int(np.nonzero(others <= 0)[1][0])
        message = f"bayesian_replacement: part {column} is above 0 in one row only; GBM needs two. Use CZM, SQ or BL."
        raise InputError(message)
    prior = others / others.sum(1, keepdims=True)
    if method == "SQ":
        return prior, np.sqrt(counts.sum(1, keepdims=True))
    if method == "BL":
        return prior, np.full((len(counts), 1), float(counts.shape[1]))
    return prior, np.exp(-np.log(prior).mean(1, keepdims=True))


def _zero_share(n_tiles: ArrayLike) -> Floats:
    """The value that replaces a share of 0: 0.5 / n_tiles, half the smallest share that so many tiles can show."""
    return np.asarray(0.5 / np.maximum(np.asarray(n_tiles, float), 1.0))


def log_ratios(shares: ArrayLike, n_tiles: ArrayLike | None = None) -> Floats:
    """Centred log-ratios of shares; the value that replaces zeros depends only on the number of tiles of the row.

    Parameters
    ----------
    shares
        float[n, parts]: shares of the same parts in every row.
    n_tiles
        Number of tiles of each row; without it zeros are replaced by scikit-bio's default, ``(1 / parts)**2``.

    Returns
    -------
    float[n, parts]
        A row has the same result alone and among others.

    Raises
    ------
    InputError
        If a share is negative or missing.

    Examples
    --------
    >>> log_ratios([[0.0, 0.5, 0.5]], n_tiles=[50]).round(2).tolist()  # the zero becomes 0.01
    [[-2.61, 1.3, 1.3]]
    """
    values = _matrix(shares)
    if n_tiles is None:
        return clr(multi_replace(values))
    amount = _zero_share(n_tiles).reshape(-1, 1)
    return clr(np.where(values == 0, amount, values))


def log_odds(shares: ArrayLike, n_tiles: ArrayLike) -> Floats:
    """Log-odds log(s / (1 - s)) of each share; 0 and 1 are first moved inside by half the share of one tile.

    Parameters
    ----------
    shares
        float[n, parts] in 0..1.
    n_tiles
        Number of tiles of each row.

    Returns
    -------
    float[n, parts]

    Raises
    ------
    InputError
        If a share is negative or missing.

    Examples
    --------
    >>> log_odds([[0.0, 0.5]], n_tiles=[50]).round(2).tolist()  # the zero becomes 0.01
    [[-4.6, 0.0]]
    """
    amount = _zero_share(n_tiles).reshape(-1, 1)
    values = np.clip(_matrix(shares), amount, 1 - amount)
    return np.asarray(np.log(values) - np.log1p(-values))

"""A signature as a scikit-learn estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from pathosig.core.errors import NotEstimableError, PathosigError
from pathosig.signature.fit import fit_signature
from pathosig.signature.spec import SignatureSpec
from pathosig.survival import harrell_c

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pathosig.signature.model import Signature


def survival_target(time: ArrayLike, event: ArrayLike) -> NDArray[np.float64]:
    """Outcomes as one array of numbers, in which the times of censored patients are negative.

    Parameters
    ----------
    time
        float[n], above 0.
    event
        bool[n]: whether the event was observed.

    Returns
    -------
    NDArray
        float[n]: ``time`` if the event was observed, ``-time`` if the patient was censored.

    Raises
    ------
    ValueError
        If a time is missing, infinite, 0 or negative, so that its sign cannot show whether there was an event.

    Examples
    --------
    >>> survival_target([3.0, 5.0], [True, False]).tolist()
    [3.0, -5.0]
    """
    times = np.asarray(time, float)
    if not (np.isfinite(times) & (times > 0)).all():
        raise ValueError("survival_target: times must be finite and above 0.")
    return np.where(np.asarray(event, bool), times, -times)


class SignatureEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A Cox signature of any features, which is selected, fitted and scored as by `pathosig signature`.

    Parameters
    ----------
    selection
        As in `SignatureSpec`: ridge, tree, lasso, stepwise or paper. ``auto`` chooses tree or ridge by the cross-validated partial
        likelihood. ``completed`` is unavailable, because it needs the tree of a codebook.
    folds
        Number of folds of the cross-validation that determines penalties.
    seed
        Seed of half-samples and folds.

    Attributes
    ----------
    signature_
        The frozen `Signature`, or None if nothing was selected; all scores are then 0.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Harrell et al. Evaluating the yield of medical tests. JAMA 1982 (the C-index, which `score` returns).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from pathosig.sklearn import SignatureEstimator, survival_target
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 3))
    >>> time = rng.exponential(np.exp(-x[:, 0]))
    >>> y = survival_target(time.clip(max=2), time < 2)
    >>> bool(cross_val_score(SignatureEstimator(), x, y, cv=4).mean() > 0.65)
    True
    """

    def __init__(self, *, selection: str = "ridge", folds: int = 5, seed: int = 0) -> None:
        self.selection = selection
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the signature.

        Parameters
        ----------
        X
            float[n, features]: one row for each patient.
        y
            Outcomes from `survival_target`, float[n], or a structured array with a boolean field (event) and a
            number (time), as in scikit-survival.

        Returns
        -------
        Self

        Raises
        ------
        ValueError
            If X or y is unusable, or there are too few patients or events.
        """
        time, event = _outcome(y)
        x = validate_data(self, X, ensure_min_samples=2, dtype=np.float64)
        if len(x) != len(time):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {[len(x), len(time)]}"
            )
        spec = SignatureSpec(
            selection=self.selection,  # type: ignore[arg-type]  # checked by the Spec
            folds=self.folds,
            seed=self.seed,
            min_tiles=0,
            bootstraps=0,
        )
        outcome = pd.DataFrame({"time": time, "event": event})
        try:
            self.signature_: Signature | None = fit_signature(self._table(x), outcome, spec=spec)
        except NotEstimableError as error:
            if error.code != "E_NO_SIGNATURE":
                raise ValueError(f"n_samples = {len(x)}: {error}") from error
            self.signature_ = None
        except PathosigError as error:
            raise ValueError(str(error)) from error
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Risk scores of patients, float[n], for X, float[n, features]; higher is worse."""
        check_is_fitted(self, "signature_")
        x = validate_data(self, X, reset=False, dtype=np.float64)
        if self.signature_ is None:
            return np.zeros(len(x))
        return np.asarray(self.signature_.score(self._table(x)), float)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Harrell's C-index of the risk scores; NaN if no two patients can be compared."""
        time, event = _outcome(y)
        try:
            return float(harrell_c(self.predict(X), time, event).c)
        except NotEstimableError:
            return float("nan")

    def _table(self, x: NDArray[np.float64]) -> pd.DataFrame:
        """Features under neutral names, so that none is mistaken for an id or an outcome."""
        return pd.DataFrame(x, columns=[f"feature_{i}" for i in range(x.shape[1])])


def _outcome(y: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Times and events from either form of `y`."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    names = getattr(getattr(y, "dtype", None), "names", None)
    if names:
        event = next((n for n in names if y.dtype[n].kind == "b"), None)
        time = next((n for n in names if n != event), None)
        if event is None or time is None:
            raise ValueError(f"y has fields {list(names)}; expected a boolean event and a time.")
        return np.asarray(y[time], float), np.asarray(y[event], bool)
    values = np.asarray(column_or_1d(y, warn=True), float)
    if not np.isfinite(values).all():
        raise ValueError("Input y contains NaN or infinity; expected times, negative where censored.")
    return np.abs(values), values > 0

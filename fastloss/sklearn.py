"""A scikit-learn estimator: needs ``pip install "fastloss[sklearn]"``."""

import warnings
from typing import Any, Literal

import numpy as np

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        'fastloss.sklearn needs scikit-learn 1.6 or later: pip install "fastloss[sklearn]"'
    ) from error

from fastloss.losses import SmoothL1Loss
from fastloss.optimize import penalty
from fastloss.regression import fitted
from fastloss.typing import Array, Vector


class SmoothL1Regressor(RegressorMixin, BaseEstimator):
    """Linear regression that outliers do not ruin, by the smooth L1 loss.

    Minimises ``mean(smooth_l1(X @ coef + intercept - y)) + alpha / 2 * ||coef||**2`` by
    :func:`fastloss.fit`.

    Parameters
    ----------
    beta : float or 'auto', default='auto'
        The residual at which the loss turns from squared to linear, in units of y, at least 0 (the
        absolute error). With 'auto' it is 1.345 times the scale of the residuals, estimated along
        with the coefficients: Huber's M-estimate.
    alpha : float, default=0.0
        Strength of the penalty, at least 0; the intercept is left out.
    fit_intercept : bool, default=True
        Whether the model has an intercept.
    max_iter : int, default=200
        Steps at most.
    tol : float, default=1e-8
        When to stop, see :func:`fastloss.fit`.

    Attributes
    ----------
    coef_ : ndarray of float64, shape (n_features,)
    intercept_ : float
    scale_ : float
        Of the residuals, in units of y: their median absolute value over 0.6745.
    beta_ : float
        The threshold that was used.
    outliers_ : ndarray of bool, shape (n_samples,)
        Which rows lie beyond it.
    n_iter_ : int
        Steps that were taken.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Where X had names that are all strings.

    Notes
    -----
    ``HuberRegressor`` estimates another scale together with the coefficients, by its own objective.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss.sklearn import SmoothL1Regressor
    >>> X = np.arange(20.0)[:, None]
    >>> y = 1 + 2 * X[:, 0] + np.tile([0.1, -0.1], 10)
    >>> y[3] = 70
    >>> model = SmoothL1Regressor().fit(X, y)
    >>> model.coef_.round(1), round(model.intercept_), np.flatnonzero(model.outliers_)
    (array([2.]), 1, array([3]))
    """

    coef_: Vector
    intercept_: float
    scale_: float
    beta_: float
    outliers_: Array
    n_iter_: int

    def __init__(
        self,
        *,
        beta: float | Literal["auto"] = "auto",
        alpha: float = 0.0,
        fit_intercept: bool = True,
        max_iter: int = 200,
        tol: float = 1e-8,
    ) -> None:
        self.beta = beta
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    def __sklearn_tags__(self) -> Any:
        """Say that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "SmoothL1Regressor":
        """Find the coefficients.

        Parameters
        ----------
        X : array_like or sparse matrix of real numbers, shape (n_samples, n_features)
        y : array_like of real numbers, shape (n_samples,)
        sample_weight : array_like, shape (n_samples,), optional
            Not negative, with a positive sum; a weight counts a row as so many.

        Returns
        -------
        SmoothL1Regressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            As :func:`fastloss.fit`; and ValueError for what scikit-learn's checks refuse.

        Warns
        -----
        ConvergenceWarning
            If the minimum was not reached in ``max_iter`` steps.
        """
        X, y = validate_data(
            self, X, y, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32), y_numeric=True
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=X.dtype, ensure_non_negative=True
            )
        result = fitted(
            X,
            y,
            SmoothL1Loss(beta=self.beta),
            weight=sample_weight,
            l2=penalty(self.alpha, "alpha"),
            fit_intercept=self.fit_intercept,
            method="auto",
            max_iter=self.max_iter,
            tol=self.tol,
            callback=None,
        )
        if not result.success:
            warnings.warn(
                f"{result.message}: raise max_iter ({self.max_iter}) or tol ({self.tol})",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.coef_ = result.coef
        self.intercept_ = result.intercept
        self.scale_ = result.scale
        self.beta_ = float(result.loss.formula[0])
        self.outliers_ = np.abs(self._predictions(X) - y) > self.beta_
        self.n_iter_ = max(1, result.nit)
        return self

    def predict(self, X: Any) -> Vector:
        """Give the model's predictions.

        Parameters
        ----------
        X : array_like or sparse matrix of real numbers, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32), reset=False
        )
        return self._predictions(X)

    def _predictions(self, X: Array) -> Vector:
        predictions: Vector = X @ self.coef_ + self.intercept_
        return predictions

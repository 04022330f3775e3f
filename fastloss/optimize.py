"""Objectives for ``scipy.optimize``: a loss on the predictions of a linear model."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss import dispatch
from fastloss.curvature import own
from fastloss.least_squares import rho
from fastloss.loss import Loss, check_reduced
from fastloss.losses import SmoothL1Loss
from fastloss.objective import Objective
from fastloss.place import as_real
from fastloss.residual import ResidualObjective
from fastloss.typing import Array, Vector

__all__ = ["LinearObjective", "ResidualObjective", "rho"]

# Bytes of memory for what is on disk, if nothing else is said.
MEMORY_LIMIT = 10**9
LEAST_MEMORY = 10**6


class LinearObjective(Objective):
    """The loss of a linear model as a function of its coefficients.

    ``obj(w)`` is ``loss(X @ w, y, weight) + l2 / 2 * ||w||**2`` and its gradient, from one pass
    over X. With an intercept, it is the last entry of ``w`` and left out of the penalty.

    Parameters
    ----------
    X : array_like of real numbers, shape (n, p)
        Read where it lies if it is float32 or float64 and its rows or its columns are runs of
        memory, as in C and Fortran order and slices of these; copied to float64 otherwise. Or a
        sparse matrix or array of SciPy's, read where it lies if it is CSR, or CSC with entries in
        the order of rows, and copied to one of these otherwise. Not changed, and not to be changed
        while the objective is in use.
    y : array_like of real numbers, shape (n,)
        What is to be predicted.
    loss : Loss, optional
        Reduction 'mean' or 'sum'; default ``SmoothL1Loss()``.
    weight : array_like, shape (n,), optional
        Not negative, with a positive sum.
    l2 : float
        Strength of the penalty, at least 0.
    fit_intercept : bool
        Whether ``w`` has an intercept as its last entry.
    device : {None, 'cpu', 'cuda', 'cuda:N'}
        Where to compute; by default where X, y and the weights live.
    memory_limit : int
        Bytes that an X on disk may take, at least 1,000,000, see the notes; default 1 GB.

    Raises
    ------
    TypeError
        If ``X``, ``y``, ``weight`` or ``l2`` is not made of real numbers, or ``loss`` not a Loss.
    ValueError
        If a shape, a weight, ``l2`` or the reduction is not as said above.

    Notes
    -----
    Arithmetic and results are in float64 whatever X's precision. The result has the same bits for
    any number of threads. Where X or y holds NaN, value and gradient are NaN.

    What does not fit memory is read block by block at each evaluation, ahead of the kernels: a
    ``numpy.memmap`` that takes more than ``memory_limit``, with such of y and weights and 32 bytes
    a row; any object with a shape, a dtype and slices, as those of zarr and h5py (read once and
    held if it takes a quarter of the limit at most); and, as ``X``, the path of a Parquet file or
    of a folder of them, or a ``pyarrow.dataset.Dataset``, whose columns ``y`` and ``weight`` then
    name; all others are features. :class:`fastloss.stream.parquet.Parquet` chooses some, with None
    for ``y``. The bits are those of the same rows in memory, in the order in which they lie (in
    Fortran order if they come from Parquet, which holds columns), with a limit of 256 MB and more
    for an X of at most 16 times the limit and 16 bytes a row or more (a sum of weights may differ
    in the last one); with less memory blocks are cut, and results differ by rounding. What is in
    memory, but so that kernels cannot read it (columns with gaps, integers, another byte order), is
    converted by blocks, too, if the copy would take more than 32 MB.

    ``memory_limit`` counts what reading needs: two blocks (three of Parquet), or the pages of one
    of a memory map, chunks, rows that are kept as a sample, residuals of a block. It does not count
    y and weights that are in memory, results, compiled code (50 MB and more where it is compiled
    anew), the 8 MB blocks that more than 256 columns are multiplied out in, and what Arrow and zarr
    keep beyond an estimate. A warning says where chunks are so large that the limit cannot be kept.
    Parquet of so many columns, in so long row groups, that they would take more than half of the
    limit is written into a temporary file first, with a warning.
    A memory map's pages come in pieces of up to some MB; those of one that was opened in mode 'c'
    are not given back. Of limits below 100 MB up to 40 MB more may be taken.

    Of Dask arrays (X, y or the weights; NumPy arrays beside them are cut alike), rows are evaluated
    chunk by chunk where Dask's scheduler puts them, and only coefficients and sums travel. Nothing
    but the weights' sum is computed when the objective is made. Chunks are loaded again at each
    evaluation unless they are persisted. The bits depend on the chunks alone: not on the scheduler,
    the number of workers or where chunks lie. Columns in several chunks, and chunks that do not
    meet, are rechunked, with a warning. A chunk that cannot be computed is named by a RuntimeError.
    ``device`` and ``memory_limit`` have no say there. See ``docs/clusters.md``.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> import fastloss as fl
    >>> X = np.arange(9.0)[:, None]
    >>> y = 1 + 2 * X[:, 0]
    >>> y[3] = 70  # an outlier
    >>> obj = fl.LinearObjective(X, y, fl.SmoothL1Loss(beta=0.01), fit_intercept=True)
    >>> result = minimize(obj, np.zeros(2), jac=True, method="BFGS")
    >>> result.x.round(2)
    array([2., 1.])
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        loss: Loss | None = None,
        *,
        weight: Any = None,
        l2: float = 0.0,
        fit_intercept: bool = False,
        device: str | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        loss = SmoothL1Loss() if loss is None else loss
        check_reduced(loss)
        if not isinstance(fit_intercept, bool | np.bool_):
            raise TypeError(f"fit_intercept must be a bool, got {fit_intercept!r}")
        model = dispatch.linear(X, y, weight, device, checked_limit(memory_limit))
        super().__init__(model, loss, penalty(l2), bool(fit_intercept))

    @property
    def X(self) -> Any:  # noqa: N802
        """The matrix, where and as it was given."""
        return self.model.X

    @property
    def y(self) -> Any:
        """What is to be predicted."""
        return self.model.y

    @property
    def weight(self) -> Any:
        """The weights, or None."""
        return self.model.weight

    def __call__(self, w: ArrayLike) -> tuple[float, Vector]:
        """Give value and gradient at ``w``, for ``minimize(obj, w0, jac=True)``.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        value : float
        gradient : ndarray of float64, of the shape of ``w``
            A new array each time, which SciPy's solvers rely on.

        Raises
        ------
        TypeError, ValueError
            If ``w`` does not hold real numbers, or as many as there are coefficients.
        """
        return self._value_and_grad(self._coefficients("w", w))

    def value(self, w: ArrayLike) -> float:
        """Give the value at ``w`` alone; see calling the objective."""
        return self(w)[0]

    def grad(self, w: ArrayLike) -> Vector:
        """Give the gradient at ``w`` alone; see calling the objective."""
        return self(w)[1]

    def hessp(self, w: ArrayLike, v: ArrayLike) -> Vector:
        """Give the Hessian at ``w`` times ``v``, for ``minimize(..., hessp=obj.hessp)``.

        Parameters
        ----------
        w, v : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        ndarray of float64, of the shape of ``w``

        Raises
        ------
        TypeError, ValueError
            As calling the objective.

        Notes
        -----
        In the host's memory, the losses' curvature is kept for the next ``v`` at the same ``w``: a
        float64 number for each row.
        """
        w, v = self._coefficients("w", w), self._coefficients("v", v)
        product = self._evaluate(w, v)[1]
        return product + self.penalty_slope(v) if self.l2 else product

    def hess(self, w: ArrayLike) -> Array:
        """Give the Hessian at ``w``, for ``minimize(..., hess=obj.hess)``.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        ndarray of float64, shape (p, p) or (p + 1, p + 1)

        Raises
        ------
        TypeError, ValueError
            As calling the objective.
        """
        return self.gram(self._coefficients("w", w), own)

    def value_grad_hess(self, w: ArrayLike) -> tuple[float, Vector, Array]:
        """Give value, gradient and Hessian at ``w``: in one pass over a dense X of few columns.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        value : float
        gradient : ndarray of float64, of the shape of ``w``
        hessian : ndarray of float64, shape (p, p) or (p + 1, p + 1)

        Raises
        ------
        TypeError, ValueError
            As calling the objective.

        Notes
        -----
        One pass where X lies in the host's memory and has at most 256 columns, two otherwise. The
        gradient may differ from that of other methods in its last bits.
        """
        return self.quadratic(self._coefficients("w", w), own)

    def residuals(self, w: ArrayLike) -> Any:
        """Give ``X @ w - y``, with the intercept if there is one.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        ndarray of float64, shape (n,)
            Where X is an array of another library, an array of that; lazy, if it is Dask's.
        """
        return self.model.residuals(self._with_intercept(self._coefficients("w", w)))

    def _coefficients(self, name: str, w: ArrayLike) -> Vector:
        vector = as_real(name, w)
        if vector.shape != (self.size,):
            what = "the columns of X and the intercept" if self.fit_intercept else "X's columns"
            raise ValueError(
                f"{name} must have the shape ({self.size},), for {what}, got {vector.shape}"
            )
        return np.ascontiguousarray(vector, np.float64)


def penalty(l2: float, name: str = "l2") -> float:
    """Give the strength of a penalty, or raise the error that says what is wrong with it."""
    array = as_real(name, l2)
    if array.ndim:
        raise TypeError(f"{name} must be a number, got an array of shape {array.shape}")
    if not 0 <= array < np.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {l2!r}")
    return float(array)


def checked_limit(memory_limit: int) -> int:
    """Give the bytes that may be used, or raise the error that says what is wrong with them."""
    if isinstance(memory_limit, bool) or not isinstance(memory_limit, int | float | np.number):
        raise TypeError(f"memory_limit must be a number of bytes, got {memory_limit!r}")
    if isinstance(memory_limit, np.number):  # half precision cannot be compared with a million
        memory_limit = memory_limit.item()
    if not memory_limit >= LEAST_MEMORY or memory_limit == np.inf:
        raise ValueError(
            f"memory_limit must be at least {LEAST_MEMORY:,} bytes and finite, got {memory_limit!r}"
        )
    return int(memory_limit)

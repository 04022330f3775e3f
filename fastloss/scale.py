"""The scale of residuals, by a measure that outliers do not move."""

import numpy as np

from fastloss.typing import Vector

# The median of |r| of a standard normal variable: makes the MAD an estimate of its deviation.
NORMAL_MEDIAN = 0.6744897501960817


def mad(residuals: Vector, weight: Vector | None = None) -> float:
    """Give the median absolute residual over 0.6745, as ``mad(r, center=0)`` in R.

    Parameters
    ----------
    residuals : ndarray of float64, shape (n,)
    weight : ndarray, shape (n,), optional
        Counts a residual as so many.

    Returns
    -------
    float
        In units of the residuals.

    Examples
    --------
    >>> import numpy as np
    >>> round(mad(np.array([-1.0, 0.5, 2.0, 100.0])), 4)
    2.2239
    """
    sizes = np.abs(residuals)
    if weight is None:
        return float(np.median(sizes)) / NORMAL_MEDIAN
    order = np.argsort(sizes)
    order = order[weight[order] > 0]
    below = np.cumsum(weight[order], dtype=np.float64)
    half = below[-1] / 2
    middle = int(np.searchsorted(below, half))
    median = sizes[order[middle]]
    if below[middle] == half and middle + 1 < order.size:  # the middle lies between two
        median = (median + sizes[order[middle + 1]]) / 2
    return float(median) / NORMAL_MEDIAN

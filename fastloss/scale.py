"""How residuals are spread: their scale, by a measure that outliers do not move, and their size."""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from fastloss.losses import MSELoss
from fastloss.typing import Vector

# The median of |r| of a standard normal variable: makes the MAD an estimate of its deviation.
NORMAL_MEDIAN = 0.6744897501960817


class Spread(NamedTuple):
    """What a fit has to know of residuals, which it need not hold for that."""

    scale: float
    """See :func:`mad`."""
    norm: float
    """The root of the weighted sum of their squares."""
    largest: float
    """In absolute value, of the rows that have weight."""

    @classmethod
    def of(cls, residuals: Any, weight: Any = None) -> "Spread":
        """Measure residuals, see :func:`mad`, which are not needed any more."""
        norm = sqrt(MSELoss(reduction="sum")(residuals, 0.0, weight))
        most = largest(residuals, weight)
        return cls(mad(residuals, weight, overwrite=True), norm, most)


def largest(values: Any, weight: Any = None) -> float:
    """Give the largest absolute value of those that have weight, in arrays of one library."""
    if weight is None:
        return max(0.0, float(values.max()), -float(values.min()))
    sizes, counted = abs(values), weight > 0
    if isinstance(sizes, np.ndarray):
        return float(sizes.max(where=counted, initial=0.0))
    return float((sizes * counted).max())


def mad(residuals: Any, weight: Any = None, *, overwrite: bool = False) -> float:
    """Give the median absolute residual over 0.6745, as ``mad(r, center=0)`` in R.

    Parameters
    ----------
    residuals : array of float64, shape (n,)
        Of NumPy, CuPy or PyTorch; it is sorted where it lies.
    overwrite : bool
        Whether the residuals are not needed any more: they may be the memory that is sorted.
    weight : array of the same library, shape (n,), optional
        In float64 where it is not NumPy's. Counts a residual as so many.

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
    if overwrite and isinstance(residuals, np.ndarray):
        sizes = np.abs(residuals, out=residuals)
    else:
        sizes = abs(residuals)
    if weight is None and isinstance(sizes, np.ndarray):  # without sorting all of them
        return _median(sizes) / NORMAL_MEDIAN
    order = sizes.argsort()
    if weight is not None:
        order = order[weight[order] > 0]
    sizes = sizes[order]
    if weight is None:
        middle = (len(sizes) - 1) // 2
        between = len(sizes) % 2 == 0
    else:
        wide = weight.astype(np.float64) if isinstance(weight, np.ndarray) else weight
        below = wide[order].cumsum(0)
        half = float(below[-1]) / 2
        # A sum of weights that is half but for rounding lies between two residuals.
        rounding = half * len(sizes) * np.finfo(np.float64).eps
        middle = int((below < half - rounding).sum())
        between = bool(float(below[middle]) <= half + rounding) and middle + 1 < len(sizes)
    median = float(sizes[middle])
    if between:
        median = (median + float(sizes[middle + 1])) / 2
    return median / NORMAL_MEDIAN


def _median(sizes: Vector) -> float:
    """Give the median, NaN if one is, and leave the memory in another order.

    ``numpy.median`` takes 4.0 ms for 500,000 where this takes 0.7: it asks for three of them.
    """
    middle = len(sizes) // 2
    sizes.partition(middle)
    above, most = float(sizes[middle]), float(sizes[middle:].max())
    if most != most:
        return most
    return above if len(sizes) % 2 else (float(sizes[:middle].max()) + above) / 2

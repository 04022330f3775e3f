"""The CPU as a back end: one call of a loss, from checked arrays to results."""

import warnings
from math import nan

import numpy as np

from fastloss.arrays import Operands, caller_level, in_fortran_order, inverse, require_divisor
from fastloss.cpu.evaluate import evaluate, output, total_and_weights, total_of
from fastloss.formulas import Formula
from fastloss.typing import Array


def compute(
    formula: Formula,
    arrays: Operands,
    *,
    mean: bool = False,
    scale: float = 1.0,
    value: Array | None = None,
    grad: Array | None = None,
    hess: Array | None = None,
    total: bool = False,
    slot: Array | None = None,
) -> float | None:
    """Write the outputs that are given; give the sum or mean of the losses if ``total``.

    Parameters
    ----------
    formula : Formula
    arrays : Operands
    mean : bool
        Whether the total, gradient and curvature are those of the mean.
    scale : float
        What gradient and curvature are multiplied by where there is no mean to take.
    value : ndarray, optional
        Of the residual's shape, takes the (weighted) losses.
    grad, hess : ndarray, optional
        Of the input's shape.
    total : bool
    slot : ndarray, optional
        Of shape ``()``, takes the total too.
    """
    x, y, weight = arrays.arrays
    alone = total and value is None and grad is None and hess is None
    both = None
    if mean and alone and weight is not None:
        both = total_and_weights(formula, x, y, weight, arrays.compute)
    if both is not None:
        summed, divisor = both
        require_divisor(divisor, arrays.compute)
    else:
        divisor = _divisor(arrays) if mean else 1.0
        summed = evaluate(
            formula,
            x,
            y,
            weight,
            arrays.compute,
            scale=inverse(divisor) if mean else scale,
            value=value,
            grad=None if grad is None else output(grad, arrays.shape),
            hess=None if hess is None else output(hess, arrays.shape),
            total=total,
        )
    if not total:
        return None
    result = divide(summed, divisor, arrays.size) if mean else summed
    if slot is not None:
        with np.errstate(over="ignore"):  # float16 overflows to infinity, as elements do
            slot[...] = result
    return result


def _divisor(arrays: Operands) -> float:
    """Give what the sum of the losses is divided by."""
    weight = arrays.arrays[2]
    if weight is None:
        return float(arrays.size)
    axes = (slice(0, 1) if step == 0 else slice(None) for step in weight.strides)
    own = weight[(*axes, ...)]  # with the dots, an array even where there are no axes
    if not own.size:
        return 0.0
    # In the order of the losses, so that the weights' layout alone changes no bit.
    total = total_of(own, arrays.compute, in_fortran_order(arrays.arrays))
    divisor = total * (weight.size / own.size)
    require_divisor(divisor, arrays.compute)
    return divisor


def divide(total: float, divisor: float, size: int) -> float:
    """Give the mean of this many losses; without any, or of no weight, NaN and a warning."""
    if divisor:
        return total / divisor
    warnings.warn(
        "mean of no elements" if not size else "mean with weights that sum to zero",
        RuntimeWarning,
        stacklevel=caller_level(),
    )
    return nan

"""Value, gradient and curvature of every element, and their sum, in one pass over memory.

Two kernels compute whatever outputs are not absent (see ``absent.py``): ``vectors`` moves 16 bytes
at a time, ``scalars`` takes arrays of any dtype and strides. Both compute on tuples of lanes. A
block of threads takes a fixed run of elements and leaves their sum in ``partials`` (``sums.py``);
``finish`` adds those up.
"""

from math import nan
from typing import Any

from numba import cuda, float64, int64

from fastloss.cuda.absent import (
    element,
    lanes_in,
    leave_element,
    load_or,
    number,
    place,
    position,
    set_element,
    settled,
    store_if,
    times,
)
from fastloss.cuda.formula import hess, scaled_grad, value
from fastloss.cuda.jit import THREADS, device, kernel
from fastloss.cuda.sums import accumulate, add_pairs, combine, leave
from fastloss.cuda.tuples import lanewise
from fastloss.formulas import quotient

# 16-byte loads of each array in flight before the first store.
UNROLL = 2


@lanewise
@device
def residuals(shared: Any, x: Any, y: Any) -> Any:
    """Give the residual."""
    return x - y


@lanewise
@device
def weighted_values(formula: Any, r: Any, w: Any) -> Any:
    """Give the loss times its weight."""
    return w * value(formula, r)


@lanewise
@device
def factors(scale: Any, w: Any, _: Any) -> Any:
    """Give what multiplies gradient and curvature."""
    return scale * w


@lanewise
@device
def scaled_grads(formula: Any, r: Any, factor: Any) -> Any:
    """Give the gradient times the factor."""
    return scaled_grad(formula, r, factor)


@lanewise
@device
def scaled_hesses(formula: Any, r: Any, factor: Any) -> Any:
    """Give the curvature times the factor."""
    return factor * hess(formula, r)


@lanewise
@device
def terms(formula: Any, r: Any, w: Any) -> Any:
    """Give the term of the sum: in float64 the product of two float32 is exact."""
    return float64(w) * float64(value(formula, r))


@device
def one(
    formula: Any,
    x: Any,
    y: Any,
    w: Any,
    scale: Any,
    value_out: Any,
    grad_out: Any,
    hess_out: Any,
    partials: Any,
    shape: Any,
    strides: Any,
    i: Any,
    total: Any,
    error: Any,
) -> Any:
    """Compute with element i by itself, of any dtype."""
    T = type(scale)
    a = element(x, position(shape, strides[0], i), T(0))
    b = element(y, position(shape, strides[1], i), T(0))
    c = element(w, position(shape, strides[2], i), T(1))
    r = residuals((), a, b)
    f = factors(scale, c, c)
    set_element(value_out, position(shape, strides[3], i), weighted_values(formula, r, c))
    set_element(grad_out, position(shape, strides[4], i), scaled_grads(formula, r, f))
    set_element(hess_out, position(shape, strides[5], i), scaled_hesses(formula, r, f))
    return accumulate(partials, total, error, terms(formula, r, c))


@kernel
def scalars(
    formula: Any,
    x: Any,
    y: Any,
    w: Any,
    scale: Any,
    inverse: Any,
    value_out: Any,
    grad_out: Any,
    hess_out: Any,
    partials: Any,
    size: Any,
    shape: Any,
    strides: Any,
    each: Any,
) -> None:
    """Compute with ``each`` elements a thread, of arrays of any dtype and strides.

    ``strides`` are those of x, y, w and the three outputs, in elements; with ``shape`` and all of
    them ``()``, the arrays are contiguous.
    """
    T = type(scale)
    total, error = 0.0, 0.0
    multiplier = T(times(scale, inverse))
    first = int64(cuda.blockIdx.x) * each * THREADS + cuda.threadIdx.x
    for k in range(each):
        i = first + k * THREADS
        if i < size:
            total, error = one(
                formula,
                x,
                y,
                w,
                multiplier,
                value_out,
                grad_out,
                hess_out,
                partials,
                shape,
                strides,
                i,
                total,
                error,
            )
    leave(partials, cuda.blockIdx.x, total, error)


@device
def lanes_at(
    formula: Any,
    x: Any,
    y: Any,
    w: Any,
    scale: Any,
    value_out: Any,
    grad_out: Any,
    hess_out: Any,
    partials: Any,
    i: Any,
    total: Any,
    error: Any,
) -> Any:
    """Compute with loaded lanes whose first element is i."""
    r = residuals((), x, y)
    f = factors(scale, w, w)
    store_if(value_out, i, weighted_values(formula, r, w))
    store_if(grad_out, i, scaled_grads(formula, r, f))
    store_if(hess_out, i, scaled_hesses(formula, r, f))
    return accumulate(partials, total, error, terms(formula, r, w))


@kernel
def vectors(
    formula: Any,
    x: Any,
    y: Any,
    w: Any,
    scale: Any,
    inverse: Any,
    value_out: Any,
    grad_out: Any,
    hess_out: Any,
    partials: Any,
    size: Any,
    tiles: Any,
) -> None:
    """Compute with ``tiles`` times ``UNROLL`` vectors a thread, of aligned arrays of one dtype."""
    T = type(scale)
    total, error = 0.0, 0.0
    multiplier = T(times(scale, inverse))
    lanes = lanes_in(x)
    width = THREADS * lanes
    for tile in range(tiles):
        start = (int64(cuda.blockIdx.x) * tiles + tile) * (UNROLL * width)
        i = start + int64(cuda.threadIdx.x) * lanes
        j = i + width
        if start + UNROLL * width <= size:
            x_i = load_or(x, i, T(0), ())
            x_j = load_or(x, j, T(0), ())
            y_i, y_j = load_or(y, i, T(0), x_i), load_or(y, j, T(0), x_i)
            w_i, w_j = load_or(w, i, T(1), x_i), load_or(w, j, T(1), x_i)
            total, error = lanes_at(
                formula,
                x_i,
                y_i,
                w_i,
                multiplier,
                value_out,
                grad_out,
                hess_out,
                partials,
                i,
                total,
                error,
            )
            total, error = lanes_at(
                formula,
                x_j,
                y_j,
                w_j,
                multiplier,
                value_out,
                grad_out,
                hess_out,
                partials,
                j,
                total,
                error,
            )
        else:
            # Of unknown length, it is not unrolled: that would cost the others registers.
            while start < size:
                m = start + int64(cuda.threadIdx.x)
                if m < size:
                    total, error = one(
                        formula,
                        x,
                        y,
                        w,
                        multiplier,
                        value_out,
                        grad_out,
                        hess_out,
                        partials,
                        (),
                        ((), (), (), (), (), ()),
                        m,
                        total,
                        error,
                    )
                start += THREADS
    leave(partials, cuda.blockIdx.x, total, error)


@device
def invertible(x: Any, smallest: Any) -> Any:
    """Whether the inverse can be held by a precision whose least such number is given."""
    return abs(x) >= smallest and abs(x) * smallest <= 1.0


@kernel
def fill(number: Any, result: Any) -> None:
    """Write a number into an array of one element."""
    if cuda.threadIdx.x == 0:
        result[0] = number


@kernel
def finish(
    partials: Any, count: Any, divisor: Any, result: Any, inverse: Any, smallest: Any
) -> None:
    """Add up ``count`` pairs; leave the sum over the divisor, and the inverse of the sum.

    What the precision of the arithmetic cannot invert leaves NaN: ``smallest`` is the least number
    that it can.
    """
    total, error = add_pairs(partials, 0, count)
    pair = cuda.shared.array(2, float64)
    combine(pair, 0, total, error)
    if cuda.threadIdx.x == 0:
        total = settled(pair[0], pair[1])
        by = float64(number(divisor))
        set_element(result, 0, (quotient(total, by) if invertible(by, smallest) else nan,))
        set_element(inverse, 0, (quotient(1.0, total) if invertible(total, smallest) else nan,))


@kernel
def folded(
    formula: Any,
    x: Any,
    y: Any,
    w: Any,
    scale: Any,
    inverse: Any,
    grad_out: Any,
    hess_out: Any,
    shape: Any,
    strides: Any,
    count: Any,
    folded_shape: Any,
    folded_strides: Any,
) -> None:
    """Sum the gradient and curvature of ``count`` elements into one output element a block.

    That is how an input that was broadcast gets its own shape back. ``shape`` and ``strides``, of
    x, y, w and the two outputs, lead to a block's first element; ``folded_shape`` and
    ``folded_strides``, of x, y and w, from there to the others.
    """
    T = type(scale)
    multiplier = T(times(scale, inverse))
    block = int64(cuda.blockIdx.x)
    x_first = position(shape, strides[0], block)
    y_first = position(shape, strides[1], block)
    w_first = position(shape, strides[2], block)
    grads, grads_error, hesses, hesses_error = 0.0, 0.0, 0.0, 0.0
    i = int64(cuda.threadIdx.x)
    while i < count:
        a = element(x, x_first + place(folded_shape, folded_strides[0], i), T(0))
        b = element(y, y_first + place(folded_shape, folded_strides[1], i), T(0))
        c = element(w, w_first + place(folded_shape, folded_strides[2], i), T(1))
        r = residuals((), a, b)
        f = factors(multiplier, c, c)
        grads, grads_error = accumulate(grad_out, grads, grads_error, scaled_grads(formula, r, f))
        hesses, hesses_error = accumulate(
            hess_out, hesses, hesses_error, scaled_hesses(formula, r, f)
        )
        i += THREADS
    pairs = cuda.shared.array(4, float64)
    combine(pairs, 0, grads, grads_error)
    cuda.syncthreads()
    combine(pairs, 1, hesses, hesses_error)
    if cuda.threadIdx.x == 0:
        leave_element(grad_out, position(shape, strides[3], block), pairs[:2])
        leave_element(hess_out, position(shape, strides[4], block), pairs[2:])

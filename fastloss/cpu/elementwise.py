"""Value, gradient and curvature of every element, and their sum, in one pass over memory.

One loop, ``_fill``, computes whatever is asked for: an output that is ``None`` is removed at
compile time. ``_block`` runs it over a fixed number of elements; the serial and the parallel
kernel are the same function over blocks, compiled twice.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numba import prange

from fastloss.cpu import sums
from fastloss.cpu.formula import Itself, bind, grad, hess, value
from fastloss.cpu.jit import inner, kernel, parallel_kernel
from fastloss.cpu.layout import Folded, flat, read, write
from fastloss.cpu.sums import TILE
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector

# Elements to a block, the unit of work and of summation. At 32,768 the last halvings of a block's
# running sums cost 0.01 ns an element; two blocks are enough for two threads.
BLOCK = 32768

Maybe: TypeAlias = Vector | None


@inner
def part(array: Maybe, low: int, high: int) -> Maybe:
    if array is None:
        return None
    return array[low:high]


@inner
def fill(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    terms: Maybe,
) -> None:
    """Write what is asked for, element by element; ``scale`` multiplies grad and hess."""
    for i in range(input.size):
        if target is None:
            r = input[i]
        else:
            r = input[i] - target[i]
        if weight is None:
            if value_out is not None:
                value_out[i] = value(formula, r)
            if grad_out is not None:
                grad_out[i] = scale * grad(formula, r)
            if hess_out is not None:
                hess_out[i] = scale * hess(formula, r)
            if terms is not None:
                terms[i] = value(formula, r)
        else:
            w = weight[i]
            if value_out is not None:
                value_out[i] = w * value(formula, r)
            if grad_out is not None:
                grad_out[i] = scale * (w * grad(formula, r))
            if hess_out is not None:
                hess_out[i] = scale * (w * hess(formula, r))
            if terms is not None:
                # In float64 the product of two float32 is exact.
                terms[i] = np.float64(w) * np.float64(value(formula, r))


@inner
def _block(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
) -> tuple[float, float]:
    """Fill a block and sum its values: the sum, and the rounding error it leaves."""
    size = input.size
    lanes = sums.lanes_for(size)
    tile = 4 * lanes
    buffer = np.empty(tile + 2 * lanes)
    terms = buffer[:tile]
    running, errors = buffer[tile : tile + lanes], buffer[tile + lanes :]
    running[:] = 0.0
    errors[:] = 0.0
    for low in range(0, size, tile):
        high = min(size, low + tile)
        terms[high - low :] = 0.0
        fill(
            formula,
            input[low:high],
            part(target, low, high),
            part(weight, low, high),
            scale,
            part(value_out, low, high),
            part(grad_out, low, high),
            part(hess_out, low, high),
            terms,
        )
        sums.add_tile(terms, running, errors)
    return sums.combine(running, errors)


def _blocks(
    formula: Formula,
    input: Vector,
    target: Maybe,
    weight: Maybe,
    scale: float,
    value_out: Maybe,
    grad_out: Maybe,
    hess_out: Maybe,
    block_sums: Maybe,
    block_errors: Maybe,
) -> None:
    for index in prange((input.size + BLOCK - 1) // BLOCK):
        block = np.int64(index)  # the index is unsigned: mixed with int64 it makes a float
        low = block * BLOCK
        high = min(input.size, low + BLOCK)
        x = input[low:high]
        y = part(target, low, high)
        w = part(weight, low, high)
        v = part(value_out, low, high)
        g = part(grad_out, low, high)
        h = part(hess_out, low, high)
        if block_sums is None:
            fill(formula, x, y, w, scale, v, g, h, None)
        else:
            block_sums[block], block_errors[block] = _block(formula, x, y, w, scale, v, g, h)


serial = kernel(_blocks)
parallel = parallel_kernel(_blocks)


def evaluate(
    formula: Formula,
    input: Array,
    target: Array | None,
    weight: Array | None,
    dtype: np.dtype[Any],
    *,
    scale: float = 1.0,
    value: Array | None = None,
    grad: Array | Folded | None = None,
    hess: Array | Folded | None = None,
    total: bool = False,
) -> float:
    """Write the outputs that are given; give the sum of the (weighted) values if ``total``.

    All arrays have the input's shape; ``dtype`` is the precision of the arithmetic, float32 or
    float64. ``target=None`` is a target of 0. Nothing is checked here: see ``fastloss.arrays``.
    """
    if input.size == 0:
        return 0.0
    arrays = [input, target, weight, value, grad, hess]
    if _in_fortran_order(arrays[:INPUTS]):
        arrays = [None if a is None else a.T for a in arrays]
    vectors = [None if a is None else flat(a, dtype) for a in arrays]
    blocks = -(-input.size // BLOCK)
    block_sums, block_errors = (np.empty(blocks), np.empty(blocks)) if total else (None, None)
    run = _Run(bind(formula, dtype), dtype.type(scale), block_sums, block_errors)
    if all(a is None or v is not None for a, v in zip(arrays, vectors, strict=True)):
        run(vectors, slice(None))
    else:
        _in_pieces(run, arrays, vectors, dtype)
    for out in arrays[INPUTS:]:
        if isinstance(out, Folded):
            out.finish()
    return sums.total(block_sums, block_errors) if total else 0.0


INPUTS = 3


def _in_fortran_order(inputs: Sequence[Array | None]) -> bool:
    given = [a.flags for a in inputs if a is not None]
    return all(f.f_contiguous for f in given) and not all(f.c_contiguous for f in given)


class _Run(NamedTuple):
    """A kernel call but for its arrays."""

    formula: Any
    scale: Any
    block_sums: Vector | None
    block_errors: Vector | None

    def __call__(self, vectors: Sequence[Vector | None], blocks: slice) -> None:
        input, target, weight, value, grad, hess = vectors
        block_sums = None if self.block_sums is None else self.block_sums[blocks]
        block_errors = None if self.block_errors is None else self.block_errors[blocks]
        with several(input.size) as threads:
            (parallel if threads else serial)(
                self.formula,
                input,
                target,
                weight,
                self.scale,
                value,
                grad,
                hess,
                block_sums,
                block_errors,
            )


def _in_pieces(
    run: _Run,
    arrays: Sequence[Array | Folded | None],
    vectors: Sequence[Vector | None],
    dtype: np.dtype[Any],
) -> None:
    """Run block by block, through a buffer for each array that is not a vector already."""
    buffered = [a is not None and v is None for a, v in zip(arrays, vectors, strict=True)]
    memory = [np.empty(BLOCK, dtype) if b else v for b, v in zip(buffered, vectors, strict=True)]
    size = arrays[0].size
    for block, low in enumerate(range(0, size, BLOCK)):
        high = min(size, low + BLOCK)
        here = [
            m if m is None else m[: high - low] if b else m[low:high]
            for m, b in zip(memory, buffered, strict=True)
        ]
        for i in range(INPUTS):
            if buffered[i]:
                read(arrays[i], low, high, here[i])
        run(here, slice(block, block + 1))
        for i in range(INPUTS, len(arrays)):
            if buffered[i]:
                write(arrays[i], low, high, here[i])


def total_of(array: Array, dtype: np.dtype[Any]) -> float:
    """Sum an array as exactly as losses are summed."""
    return evaluate(Itself(), array, None, None, dtype, total=True)


def output(out: Array, shape: tuple[int, ...]) -> Array | Folded:
    """Give an output of the input's shape as one of the residual's, see :class:`Folded`."""
    return out.reshape(shape) if out.size == prod(shape) else Folded(out, shape)

"""From arrays of any layout to kernel calls, whole or block by block."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from fastloss.arrays import in_fortran_order
from fastloss.binding import Itself, bind, uncompilable
from fastloss.cpu import elementwise, sums
from fastloss.cpu.elementwise import BLOCK
from fastloss.cpu.layout import Folded, flat, read, write
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector

INPUTS = 3


def evaluate(
    formula: Formula | Itself,
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

    Elements go to blocks by their place in the inputs alone, so the sum has the same bits
    whatever the outputs are.
    """
    if input.size == 0:
        _finish(grad, hess)
        return 0.0
    arrays: Sequence[Any] = (input, target, weight, value, grad, hess)
    if in_fortran_order(arrays[:INPUTS]):
        arrays = [None if a is None else a.T for a in arrays]
    vectors = [None if a is None else flat(a, dtype) for a in arrays]
    if input.size >= BLOCK:
        _keep_apart(vectors)
    blocks = -(-input.size // BLOCK)
    block_sums = np.empty(blocks) if total else None
    block_errors = np.empty(blocks) if total else None
    call = bind(formula, dtype), dtype.type(scale), block_sums, block_errors
    try:
        if all(v is not None or a is None for v, a in zip(vectors, arrays, strict=True)):
            _run(vectors, *call)
        else:
            _run_in_pieces(arrays, vectors, dtype, *call)
    except NumbaError as error:
        raise uncompilable(formula, error) from error
    _finish(grad, hess)
    if block_sums is None or block_errors is None:
        return 0.0
    return sums.total(block_sums, block_errors)


def _finish(*outs: Array | Folded | None) -> None:
    for out in outs:
        if isinstance(out, Folded):
            out.finish()


def total_of(array: Array, dtype: np.dtype[Any]) -> float:
    """Sum an array as exactly as losses are summed."""
    return evaluate(Itself(), array, None, None, dtype, total=True)


def output(out: Array, shape: tuple[int, ...]) -> Array | Folded:
    """Give an output of the input's shape as one of the residual's, see :class:`Folded`."""
    return out.reshape(shape) if out.size == prod(shape) else Folded(out, shape)


def _keep_apart(vectors: list[Any]) -> None:
    """Send an output that is also an input through a buffer.

    Where memory overlaps, the compiled loop goes element by element: in place, 4,000,000 float32
    take 25 ms that way and 5 through a buffer.
    """
    inputs = [v for v in vectors[:INPUTS] if v is not None]
    for i in range(INPUTS, len(vectors)):
        out = vectors[i]
        if out is not None and any(np.may_share_memory(out, v) for v in inputs):
            vectors[i] = None


def _run(
    vectors: Sequence[Any],
    formula: Any,
    scale: Any,
    block_sums: Vector | None,
    block_errors: Vector | None,
) -> None:
    x, y, w, value, grad, hess = vectors
    with several(x.size) as threads:
        kernel = elementwise.parallel if threads else elementwise.serial
        kernel(formula, x, y, w, scale, value, grad, hess, block_sums, block_errors)


def _run_in_pieces(
    arrays: Sequence[Any],
    vectors: Sequence[Any],
    dtype: np.dtype[Any],
    formula: Any,
    scale: Any,
    block_sums: Vector | None,
    block_errors: Vector | None,
) -> None:
    """Run block by block, through a buffer for each array that is not a vector already."""
    buffered = [a is not None and v is None for a, v in zip(arrays, vectors, strict=True)]
    memory: list[Any] = [
        np.empty(BLOCK, dtype) if b else v for b, v in zip(buffered, vectors, strict=True)
    ]
    size = arrays[0].size
    for block, low in enumerate(range(0, size, BLOCK)):
        high = min(size, low + BLOCK)
        here: list[Any] = [
            m if m is None else m[: high - low] if b else m[low:high]
            for m, b in zip(memory, buffered, strict=True)
        ]
        for i in range(INPUTS):
            if buffered[i]:
                read(arrays[i], low, high, here[i])
        _run(
            here,
            formula,
            scale,
            None if block_sums is None else block_sums[block : block + 1],
            None if block_errors is None else block_errors[block : block + 1],
        )
        for i in range(INPUTS, len(arrays)):
            if buffered[i]:
                write(arrays[i], low, high, here[i])

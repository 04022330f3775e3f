"""From arrays of any layout to kernel calls, whole or piece by piece."""

from collections.abc import Sequence
from math import isfinite, prod
from typing import Any, TypeAlias

import numpy as np

from fastloss.arrays import in_fortran_order
from fastloss.binding import Itself
from fastloss.cpu import elementwise, sums
from fastloss.cpu.finished import marks, missing
from fastloss.cpu.formula import bind
from fastloss.cpu.layout import Folded, flat, read, write
from fastloss.cpu.memory import before_line
from fastloss.cpu.sizes import BLOCK, parallel_from
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector
from fastloss.uncompilable import compiling

# The sum of each block of losses and the rounding error it leaves, where a total is asked for; and
# those of its weights, where these are.
Pairs: TypeAlias = tuple[Array | None, Array | None]

INPUTS = 3
# Elements that go through buffers at a time, which fit the second-level cache.
PIECE = 2 * BLOCK
# Elements of a kernel's call at most, whole blocks and lines: a signal, such as Ctrl-C, is seen
# between two. On one thread a mean takes 21 ms, with a gradient on new pages 47; half as many
# elements would cost two or three percent.
CALL = 1 << 25


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
    transposed: bool | None = None,
) -> float:
    """Write the outputs that are given; give the sum of the (weighted) values if ``total``.

    All arrays have the input's shape; ``dtype`` is the precision of the arithmetic, float32 or
    float64. ``target=None`` is a target of 0. Nothing is checked here: see ``fastloss.arrays``.

    Elements go to blocks by their place in the inputs alone, so the sum has the same bits whatever
    the outputs are, unless these go past the cache: then blocks begin where their lines do. They
    are taken in C order; in Fortran order if all inputs lie in that, or as ``transposed`` says.
    """
    if input.size == 0:
        _finish(grad, hess)
        return 0.0
    arrays: Sequence[Any] = (input, target, weight, value, grad, hess)
    if in_fortran_order(arrays[:INPUTS]) if transposed is None else transposed:
        arrays = [None if a is None else a.T for a in arrays]
    vectors = [None if a is None else flat(a, dtype) for a in arrays]
    if input.size >= BLOCK:
        _keep_apart(vectors)
    bound = bind(formula, dtype), dtype.type(scale)
    plain = all(v is not None or a is None for v, a in zip(vectors, arrays, strict=True))
    with compiling(formula):
        if not plain:
            result = _in_pieces(arrays, vectors, dtype, *bound, total)
        elif input.size <= BLOCK:
            result = _single(vectors, *bound, total)
        else:
            result = large(vectors, *bound, total)
    _finish(grad, hess)
    return result


def _finish(*outs: Array | Folded | None) -> None:
    for out in outs:
        if isinstance(out, Folded):
            out.finish()


def total_and_weights(
    formula: Formula, input: Array, target: Array, weight: Array, dtype: np.dtype[Any]
) -> tuple[float, float] | None:
    """Give the sums of the weighted losses and of the weights, which are read once for both.

    None where :func:`evaluate` and :func:`total_of` have to do it: for a few elements, or arrays
    that go through buffers. Both sums have the bits that these give.
    """
    arrays = [input, target, weight]
    if in_fortran_order(arrays):
        arrays = [a.T for a in arrays]
    vectors = [flat(a, dtype) for a in arrays]
    if input.size <= BLOCK or any(v is None for v in vectors):
        return None
    pairs = _pairs(-(-input.size // BLOCK), total=True, weights=True)
    outs = (None, None, None)
    with compiling(formula), several(input.size, parallel_from(outs, total=True)) as threads:
        _run(threads, (*vectors, *outs), bind(formula, dtype), dtype.type(1), pairs, None)
    return _add_up(pairs[0]), _add_up(pairs[1])


def total_of(array: Array, dtype: np.dtype[Any], transposed: bool = False) -> float:
    """Sum an array as exactly as losses are summed, in C order unless it is to be transposed."""
    return evaluate(Itself(), array, None, None, dtype, total=True, transposed=transposed)


def sums_of_blocks(array: Vector, dtype: np.dtype[Any]) -> Array:
    """Give each block's sum and the rounding error that it leaves.

    Those of parts of whole blocks, one after the other, add up to what :func:`total_of` gives.
    """
    pairs = np.empty((-(-array.size // BLOCK), 2))
    vectors = array, None, None, None, None, None
    with several(array.size, parallel_from(vectors[INPUTS:], total=True)) as threads:
        _run(threads, vectors, bind(Itself(), dtype), dtype.type(1), (pairs, None), None)
    return pairs


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


def _single(vectors: Sequence[Any], formula: Any, scale: Any, total: bool) -> float:
    """Take at most one block."""
    x, y, w, *outs = vectors
    kernel: Any = elementwise.single_summed if total else elementwise.single_filled
    found: float
    found, error, _ = kernel(formula, x, y, w, scale, *outs, True if total else None, None, None)
    return found + error if isfinite(found) else found


def large(vectors: Sequence[Any], formula: Any, scale: Any, total: bool) -> float:
    """Take more than a block of contiguous elements."""
    size = vectors[0].size
    head = before_line(vectors[INPUTS:])
    streamed = None if head is None else True
    start = head or 0
    blocks = -(-(size - start) // BLOCK)
    pairs = _pairs(blocks + (start > 0), total)
    with several(size, parallel_from(vectors[INPUTS:], total)) as threads:
        if start:
            # Fewer elements than a line, so the kernel for lines stores them one by one.
            first = [None if v is None else v[:start] for v in vectors]
            _run(threads, first, formula, scale, _some(pairs, blocks, 1), streamed)
            vectors = [None if v is None else v[start:] for v in vectors]
        _run(threads, vectors, formula, scale, _some(pairs, 0, blocks), streamed)
    return _add_up(pairs[0])


def _in_pieces(
    arrays: Sequence[Any],
    vectors: Sequence[Any],
    dtype: np.dtype[Any],
    formula: Any,
    scale: Any,
    total: bool,
) -> float:
    """Go through a buffer for each array that is not a vector already.

    On one thread: NumPy's copies take one anyway, and a parallel kernel for each piece would wait
    for all threads each time. Two of them took 10,000,000 elements in 10 ms where one takes 10, and
    in 100 to 220 where other processes held the cores, one in 15 to 55.
    """
    size = arrays[0].size
    buffered = [a is not None and v is None for a, v in zip(arrays, vectors, strict=True)]
    memory: list[Any] = [
        np.empty(min(PIECE, size), dtype) if b else v
        for b, v in zip(buffered, vectors, strict=True)
    ]
    pairs = _pairs(-(-size // BLOCK), total)
    result = 0.0
    # The last piece, however small, goes the way of the others: another kernel is compiled anew.
    for low in range(0, size, PIECE):
        high = min(size, low + PIECE)
        here: list[Any] = [
            m if m is None else m[: high - low] if b else m[low:high]
            for m, b in zip(memory, buffered, strict=True)
        ]
        for i in range(INPUTS):
            if buffered[i]:
                read(arrays[i], low, high, here[i])
        if size <= BLOCK:
            result = _single(here, formula, scale, total)
        else:
            blocks = low // BLOCK, -(-(high - low) // BLOCK)
            _run(False, here, formula, scale, _some(pairs, *blocks), None)
        for i in range(INPUTS, len(arrays)):
            if buffered[i]:
                write(arrays[i], low, high, here[i])
    return result if size <= BLOCK else _add_up(pairs[0])


def _run(
    threads: bool,
    vectors: Sequence[Any],
    formula: Any,
    scale: Any,
    pairs: Pairs,
    streamed: bool | None,
) -> None:
    serial: Any = elementwise.serial
    kernel: Any = elementwise.parallel if threads else serial
    size = vectors[0].size
    for low in range(0, size, CALL):
        here = vectors
        if size > CALL:
            here = [None if v is None else v[low : low + CALL] for v in vectors]
        x, y, w, *outs = here
        some = _some(pairs, low // BLOCK, -(-x.size // BLOCK))
        arguments = formula, x, y, w, scale, *outs, *some, streamed
        done = marks(formula, -(-x.size // BLOCK)) if threads else None
        kernel(*arguments, done)
        if missing(done):
            serial(*arguments, None)


def _pairs(blocks: int, total: bool, weights: bool = False) -> Pairs:
    losses, own = (np.empty((blocks, 2)) if wanted else None for wanted in (total, weights))
    return losses, own


def _some(pairs: Pairs, start: int, count: int) -> Pairs:
    losses, own = (None if v is None else v[start : start + count] for v in pairs)
    return losses, own


def _add_up(pairs: Array | None) -> float:
    return 0.0 if pairs is None else sums.total(pairs)

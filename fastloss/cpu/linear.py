"""The loss of a linear model ``X @ w`` and its derivatives, in one pass over X.

A tile of rows small enough for the cache is read twice: once for the predictions, once, from the
cache, for the gradient. How depends on X: ``products.py`` for dense tiles, ``sparse.py`` for sparse
ones.

Blocks of rows have their own partial gradient, and the partial gradients are added in order: the
bits do not depend on the number of threads.
"""

from typing import Any

import numpy as np
from numba import prange, types
from numba.core.errors import NumbaError

from fastloss.binding import bind, uncompilable
from fastloss.cpu import sparse, sums
from fastloss.cpu.design import FLOAT64, Design
from fastloss.cpu.elementwise import fill
from fastloss.cpu.jit import choose, inner, kernel, parallel_kernel
from fastloss.cpu.maybe import Maybe, part
from fastloss.cpu.products import combine, dots
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector

# Columns in Fortran order lie far from each other: so many are brought to the cache ahead. 20,000 x
# 5,000 float64 take 36 ms so, 46 without.
AHEAD = 8
# Partial gradients: enough for many threads, and 5 MB at 5,000 columns.
BLOCKS = 128
# Their bytes at most, but for two of them: a sparse X may have millions of columns.
PARTIAL_BYTES = 1 << 25


def predict(A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector) -> None:
    """Write ``X[low:high] @ w[:-1] + w[-1]``."""
    rows = sparse.predict if isinstance(A, tuple) else _predict_dense
    rows(A, columns, low, high, w, out)


def _predict_dense(
    A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector
) -> None:
    p = w.size - 1
    out[:] = w[p]
    if columns is not None:
        combine(A, 0, p, low, high, w, out, AHEAD * (A.strides[0] // A.itemsize))
    else:
        dots(A, low, high, 0, p, w[:p], out)


def gather(A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector) -> None:
    """Add ``X[low:high].T @ slopes`` to ``out[:-1]`` and their sum to ``out[-1]``."""
    rows = sparse.gather if isinstance(A, tuple) else _gather_dense
    rows(A, columns, low, high, slopes, out)


def _gather_dense(
    A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector
) -> None:
    p = out.size - 1
    if columns is not None:
        dots(A, 0, p, low, high, slopes, out, high - low)
    else:
        combine(A, low, high, 0, p, slopes, out[:p], (high - low) * (A.strides[0] // A.itemsize))
    total = 0.0
    for i in range(slopes.size):
        total += slopes[i]
    out[p] += total


def _is_sparse(kinds: dict[str, Any]) -> bool:
    return isinstance(kinds["A"], types.BaseTuple)


choose(predict, lambda kinds: sparse.predict if _is_sparse(kinds) else _predict_dense)
choose(gather, lambda kinds: sparse.gather if _is_sparse(kinds) else _gather_dense)


@inner
def _block(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    direction: Maybe,
    scale: float,
    first: Any,
    last: Any,
    tile: int,
    out: Vector,
) -> tuple[float, float]:
    """Add a block of rows to ``out``; give the sum of its losses and the error it leaves."""
    predictions, slopes = np.empty(tile), np.empty(tile)
    terms, running = np.empty(sums.places_for(tile)), sums.start()
    for low in range(first, last, tile):
        high = min(last, low + tile)
        size = high - low
        x, s = predictions[:size], slopes[:size]
        y, v = target[low:high], part(weight, low, high)
        predict(A, columns, low, high, w, x)
        if direction is None:
            terms[size:] = 0.0
            fill(formula, x, y, v, scale, None, s, None, terms)
            running = sums.add(running, terms)
        else:
            fill(formula, x, y, v, scale, None, None, s, None)
            predict(A, columns, low, high, direction, x)
            for i in range(size):
                s[i] *= x[i]
        gather(A, columns, low, high, s, out)
    return sums.combine(running)


def _blocks(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    direction: Maybe,
    scale: float,
    rows: int,
    tile: int,
    partial: Array,
    sums_out: Array,
) -> None:
    for index in prange(partial.shape[0]):
        block = np.int64(index)
        first = block * rows
        last = min(target.size, first + rows)
        sums_out[block, 0], sums_out[block, 1] = _block(
            formula,
            A,
            columns,
            target,
            weight,
            w,
            direction,
            scale,
            first,
            last,
            tile,
            partial[block],
        )


serial = kernel(_blocks)
parallel = parallel_kernel(_blocks)


def _residuals(
    A: Array, columns: bool | None, target: Vector, w: Vector, rows: int, out: Vector
) -> None:
    for index in prange((target.size + rows - 1) // rows):
        low: Any = np.int64(index) * rows
        high: Any = min(target.size, low + rows)
        here = part(out, low, high)
        predict(A, columns, low, high, w, here)
        for i in range(here.size):
            here[i] -= target[low + i]


serial_residuals = kernel(_residuals)
parallel_residuals = parallel_kernel(_residuals)


def residuals(design: Design, target: Vector, w: Vector) -> Vector:
    """Give ``X @ w - y``."""
    out = np.empty(target.size)
    with several(design.elements) as threads:
        run: Any = parallel_residuals if threads else serial_residuals
        run(design.matrix, design.columns or None, target, w, design.tile, out)
    return out


def evaluate(
    formula: Formula,
    design: Design,
    target: Vector,
    weight: Vector | None,
    w: Vector,
    scale: float,
    direction: Vector | None = None,
) -> tuple[float, Vector]:
    """Give the sum of the losses and ``scale`` times its gradient, the intercept's entry last.

    With a direction, give the Hessian times it instead of the gradient, and 0.
    """
    n, p = design.shape
    tile = design.tile
    most = max(2, min(BLOCKS, PARTIAL_BYTES // (8 * (p + 1))))
    rows = -(-n // (most * tile)) * tile
    blocks = -(-n // rows)
    partial = np.zeros((blocks, p + 1))
    block_sums = np.empty((blocks, 2))
    with several(design.elements) as threads:
        try:
            (parallel if threads else serial)(
                bind(formula, FLOAT64),
                design.matrix,
                design.columns or None,
                target,
                weight,
                w,
                direction,
                scale,
                rows,
                tile,
                partial,
                block_sums,
            )
        except NumbaError as error:
            raise uncompilable(formula, error) from error
    return sums.total(block_sums), partial.sum(axis=0)

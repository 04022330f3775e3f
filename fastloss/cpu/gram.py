"""Value, gradient and ``X.T @ D @ X`` of a linear model, in one pass over X.

A tile's rows whose curvature is not zero are copied beside each other, less the columns' offsets
and with a column of ones, once as they are and once times their curvature. The products of these
two copies stay in registers over the rows of a tile, four by sixteen at a time, on and above the
diagonal. 500,000 x 40 float64 take 15 ms so, and 88 in two passes by BLAS.
"""

from typing import Any

import numpy as np
from numba import prange, types
from numba.core.errors import NumbaError

from fastloss.binding import bind, uncompilable
from fastloss.cpu import sums
from fastloss.cpu.design import FLOAT64, Design
from fastloss.cpu.elementwise import fill
from fastloss.cpu.jit import choose, inner, kernel, parallel_kernel
from fastloss.cpu.linear import BLOCKS, PARTIAL_BYTES, gather, predict
from fastloss.cpu.maybe import Maybe, part
from fastloss.cpu.threads import several
from fastloss.cpu.vectors import WIDTH, add_to, load_vector, multiply_add, zeros
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector

# Columns up to which this is done: a row of both copies is 4 KiB, a block's products are 557 KB.
MOST = 256
# Bytes of each copy of a tile: half of a first-level cache.
TILE_BYTES = 1 << 14


def _element(A: Array, columns: bool | None, row: int, column: int) -> float:
    return (_of_rows if columns is None else _of_columns)(A, columns, row, column)


def _of_rows(A: Array, columns: bool | None, row: int, column: int) -> float:
    return float(A[row, column])


def _of_columns(A: Array, columns: bool | None, row: int, column: int) -> float:
    return float(A[column, row])


choose(
    _element,
    lambda kinds: _of_rows if isinstance(kinds["columns"], types.NoneType) else _of_columns,
)


@inner
def _copy(
    A: Array,
    columns: bool | None,
    low: int,
    curvature: Vector,
    offsets: Vector,
    plain: Array,
    curved: Array,
) -> int:
    """Copy the rows that have curvature; give their number."""
    p = offsets.size
    count = 0
    for i in range(curvature.size):
        d = curvature[i]
        if d != 0:
            for j in range(p):
                x = _element(A, columns, low + i, j) - offsets[j]
                plain[count, j] = x
                curved[count, j] = d * x
            plain[count, p] = 1.0
            curved[count, p] = d
            count += 1
    return count


@inner
def _multiply(plain: Vector, curved: Vector, width: int, count: int, out: Vector) -> None:
    """Add ``plain.T @ curved`` to ``out``, all of them rows of ``width``, a multiple of 8."""
    end = count * width
    for a in range(0, width, 4):
        b = a // WIDTH * WIDTH
        while b + WIDTH < width:
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zeros()
            for at in range(0, end, width):
                u, v = load_vector(curved, at + b), load_vector(curved, at + b + WIDTH)
                # Indices without a sign are not tested for counting from the end.
                k = np.uint64(at + a)
                s, t = plain[k], plain[k + np.uint64(1)]
                x, y = plain[k + np.uint64(2)], plain[k + np.uint64(3)]
                c0, d0 = multiply_add(c0, u, s), multiply_add(d0, v, s)
                c1, d1 = multiply_add(c1, u, t), multiply_add(d1, v, t)
                c2, d2 = multiply_add(c2, u, x), multiply_add(d2, v, x)
                c3, d3 = multiply_add(c3, u, y), multiply_add(d3, v, y)
            place = a * width + b
            add_to(out, place, c0)
            add_to(out, place + WIDTH, d0)
            add_to(out, place + width, c1)
            add_to(out, place + width + WIDTH, d1)
            add_to(out, place + 2 * width, c2)
            add_to(out, place + 2 * width + WIDTH, d2)
            add_to(out, place + 3 * width, c3)
            add_to(out, place + 3 * width + WIDTH, d3)
            b += 2 * WIDTH
        if b < width:
            c0 = c1 = c2 = c3 = zeros()
            for at in range(0, end, width):
                u = load_vector(curved, at + b)
                k = np.uint64(at + a)
                c0 = multiply_add(c0, u, plain[k])
                c1 = multiply_add(c1, u, plain[k + np.uint64(1)])
                c2 = multiply_add(c2, u, plain[k + np.uint64(2)])
                c3 = multiply_add(c3, u, plain[k + np.uint64(3)])
            place = a * width + b
            add_to(out, place, c0)
            add_to(out, place + width, c1)
            add_to(out, place + 2 * width, c2)
            add_to(out, place + 3 * width, c3)


@inner
def _block(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    offsets: Vector,
    scale: float,
    majorising: bool,
    first: Any,
    last: Any,
    tile: int,
    width: int,
    gradient: Vector,
    gram: Vector,
) -> tuple[float, float]:
    predictions, slopes, curvature = np.empty(tile), np.empty(tile), np.empty(tile)
    plain, curved = np.zeros((tile, width)), np.zeros((tile, width))
    terms, running = np.empty(sums.places_for(tile)), sums.start()
    for low in range(first, last, tile):
        high = min(last, low + tile)
        size = high - low
        x, s, h = predictions[:size], slopes[:size], curvature[:size]
        y, v = target[low:high], part(weight, low, high)
        predict(A, columns, low, high, w, x)
        terms[size:] = 0.0
        fill(formula, x, y, v, scale, None, s, h, terms)
        running = sums.add(running, terms)
        if majorising:
            for i in range(size):
                r = x[i] - y[i]
                h[i] = h[i] if r == 0 else s[i] / r
        gather(A, columns, low, high, s, gradient)
        count = _copy(A, columns, low, h, offsets, plain, curved)
        _multiply(plain.ravel(), curved.ravel(), width, count, gram)
    return sums.combine(running)


def _blocks(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    offsets: Vector,
    scale: float,
    majorising: bool,
    rows: int,
    tile: int,
    width: int,
    gradients: Array,
    grams: Array,
    sums_out: Array,
) -> None:
    for index in prange(gradients.shape[0]):
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
            offsets,
            scale,
            majorising,
            first,
            last,
            tile,
            width,
            gradients[block],
            grams[block],
        )


serial = kernel(_blocks)
parallel = parallel_kernel(_blocks)


def evaluate(
    formula: Formula,
    design: Design,
    target: Vector,
    weight: Vector | None,
    w: Vector,
    scale: float,
    offsets: Vector,
    majorising: bool,
) -> tuple[float, Vector, Array]:
    """Give the sum of the losses, and ``scale`` times its gradient and ``X.T @ D @ X``.

    ``offsets`` are taken off X's columns in the last; both have an entry for a column of ones, the
    last. D is the loss's own curvature, or the one that is ``grad(r) / r``.
    """
    n, p = design.shape
    width = -(-(p + 1) // WIDTH) * WIDTH
    tile = max(4, TILE_BYTES // (8 * width) // 4 * 4)
    most = max(2, min(BLOCKS, PARTIAL_BYTES // (8 * width * width)))
    rows = -(-n // (most * tile)) * tile
    blocks = -(-n // rows)
    gradients, grams = np.zeros((blocks, p + 1)), np.zeros((blocks, width * width))
    pairs = np.empty((blocks, 2))
    with several(design.elements) as threads:
        try:
            (parallel if threads else serial)(
                bind(formula, FLOAT64),
                design.matrix,
                design.columns or None,
                target,
                weight,
                w,
                offsets,
                scale,
                majorising,
                rows,
                tile,
                width,
                gradients,
                grams,
                pairs,
            )
        except NumbaError as error:
            raise uncompilable(formula, error) from error
    upper = np.triu(grams.sum(axis=0).reshape(width, width)[: p + 1, : p + 1])
    gram = upper + np.triu(upper, 1).T
    return sums.total(pairs), gradients.sum(axis=0), gram

"""The loss of a linear model ``X @ w`` and its derivatives, in one pass over X.

A tile of rows small enough for the second-level cache is read twice: once for the predictions,
once, from the cache, for the gradient. Both orders of X share two loops, as one order's
predictions are the other's gradient: ``dots`` (each row times a vector) and ``combine`` (the rows
weighted and added up). All sums are in float64, float32 elements being widened in registers.

Blocks of rows have their own partial gradient, and the partial gradients are added in order: the
bits do not depend on the number of threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import config, prange, types
from numba.core.errors import NumbaError

from fastloss.binding import bind, uncompilable
from fastloss.cpu import sparse, sums
from fastloss.cpu.elementwise import fill
from fastloss.cpu.jit import choose, inner, kernel, parallel_kernel
from fastloss.cpu.layout import flat
from fastloss.cpu.maybe import Maybe, part
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector

if config.DISABLE_JIT:
    from fastloss.cpu.plain_lanes import (
        add,
        add_to,
        drop,
        load,
        load_vector,
        multiply_add,
        total,
        zeros,
    )
else:
    from fastloss.cpu.lanes import add, add_to, drop, load, load_vector, multiply_add, total, zeros

WIDTH = 8  # of a vector of lanes

# Bytes of X in a tile: an eighth of a 1 MiB second-level cache.
TILE_BYTES = 1 << 17
TILE_ROWS = 1024
# Outputs up to this length stay in registers over the rows of a tile; longer ones are swept.
NARROW = 128
# Partial gradients: enough for many threads, and 5 MB at 5,000 columns.
BLOCKS = 128
# Their bytes at most, but for two of them: a sparse X may have millions of columns.
PARTIAL_BYTES = 1 << 25


@inner
def dots(A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector) -> None:
    """Add ``A[i, low:high] @ v`` to ``out[i - first]`` for each row from first to last."""
    size = high - low
    whole = size // WIDTH * WIDTH
    # The last vector of a row starts early and leaves out what was already added.
    tail, again = high - WIDTH, WIDTH - (size - whole)
    if size < WIDTH:
        _short_dots(A, first, last, low, high, v, out)
        return
    fours = first + (last - first) // 4 * 4
    for i in range(first, fours, 4):
        a = b = c = d = zeros()
        for j in range(0, whole, WIDTH):
            x = load_vector(v, j)
            a = multiply_add(a, load(A, i, low + j), x)
            b = multiply_add(b, load(A, i + 1, low + j), x)
            c = multiply_add(c, load(A, i + 2, low + j), x)
            d = multiply_add(d, load(A, i + 3, low + j), x)
        if whole < size:
            x = load_vector(v, size - WIDTH)
            a = multiply_add(a, drop(load(A, i, tail), again), x)
            b = multiply_add(b, drop(load(A, i + 1, tail), again), x)
            c = multiply_add(c, drop(load(A, i + 2, tail), again), x)
            d = multiply_add(d, drop(load(A, i + 3, tail), again), x)
        out[i - first] += total(a)
        out[i - first + 1] += total(b)
        out[i - first + 2] += total(c)
        out[i - first + 3] += total(d)
    for i in range(fours, last):
        a = zeros()
        for j in range(0, whole, WIDTH):
            a = multiply_add(a, load(A, i, low + j), load_vector(v, j))
        if whole < size:
            x = load_vector(v, size - WIDTH)
            a = multiply_add(a, drop(load(A, i, tail), again), x)
        out[i - first] += total(a)


@inner
def _short_dots(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector
) -> None:
    for i in range(first, last):
        s = 0.0
        for j in range(low, high):
            s += A[i, j] * v[j - low]
        out[i - first] += s


@inner
def combine(A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector) -> None:
    """Add ``v[i - first] * A[i, low:high]`` to ``out`` for each row from first to last."""
    size = high - low
    if size < WIDTH:
        _short_combine(A, first, last, low, high, v, out)
    elif size <= NARROW:
        _narrow_combine(A, first, last, low, high, v, out)
    else:
        fours = first + (last - first) // 4 * 4
        for i in range(first, fours, 4):
            _add_four_rows(A, i, low, high, v, i - first, out)
        for i in range(fours, last):
            _narrow_combine(A, i, i + 1, low, high, v[i - first : i - first + 1], out)


@inner
def _add_four_rows(A: Array, i: int, low: int, high: int, v: Vector, k: int, out: Vector) -> None:
    size = high - low
    whole = size // WIDTH * WIDTH
    s, t, u, x = v[k], v[k + 1], v[k + 2], v[k + 3]
    for j in range(0, whole, WIDTH):
        a = multiply_add(zeros(), load(A, i, low + j), s)
        b = multiply_add(zeros(), load(A, i + 1, low + j), t)
        a = multiply_add(a, load(A, i + 2, low + j), u)
        b = multiply_add(b, load(A, i + 3, low + j), x)
        add_to(out, j, add(a, b))
    if whole < size:
        j = high - WIDTH
        a = multiply_add(zeros(), load(A, i, j), s)
        b = multiply_add(zeros(), load(A, i + 1, j), t)
        a = multiply_add(a, load(A, i + 2, j), u)
        b = multiply_add(b, load(A, i + 3, j), x)
        add_to(out, size - WIDTH, drop(add(a, b), WIDTH - (size - whole)))


@inner
def _narrow_combine(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector
) -> None:
    """Keep the partial sums of 32 columns in registers over all rows."""
    size = high - low
    panels = size // (4 * WIDTH) * (4 * WIDTH)
    for k in range(0, panels, 4 * WIDTH):
        j = low + k
        a = b = c = d = zeros()
        for i in range(first, last):
            s = v[i - first]
            a = multiply_add(a, load(A, i, j), s)
            b = multiply_add(b, load(A, i, j + WIDTH), s)
            c = multiply_add(c, load(A, i, j + 2 * WIDTH), s)
            d = multiply_add(d, load(A, i, j + 3 * WIDTH), s)
        add_to(out, k, a)
        add_to(out, k + WIDTH, b)
        add_to(out, k + 2 * WIDTH, c)
        add_to(out, k + 3 * WIDTH, d)
    whole = size // WIDTH * WIDTH
    for k in range(panels, whole, WIDTH):
        a = zeros()
        for i in range(first, last):
            a = multiply_add(a, load(A, i, low + k), v[i - first])
        add_to(out, k, a)
    if whole < size:
        a = zeros()
        for i in range(first, last):
            a = multiply_add(a, load(A, i, high - WIDTH), v[i - first])
        add_to(out, size - WIDTH, drop(a, WIDTH - (size - whole)))


@inner
def _short_combine(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector
) -> None:
    for i in range(first, last):
        s = v[i - first]
        for j in range(low, high):
            out[j - low] += s * A[i, j]


def _predict(A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector) -> None:
    """Write ``X[low:high] @ w[:-1] + w[-1]``."""
    rows = sparse.predict if isinstance(A, tuple) else _predict_dense
    rows(A, columns, low, high, w, out)


def _predict_dense(
    A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector
) -> None:
    p = w.size - 1
    out[:] = w[p]
    if columns is not None:
        combine(A, 0, p, low, high, w, out)
    else:
        dots(A, low, high, 0, p, w[:p], out)


def _gather(A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector) -> None:
    """Add ``X[low:high].T @ slopes`` to ``out[:-1]`` and their sum to ``out[-1]``."""
    rows = sparse.gather if isinstance(A, tuple) else _gather_dense
    rows(A, columns, low, high, slopes, out)


def _gather_dense(
    A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector
) -> None:
    p = out.size - 1
    if columns is not None:
        dots(A, 0, p, low, high, slopes, out)
    else:
        combine(A, low, high, 0, p, slopes, out[:p])
    total = 0.0
    for i in range(slopes.size):
        total += slopes[i]
    out[p] += total


def _is_sparse(kinds: dict[str, Any]) -> bool:
    return isinstance(kinds["A"], types.BaseTuple)


choose(_predict, lambda kinds: sparse.predict if _is_sparse(kinds) else _predict_dense)
choose(_gather, lambda kinds: sparse.gather if _is_sparse(kinds) else _gather_dense)


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
        _predict(A, columns, low, high, w, x)
        if direction is None:
            terms[size:] = 0.0
            fill(formula, x, y, v, scale, None, s, None, terms)
            running = sums.add(running, terms)
        else:
            fill(formula, x, y, v, scale, None, None, s, None)
            _predict(A, columns, low, high, direction, x)
            for i in range(size):
                s[i] *= x[i]
        _gather(A, columns, low, high, s, out)
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

FLOAT64 = np.dtype(np.float64)


class Design(NamedTuple):
    """X as kernels take it: a C-ordered matrix, of X's rows or of its columns; or sparse rows."""

    matrix: Any
    columns: bool
    shape: tuple[int, int]
    elements: int
    """What is read."""
    tile: int
    """Rows that are taken at once, a multiple of four."""

    @classmethod
    def of(cls, X: Array) -> "Design":
        """Take X as it lies if it is in C or Fortran order and float32 or float64."""
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else FLOAT64
        columns = X.flags.f_contiguous and not X.flags.c_contiguous
        matrix = np.require(X.T if columns else X, dtype.newbyteorder("="), ["C", "A"])
        vector = flat(matrix, matrix.dtype)
        assert vector is not None
        n, p = X.shape
        matrix = vector.reshape(matrix.shape)
        return cls(matrix, columns, (n, p), vector.size, _tile(p * matrix.itemsize))

    @classmethod
    def of_sparse(cls, X: Any) -> "Design":
        """Take the rows of a matrix in CSR, see ``sparse.py``."""
        n, p = X.shape
        rows = sparse.rows_of(X)
        mean = -(-rows[0].size // max(n, 1)) * (rows[0].itemsize + rows[1].itemsize)
        return cls(rows, False, (n, p), rows[0].size, _tile(mean))


def _tile(row_bytes: int) -> int:
    return max(4, min(TILE_ROWS, TILE_BYTES // max(row_bytes, 1)) // 4 * 4)


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

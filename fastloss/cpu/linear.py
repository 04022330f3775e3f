"""The loss of a linear model ``X @ w`` and its derivatives, in one pass over X.

A tile of rows small enough for the cache is read twice: once for the predictions, once, from the
cache, for the gradient. How depends on X: ``products.py`` for dense tiles, ``apart_columns.py`` for
those whose columns lie anywhere, ``sparse.py`` and ``sparse_columns.py`` for sparse ones.

Blocks of rows have their own partial gradient, and the partial gradients are added in order: the
bits do not depend on the number of threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from fastloss.cpu import apart_columns, sparse, sparse_columns, sums
from fastloss.cpu.design import FLOAT64, Design
from fastloss.cpu.elementwise import fill
from fastloss.cpu.finished import marks, missing
from fastloss.cpu.formula import bind
from fastloss.cpu.jit import choose, inner, kernel, parallel_kernel
from fastloss.cpu.maybe import Maybe, mark, part
from fastloss.cpu.products import LAST, add_rows, combine, dots, summed
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array, Vector
from fastloss.uncompilable import compiling

# In Fortran order columns lie far from each other. Of tiles that are longer than this many bytes so
# many columns are brought to the cache ahead: 5,000 of float32 take 13.5 ms so, 19.3 without. In
# short ones it is work for nothing: 32 columns of float32 take 3.9 ms with it, 3.5 without.
SHORT_TILE_BYTES = 1 << 19
NEAR = 8


def predict(A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector) -> None:
    """Write ``X[low:high] @ w[:-1] + w[-1]``."""
    rows = _other(A).predict if isinstance(A, tuple) else _predict_dense
    rows(A, columns, low, high, w, out)


def _predict_dense(
    A: Any, columns: bool | None, low: int, high: int, w: Vector, out: Vector
) -> None:
    p = w.size - 1
    out[:] = w[p]
    if columns is not None:
        add_rows(A, 0, p, low, high, w, out, _near(A, p, low, high), high - low + LAST)
    else:
        dots(A, low, high, 0, p, w[:p], out, None, (high - low) * _pitch(A))


def gather(A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector) -> None:
    """Add ``X[low:high].T @ slopes`` to ``out[:-1]`` and their sum to ``out[-1]``."""
    rows = _other(A).gather if isinstance(A, tuple) else _gather_dense
    rows(A, columns, low, high, slopes, out)


def _gather_dense(
    A: Any, columns: bool | None, low: int, high: int, slopes: Vector, out: Vector
) -> None:
    p = out.size - 1
    if columns is not None:
        dots(A, 0, p, low, high, slopes, out, _near(A, p, low, high), high - low + LAST)
    else:
        combine(A, low, high, 0, p, slopes, out[:p], None, (high - low) * _pitch(A))
    out[p] += summed(slopes)


@inner
def _pitch(A: Array) -> int:
    """Give the elements from one row to the next."""
    return A.strides[0] // A.itemsize


@inner
def _near(A: Array, p: int, low: int, high: int) -> int:
    """Give how many elements further on something is brought for each column.

    In a short tile that is what is being read: to leave it out takes a second copy of both loops,
    which compile for a third longer, and is no faster.
    """
    is_short = p * (high - low) * A.itemsize <= SHORT_TILE_BYTES
    return 0 if is_short else NEAR * _pitch(A) + LAST


# The modules for an X that is a tuple, by its length.
OTHERS: dict[int, Any] = {2: apart_columns, 3: sparse, 4: sparse_columns}


def _other(A: Any) -> Any:
    """Give the module for an X that is no array, or for the type of one."""
    return OTHERS[len(A)]


def _is_other(kinds: dict[str, Any]) -> bool:
    return isinstance(kinds["A"], types.BaseTuple)


choose(predict, lambda k: _other(k["A"]).predict if _is_other(k) else _predict_dense)
choose(gather, lambda k: _other(k["A"]).gather if _is_other(k) else _gather_dense)


@inner
def _block(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    scale: float,
    direction: Maybe,
    curvature: Maybe,
    known: bool,
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
        if direction is None:
            predict(A, columns, low, high, w, x)
            terms[size:] = 0.0
            fill(formula, x, y, v, scale, None, s, None, terms)
            running = sums.add(running, terms)
        else:
            here = part(curvature, low, high)
            if not known:
                predict(A, columns, low, high, w, x)
                fill(formula, x, y, v, scale, None, None, here, None)
            predict(A, columns, low, high, direction, x)
            for i in range(size):
                s[i] = here[i] * x[i]
        gather(A, columns, low, high, s, out)
    return sums.combine(running)


def _blocks(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    scale: float,
    direction: Maybe,
    curvature: Maybe,
    known: bool,
    rows: int,
    tile: int,
    partial: Array,
    sums_out: Array,
    done: Maybe,
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
            scale,
            direction,
            curvature,
            known,
            first,
            last,
            tile,
            partial[block],
        )
        mark(done, block)


BLOCKS = kernel(_blocks), parallel_kernel(_blocks)


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


RESIDUALS = kernel(_residuals), parallel_kernel(_residuals)


def residuals(design: Design, target: Vector, w: Vector) -> Vector:
    """Give ``X @ w - y``."""
    out = np.empty(target.size)
    run(RESIDUALS, design, target, w, design.tile, out)
    return out


class Partial(NamedTuple):
    """What came out of some blocks of rows, one after the other."""

    totals: Array
    """Each block's sum of the losses and the error that it leaves, shape (blocks, 2)."""
    gradients: Array
    """Of shape (blocks, p + 1)."""


def evaluate(
    formula: Formula,
    design: Design,
    target: Vector,
    weight: Vector | None,
    w: Vector,
    scale: float,
    direction: Vector | None = None,
    curvature: Vector | None = None,
    known: bool = False,
) -> Partial:
    """Give the sums of the losses and ``scale`` times their gradients, the intercept's entry last.

    With a direction, give the Hessian times it in place of the gradient, and no sums. Then
    ``curvature`` takes ``scale`` times the losses' weighted curvature at ``w``, or, if that is
    known already, holds it.
    """
    n, p = design.shape
    blocks = -(-n // design.rows)
    partial = Partial(np.empty((blocks, 2)), np.zeros((blocks, p + 1)))
    for rows, some, here in design.calls():
        beside = [v if v is None else v[rows] for v in (weight, curvature)]
        given = design.rows, design.tile, partial.gradients[some], partial.totals[some]
        rest = target[rows], beside[0], w, scale, direction, beside[1], known, *given
        run(BLOCKS, here, *rest, formula=formula)
    return partial


def run(
    kernels: tuple[Any, Any], design: Design, *rest: Any, formula: Formula | None = None
) -> None:
    """Call a serial kernel, or its parallel twin, on X and what else it takes.

    With a formula, that ends with the sums of blocks.
    """
    serial, parallel = kernels
    arguments = design.matrix, design.columns or None, *rest
    with several(design.elements) as threads:
        chosen = parallel if threads else serial
        if formula is None:
            chosen(*arguments)
            return
        with compiling(formula):
            bound = bind(formula, FLOAT64)
            done = marks(bound, rest[-1].shape[0]) if threads else None
            chosen(bound, *arguments, done)
            if missing(done):
                serial(bound, *arguments, None)

"""Value, gradient and ``X.T @ D @ X`` of a linear model, in one pass over X.

A tile's rows whose curvature is not zero are copied beside each other, less the columns' offsets,
once as they are and once times their curvature. The products of these two copies stay in registers
over the rows of a tile, four by sixteen at a time, on and above the diagonal; those with a column
of ones are added up on the way. 500,000 x 40 float64 take 13 ms so, and 86 in two passes by BLAS.

The products are what takes long: reading X alone takes 4 ms. Where most rows' curvature is what it
was at other coefficients, as that of smooth L1 is, only the difference is multiplied out.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from fastloss.cpu import sums
from fastloss.cpu.design import Design, width_of
from fastloss.cpu.elementwise import fill
from fastloss.cpu.jit import choose, inner, kernel, parallel_kernel
from fastloss.cpu.linear import gather, predict, run
from fastloss.cpu.maybe import Maybe, mark, part
from fastloss.cpu.vectors import (
    WIDTH,
    add_to,
    drop,
    entry,
    load,
    load_vector,
    multiply_add,
    store,
    zeros,
)
from fastloss.curvature import majorising
from fastloss.formulas import Formula
from fastloss.model import Asked, Curved
from fastloss.typing import Array, Vector

# Bytes of each copy of a tile: half of a first-level cache.
TILE_BYTES = 1 << 14


class Copies(NamedTuple):
    """Where the rows of a tile go that have curvature d."""

    offsets: Vector
    """What is taken off each row x."""
    plain: Vector
    """Takes ``x - offsets`` for one row after the other."""
    curved: Vector
    """Takes ``d * (x - offsets)``."""
    ones: Vector
    """The sums of these are added to it, and that of d."""


def _copy_row(A: Array, columns: bool | None, row: int, d: float, at: int, to: Copies) -> None:
    """Copy a row to the places from ``at`` on."""
    copy = _copy_run if columns is None else _copy_scattered
    copy(A, columns, row, d, at, to)


def _copy_scattered(
    A: Array, columns: bool | None, row: int, d: float, at: int, to: Copies
) -> None:
    for j in range(to.offsets.size):
        x = entry(A, j, row) - to.offsets[j]
        to.plain[at + j] = x
        to.curved[at + j] = d * x
        to.ones[j] += d * x


def _copy_run(A: Array, columns: bool | None, row: int, d: float, at: int, to: Copies) -> None:
    p = to.offsets.size
    if p < WIDTH:
        for j in range(p):
            x = A[row, j] - to.offsets[j]
            to.plain[at + j] = x
            to.curved[at + j] = d * x
            to.ones[j] += d * x
        return
    for k in range(0, p, WIDTH):
        j = min(k, p - WIDTH)  # the last vector starts early
        x = multiply_add(load(A, row, j, None, None), load_vector(to.offsets, j), -1.0)
        store(to.plain, at + j, x)
        y = multiply_add(zeros(), x, d)
        store(to.curved, at + j, y)
        add_to(to.ones, j, drop(y, k - j))


choose(
    _copy_row,
    lambda kinds: _copy_run if isinstance(kinds["columns"], types.NoneType) else _copy_scattered,
)


@inner
def _copy(
    A: Array, columns: bool | None, low: int, curvature: Vector, width: int, to: Copies
) -> int:
    """Copy the rows that have curvature; give their number."""
    count = 0
    for i in range(curvature.size):
        d = curvature[i]
        if d != 0:
            _copy_row(A, columns, low + i, d, count * width, to)
            to.ones[to.offsets.size] += d
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
    other: Vector,
    beside: bool,
    differing: bool,
    offsets: Vector,
    scale: float,
    majorising: bool,
    first: Any,
    last: Any,
    tile: int,
    width: int,
    gradient: Vector,
    at_other: Vector,
    gram: Vector,
    ones: Vector,
) -> tuple[float, float]:
    predictions, slopes, curvature = np.empty(tile), np.empty(tile), np.empty(tile)
    curvature_there = np.empty(tile)
    to = Copies(offsets, np.zeros(tile * width), np.zeros(tile * width), ones)
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
        if beside or differing:
            there = curvature_there[:size]
            predict(A, columns, low, high, other, x)
            fill(formula, x, y, v, scale, None, s, there, None)
            if beside:
                gather(A, columns, low, high, s, at_other)
            if differing:
                for i in range(size):
                    h[i] -= there[i]
        count = _copy(A, columns, low, h, width, to)
        _multiply(to.plain, to.curved, width, count, gram)
    return sums.combine(running)


def _blocks(
    formula: Formula,
    A: Array,
    columns: bool | None,
    target: Vector,
    weight: Maybe,
    w: Vector,
    other: Vector,
    beside: bool,
    differing: bool,
    offsets: Vector,
    scale: float,
    majorising: bool,
    rows: int,
    tile: int,
    width: int,
    gradients: Array,
    at_other: Array,
    grams: Array,
    ones: Array,
    sums_out: Array,
    done: Maybe,
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
            other,
            beside,
            differing,
            offsets,
            scale,
            majorising,
            first,
            last,
            tile,
            width,
            gradients[block],
            at_other[block],
            grams[block],
            ones[block],
        )
        mark(done, block)


BLOCKS = kernel(_blocks), parallel_kernel(_blocks)


class Partial(NamedTuple):
    """What came out of some blocks of rows, one after the other."""

    totals: Array
    """Each block's sum of the losses and the error that it leaves, shape (blocks, 2)."""
    gradients: Array
    """Of shape (blocks, p + 1)."""
    at_other: Array
    """Those at other coefficients, zeros where they are not wanted."""
    grams: Array
    """The upper triangles of X'DX, among other numbers, rows of whole vectors side by side."""
    ones: Array
    """D and X'D, summed over a block's rows, shape (blocks, p + 1)."""


def evaluate(design: Design, target: Vector, weight: Vector | None, asked: Asked) -> Partial:
    """Give the sums of the losses, and ``scale`` times their gradients and ``X.T @ D @ X``.

    ``means``, one for each column, are taken off X in the last of them. It and gradients have a
    last entry for a column of ones.
    """
    n, p = design.shape
    width = width_of(p)
    tile = max(4, TILE_BYTES // (8 * width) // 4 * 4)
    blocks = -(-n // design.rows)
    vectors = np.zeros((3, blocks, p + 1))
    totals, grams = np.empty((blocks, 2)), np.zeros((blocks, width * width))
    partial = Partial(totals, vectors[0], vectors[1], grams, vectors[2])
    other = asked.w if asked.other is None else asked.other
    there = other, asked.beside, asked.differing
    how = asked.means, asked.scale, asked.curvature is majorising
    for rows, some, here in design.calls():
        results = *(part[some] for part in partial[1:]), totals[some]
        own_weight = weight if weight is None else weight[rows]
        given = asked.w, *there, *how, design.rows, tile, width
        run(BLOCKS, here, target[rows], own_weight, *given, *results, formula=asked.formula)
    return partial


def curved(
    asked: Asked, total: float, gradient: Vector, at_other: Vector, grams: Vector, ones: Vector
) -> Curved:
    """Give what was asked for, from the sums over all blocks."""
    return Curved(total, gradient, whole(grams, ones), at_other if asked.beside else None)


def whole(grams: Vector, ones: Vector) -> Array:
    """Give ``X.T @ D @ X`` with a column of ones beside X, from the sums over all blocks."""
    p = ones.size - 1
    width = width_of(p)
    upper = np.triu(grams.reshape(width, width)[:p, :p])
    gram = np.empty((p + 1, p + 1))
    gram[:p, :p] = upper + np.triu(upper, 1).T
    gram[p] = gram[:, p] = ones
    return gram

"""A dense tile of X times a vector, from either side.

Both orders of X share two loops, as one order's predictions are the other's gradient: ``dots``
(each row times a vector) and ``combine`` (the rows weighted and added up). All sums are in float64,
float32 elements being widened in registers. ``ahead`` says how far on the elements are that are
needed next, where a tile is read for the second time: memory works meanwhile.
"""

from typing import Any

from fastloss.cpu.jit import inner
from fastloss.cpu.vectors import (
    WIDTH,
    add,
    add_to,
    drop,
    load,
    load_vector,
    multiply_add,
    total,
    zeros,
)
from fastloss.typing import Array, Vector

# Outputs up to this length stay in registers over the rows of a tile; longer ones are swept. So are
# those of many rows, which are columns of X: of each a run of memory is read at once.
NARROW = 128
FEW = 1024


@inner
def dots(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector, ahead: Any = None
) -> None:
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
            a = multiply_add(a, load(A, i, low + j, ahead), x)
            b = multiply_add(b, load(A, i + 1, low + j, ahead), x)
            c = multiply_add(c, load(A, i + 2, low + j, ahead), x)
            d = multiply_add(d, load(A, i + 3, low + j, ahead), x)
        if whole < size:
            x = load_vector(v, size - WIDTH)
            a = multiply_add(a, drop(load(A, i, tail, ahead), again), x)
            b = multiply_add(b, drop(load(A, i + 1, tail, ahead), again), x)
            c = multiply_add(c, drop(load(A, i + 2, tail, ahead), again), x)
            d = multiply_add(d, drop(load(A, i + 3, tail, ahead), again), x)
        out[i - first] += total(a)
        out[i - first + 1] += total(b)
        out[i - first + 2] += total(c)
        out[i - first + 3] += total(d)
    for i in range(fours, last):
        a = zeros()
        for j in range(0, whole, WIDTH):
            a = multiply_add(a, load(A, i, low + j, ahead), load_vector(v, j))
        if whole < size:
            x = load_vector(v, size - WIDTH)
            a = multiply_add(a, drop(load(A, i, tail, ahead), again), x)
        out[i - first] += total(a)


@inner
def _short_dots(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector, ahead: Any = None
) -> None:
    for i in range(first, last):
        s = 0.0
        for j in range(low, high):
            s += A[i, j] * v[j - low]
        out[i - first] += s


@inner
def combine(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector, ahead: Any = None
) -> None:
    """Add ``v[i - first] * A[i, low:high]`` to ``out`` for each row from first to last."""
    size = high - low
    if size < WIDTH:
        _short_combine(A, first, last, low, high, v, out)
    elif size <= NARROW and last - first <= FEW:
        _narrow_combine(A, first, last, low, high, v, out, ahead)
    else:
        fours = first + (last - first) // 4 * 4
        for i in range(first, fours, 4):
            _add_four_rows(A, i, low, high, v, i - first, out, ahead)
        for i in range(fours, last):
            _narrow_combine(A, i, i + 1, low, high, v[i - first : i - first + 1], out, ahead)


@inner
def _add_four_rows(
    A: Array, i: int, low: int, high: int, v: Vector, k: int, out: Vector, ahead: Any = None
) -> None:
    size = high - low
    whole = size // WIDTH * WIDTH
    s, t, u, x = v[k], v[k + 1], v[k + 2], v[k + 3]
    for j in range(0, whole, WIDTH):
        a = multiply_add(zeros(), load(A, i, low + j, ahead), s)
        b = multiply_add(zeros(), load(A, i + 1, low + j, ahead), t)
        a = multiply_add(a, load(A, i + 2, low + j, ahead), u)
        b = multiply_add(b, load(A, i + 3, low + j, ahead), x)
        add_to(out, j, add(a, b))
    if whole < size:
        j = high - WIDTH
        a = multiply_add(zeros(), load(A, i, j, ahead), s)
        b = multiply_add(zeros(), load(A, i + 1, j, ahead), t)
        a = multiply_add(a, load(A, i + 2, j, ahead), u)
        b = multiply_add(b, load(A, i + 3, j, ahead), x)
        add_to(out, size - WIDTH, drop(add(a, b), WIDTH - (size - whole)))


@inner
def _narrow_combine(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector, ahead: Any = None
) -> None:
    """Keep the partial sums of 32 columns in registers over all rows."""
    size = high - low
    panels = size // (4 * WIDTH) * (4 * WIDTH)
    for k in range(0, panels, 4 * WIDTH):
        j = low + k
        a = b = c = d = zeros()
        for i in range(first, last):
            s = v[i - first]
            a = multiply_add(a, load(A, i, j, ahead), s)
            b = multiply_add(b, load(A, i, j + WIDTH, ahead), s)
            c = multiply_add(c, load(A, i, j + 2 * WIDTH, ahead), s)
            d = multiply_add(d, load(A, i, j + 3 * WIDTH, ahead), s)
        add_to(out, k, a)
        add_to(out, k + WIDTH, b)
        add_to(out, k + 2 * WIDTH, c)
        add_to(out, k + 3 * WIDTH, d)
    whole = size // WIDTH * WIDTH
    for k in range(panels, whole, WIDTH):
        a = zeros()
        for i in range(first, last):
            a = multiply_add(a, load(A, i, low + k, ahead), v[i - first])
        add_to(out, k, a)
    if whole < size:
        a = zeros()
        for i in range(first, last):
            a = multiply_add(a, load(A, i, high - WIDTH, ahead), v[i - first])
        add_to(out, size - WIDTH, drop(a, WIDTH - (size - whole)))


@inner
def _short_combine(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector, ahead: Any = None
) -> None:
    for i in range(first, last):
        s = v[i - first]
        for j in range(low, high):
            out[j - low] += s * A[i, j]

"""A dense tile of X times a vector, from either side.

Both orders of X share two loops, as one order's predictions are the other's gradient: ``dots``
(each row times a vector) and ``combine`` (the rows weighted and added up). All sums are in float64,
float32 elements being widened in registers.

Memory works meanwhile. ``far`` says how many elements further on the next tile lies: ``dots``
brings its even rows and the others its odd ones, so that memory never rests. 64 columns of float32
are read at 0.97 of the speed of reading alone so, at 0.66 if the second of two loops brings all.
``near`` is brought for each row, where the processor's look-ahead has no run of memory to follow.
"""

from typing import Any

from fastloss.cpu.jit import inner
from fastloss.cpu.vectors import (
    WIDTH,
    add,
    add_some_to,
    add_to,
    add_totals,
    drop,
    load,
    load_some,
    load_some_of_vector,
    load_vector,
    multiply_add,
    total,
    zeros,
)
from fastloss.typing import Array, Vector

# Outputs up to this length stay in registers over the rows of a tile.
NARROW = 128
# Where rows lie far apart, the line in which a vector ends is brought: that in which it begins was
# brought with the vector before, and the last line of a row's run would be left out. 5,000 columns
# in Fortran order take 13.5 ms so, 15.0 otherwise.
LAST = WIDTH - 1


@inner
def summed(v: Vector) -> float:
    """Add up a vector: one number after the other they wait for each other, 4 cycles each."""
    lanes = zeros()
    whole = v.size // WIDTH * WIDTH
    for j in range(0, whole, WIDTH):
        lanes = add(lanes, load_vector(v, j))
    found = total(lanes)
    for j in range(whole, v.size):
        found += v[j]
    return found


@inner
def dots(
    A: Array,
    first: int,
    last: int,
    low: int,
    high: int,
    v: Vector,
    out: Vector,
    near: Any = None,
    far: Any = None,
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
            a = multiply_add(a, load(A, i, low + j, near, far), x)
            b = multiply_add(b, load(A, i + 1, low + j, near, None), x)
            c = multiply_add(c, load(A, i + 2, low + j, near, far), x)
            d = multiply_add(d, load(A, i + 3, low + j, near, None), x)
        if whole < size:
            x = load_vector(v, size - WIDTH)
            a = multiply_add(a, drop(load(A, i, tail, near, far), again), x)
            b = multiply_add(b, drop(load(A, i + 1, tail, near, None), again), x)
            c = multiply_add(c, drop(load(A, i + 2, tail, near, far), again), x)
            d = multiply_add(d, drop(load(A, i + 3, tail, near, None), again), x)
        add_totals(out, i - first, a, b, c, d)
    for i in range(fours, last):
        a = zeros()
        for j in range(0, whole, WIDTH):
            a = multiply_add(a, load(A, i, low + j, near, far), load_vector(v, j))
        if whole < size:
            x = load_vector(v, size - WIDTH)
            a = multiply_add(a, drop(load(A, i, tail, near, far), again), x)
        out[i - first] += total(a)


@inner
def _short_dots(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector
) -> None:
    size = high - low
    x = load_some_of_vector(v, size)
    fours = first + (last - first) // 4 * 4
    for i in range(first, fours, 4):
        a = multiply_add(zeros(), load_some(A, i, low, size), x)
        b = multiply_add(zeros(), load_some(A, i + 1, low, size), x)
        c = multiply_add(zeros(), load_some(A, i + 2, low, size), x)
        d = multiply_add(zeros(), load_some(A, i + 3, low, size), x)
        add_totals(out, i - first, a, b, c, d)
    for i in range(fours, last):
        out[i - first] += total(multiply_add(zeros(), load_some(A, i, low, size), x))


@inner
def combine(
    A: Array,
    first: int,
    last: int,
    low: int,
    high: int,
    v: Vector,
    out: Vector,
    near: Any = None,
    far: Any = None,
) -> None:
    """Add ``v[i - first] * A[i, low:high]`` to ``out`` for each row from first to last."""
    if high - low < WIDTH:
        _short_combine(A, first, last, low, high, v, out)
        return
    start = first
    if high - low <= NARROW:
        start += (last - first) // 4 * 4
        _add_narrow(A, first, start, low, high, v, out, near, far)
    add_rows(A, start, last, low, high, v[start - first :], out, near, far)


@inner
def add_rows(
    A: Array,
    first: int,
    last: int,
    low: int,
    high: int,
    v: Vector,
    out: Vector,
    near: Any = None,
    far: Any = None,
) -> None:
    """Do so for rows of some length, four at a time: of each a run of memory is read at once."""
    if high - low < WIDTH:
        _short_combine(A, first, last, low, high, v, out)
        return
    size = high - low
    whole = size // WIDTH * WIDTH
    # The last vector of a row starts early and leaves out what was already added.
    tail, again = high - WIDTH, WIDTH - (size - whole)
    fours = first + (last - first) // 4 * 4
    for i in range(first, fours, 4):
        k = i - first
        s, t, u, x = v[k], v[k + 1], v[k + 2], v[k + 3]
        for j in range(0, whole, WIDTH):
            a = multiply_add(zeros(), load(A, i, low + j, near, None), s)
            b = multiply_add(zeros(), load(A, i + 1, low + j, near, far), t)
            a = multiply_add(a, load(A, i + 2, low + j, near, None), u)
            b = multiply_add(b, load(A, i + 3, low + j, near, far), x)
            add_to(out, j, add(a, b))
        if whole < size:
            a = multiply_add(zeros(), load(A, i, tail, near, None), s)
            b = multiply_add(zeros(), load(A, i + 1, tail, near, far), t)
            a = multiply_add(a, load(A, i + 2, tail, near, None), u)
            b = multiply_add(b, load(A, i + 3, tail, near, far), x)
            add_to(out, size - WIDTH, drop(add(a, b), again))
    for i in range(fours, last):
        s = v[i - first]
        for j in range(0, whole, WIDTH):
            add_to(out, j, multiply_add(zeros(), load(A, i, low + j, near, far), s))
        if whole < size:
            a = multiply_add(zeros(), load(A, i, tail, near, far), s)
            add_to(out, size - WIDTH, drop(a, again))


@inner
def _add_narrow(
    A: Array,
    first: int,
    last: int,
    low: int,
    high: int,
    v: Vector,
    out: Vector,
    near: Any,
    far: Any,
) -> None:
    """Keep the sums of 32 columns in registers over all rows, a multiple of four; then of 16, 8.

    Additions onto one register wait for each other, 4 cycles, so few take several rows at a time.
    """
    size = high - low
    panels = size // (4 * WIDTH) * (4 * WIDTH)
    for k in range(0, panels, 4 * WIDTH):
        j = low + k
        a = b = c = d = zeros()
        for m in range(0, last - first, 2):
            i, s, t = first + m, v[m], v[m + 1]
            a = multiply_add(a, load(A, i, j, near, None), s)
            b = multiply_add(b, load(A, i, j + WIDTH, near, None), s)
            c = multiply_add(c, load(A, i, j + 2 * WIDTH, near, None), s)
            d = multiply_add(d, load(A, i, j + 3 * WIDTH, near, None), s)
            a = multiply_add(a, load(A, i + 1, j, near, far), t)
            b = multiply_add(b, load(A, i + 1, j + WIDTH, near, far), t)
            c = multiply_add(c, load(A, i + 1, j + 2 * WIDTH, near, far), t)
            d = multiply_add(d, load(A, i + 1, j + 3 * WIDTH, near, far), t)
        add_to(out, k, a)
        add_to(out, k + WIDTH, b)
        add_to(out, k + 2 * WIDTH, c)
        add_to(out, k + 3 * WIDTH, d)
    k = panels
    while size - k > WIDTH:
        after = min(k + WIDTH, size - WIDTH)
        j, then = low + k, low + after
        a = b = c = d = zeros()
        for m in range(0, last - first, 2):
            i, s, t = first + m, v[m], v[m + 1]
            a = multiply_add(a, load(A, i, j, near, None), s)
            b = multiply_add(b, load(A, i, then, near, None), s)
            c = multiply_add(c, load(A, i + 1, j, near, far), t)
            d = multiply_add(d, load(A, i + 1, then, near, far), t)
        add_to(out, k, add(a, c))
        add_to(out, after, drop(add(b, d), k + WIDTH - after))
        k += 2 * WIDTH
    if k < size:
        after = min(k, size - WIDTH)
        j = low + after
        a = b = c = d = zeros()
        for m in range(0, last - first, 4):
            i = first + m
            a = multiply_add(a, load(A, i, j, near, None), v[m])
            b = multiply_add(b, load(A, i + 1, j, near, far), v[m + 1])
            c = multiply_add(c, load(A, i + 2, j, near, None), v[m + 2])
            d = multiply_add(d, load(A, i + 3, j, near, far), v[m + 3])
        add_to(out, after, drop(add(add(a, b), add(c, d)), k - after))


@inner
def _short_combine(
    A: Array, first: int, last: int, low: int, high: int, v: Vector, out: Vector
) -> None:
    size = high - low
    a = b = c = d = zeros()
    fours = first + (last - first) // 4 * 4
    for i in range(first, fours, 4):
        k = i - first
        a = multiply_add(a, load_some(A, i, low, size), v[k])
        b = multiply_add(b, load_some(A, i + 1, low, size), v[k + 1])
        c = multiply_add(c, load_some(A, i + 2, low, size), v[k + 2])
        d = multiply_add(d, load_some(A, i + 3, low, size), v[k + 3])
    for i in range(fours, last):
        a = multiply_add(a, load_some(A, i, low, size), v[i - first])
    add_some_to(out, size, add(add(a, b), add(c, d)))

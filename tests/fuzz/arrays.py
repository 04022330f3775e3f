"""Arrays of every kind that a caller may pass, right and wrong."""

import numpy as np
from hypothesis import strategies as st

from tests import registry

SHAPES = [(), (0,), (1,), (2,), (7,), (4, 3), (1, 3), (4, 1), (0, 3), (2, 1, 3), (130,)]
# Beyond a block, and beyond the size where threads start.
LARGE = [(33_000,), (260, 260)]
# The first are the likeliest, and what a shrunken example has.
REAL = ["f8", "f4", "f2", ">f8", ">f4", "i8", "i2", "u1", "?"]
WRONG = ["c8", "c16", "O", "U3", "M8[s]"] + ["g"] * (np.dtype("g").itemsize > 8)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.7, np.inf, -np.inf, np.nan, 1e-45, 1e-310, 3e38, 1e300, 65504.0]
LAYOUTS = [lambda x: x, *registry.LAYOUTS]
NOT_ARRAYS = [None, "1.0", {}, object(), [[1.0], [1.0, 2.0]], b"1", {1.0, 2.0}, print]


def numbers(random, shape, dtype, special):
    """Draw numbers about 1, some of them special ones if asked for."""
    values = random.standard_normal(shape) * 3
    if special and values.size:
        chosen = random.random(shape) < 0.3
        values = np.where(chosen, random.choice(SPECIAL, shape), values)
    dtype = np.dtype(dtype)
    if dtype.kind in "biu":
        values = np.nan_to_num(values, posinf=3, neginf=-3).clip(0, 100)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return values.astype(dtype)


@st.composite
def right(draw, shape, dtypes=tuple(REAL), special=True):
    """Real numbers of a shape, in any layout, or as a list or a number of Python's."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    array = numbers(random, shape, draw(st.sampled_from(dtypes)), special)
    form = draw(st.sampled_from(["array", "array", "array", "list"]))
    if form == "list" and array.size:
        return array.tolist()
    layout = draw(st.sampled_from(LAYOUTS))
    # Some layouts want an axis, and nothing is unaligned to a byte.
    plain = not array.ndim or (layout is registry.unaligned and array.nbytes <= array.size)
    return array if plain else layout(array)


@st.composite
def wrong(draw, shape):
    """Give something that does not hold real numbers, or none that fit."""
    if draw(st.booleans()):
        return draw(st.sampled_from(NOT_ARRAYS))
    dtype = np.dtype(draw(st.sampled_from(WRONG)))
    return np.full(shape, "x" if dtype.kind in "OU" else 1, dtype)

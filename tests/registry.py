"""What the tests run over: one table of losses, dtypes, sizes and layouts."""

import itertools
import math

import numpy as np
import pytest

from fastloss.cpu.elementwise import BLOCK
from fastloss.cpu.sizes import ALWAYS_PARALLEL_FROM as PARALLEL_FROM
from fastloss.cpu.sums import TILE
from fastloss.formulas import FORMULAS, L1, Huber, SmoothL1, SquaredError

LOSSES = [
    SmoothL1(1.0),
    SmoothL1(0.3),
    SmoothL1(0.0),
    SmoothL1(math.inf),
    Huber(1.0),
    Huber(0.7),
    Huber(math.inf),
    L1(),
    SquaredError(),
]
ONE_OF_EACH = [SmoothL1(0.7), Huber(0.7), L1(), SquaredError()]
assert {type(formula) for formula in ONE_OF_EACH} == set(FORMULAS)

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["none", "mean", "sum"]
METHODS = ["value", "grad", "value_and_grad", "grad_and_hess"]

# Around the tile of the sum, the block, and the size where threads start.
SIZES = [1, 2, 3, 4, 5, 7, 100, TILE - 1, TILE, TILE + 1, BLOCK - 1, BLOCK, BLOCK + 1]
SIZES += [PARALLEL_FROM - 1, PARALLEL_FROM, PARALLEL_FROM + TILE + 3, 3 * PARALLEL_FROM]


def cases(*lists, slow):
    """Every combination; those are slow of which ``slow`` says that others compile the like."""
    return [
        pytest.param(*case, marks=pytest.mark.slow) if slow(*case) else case
        for case in itertools.product(*lists)
    ]


def pair(size, dtype, seed=0):
    """Residuals of about 1, some of them exactly 0 and some exactly at a threshold."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, size)).astype(dtype)
    x[::11] = y[::11]
    y[3::13] = 0
    x[3::13] = 1
    return x, y


# Each gives an array of the same numbers, lying in memory in another way.
def contiguous(x):
    return np.ascontiguousarray(x)


def fortran(x):
    return np.asfortranarray(x)


def strided(x):
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def reversed_(x):
    return np.ascontiguousarray(np.flip(x))[(slice(None, None, -1),) * x.ndim]


def rows_of_wider(x):
    wide = np.zeros((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    wide[..., :-3] = x
    return wide[..., :-3]


def transposed(x):
    return np.ascontiguousarray(x.T).T


def unaligned(x):
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    view = memory.view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


def swapped(x):
    return x.astype(x.dtype.newbyteorder())


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = [
    contiguous,
    fortran,
    strided,
    reversed_,
    rows_of_wider,
    transposed,
    unaligned,
    swapped,
    read_only,
]

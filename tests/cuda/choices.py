"""What kernels call in place of a plain function computes what that does.

The choices by types are made where kernels are compiled, so ``test_choices.py`` runs this outside
the simulator. It needs no GPU.
"""

from math import inf, nan

import numpy as np
import pytest
from numba import cuda
from numba.core import types
from numba.core.errors import TypingError

from fastloss import binding
from fastloss.cuda import absent, columns, lanes, linear, parts, plain_lanes, sums, tuples
from fastloss.cuda.jit import THREADS
from fastloss.formulas import SmoothL1
from tests import choices

NONE = ()
SINGLE, DOUBLE = np.arange(40, dtype=np.float32) / 8, np.arange(40.0) / 8
FOUR, TWO = tuple(map(np.float32, (1.5, -2.0, 0.25, 7.0))), (1.5, -2.0)
MEMORY = np.zeros(3 * THREADS + 9)
TILE = tuple(tuple(row) for row in np.arange(16, dtype=np.float32).reshape(4, 4))
FORMULA = SmoothL1(0.7)

# A plain function, what chooses by types, and arguments for each choice.
CHOICES = [
    (absent.number, absent._number, [(2.5,), (DOUBLE[3:4],)]),
    (absent.times, absent._times, [(2.5, NONE), (2.5, DOUBLE[3:4])]),
    (absent.lanes_in, absent._lanes_in, [(SINGLE,), (DOUBLE,), (SINGLE.astype(np.float16),)]),
    (
        absent.load_or,
        absent._load_or,
        [(SINGLE, 4, np.float32(1), NONE), (NONE, 4, np.float32(1), FOUR), (NONE, 4, 1.0, (0.0,))],
    ),
    (absent.store_if, absent._store_if, [(NONE, 4, FOUR), (SINGLE, 4, FOUR)]),
    (
        absent.element,
        absent._element,
        [(NONE, 3, np.float32(1)), (SINGLE, 3, 1.0), (DOUBLE, 3, np.float32(1))],
    ),
    (absent.set_element, absent._set_element, [(NONE, 3, (7.0,)), (DOUBLE, 3, (7.0,))]),
    (
        absent.leave_element,
        absent._leave_element,
        [(NONE, 3, TWO), (DOUBLE, 3, TWO), (DOUBLE, 3, (inf, nan))],
    ),
    (
        absent.position,
        absent._position,
        [(NONE, NONE, 7), ((6,), (3, 2), 4), ((3, 4), (5, 10, 2), 7)],
    ),
    (
        absent.place,
        absent._place,
        [
            (NONE, NONE, 7),
            ((6,), (-2,), 4),
            ((3, 4), (10, 2), 3),
            ((3, 4), (10, 2), 7),
            ((2, 3, 4), (100, -10, 2), 23),
        ],
    ),
    (columns.zeros, columns._zeros, [(SINGLE, 0.0), (DOUBLE, 0.0)]),
    (
        columns.lanes_within,
        columns._lanes_within,
        [(NONE, 8, 10, FOUR), (True, 4, 10, FOUR), (True, 8, 10, FOUR), (True, 9, 10, TWO)],
    ),
    (
        columns.some,
        columns._some,
        [(SINGLE, 4, count, FOUR) for count in range(5)]
        + [(DOUBLE, 4, count, TWO) for count in range(3)],
    ),
    (columns.loaded, columns._loaded, [(SINGLE, 4, NONE, 4), (SINGLE, 4, True, 3)]),
    (columns.dot, columns._dot, [((2.0,), (0.5,), 1.0), (TWO, TWO, 1.0), (FOUR, FOUR[::-1], 0.0)]),
    (columns.put, columns._put, [(MEMORY, 5, (2.0,)), (MEMORY, 5, TWO), (MEMORY, 5, FOUR)]),
    (
        parts.leave_parts,
        parts._leave_parts,
        [(memory, 2, 7, TILE, DOUBLE, 8, count) for memory in (NONE, MEMORY) for count in (3, 4)],
    ),
    (
        parts.shorten,
        parts._shorten,
        [(NONE, 4, 1, 3, 11)] + [(DOUBLE, 4, share, 3, 11) for share in range(3)],
    ),
    (
        parts.prediction,
        parts._prediction,
        [(NONE, 4, 3, DOUBLE, 5), (DOUBLE, 4, 3, DOUBLE, 5), (DOUBLE, 4, 0, DOUBLE, 5)],
    ),
    (tuples.pairs_sum, tuples._pairs_sum, [(TWO,), (FOUR,), (FOUR + FOUR,)]),
    (tuples.lanes_sum, tuples._lanes_sum, [((2.5,),), (TWO,), (FOUR,), (FOUR + FOUR,)]),
    (
        sums.accumulate,
        sums._accumulate,
        [(NONE, 1.0, 0.5, FOUR), (MEMORY, 1.0, 0.5, FOUR), (MEMORY, 1e17, 0.5, (1.0,))],
    ),
    (sums.leave, sums._leave, [(NONE, 1, 2.5, 0.5), (MEMORY, 1, 2.5, 0.5)]),
    (linear.only_for, linear._only_for, [(NONE, DOUBLE), (DOUBLE, DOUBLE)]),
    (
        linear.slope_of,
        linear._slope_of,
        [(FORMULA, r, 3.0, along) for r in (0.5, 2.0) for along in (NONE, 0.25)],
    ),
    (
        linear.add_loss,
        linear._add_loss,
        [(FORMULA, 0.5, 3.0, along, 1e17, 0.5) for along in (NONE, 0.25)],
    ),
]
CASES = choices.cases(CHOICES)


def leave_pair(pairs, index, total, error):
    """What a block of one thread leaves."""
    pairs[2 * index : 2 * index + 2] = total, error


@pytest.fixture
def _instructions(monkeypatch):
    """In Python, what kernels have instructions, threads and device functions for."""
    for module in (absent, columns, linear, sums, tuples):
        for name in ("load", "store", "plus", "multiply_add"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(plain_lanes, name))
    add = sums.add.py_func
    monkeypatch.setattr(sums, "add", add)
    monkeypatch.setattr(linear, "add", add)
    monkeypatch.setattr(sums, "combine", leave_pair)
    monkeypatch.setattr(absent, "settled", absent.settled.py_func)


@pytest.mark.usefixtures("_instructions")
@pytest.mark.parametrize(("plain", "choose", "given"), CASES, ids=choices.names(CASES))
def test_the_choice_computes_what_the_plain_function_does(plain, choose, given):
    choices.agree(plain, choose, given)


def test_a_function_of_one_lane_is_one_of_each():
    def subtract(shared, a, b):
        return shared + a - b

    assert tuples.lanewise(subtract)(10, (1, 2, 3), (4, 6, 9)) == (7, 6, 4)


# --- what there is no choice for


def no_float_to_invert(x):
    lanes.reciprocal(x)


def no_floats_to_multiply(x):
    lanes.multiply_add(x, x, x)


def no_floats_to_add(x):
    lanes.plus(x, x)


def no_array_to_load_from(x):
    lanes.load((x,), x)


def no_array_to_store_in(x):
    lanes.store((x,), x, (x,))


def no_formula_with_a_value(x):
    binding.value(x, 1.0)


def no_formula_with_a_gradient(x):
    binding.scaled_grad(x, 1.0, 1.0)


@pytest.mark.parametrize(
    ("kernel", "signature"),
    [
        (no_float_to_invert, r"reciprocal\(int64\)"),
        (no_floats_to_multiply, r"multiply_add\(int64, int64, int64\)"),
        (no_floats_to_add, r"plus\(int64, int64\)"),
        (no_array_to_load_from, r"load\(UniTuple\(int64 x 1\), int64\)"),
        (no_array_to_store_in, r"store\(UniTuple\(int64 x 1\), int64, UniTuple\(int64 x 1\)\)"),
        (no_formula_with_a_value, r"value\(int64, float64\)"),
        (no_formula_with_a_gradient, r"scaled_grad\(int64, float64, float64\)"),
    ],
)
def test_arguments_of_other_types_are_an_error_of_typing(kernel, signature):
    """Calls turn these errors, and no others, into one that names the formula."""
    with pytest.raises(TypingError, match=rf"No implementation of [\s\S]*{signature}"):
        cuda.compile(kernel, types.void(types.int64), cc=(9, 0))

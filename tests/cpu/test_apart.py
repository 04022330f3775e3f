"""Columns that lie apart give what they give side by side, to the bit."""

import weakref

import numpy as np
import pytest

from fastloss.cpu import gram, linear
from fastloss.cpu.apart import Apart
from fastloss.cpu.design import Design
from fastloss.curvature import own
from fastloss.formulas import SmoothL1
from fastloss.model import Asked
from tests.cpu.test_linear import problem
from tests.registry import DTYPES, cases

FORMULA = SmoothL1(0.7)
N = 1030


def apart(X):
    """Its columns, each in memory of its own that is read-only, as Arrow's is."""
    columns = [column.copy() for column in X.T]
    for column in columns:
        column.flags.writeable = False
    return Apart(columns)


def evaluations(design, y, weight, w, v):
    """All that kernels give."""
    vectors = design, y, weight
    yield from linear.evaluate(FORMULA, *vectors, w, 0.5)
    curvature = np.empty(y.size)
    yield linear.evaluate(FORMULA, *vectors, w, 0.5, v, curvature).gradients
    yield curvature
    yield linear.residuals(design, y, w)
    yield from gram.evaluate(
        *vectors, Asked(FORMULA, w, 0.5, own, np.arange(w.size - 1.0), None, False)
    )


# Around four columns, which are taken at once, and the width of a vector.
@pytest.mark.parametrize(
    ("p", "dtype", "n"),
    cases(
        [2, 3, 4, 5, 8, 9, 33],
        DTYPES,
        [3, 7, N],
        slow=lambda _, dtype, __: dtype is not DTYPES[0],
    ),
)
def test_the_same_bits_as_side_by_side(p, dtype, n):
    X, y, weight = problem(n, p, dtype, "F")
    w, v = np.random.default_rng(1).standard_normal((2, p + 1))
    together = Design.of(X)
    assert together.columns
    columns = apart(X)
    found = evaluations(Design.of(columns, together), y, weight, w, v)
    for ours, expected in zip(found, evaluations(together, y, weight, w, v), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_single_column_is_a_matrix_as_well():
    X, *_ = problem(N, 1)
    like = Design.of(X)
    design = Design.of(apart(X), like)
    assert not like.columns
    np.testing.assert_array_equal(design.matrix, X)
    assert design[1:] == like[1:]


def test_columns_are_read_where_they_lie():
    X, *_ = problem(N, 3, order="F")
    columns = list(X.T)
    places, first = Design.of(Apart(columns), Design.of(X)).matrix
    assert list(places) == [column.ctypes.data for column in columns]
    assert np.shares_memory(first, columns[0])


def test_their_memory_stays_for_as_long_as_kernels_may_read_it():
    X, *_ = problem(N, 3, order="F")
    columns = apart(X)
    alive = weakref.ref(columns)
    design = Design.of(columns, Design.of(X))
    del columns
    assert alive() is not None
    del design
    assert alive() is None


def test_some_rows_are_those_of_an_array():
    X, *_ = problem(N, 3, np.float32)
    columns = apart(X)
    assert columns.shape == X.shape
    assert columns.dtype == X.dtype
    for rows in (slice(5, 9), slice(None), np.array([4, 1, 900]), 17):
        np.testing.assert_array_equal(columns[rows], X[rows])
    np.testing.assert_array_equal(np.asarray(columns), X)
    assert np.asarray(columns, np.float64).dtype == np.float64

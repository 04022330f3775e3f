"""Sparse rows of few entries are taken together, and give what each gives by itself."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

import fastloss as fl
from fastloss.cpu import short_rows

P = 40
RNG = np.random.default_rng(0)
ROWS = {
    "none": [0] * 9,
    "one row": [5],
    "two lanes and their edges": [0, 1, 7, 8, 9, 15, 16, 0, 2, 3],
    "a longer one, at the end": [1, 0, 2, 3, 1, 0, 40],
    "longer ones among short ones": [40, 0, 0, 17, 0, 0, 24, 1, 0, 0, 0, 33, 0, 0, 0, 0, 25, 0, 0],
    "many": RNG.integers(0, 20, 5003),
}


def whole_numbers(lengths, dtype):
    """Sums of which are exact in any order."""
    indices = np.concatenate([RNG.choice(P, k, replace=False) for k in [0, *lengths]]).astype(int)
    data = RNG.integers(-8, 9, len(indices)).astype(dtype)
    return sparse.csr_array((data, indices, np.r_[0, np.cumsum(lengths)]), (len(lengths), P))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("lengths", ROWS.values(), ids=ROWS)
def test_they_are_those_of_the_dense_matrix(lengths, intercept, dtype):
    X = whole_numbers(lengths, dtype)
    assert X.nnz <= short_rows.FEW * X.shape[0]
    y, w = RNG.integers(-9, 9, X.shape[0]), RNG.integers(-4, 5, P + intercept).astype(float)
    loss = fl.MSELoss(reduction="sum")
    objective = fl.LinearObjective(X, y, loss, fit_intercept=intercept)
    A = np.column_stack((X.toarray(), np.ones(len(y)))).astype(float)[:, : w.size]
    assert_array_equal(objective.residuals(w), A @ w - y)
    value, grad = objective(w)
    assert value == np.sum((A @ w - y) ** 2)
    assert_array_equal(grad, 2 * A.T @ (A @ w - y))
    assert_array_equal(objective.hessp(w, w), 2 * A.T @ (A @ w))


def test_what_is_not_finite_stays_in_its_row():
    X = whole_numbers([3, 2, 0, 4, 1, 20, 3], np.float64)
    X.data[6] = np.inf
    X.data[-1] = np.nan
    found = fl.LinearObjective(X, np.zeros(7)).residuals(np.ones(P))
    assert_array_equal(np.isfinite(found), [1, 1, 1, 0, 1, 1, 0])


def test_long_ones_are_taken_one_by_one_and_the_bits_are_those_of_any_number_of_threads():
    lengths = np.r_[RNG.integers(0, 10, 20_000), RNG.integers(30, 40, 20_000)]
    X = whole_numbers(lengths, np.float64)
    X.data *= np.pi
    assert X.nnz > 10 * X.shape[0]
    objective = fl.LinearObjective(X, RNG.standard_normal(X.shape[0]))
    w = RNG.standard_normal(P)
    several = objective(w)
    with fl.threads(1):
        alone = objective(w)
    assert several[0] == alone[0]
    assert_array_equal(several[1], alone[1])
    np.testing.assert_allclose(objective.residuals(w) + objective.y, X @ w, rtol=1e-12, atol=1e-12)

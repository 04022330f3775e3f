"""A sparse X gives what the same numbers give in a dense one."""

import pickle
import tracemalloc

import numba
import numpy as np
import pytest
from scipy import sparse

import fastloss as fl
from tests.registry import LOSSES, cases

rng = np.random.default_rng(0)
n, p = 3000, 12
dense = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.2)
dense[17] = 0  # an empty row
dense[:, 5] = 0  # and column
y = dense @ np.arange(p) + 2 + 0.5 * rng.standard_normal(n)
y[::9] += 40
weight = rng.random(n)
weight[::5] = 0


def wide_indices(X):
    X = sparse.csr_array(X)
    return sparse.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape
    )


def with_duplicates(X):
    """Entries that stand twice, each half of the number."""
    rows, columns = np.nonzero(X)
    twice = np.concatenate([X[rows, columns] / 2] * 2)
    indices = np.tile(rows, 2), np.tile(columns, 2)
    return sparse.coo_array((twice, indices), X.shape)


def unsorted(X):
    X = sparse.csr_array(X[:, ::-1])
    return sparse.csr_array((X.data, X.shape[1] - 1 - X.indices, X.indptr), X.shape)


def unsorted_columns(X):
    X = sparse.csc_array(X[::-1])
    return sparse.csc_array((X.data, X.shape[0] - 1 - X.indices, X.indptr), X.shape)


def said_to_be_sorted(X):
    X = unsorted_columns(X)
    X.has_sorted_indices = True
    return X


FORMATS = {
    "csr array": sparse.csr_array,
    "csr matrix": sparse.csr_matrix,
    "csc array": sparse.csc_array,
    "csc matrix": sparse.csc_matrix,
    "coo array": sparse.coo_array,
    "lil matrix": sparse.lil_matrix,
    "int64 indices": wide_indices,
    "duplicates": with_duplicates,
    "unsorted": unsorted,
    "unsorted columns": unsorted_columns,
    "said to be sorted": said_to_be_sorted,
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    cases(
        FORMATS,
        [np.float32, np.float64],
        slow=lambda name, dtype: dtype == np.float32 and name not in ("csr array", "csc array"),
    ),
    ids=str,
)
def test_an_objective_is_that_of_the_dense_matrix(name, dtype):
    X, make = dense.astype(dtype), FORMATS[name]
    point, direction = rng.standard_normal((2, p + 1))
    for options in ({}, {"weight": weight, "l2": 0.3, "fit_intercept": True}):
        loss = fl.SmoothL1Loss(reduction="sum", beta=0.5)
        ours = fl.LinearObjective(make(X), y, loss, **options)
        theirs = fl.LinearObjective(X, y, loss, **options)
        w, v = point[: ours.size], direction[: ours.size]
        assert ours(w)[0] == pytest.approx(theirs(w)[0], rel=1e-13)
        np.testing.assert_allclose(ours(w)[1], theirs(w)[1], rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(ours.hessp(w, v), theirs.hessp(w, v), rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(ours.hess(w), theirs.hess(w), rtol=1e-12, atol=1e-10)
        np.testing.assert_array_equal(ours.hess(w), ours.hess(w).T)
        np.testing.assert_allclose(ours.residuals(w), theirs.residuals(w), rtol=1e-12, atol=1e-12)


def test_integers_become_float64():
    X = sparse.csr_array(np.arange(12).reshape(4, 3) % 5)
    objective = fl.LinearObjective(X, np.zeros(4), fl.MSELoss())
    assert objective(np.ones(3))[0] == np.mean(X.toarray().sum(axis=1) ** 2)


@pytest.mark.parametrize("formula", [LOSSES[0], LOSSES[6]], ids=str)
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_the_bits_do_not_depend_on_the_threads(formula, layout):
    X = sparse.random_array((40_000, 50), density=0.05, rng=1, format=layout)
    objective = fl.LinearObjective(X, rng.standard_normal(40_000), fl.Loss(formula))
    w = rng.standard_normal(50)
    found = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        value, gradient = objective(w)
        found.append((value, gradient.tobytes(), objective.hessp(w, w).tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "loss",
    [fl.SmoothL1Loss(), fl.SmoothL1Loss(beta="auto"), fl.L1Loss(), fl.HuberLoss(delta=1e-3)],
    ids=repr,
)
@pytest.mark.parametrize("method", ["auto", "L-BFGS-B"])
def test_a_fit_is_that_of_the_dense_matrix(loss, method):
    if method != "auto" and isinstance(loss, fl.L1Loss):
        pytest.skip("absolute error has no gradient that L-BFGS-B could follow to the end")
    ours = fl.fit(sparse.csr_array(dense), y, loss, weight=weight, method=method)
    theirs = fl.fit(dense, y, loss, weight=weight, method=method)
    assert ours.success == theirs.success
    assert ours.fun == pytest.approx(theirs.fun, rel=1e-9 if method == "auto" else 1e-4)
    if method == "auto":
        np.testing.assert_allclose(ours.x, theirs.x, atol=1e-6)


def test_columns_far_from_zero_keep_their_slopes():
    X = dense.copy()
    X[:, 0] = 1e9 + np.arange(n)
    y = 3 * (X[:, 0] - 1e9) + X[:, 1] + 0.1 * np.random.default_rng(1).standard_normal(n)
    result = fl.fit(sparse.csr_array(X), y, fl.SmoothL1Loss(beta=0.1))
    np.testing.assert_allclose(result.coef[:2], [3, 1], atol=0.02)


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_array])
def test_the_first_row_that_is_not_finite_is_named(layout):
    X, row = sparse.lil_array(dense), int(np.flatnonzero(dense[:, 3])[7])
    X[row, 3] = np.nan
    X[row + 1, 0] = np.inf
    with pytest.raises(ValueError, match=f"X must be finite, but its row {row} is not"):
        fl.fit(layout(X), y)


def corrupt(change, layout=sparse.csr_array):
    X = layout(dense)
    change(X)
    return X


def out_of_range():
    X = sparse.coo_array(dense)
    X.coords[0][3] = 10**8
    return X


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: corrupt(lambda X: X.indices.__setitem__(3, p)), ValueError, "within its shape"),
        (lambda: corrupt(lambda X: X.indices.__setitem__(3, -1)), ValueError, "within its shape"),
        (lambda: corrupt(lambda X: X.indptr.__setitem__(-1, 10**9)), ValueError, "within its"),
        (lambda: corrupt(lambda X: X.indptr.__setitem__(5, 10**6)), ValueError, "within its"),
        (lambda: corrupt(lambda X: X.indptr.__setitem__(0, -8)), ValueError, "within its shape"),
        (
            lambda: corrupt(lambda X: X.indices.__setitem__(3, n), sparse.csc_array),
            ValueError,
            "within its shape",
        ),
        (
            lambda: corrupt(lambda X: X.indptr.__setitem__(2, 10**6), sparse.csc_array),
            ValueError,
            "within its shape",
        ),
        (out_of_range, ValueError, "within its shape"),
        (lambda: sparse.csr_array(dense * 1j), TypeError, "X must hold real numbers"),
        (lambda: sparse.csr_array((0, p)), ValueError, "X must have at least one row"),
        (lambda: sparse.coo_array(np.ones(5)), ValueError, "X must have two dimensions"),
        (lambda: sparse.csr_array(dense[:5]), ValueError, "y must have the shape"),
    ],
)
def test_bad_matrices_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        fl.LinearObjective(make(), y)


def test_no_columns_and_no_entries_are_fine():
    for X in (sparse.csr_array((n, 0)), sparse.csr_array((n, 3))):
        objective = fl.LinearObjective(X, y, fit_intercept=True)
        expected = fl.LinearObjective(X.toarray(), y, fit_intercept=True)
        w = np.ones(objective.size)
        np.testing.assert_allclose(objective(w)[1], expected(w)[1], rtol=1e-12)


def test_objectives_pickle():
    objective = fl.LinearObjective(sparse.csr_array(dense), y)
    again = pickle.loads(pickle.dumps(objective))
    w = np.ones(p)
    assert again(w)[0] == objective(w)[0]


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_array])
def test_x_is_read_where_it_lies_and_stays_as_it_was(layout):
    X = layout(dense)
    before = X.copy()
    objective = fl.LinearObjective(X, y)
    assert np.shares_memory(objective.model._design.matrix[0], X.data)
    objective(np.ones(p))
    objective.hess(np.ones(p))
    assert objective.X is X
    assert (before != X).nnz == 0


def test_many_columns_do_not_take_a_gradient_for_each_of_many_blocks():
    columns = 1_000_000
    X = sparse.random_array((20_000, columns), density=1e-5, rng=2, format="csr")
    objective = fl.LinearObjective(X, np.ones(20_000), fl.MSELoss(reduction="sum"))
    w = np.full(columns, 0.5)
    expected = 2 * (X.T @ (X @ w - 1))
    objective(w)  # compiles
    tracemalloc.start()
    gradient = objective(w)[1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-12)
    # Some gradients' worth, one of which is 8 MB.
    assert peak < 8 * w.nbytes


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
def test_a_target_that_is_not_finite_is_named_beside_entries_that_are(kind):
    X, y = kind(np.eye(5)), np.ones(5)
    y[3] = np.nan
    with pytest.raises(ValueError, match=r"y .*row 3"):
        fl.fit(X, y)
